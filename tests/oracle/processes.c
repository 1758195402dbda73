/* SPDX-License-Identifier: MIT */
/* processes.c - a connection shared by several holders: dup, fork, exec, SCM_RIGHTS, threads,
 * signals. */
#include <pthread.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "oracle.h"

extern char **environ;

static const char *own_path;

/* What a program that inherits descriptor `fd` sees. */
static int inherited(int fd) {
    struct sockaddr_in peer = {0};
    socklen_t len = sizeof peer;
    int domain = 0, nodelay = -1;
    char buf[8];
    observe_result("exec: getpeername", getpeername(fd, (struct sockaddr *)&peer, &len));
    observe("exec: peer", "%s", inet_ntoa(peer.sin_addr));
    len = sizeof domain;
    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len);
    observe("exec: SO_DOMAIN", "%d", domain);
    getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &len);
    observe("exec: TCP_NODELAY", "%d", nodelay);
    observe_result("exec: write", write(fd, "exec", 4));
    observe_result("exec: read", receive_all(fd, buf, 5));
    observe_result("exec: connect", connect(fd, (struct sockaddr *)&peer, sizeof peer));
    len = sizeof peer;
    observe_result("exec: recvfrom",
                   recvfrom(fd, buf, 1, MSG_DONTWAIT, (struct sockaddr *)&peer, &len));
    return 0;
}

/* A connection that was reset before this program began, with SIGPIPE ignored. */
static int inherited_reset(int fd, bool looks_first) {
    struct sockaddr_in name = {0};
    socklen_t len = sizeof name;
    if (looks_first)
        observe_result("reset before exec: getsockname",
                       getsockname(fd, (struct sockaddr *)&name, &len));
    else
        signal(SIGPIPE, SIG_IGN);
    observe_result("reset before exec: first write", write(fd, "x", 1));
    observe_result("reset before exec: second write",
                   looks_first ? send(fd, "x", 1, MSG_NOSIGNAL) : write(fd, "x", 1));
    return 0;
}

/* A program that has never seen the connection until it receives it. */
static int unrelated(int channel) {
    struct sockaddr_in name = {0};
    socklen_t len = sizeof name;
    int domain = 0, fd;
    char buf[8];
    receive_descriptor(channel, MSG_CMSG_CLOEXEC, &fd);
    observe_result("unrelated: write", write(fd, "first", 5));
    observe_result("unrelated: read", receive_all(fd, buf, 6));
    wait_for(fd, POLLIN);
    observe_result("unrelated: read the end", read(fd, buf, sizeof buf));
    observe_result("unrelated: getpeername", getpeername(fd, (struct sockaddr *)&name, &len));
    observe("unrelated: peer", "%s", inet_ntoa(name.sin_addr));
    len = sizeof domain;
    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len);
    observe("unrelated: SO_DOMAIN", "%d", domain);
    observe_result("unrelated: shutdown", shutdown(fd, SHUT_WR));
    observe_result("unrelated: shutdown again", shutdown(fd, SHUT_WR));
    len = sizeof name;
    observe_result("unrelated: getpeername then", getpeername(fd, (struct sockaddr *)&name, &len));
    return 0;
}

static void run_self(const char *label, int fd, bool by_vfork) {
    char number[12];
    char *arguments[] = {(char *)(uintptr_t)own_path, number, NULL};
    pid_t pid;
    printf("-- %s\n", label);
    fflush(stdout);
    snprintf(number, sizeof number, "%d", fd);
    if (by_vfork) {
        pid = vfork();
        if (pid == 0) {
            execv(own_path, arguments);
            _exit(127);
        }
    } else if (posix_spawn(&pid, own_path, NULL, NULL, arguments, environ) != 0) {
        die("posix_spawn");
    }
    int status = -1;
    waitpid(pid, &status, 0);
    observe("exit status", "%d", WEXITSTATUS(status));
}

static void exec_inherits(const struct server *server) {
    char buf[8];
    int on = 1;
    for (int i = 0; i < 2; i++) {
        struct pair pair = connected_pair(server, 0);
        fcntl(pair.client, F_SETFD, 0);
        setsockopt(pair.client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        (void)!write(pair.accepted, "hello", 5);
        run_self(i ? "vfork" : "posix_spawn", pair.client, i);
        observe_result("the target received", receive_all(pair.accepted, buf, 4));
        close_pair(&pair);
    }
}

/* A program that uses the descriptor in another call before writing gets no signal; one that does
 * not must ignore SIGPIPE. */
static void exec_after_reset(const struct server *server) {
    for (int looks_first = 0; looks_first <= 1; looks_first++) {
        struct pair pair = connected_pair(server, 0);
        reset_close(pair.accepted);
        while (!(poll_now(pair.client, 0) & POLLHUP))
            poll(NULL, 0, 1);
        fcntl(pair.client, F_SETFD, 0);
        run_self("after a reset", looks_first ? -pair.client - 1000 : -pair.client, false);
        close(pair.client);
    }
}

static void close_on_exec(const struct server *server) {
    int with = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
        without = socket(AF_INET, SOCK_STREAM, 0);
    connect_to(with, server);
    connect_to(without, server);
    observe("FD_CLOEXEC kept", "%d", fcntl(with, F_GETFD));
    observe("and not invented", "%d", fcntl(without, F_GETFD));
    close(with);
    close(without);
}

static void copies(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    char buf[8];
    int a = dup(pair.client), b = dup2(pair.client, 200), c = fcntl(pair.client, F_DUPFD, 300);
    observe_result("dup: write", write(a, "a", 1));
    observe_result("dup2: write", write(b, "b", 1));
    observe_result("F_DUPFD: write", write(c, "c", 1));
    close(pair.client);
    observe_result("original closed, still connected", write(a, "d", 1));
    observe_result("all arrive", receive_all(pair.accepted, buf, 4));
    struct sockaddr_in peer = {0};
    socklen_t len = sizeof peer;
    observe_result("copy: getpeername", getpeername(c, (struct sockaddr *)&peer, &len));
    observe("copy: is it", "%d", peer.sin_port == server->addr.sin_port);
    close(a);
    close(b);
    observe("not ended while a copy lives", "%s",
            events_text((unsigned)poll_now(pair.accepted, POLLRDHUP)));
    close(c);
    observe("ended with the last", "%s", events_text((unsigned)wait_for(pair.accepted, POLLRDHUP)));
    close(pair.accepted);
}

/* Options set on one descriptor, and a connect by a copy of it. */
static void copied_before(const struct server *server) {
    int fd = tcp_socket(0), on = 1, copy, value = 0;
    socklen_t len = sizeof value;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
    copy = fcntl(fd, F_DUPFD, 210);
    close(fd);
    observe_result("copied before connect", connect_to(copy, server));
    getsockopt(copy, IPPROTO_TCP, TCP_NODELAY, &value, &len);
    observe("TCP_NODELAY of the original", "%d", value);
    getsockopt(copy, SOL_SOCKET, SO_OOBINLINE, &value, &len);
    observe("SO_OOBINLINE of the original", "%d", value);
    close(copy);
    close(accept(server->fd, NULL, NULL));
}

static void forked(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    char buf[16];
    pid_t child = fork();
    if (child == 0) {
        ssize_t sent = write(pair.client, "child", 5);
        _exit((int)(10 * sent + receive_all(pair.client, buf, 3)));
    }
    observe_result("from the child", receive_all(pair.accepted, buf, 5));
    (void)!write(pair.accepted, "yes", 3);
    int status = 0;
    waitpid(child, &status, 0);
    observe("what the child sent and received", "%d", WEXITSTATUS(status));
    observe_result("parent: write", write(pair.client, "parent", 6));
    observe_result("from the parent", receive_all(pair.accepted, buf, 6));
    close_pair(&pair);
}

/* The child connects by itself, in a process that was forked from one that has connections. */
static void child_connects(const struct server *server) {
    pid_t child = fork();
    if (child == 0) {
        int fd = tcp_socket(0);
        observe_result("child: connect", connect_to(fd, server));
        _exit(0);
    }
    waitpid(child, NULL, 0);
    close(accept(server->fd, NULL, NULL));
}

static void pass_descriptor(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    int channel[2];
    char buf[8];
    socketpair(AF_UNIX, SOCK_STREAM, 0, channel);
    observe_result("SCM_RIGHTS: sendmsg", send_descriptor(channel[0], pair.client, "", 1));
    close(pair.client);
    pid_t child = fork();
    if (child == 0) {
        int fd;
        observe_result("SCM_RIGHTS: recvmsg", receive_descriptor(channel[1], 0, &fd));
        observe_result("SCM_RIGHTS: write", write(fd, "passed", 6));
        _exit(0);
    }
    waitpid(child, NULL, 0);
    observe_result("SCM_RIGHTS: arrives", receive_all(pair.accepted, buf, 6));
    close(channel[0]);
    close(channel[1]);
    close(pair.accepted);
}

/* The same to a program that shares no memory history with the one that connected. */
static void pass_to_stranger(const struct server *server) {
    int channel[2], status = -1;
    char buf[8], number[12];
    char *arguments[] = {(char *)(uintptr_t)own_path, number, (char *)(uintptr_t) "channel", NULL};
    pid_t pid;
    fflush(stdout);
    socketpair(AF_UNIX, SOCK_STREAM, 0, channel);
    fcntl(channel[0], F_SETFD, FD_CLOEXEC);
    snprintf(number, sizeof number, "%d", channel[1]);
    if (posix_spawn(&pid, own_path, NULL, NULL, arguments, environ) != 0)
        die("posix_spawn");
    close(channel[1]);
    struct pair pair = connected_pair(server, 0);
    send_descriptor(channel[0], pair.client, "", 1);
    close(pair.client);
    ssize_t received = receive_all(pair.accepted, buf, 5);
    (void)!write(pair.accepted, "second", 6);
    shutdown(pair.accepted, SHUT_WR);
    waitpid(pid, &status, 0);
    observe_result("from a stranger", received);
    observe("its exit status", "%d", WEXITSTATUS(status));
    wait_for(pair.accepted, POLLIN);
    observe_result("and its end", read(pair.accepted, buf, 1));
    close(channel[0]);
    close(pair.accepted);
}

static void closed_ranges(const struct server *server) {
    syscall(SYS_close_range, 100, ~0U, 0);
    for (int fd = 20; fd < 1024; fd++)
        close(fd);
    struct pair pair = connected_pair(server, 0);
    observe("lowest descriptor is used", "%d", pair.client < 20);
    observe_result("connection after closing everything", write(pair.client, "x", 1));
    close_pair(&pair);
}

static void out_of_descriptors(const struct server *server) {
    struct rlimit old, tight;
    int fd = tcp_socket(0);
    getrlimit(RLIMIT_NOFILE, &old);
    tight = old;
    tight.rlim_cur = (rlim_t)fd + 2;
    int extra = dup(fd);
    setrlimit(RLIMIT_NOFILE, &tight);
    int another = dup(fd);
    observe("the table is full", "%d", another < 0 && errno == EMFILE);
    setrlimit(RLIMIT_NOFILE, &old);
    observe_result("connect with room again", connect_to(fd, server));
    close(extra);
    close(fd);
    close(accept(server->fd, NULL, NULL));
}

#define THREADS 64

static void *connect_in_thread(void *argument) {
    const struct server *server = argument;
    intptr_t good = 0;
    for (int i = 0; i < 20; i++) {
        int fd = tcp_socket(i & 1 ? SOCK_NONBLOCK : 0);
        int result = connect_to(fd, server);
        if (result < 0 && errno == EINPROGRESS)
            result = wait_for(fd, POLLOUT) == POLLOUT ? 0 : -1;
        good += result == 0 && write(fd, "x", 1) == 1;
        close(fd);
    }
    return (void *)good;
}

static void *fork_meanwhile(void *argument) {
    volatile bool *stop = argument;
    while (!*stop) {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        waitpid(child, NULL, 0);
    }
    return NULL;
}

static void *accept_all(void *argument) {
    const struct server *server = argument;
    for (int fd; (fd = accept(server->fd, NULL, NULL)) >= 0;)
        close(fd);
    return NULL;
}

static void threads(void) {
    struct server server = serve_backlog(1024);
    pthread_t thread[THREADS], forker, acceptor;
    volatile bool stop = false;
    intptr_t total = 0;
    pthread_create(&acceptor, NULL, accept_all, &server);
    pthread_create(&forker, NULL, fork_meanwhile, (void *)(uintptr_t)&stop);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, connect_in_thread, &server);
    for (int i = 0; i < THREADS; i++) {
        void *good;
        pthread_join(thread[i], &good);
        total += (intptr_t)good;
    }
    stop = true;
    pthread_join(forker, NULL);
    shutdown(server.fd, SHUT_RDWR);
    pthread_join(acceptor, NULL);
    observe("connections of threads that got through", "%d", (int)total);
    close(server.fd);
    int lowest = dup(0);
    observe("no descriptor is left over", "%d", lowest < 20);
    close(lowest);
}

static const struct server *handler_server;
static volatile int handler_result = -1;

static void connect_in_handler(int signal) {
    (void)signal;
    int fd = tcp_socket(0);
    handler_result = connect_to(fd, handler_server);
    close(fd);
}

static void handlers(const struct server *server) {
    handler_server = server;
    signal(SIGUSR1, connect_in_handler);
    raise(SIGUSR1);
    observe("connect in a signal handler", "%d", handler_result);
    close(accept(server->fd, NULL, NULL));
}

static void *connect_forever(void *argument) {
    int fd = tcp_socket(0);
    connect_to(fd, argument);
    return NULL;
}

static void cancelled(void) {
    struct full_server full = serve_full();
    pthread_t thread;
    void *result = NULL;
    pthread_create(&thread, NULL, connect_forever, &full.server);
    usleep(100000);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    observe("a thread in connect can be cancelled", "%d", result == PTHREAD_CANCELED);
    end_full(&full);
}

static void by_number(const struct server *server) {
    int fd = tcp_socket(0);
    struct sockaddr_in peer = {0};
    socklen_t len = sizeof peer;
    observe_result("syscall(SYS_connect)",
                   syscall(SYS_connect, fd, &server->addr, sizeof server->addr));
    observe_result("syscall(SYS_getpeername)", syscall(SYS_getpeername, fd, &peer, &len));
    observe("is the destination", "%d", peer.sin_port == server->addr.sin_port);
    observe_result("syscall(SYS_write)", syscall(SYS_write, fd, "x", 1));
    observe_result("syscall of nothing", syscall(999999));
    observe("syscall(SYS_getpid)", "%d", syscall(SYS_getpid) == getpid());
    close(fd);
    close(accept(server->fd, NULL, NULL));
}

int main(int argc, char **argv) {
    int fd = argc > 1 ? atoi(argv[1]) : 0;
    if (argc > 2)
        return unrelated(fd);
    if (fd < 0)
        return inherited_reset(fd <= -1000 ? -fd - 1000 : -fd, fd <= -1000);
    if (fd > 0)
        return inherited(fd);
    own_path = argv[0];
    struct server server = serve();
    exec_inherits(&server);
    exec_after_reset(&server);
    copies(&server);
    copied_before(&server);
    forked(&server);
    child_connects(&server);
    pass_descriptor(&server);
    pass_to_stranger(&server);
    closed_ranges(&server);
    out_of_descriptors(&server);
    handlers(&server);
    by_number(&server);
    threads();
    close_on_exec(&server);
    cancelled();
    return 0;
}
