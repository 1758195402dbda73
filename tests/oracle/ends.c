/* SPDX-License-Identifier: MIT */
/* ends.c - how connections end, seen from the client: shutdown, close, reset, and what comes
 * after. */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

#include "oracle.h"

static volatile sig_atomic_t pipes;

static void on_pipe(int signal) {
    (void)signal;
    pipes++;
}

static void observe_write(const char *name, int fd) {
    pipes = 0;
    ssize_t n = write(fd, "x", 1);
    int err = errno;
    observe(name, "%s, SIGPIPE %d", n < 0 ? error_name(err) : "1", (int)pipes);
}

static void observe_read(const char *name, int fd) {
    char buf[16];
    observe_result(name, read(fd, buf, sizeof buf));
}

/* Waits until the reset has arrived; after that no data moves. */
static void wait_reset(int fd) {
    for (int i = 0; i < WAIT_MS && !(poll_now(fd, 0) & POLLHUP); i++)
        poll(NULL, 0, 1);
}

static void names_after(int fd) {
    struct sockaddr_in name = {0};
    socklen_t len = sizeof name;
    observe_result("getpeername", getpeername(fd, (struct sockaddr *)&name, &len));
    len = sizeof name;
    observe_result("getsockname", getsockname(fd, (struct sockaddr *)&name, &len));
    observe("family", "%d", name.sin_family);
    observe_result("shutdown", shutdown(fd, SHUT_RDWR));
}

static void orderly_end(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    char buf[16];
    (void)!write(pair.accepted, "bye", 3);
    close(pair.accepted);
    observe("remote close: poll", "%s", events_text((unsigned)wait_for(pair.client, POLLRDHUP)));
    observe_result("remote close: data", receive_all(pair.client, buf, 3));
    wait_for(pair.client, POLLRDHUP);
    observe_read("remote close: read", pair.client);
    observe_read("remote close: read again", pair.client);
    observe("remote close: SO_ERROR", "%s", error_name(socket_error(pair.client)));
    observe_write("remote close: first write", pair.client);
    wait_reset(pair.client);
    /* Without ERR: see "differences" in README.md. */
    observe("then poll", "%s",
            events_text((unsigned)poll_now(pair.client, POLLIN | POLLOUT | POLLRDHUP) & ~EPOLLERR));
    observe_write("remote close: second write", pair.client);
    observe_write("remote close: third write", pair.client);
    observe_read("remote close: read in the end", pair.client);
    close(pair.client);
}

static void remote_reset(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    reset_close(pair.accepted);
    wait_reset(pair.client);
    observe("reset: poll", "%s",
            events_text((unsigned)poll_now(pair.client, POLLIN | POLLOUT | POLLRDHUP)));
    observe_read("reset: read", pair.client);
    observe_read("reset: read again", pair.client);
    observe_write("reset: write after read", pair.client);
    names_after(pair.client);
    close(pair.client);

    pair = connected_pair(server, 0);
    reset_close(pair.accepted);
    wait_reset(pair.client);
    observe_write("reset: first write", pair.client);
    observe_write("reset: second write", pair.client);
    observe_read("reset: read after write", pair.client);
    close(pair.client);

    pair = connected_pair(server, 0);
    reset_close(pair.accepted);
    wait_reset(pair.client);
    observe("reset: SO_ERROR", "%s", error_name(socket_error(pair.client)));
    observe("reset: SO_ERROR again", "%s", error_name(socket_error(pair.client)));
    observe_read("reset: read after SO_ERROR", pair.client);
    observe_result("reset: connect", connect_to(pair.client, server));
    close(pair.client);
}

static void send_variants_after_reset(const struct server *server) {
    struct iovec iov = {"x", 1};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    struct pair pair = connected_pair(server, 0);
    reset_close(pair.accepted);
    wait_reset(pair.client);
    pipes = 0;
    observe_result("reset: send MSG_NOSIGNAL", send(pair.client, "x", 1, MSG_NOSIGNAL));
    observe_result("reset: send MSG_NOSIGNAL again", send(pair.client, "x", 1, MSG_NOSIGNAL));
    observe("signals", "%d", (int)pipes);
    observe_result("reset: writev", writev(pair.client, &iov, 1));
    observe_result("reset: sendmsg", sendmsg(pair.client, &msg, 0));
    observe_result("reset: sendto", sendto(pair.client, "x", 1, 0, NULL, 0));
    observe("signals then", "%d", (int)pipes);
    close(pair.client);
}

static int reset_connection(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    reset_close(pair.accepted);
    wait_reset(pair.client);
    pipes = 0;
    return pair.client;
}

/* Calls that cannot be given MSG_NOSIGNAL. */
static void files_after_reset(const struct server *server) {
    int file = memfd_create("oracle", MFD_CLOEXEC), in_pipe[2];
    if (file < 0 || pipe(in_pipe) != 0 || write(file, "0123456789", 10) != 10)
        die("preparation");
    for (int by_splice = 0; by_splice <= 1; by_splice++) {
        int fd = reset_connection(server);
        for (int i = 0; i < 3; i++) {
            off_t offset = 0;
            ssize_t n;
            if (by_splice) {
                (void)!write(in_pipe[1], "x", 1);
                n = splice(in_pipe[0], NULL, fd, NULL, 1, 0);
            } else {
                n = sendfile(fd, file, &offset, 10);
            }
            observe_result(by_splice ? "reset: splice" : "reset: sendfile", n);
            observe("its signals", "%d", (int)pipes);
        }
        close(fd);
    }
    int fd = reset_connection(server);
    observe_result("reset: splice from it", splice(fd, NULL, in_pipe[1], NULL, 10, 0));
    observe_result("reset: splice from it again", splice(fd, NULL, in_pipe[1], NULL, 10, 0));
    close(fd);
    close(file);
    close(in_pipe[0]);
    close(in_pipe[1]);
}

/* The same through copies of a descriptor that has itself been closed. */
static void copies_after_reset(const struct server *server) {
    static const char *const names[] = {"dup", "dup2", "dup3", "F_DUPFD", "F_DUPFD_CLOEXEC"};
    for (int how = 0; how < 5; how++) {
        int fd = reset_connection(server), copy = -1;
        char title[60];
        if (how == 0)
            copy = dup(fd);
        else if (how == 1)
            copy = dup2(fd, 150);
        else if (how == 2)
            copy = dup3(fd, 151, O_CLOEXEC);
        else
            copy = fcntl(fd, how == 3 ? F_DUPFD : F_DUPFD_CLOEXEC, 160);
        close(fd);
        snprintf(title, sizeof title, "reset: first write to a copy by %s", names[how]);
        observe_write(title, copy);
        snprintf(title, sizeof title, "reset: second write to a copy by %s", names[how]);
        observe_write(title, copy);
        close(copy);
    }
}

static void failed_connect(const struct server *closed) {
    int fd = tcp_socket(SOCK_NONBLOCK);
    connect_to(fd, closed);
    wait_for(fd, POLLOUT);
    observe_read("failed connect: read", fd);
    observe_read("failed connect: read again", fd);
    observe_write("failed connect: write after that", fd);
    names_after(fd);
    close(fd);
    fd = tcp_socket(SOCK_NONBLOCK);
    connect_to(fd, closed);
    wait_for(fd, POLLOUT);
    observe_write("failed connect: first write", fd);
    observe_write("failed connect: second write", fd);
    observe("failed connect: SO_ERROR", "%s", error_name(socket_error(fd)));
    close(fd);
}

static void shut_down(const char *label, const struct server *server, int how) {
    struct pair pair = connected_pair(server, 0);
    char buf[16];
    printf("-- %s\n", label);
    observe_result("shutdown", shutdown(pair.client, how));
    observe("poll here", "%s",
            events_text((unsigned)poll_now(pair.client, POLLIN | POLLOUT | POLLRDHUP)));
    if (how != SHUT_RD)
        observe("poll there", "%s",
                events_text((unsigned)wait_for(pair.accepted, POLLIN | POLLRDHUP)));
    observe_write("write here", pair.client);
    (void)!write(pair.accepted, "data", 4);
    if (how == SHUT_WR) {
        observe_result("data from there", receive_all(pair.client, buf, 4));
        close(pair.accepted);
        observe("end from there", "%s",
                events_text((unsigned)wait_for(pair.client, POLLRDHUP | POLLIN)));
        observe_read("read of the end", pair.client);
        pair.accepted = -1;
    }
    observe_result("shutdown again", shutdown(pair.client, how));
    close(pair.client);
    if (pair.accepted >= 0)
        close(pair.accepted);
}

static void *read_in_thread(void *argument) {
    char byte;
    return (void *)(intptr_t)read(*(int *)argument, &byte, 1);
}

/* Threads that read, are about to read, or wait in poll learn of the shutdown. */
static void shutdown_wakes(const struct server *server, int how, const char *label) {
    struct pair pair = connected_pair(server, 0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET};
    int set = epoll_create1(0);
    pthread_t reader;
    void *result;
    printf("-- %s\n", label);
    epoll_ctl(set, EPOLL_CTL_ADD, pair.client, &event);
    pthread_create(&reader, NULL, read_in_thread, &pair.client);
    shutdown(pair.client, how);
    pthread_join(reader, &result);
    observe("a reader in another thread", "%d", (int)(intptr_t)result);
    observe_result("an event", epoll_wait(set, &event, 1, WAIT_MS));
    observe("which", "%s", events_text(event.events & (EPOLLIN | EPOLLRDHUP)));
    close(set);
    close_pair(&pair);
}

/* Data that had arrived before is still read; the other direction continues. */
static void reading_shut_down(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    char buf[16];
    (void)!write(pair.accepted, "unread", 6);
    wait_for(pair.client, POLLIN);
    observe_result("SHUT_RD with unread data", shutdown(pair.client, SHUT_RD));
    observe("poll", "%s", events_text((unsigned)poll_now(pair.client, POLLIN | POLLRDHUP)));
    observe_read("it is read", pair.client);
    observe_read("and then", pair.client);
    observe_read("and again", pair.client);
    observe_result("write", write(pair.client, "out", 3));
    observe_result("arrives", receive_all(pair.accepted, buf, 3));
    observe_result("SHUT_WR", shutdown(pair.client, SHUT_WR));
    wait_for(pair.accepted, POLLIN);
    observe_read("the end at the target", pair.accepted);
    close_pair(&pair);

    pair = connected_pair(server, 0);
    shutdown(pair.client, SHUT_RD);
    observe_result("after SHUT_RD the target writes", write(pair.accepted, "late", 4));
    observe_result("write", write(pair.client, "out", 3));
    observe_result("arrives", receive_all(pair.accepted, buf, 3));
    observe("the target is not told", "%s",
            events_text((unsigned)poll_now(pair.accepted, POLLIN | POLLOUT | POLLRDHUP)));
    close_pair(&pair);

    pair = connected_pair(server, 0);
    shutdown(pair.client, SHUT_RDWR);
    wait_for(pair.accepted, POLLIN);
    observe_read("SHUT_RDWR: the end at the target", pair.accepted);
    observe_result("its write", write(pair.accepted, "late", 4));
    wait_reset(pair.accepted);
    observe_write("is answered by a reset", pair.accepted);
    close_pair(&pair);
}

/* What the target sees. */
static void own_close(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    char buf[16];
    (void)!write(pair.client, "last", 4);
    close(pair.client);
    observe_result("own close: target reads", receive_all(pair.accepted, buf, 4));
    wait_for(pair.accepted, POLLIN);
    observe_read("own close: and then", pair.accepted);
    close(pair.accepted);

    pair = connected_pair(server, 0);
    (void)!write(pair.accepted, "unread", 6);
    wait_for(pair.client, POLLIN);
    close(pair.client);
    wait_for(pair.accepted, POLLIN);
    observe_read("close with unread data: target reads", pair.accepted);
    close(pair.accepted);

    pair = connected_pair(server, 0);
    reset_close(pair.client);
    wait_for(pair.accepted, POLLIN);
    observe_read("SO_LINGER 0: target reads", pair.accepted);
    close(pair.accepted);

    int fd = tcp_socket(0);
    struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    connect_to(fd, server);
    int accepted = accept(server->fd, NULL, NULL);
    close(fd);
    wait_for(accepted, POLLIN);
    observe_read("SO_LINGER 0 before connect: target reads", accepted);
    close(accepted);
}

static void both_ways(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    char buf[16];
    shutdown(pair.client, SHUT_WR);
    wait_for(pair.accepted, POLLIN);
    observe_read("half-closed: target reads the end", pair.accepted);
    observe_result("half-closed: target writes", write(pair.accepted, "answer", 6));
    observe_result("half-closed: we read", receive_all(pair.client, buf, 6));
    shutdown(pair.accepted, SHUT_WR);
    wait_for(pair.client, POLLIN);
    observe_read("half-closed: we read the end", pair.client);
    observe("both closed: poll", "%s",
            events_text((unsigned)poll_now(pair.client, POLLIN | POLLOUT | POLLRDHUP)));
    names_after(pair.client);
    close_pair(&pair);
}

int main(void) {
    struct server server = serve(), closed = refuse();
    signal(SIGPIPE, on_pipe);
    orderly_end(&server);
    remote_reset(&server);
    send_variants_after_reset(&server);
    files_after_reset(&server);
    copies_after_reset(&server);
    failed_connect(&closed);
    shut_down("SHUT_WR", &server, SHUT_WR);
    shut_down("SHUT_RD", &server, SHUT_RD);
    shut_down("SHUT_RDWR", &server, SHUT_RDWR);
    struct server other = serve();
    shutdown_wakes(&other, SHUT_RD, "SHUT_RD while reading");
    shutdown_wakes(&other, SHUT_RDWR, "SHUT_RDWR while reading");
    reading_shut_down(&other);
    struct server fresh = serve();
    own_close(&fresh);
    both_ways(&fresh);
    return 0;
}
