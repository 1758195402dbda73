/* SPDX-License-Identifier: MIT */
/* epoll_sets.c - registrations made before and after connect, in every mode. */
#include <sys/resource.h>

#include "oracle.h"

static unsigned wait_events(int epfd, uint64_t *data, int timeout_ms) {
    struct epoll_event event;
    int n = epoll_wait(epfd, &event, 1, timeout_ms);
    if (n <= 0)
        return 0;
    if (data)
        *data = event.data.u64;
    return event.events;
}

static int add(int epfd, int fd, unsigned events, uint64_t data) {
    struct epoll_event event = {.events = events, .data.u64 = data};
    return epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event);
}

static int modify(int epfd, int fd, unsigned events, uint64_t data) {
    struct epoll_event event = {.events = events, .data.u64 = data};
    return epoll_ctl(epfd, EPOLL_CTL_MOD, fd, &event);
}

/* Registers, then connects, then observes. */
static void before_connect(const char *label, const struct server *server, unsigned mode) {
    int epfd = epoll_create1(EPOLL_CLOEXEC), fd = tcp_socket(SOCK_NONBLOCK);
    uint64_t data = 0;
    printf("-- %s\n", label);
    add(epfd, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | mode, 4711);
    if (!(mode & EPOLLONESHOT))
        observe("event of a fresh socket", "%s", events_text(wait_events(epfd, NULL, 0)));
    observe_result("connect", connect_to(fd, server));
    observe("event", "%s", events_text(wait_events(epfd, &data, WAIT_MS)));
    observe("its data", "%d", (int)data);
    observe("SO_ERROR", "%s", error_name(socket_error(fd)));
    observe("event again", "%s", events_text(wait_events(epfd, NULL, 0)));
    int accepted = accept(server->fd, NULL, NULL);
    observe_result("data arrives", write(accepted, "hello", 5));
    wait_for(fd, POLLIN);
    observe("event of data", "%s", events_text(wait_events(epfd, NULL, 200)));
    if (mode & EPOLLONESHOT)
        observe_result("rearm", modify(epfd, fd, EPOLLIN | mode, 42));
    observe("event after that", "%s", events_text(wait_events(epfd, &data, 200)));
    observe("data now", "%d", (int)data);
    observe_result("add again", add(epfd, fd, EPOLLIN, 1));
    observe_result("delete", epoll_ctl(epfd, EPOLL_CTL_DEL, fd, NULL));
    observe_result("delete again", epoll_ctl(epfd, EPOLL_CTL_DEL, fd, NULL));
    close(accepted);
    close(fd);
    close(epfd);
}

static unsigned wait_failed_events(int epfd, int fd) {
    unsigned events = wait_events(epfd, NULL, WAIT_MS);
    wait_failed(fd, POLLOUT);
    return events & EPOLLOUT ? events : events | wait_events(epfd, NULL, 0);
}

static void refused(const struct server *closed, unsigned mode) {
    int epfd = epoll_create1(EPOLL_CLOEXEC), fd = tcp_socket(SOCK_NONBLOCK);
    add(epfd, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | mode, 7);
    wait_events(epfd, NULL, 0);
    connect_to(fd, closed);
    observe("refused", "%s", events_text(wait_failed_events(epfd, fd)));
    observe("refused: SO_ERROR", "%s", error_name(socket_error(fd)));
    observe("refused: event again", "%s", events_text(wait_events(epfd, NULL, 0)));
    close(fd);
    close(epfd);
}

static void after_connect(const struct server *server) {
    int epfd = epoll_create1(EPOLL_CLOEXEC), fd = tcp_socket(SOCK_NONBLOCK);
    connect_to(fd, server);
    observe_result("registered after connect", add(epfd, fd, EPOLLOUT | EPOLLET, 5));
    observe("its event", "%s", events_text(wait_events(epfd, NULL, WAIT_MS)));
    observe("only once", "%s", events_text(wait_events(epfd, NULL, 0)));
    close(fd);
    observe("closed", "%s", events_text(wait_events(epfd, NULL, 0)));
    close(epfd);
}

static void many_sets(const struct server *server) {
    int epfd[4], fd = tcp_socket(SOCK_NONBLOCK);
    uint64_t data = 0;
    for (int i = 0; i < 4; i++) {
        epfd[i] = epoll_create1(EPOLL_CLOEXEC);
        add(epfd[i], fd, EPOLLOUT | EPOLLET, 100 + (uint64_t)i);
        wait_events(epfd[i], NULL, 0);
    }
    connect_to(fd, server);
    for (int i = 0; i < 4; i++) {
        observe("one of four sets", "%s", events_text(wait_events(epfd[i], &data, WAIT_MS)));
        observe("with its data", "%d", (int)data);
    }
    close(fd);
    for (int i = 0; i < 4; i++)
        close(epfd[i]);
}

static void nested(const struct server *server) {
    int outer = epoll_create1(EPOLL_CLOEXEC), inner = epoll_create1(EPOLL_CLOEXEC);
    int fd = tcp_socket(SOCK_NONBLOCK);
    add(inner, fd, EPOLLOUT | EPOLLET, 1);
    add(outer, inner, EPOLLIN, 2);
    wait_events(inner, NULL, 0);
    connect_to(fd, server);
    observe("outer set", "%s", events_text(wait_events(outer, NULL, WAIT_MS)));
    observe("inner set", "%s", events_text(wait_events(inner, NULL, 0)));
    close(fd);
    close(inner);
    close(outer);
}

static void consumed_oneshot(const struct server *server) {
    int epfd = epoll_create1(EPOLL_CLOEXEC), fd = tcp_socket(SOCK_NONBLOCK);
    add(epfd, fd, EPOLLOUT | EPOLLONESHOT, 9);
    observe("oneshot of a fresh socket", "%s", events_text(wait_events(epfd, NULL, 0)));
    connect_to(fd, server);
    wait_for(fd, POLLOUT);
    observe("consumed oneshot stays silent", "%s", events_text(wait_events(epfd, NULL, 100)));
    modify(epfd, fd, EPOLLOUT | EPOLLONESHOT, 10);
    observe("rearmed", "%s", events_text(wait_events(epfd, NULL, WAIT_MS)));
    close(fd);
    close(epfd);
}

/* TCP's connect needs no descriptor; here there is one that is free. */
static void oneshot_with_few_descriptors(void) {
    struct server server = serve();
    int epfd = epoll_create1(EPOLL_CLOEXEC), fd = tcp_socket(SOCK_NONBLOCK), lowest = dup(fd);
    struct rlimit old, tight;
    uint64_t data = 0;
    getrlimit(RLIMIT_NOFILE, &old);
    tight = old;
    tight.rlim_cur = (rlim_t)lowest + 1;
    close(lowest);
    add(epfd, fd, EPOLLIN | EPOLLONESHOT, 11);
    setrlimit(RLIMIT_NOFILE, &tight);
    observe_result("oneshot, one descriptor free: connect", connect_to(fd, &server));
    setrlimit(RLIMIT_NOFILE, &old);
    int accepted = accept(server.fd, NULL, NULL);
    (void)!write(accepted, "x", 1);
    observe("its event", "%s", events_text(wait_events(epfd, &data, WAIT_MS)));
    observe("its data", "%d", (int)data);
    observe("and no second one", "%s", events_text(wait_events(epfd, NULL, 0)));
    close(server.fd);
    close(accepted);
    close(fd);
    close(epfd);
}

/* EPOLLEXCLUSIVE cannot be modified, and takes fewer flags. */
static void exclusive(const struct server *server) {
    int epfd = epoll_create1(EPOLL_CLOEXEC), fd = tcp_socket(SOCK_NONBLOCK);
    observe_result("exclusive", add(epfd, fd, EPOLLIN | EPOLLOUT | EPOLLEXCLUSIVE, 8));
    wait_events(epfd, NULL, 0);
    connect_to(fd, server);
    observe("exclusive: event", "%s", events_text(wait_events(epfd, NULL, WAIT_MS)));
    observe_result("exclusive: modify", modify(epfd, fd, EPOLLIN, 8));
    close(fd);
    close(epfd);
}

static void changed_and_removed(const struct server *server) {
    int epfd = epoll_create1(EPOLL_CLOEXEC), fd = tcp_socket(SOCK_NONBLOCK);
    uint64_t data = 0;
    add(epfd, fd, EPOLLIN, 1);
    modify(epfd, fd, EPOLLOUT, 2);
    connect_to(fd, server);
    observe("modified before connect", "%s", events_text(wait_events(epfd, &data, WAIT_MS)));
    observe("modified data", "%d", (int)data);
    close(fd);
    fd = tcp_socket(SOCK_NONBLOCK);
    add(epfd, fd, EPOLLOUT, 3);
    epoll_ctl(epfd, EPOLL_CTL_DEL, fd, NULL);
    connect_to(fd, server);
    wait_for(fd, POLLOUT);
    observe("removed before connect", "%s", events_text(wait_events(epfd, NULL, 0)));
    close(fd);
    close(epfd);
}

static void edges_of_the_end(void) {
    int epfd = epoll_create1(EPOLL_CLOEXEC);
    struct server own = serve(), *server = &own;
    struct pair pair = connected_pair(server, SOCK_NONBLOCK);
    add(epfd, pair.client, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, 1);
    observe("at first", "%s", events_text(wait_events(epfd, NULL, 0)));
    shutdown(pair.accepted, SHUT_WR);
    observe("remote half-close", "%s", events_text(wait_events(epfd, NULL, WAIT_MS)));
    shutdown(pair.client, SHUT_WR);
    observe("own half-close", "%s", events_text(wait_events(epfd, NULL, WAIT_MS)));
    close_pair(&pair);
    pair = connected_pair(server, SOCK_NONBLOCK);
    add(epfd, pair.client, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, 1);
    wait_events(epfd, NULL, 0);
    reset_close(pair.accepted);
    observe("remote reset", "%s", events_text(wait_events(epfd, NULL, WAIT_MS)));
    close(pair.client);
    close(epfd);
}

/* Sockets in many sets at once, most of which wait while others connect. */
static void crowd(const struct server *server) {
    enum { N_FDS = 900, N_SETS = 7, N_CONNECTED = 20 };
    int epfd[N_SETS], told = 0, right = 0;
    static int fds[N_FDS];
    for (int k = 0; k < N_SETS; k++)
        epfd[k] = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < N_FDS; i++) {
        fds[i] = tcp_socket(SOCK_NONBLOCK);
        for (int k = 0; k < N_SETS; k++)
            add(epfd[k], fds[i], EPOLLOUT | EPOLLET, (uint64_t)i);
    }
    for (int k = 0; k < N_SETS; k++)
        while (wait_events(epfd[k], NULL, 0))
            ;
    for (int i = 0; i < N_CONNECTED; i++) {
        connect_to(fds[i], server);
        wait_for(fds[i], POLLOUT);
        for (int k = 0; k < N_SETS; k++) {
            uint64_t data = N_FDS;
            told += wait_events(epfd[k], &data, 0) == EPOLLOUT;
            right += data == (uint64_t)i;
        }
    }
    observe("sockets in seven sets each: events", "%d", told);
    observe("with their data", "%d", right);
    for (int i = 0; i < N_FDS; i++)
        close(fds[i]);
    for (int k = 0; k < N_SETS; k++)
        close(epfd[k]);
}

/* One socket in many sets, at a number that was in all of them before, and closed. */
static void many_sets_again(const struct server *server) {
    enum { N_SETS = 40 };
    int epfd[N_SETS], fd = tcp_socket(SOCK_NONBLOCK), number = fd, told = 0, left = 0;
    for (int k = 0; k < N_SETS; k++) {
        epfd[k] = epoll_create1(EPOLL_CLOEXEC);
        add(epfd[k], fd, EPOLLOUT | EPOLLET, 1);
    }
    close(fd);
    fd = tcp_socket(SOCK_NONBLOCK);
    observe("the number again", "%d", fd == number);
    for (int k = 0; k < N_SETS; k += 2) {
        add(epfd[k], fd, EPOLLOUT | EPOLLET, 2);
        wait_events(epfd[k], NULL, 0);
    }
    connect_to(fd, server);
    wait_for(fd, POLLOUT);
    for (int k = 0; k < N_SETS; k++) {
        uint64_t data = 0;
        told += wait_events(epfd[k], &data, 0) == EPOLLOUT && data == 2;
        left += epoll_ctl(epfd[k], EPOLL_CTL_DEL, fd, NULL) == 0;
        close(epfd[k]);
    }
    observe("sets of one socket that tell", "%d", told);
    observe("sets that hold it", "%d", left);
    close(fd);
}

int main(void) {
    struct server server = serve(), closed = refuse();
    before_connect("level", &server, 0);
    before_connect("edge", &server, EPOLLET);
    before_connect("oneshot", &server, EPOLLONESHOT);
    exclusive(&server);
    refused(&closed, 0);
    refused(&closed, EPOLLET);
    after_connect(&server);
    many_sets(&server);
    many_sets_again(&server);
    nested(&server);
    consumed_oneshot(&server);
    oneshot_with_few_descriptors();
    changed_and_removed(&server);
    edges_of_the_end();
    crowd(&server);
    return 0;
}
