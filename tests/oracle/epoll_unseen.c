/* SPDX-License-Identifier: MIT */
/* epoll_unseen.c - registrations that cannot be known from epoll_ctl's arguments alone: made or
 * changed through another number of the set, before exec, by io_uring, for sockets of other
 * processes. */
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "oracle.h"

static struct server server;

static int set_of(int epfd, int op, int fd, unsigned events, uint64_t data) {
    struct epoll_event event = {.events = events, .data.u64 = data};
    return epoll_ctl(epfd, op, fd, &event);
}

static int add(int epfd, int fd, unsigned events, uint64_t data) {
    return set_of(epfd, EPOLL_CTL_ADD, fd, events, data);
}

static void observe_event(const char *name, int epfd, int timeout_ms) {
    struct epoll_event event;
    if (epoll_wait(epfd, &event, 1, timeout_ms) == 1)
        observe(name, "%s, data %d", events_text(event.events), (int)event.data.u64);
    else
        observe(name, "none");
}

/* Connects `fd`, and then reads its events from a set. The events of the fresh socket have been
 * consumed. */
static void observe_connect(const char *name, int fd, int epfd) {
    struct epoll_event event;
    epoll_wait(epfd, &event, 1, 0);
    connect_to(fd, &server);
    wait_for(fd, POLLOUT);
    observe_event(name, epfd, 0);
}

static int new_set(void) {
    return epoll_create1(EPOLL_CLOEXEC);
}

static void end(int fd, int epfd) {
    close(fd);
    close(epfd);
    close(accept(server.fd, NULL, NULL));
}

static void copies_of_a_set(void) {
    int set = new_set(), copy = dup(set), fd = tcp_socket(SOCK_NONBLOCK);
    add(copy, fd, EPOLLOUT | EPOLLET, 1);
    close(copy);
    observe_connect("registered by a copy, closed since", fd, set);
    observe_result("registered by it still", add(set, fd, EPOLLOUT, 1));
    end(fd, set);

    set = epoll_create(1), fd = tcp_socket(SOCK_NONBLOCK);
    add(set, fd, EPOLLOUT | EPOLLET, 2);
    copy = fcntl(set, F_DUPFD_CLOEXEC, 100);
    close(set);
    observe_connect("set moved by F_DUPFD", fd, copy);
    end(fd, copy);

    set = new_set(), fd = tcp_socket(SOCK_NONBLOCK);
    add(set, fd, EPOLLOUT | EPOLLET | EPOLLEXCLUSIVE, 3);
    copy = dup2(set, 101);
    close(set);
    set = dup3(copy, 102, O_CLOEXEC);
    close(copy);
    observe_connect("set moved by dup2 and dup3, exclusive", fd, set);
    observe_result("modify it", set_of(set, EPOLL_CTL_MOD, fd, EPOLLIN, 3));
    end(fd, set);

    set = (int)syscall(SYS_epoll_create1, 0),
    fd = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    add(set, fd, EPOLLOUT | EPOLLET, 6);
    copy = (int)syscall(SYS_dup3, set, 103, O_CLOEXEC);
    close(set);
    set = (int)syscall(SYS_fcntl, copy, F_DUPFD, 104);
    close(copy);
    observe_connect("set made and moved by syscall", fd, set);
    end(fd, set);

    set = new_set(), copy = dup(set), fd = tcp_socket(SOCK_NONBLOCK);
    add(copy, fd, EPOLLOUT | EPOLLONESHOT, 4);
    close(copy);
    observe_connect("oneshot by a copy, consumed", fd, set);
    set_of(set, EPOLL_CTL_MOD, fd, EPOLLOUT | EPOLLONESHOT, 5);
    observe_event("rearmed", set, WAIT_MS);
    end(fd, set);
}

static void changed_by_a_copy(void) {
    int set = new_set(), copy = dup(set), fd = tcp_socket(SOCK_NONBLOCK);
    add(set, fd, EPOLLIN, 1);
    observe_result("modified by a copy", set_of(copy, EPOLL_CTL_MOD, fd, EPOLLOUT | EPOLLET, 2));
    observe_connect("its event", fd, set);
    observe_event("and no other", set, 0);
    end(fd, set);

    set = new_set(), fd = tcp_socket(SOCK_NONBLOCK);
    dup2(set, copy);
    add(set, fd, EPOLLOUT, 3);
    observe_result("removed by a copy", epoll_ctl(copy, EPOLL_CTL_DEL, fd, NULL));
    observe_connect("its event", fd, set);
    observe_result("add again", add(set, fd, EPOLLOUT, 4));
    observe_event("its event", copy, WAIT_MS);
    end(fd, set);
    close(copy);

    set = new_set(), fd = tcp_socket(SOCK_NONBLOCK);
    add(set, fd, EPOLLOUT | EPOLLET, 5);
    copy = fcntl(set, F_DUPFD_CLOEXEC, 100);
    close(set);
    int other = new_set();
    observe("another set has the number", "%d", other == set);
    add(other, fd, EPOLLOUT | EPOLLET, 6);
    observe_event("fresh, in the other set", other, 0);
    observe_connect("in the moved set", fd, copy);
    observe_event("in the other set", other, WAIT_MS);
    close(other);
    end(fd, copy);
}

/* More sets than the library remembers. */
static void hundreds_of_sets(void) {
    int sets[300], n_sets = sizeof sets / sizeof *sets, fd = tcp_socket(SOCK_NONBLOCK), told = 0;
    struct epoll_event event;
    for (int i = 0; i < n_sets; i++)
        sets[i] = new_set();
    for (int i = n_sets - 1; i >= n_sets - 30; i--) {
        add(sets[i], fd, EPOLLOUT | EPOLLET, (uint64_t)i);
        epoll_wait(sets[i], &event, 1, 0);
    }
    int moved = fcntl(sets[n_sets - 1], F_DUPFD_CLOEXEC, 400);
    close(sets[n_sets - 1]);
    sets[n_sets - 1] = moved;
    connect_to(fd, &server);
    wait_for(fd, POLLOUT);
    for (int i = 0; i < n_sets; i++)
        told += epoll_wait(sets[i], &event, 1, 0) == 1 && event.data.u64 == (uint64_t)i;
    observe("sets that tell, of thirty among hundreds", "%d", told);
    for (int i = 0; i < n_sets; i++)
        close(sets[i]);
    end(fd, -1);
}

/* What `over_exec` hands to itself: sets, sockets, and the server's port. */
struct legacy {
    int set, fd, second_set, refused, unregistered, port;
};
#define LEGACY_N (sizeof(struct legacy) / sizeof(int))

static int inherit(char **numbers) {
    struct server closed = refuse();
    int values[LEGACY_N];
    struct legacy legacy;
    for (size_t i = 0; i < LEGACY_N; i++)
        values[i] = atoi(numbers[i]);
    memcpy(&legacy, values, sizeof legacy);
    server.addr = closed.addr;
    server.addr.sin_port = (in_port_t)legacy.port;
    observe_connect("registered before exec", legacy.fd, legacy.set);
    observe_result("removed after it", epoll_ctl(legacy.set, EPOLL_CTL_DEL, legacy.fd, NULL));
    connect_to(legacy.refused, &closed);
    wait_failed(legacy.refused, POLLOUT);
    observe("refused", "%s", error_name(socket_error(legacy.refused)));
    observe_result("and again", connect_to(legacy.refused, &server));
    observe_connect("second attempt", legacy.refused, legacy.second_set);
    int own = new_set();
    add(own, legacy.unregistered, EPOLLOUT | EPOLLET, 9);
    observe_connect("socket from before exec, in a new set", legacy.unregistered, own);
    add(legacy.set, legacy.unregistered, EPOLLOUT | EPOLLET, 10);
    observe_event("and in the old one", legacy.set, 0);
    return 0;
}

static void over_exec(void) {
    int fds[3], values[LEGACY_N];
    char numbers[LEGACY_N][12];
    char *args[LEGACY_N + 2] = {"epoll_unseen"};
    for (int i = 0; i < 3; i++)
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct legacy legacy = {epoll_create1(0), fds[0], epoll_create1(0),
                            fds[1],           fds[2], server.addr.sin_port};
    add(legacy.set, fds[0], EPOLLOUT | EPOLLET, 7);
    add(legacy.second_set, fds[1], EPOLLOUT | EPOLLET, 8);
    memcpy(values, &legacy, sizeof values);
    for (size_t i = 0; i < LEGACY_N; i++) {
        snprintf(numbers[i], sizeof numbers[i], "%d", values[i]);
        args[i + 1] = numbers[i];
    }
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        execv("/proc/self/exe", args);
        _exit(1);
    }
    waitpid(child, NULL, 0);
    close(legacy.set);
    close(legacy.second_set);
    for (int i = 0; i < 3; i++) {
        close(fds[i]);
        close(accept(server.fd, NULL, NULL));
    }
}

/* A socket that another process made, at an unused number, and at one where there was another
 * socket before. */
static void received(const char *name, int number) {
    int pair[2], set = new_set();
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        die("socketpair");
    pid_t child = fork();
    if (child == 0) {
        send_descriptor(pair[1], tcp_socket(SOCK_NONBLOCK), "x", 1);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    int fd;
    receive_descriptor(pair[0], 0, &fd);
    if (number >= 0) {
        dup2(fd, number);
        close(fd);
        fd = number;
    }
    add(set, fd, EPOLLOUT | EPOLLET, 11);
    observe_connect(name, fd, set);
    close(pair[0]);
    close(pair[1]);
    end(fd, set);
}

/* epoll_ctl by IORING_OP_EPOLL_CTL, in a ring of its own. Returns its result. */
static int ring_ctl(int epfd, int op, int fd, unsigned events, uint64_t data) {
    struct io_uring_params params = {0};
    struct epoll_event event = {.events = events, .data.u64 = data};
    int ring = (int)syscall(SYS_io_uring_setup, 4, &params), result = -1;
    if (ring < 0)
        return -errno;
    size_t queue_size = params.sq_off.array + params.sq_entries * sizeof(unsigned);
    size_t done_size = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
    size_t entries_size = params.sq_entries * sizeof(struct io_uring_sqe);
    int access = PROT_READ | PROT_WRITE;
    char *queue = mmap(NULL, queue_size, access, MAP_SHARED, ring, IORING_OFF_SQ_RING);
    char *done = mmap(NULL, done_size, access, MAP_SHARED, ring, IORING_OFF_CQ_RING);
    struct io_uring_sqe *entries =
        mmap(NULL, entries_size, access, MAP_SHARED, ring, IORING_OFF_SQES);
    entries[0] = (struct io_uring_sqe){.opcode = IORING_OP_EPOLL_CTL,
                                       .fd = epfd,
                                       .addr = (uintptr_t)&event,
                                       .len = (unsigned)op,
                                       .off = (unsigned)fd};
    ((unsigned *)(queue + params.sq_off.array))[0] = 0;
    *(unsigned *)(queue + params.sq_off.tail) = 1;
    if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1)
        result = ((struct io_uring_cqe *)(done + params.cq_off.cqes))[0].res;
    munmap(queue, queue_size);
    munmap(done, done_size);
    munmap(entries, entries_size);
    close(ring);
    return result;
}

static void by_ring(void) {
    int set = new_set(), fd = tcp_socket(SOCK_NONBLOCK);
    observe("added by a ring", "%d", ring_ctl(set, EPOLL_CTL_ADD, fd, EPOLLOUT | EPOLLET, 12));
    observe_connect("its event", fd, set);
    end(fd, set);

    set = new_set(), fd = tcp_socket(SOCK_NONBLOCK);
    add(set, fd, EPOLLIN, 13);
    observe("modified by a ring", "%d", ring_ctl(set, EPOLL_CTL_MOD, fd, EPOLLOUT | EPOLLET, 14));
    observe_connect("its event", fd, set);
    end(fd, set);

    set = new_set(), fd = tcp_socket(SOCK_NONBLOCK);
    add(set, fd, EPOLLOUT | EPOLLET, 15);
    observe("removed by a ring", "%d", ring_ctl(set, EPOLL_CTL_DEL, fd, 0, 0));
    observe_connect("its event", fd, set);
    observe_result("add again", add(set, fd, EPOLLOUT | EPOLLET, 16));
    observe_event("its event", set, WAIT_MS);
    end(fd, set);
}

int main(int argc, char **argv) {
    if (argc == 1 + LEGACY_N)
        return inherit(argv + 1);
    server = serve();
    received("received, at a number of which nothing is known", 300);
    copies_of_a_set();
    changed_by_a_copy();
    hundreds_of_sets();
    over_exec();
    received("received, at a number where a socket was", -1);
    by_ring();
    return 0;
}
