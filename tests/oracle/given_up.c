/* SPDX-License-Identifier: MIT */
/* given_up.c - connects that are aborted while in progress, by shutdown, by disconnecting, by a
 * signal or a cancellation; and connections that are disconnected. */
#include <pthread.h>
#include <setjmp.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "oracle.h"

static const struct sockaddr unspecified = {.sa_family = AF_UNSPEC};

static void observe_poll(const char *name, int fd) {
    observe(name, "%s", events_text((unsigned)poll_now(fd, POLLIN | POLLOUT | POLLRDHUP)));
}

static int begin(const struct server *server) {
    int fd = tcp_socket(SOCK_NONBLOCK);
    if (connect_to(fd, server) == 0 || errno != EINPROGRESS)
        die("a full server");
    return fd;
}

/* Waits for the outcome of a non-blocking connect. */
static void observe_outcome(const char *name, int fd) {
    wait_for(fd, POLLOUT);
    observe(name, "%s", error_name(socket_error(fd)));
}

static void elsewhere(int fd, const struct server *server) {
    observe_result("connect elsewhere", connect_to(fd, server));
    observe_outcome("its outcome", fd);
    observe_result("a write", write(fd, "x", 1));
    close(accept(server->fd, NULL, NULL));
}

/* ---- shutdown ---- */

static void shut_down(const struct server *full, const struct server *server, int how,
                      const char *label) {
    char byte;
    printf("-- shutdown of a connect under way, %s\n", label);
    int fd = begin(full);
    observe_result("a shutdown that is none", shutdown(fd, 3));
    observe_poll("changes nothing", fd);
    observe_result("shutdown", shutdown(fd, how));
    observe_poll("poll", fd);
    observe_result("again", shutdown(fd, how));
    close(fd);

    fd = begin(full);
    shutdown(fd, how);
    observe("SO_ERROR", "%s", error_name(socket_error(fd)));
    observe("SO_ERROR again", "%s", error_name(socket_error(fd)));
    elsewhere(fd, server);
    close(fd);

    fd = begin(full);
    shutdown(fd, how);
    observe_result("read", recv(fd, &byte, 1, 0));
    observe_result("read again", recv(fd, &byte, 1, 0));
    observe_result("send", send(fd, "x", 1, MSG_NOSIGNAL));
    close(fd);

    fd = begin(full);
    shutdown(fd, how);
    observe_result("send first", send(fd, "x", 1, MSG_NOSIGNAL));
    observe_result("send then", send(fd, "x", 1, MSG_NOSIGNAL));
    close(fd);
}

/* What a copy of the descriptor reports when the helper has noticed. */
static void copied(const struct server *full, const struct server *server) {
    int fd = begin(full), copy = dup(fd);
    shutdown(fd, SHUT_WR);
    close(fd);
    observe("a copy: poll", "%s", events_text((unsigned)wait_failed(copy, POLLOUT)));
    observe("a copy: SO_ERROR", "%s", error_name(socket_error(copy)));
    observe("a copy: SO_ERROR again", "%s", error_name(socket_error(copy)));
    observe_result("a copy: send", send(copy, "x", 1, MSG_NOSIGNAL));
    elsewhere(copy, server);
    close(copy);

    fd = begin(full);
    copy = dup(fd);
    connect(fd, &unspecified, sizeof unspecified);
    close(fd);
    wait_failed(copy, POLLOUT);
    observe_result("a copy: send first", send(copy, "x", 1, MSG_NOSIGNAL));
    observe_result("a copy: send then", send(copy, "x", 1, MSG_NOSIGNAL));
    close(copy);
}

static void watched(const struct server *full) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
    int set = epoll_create1(0), fd = begin(full);
    epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
    observe_result("in an epoll set: nothing", epoll_wait(set, &event, 1, 0));
    shutdown(fd, SHUT_WR);
    observe_result("shutdown is an event", epoll_wait(set, &event, 1, WAIT_MS));
    observe("which", "%s", events_text(event.events));
    close(fd);
    close(set);
}

static bool is_under_way(int fd) {
    enum { SYN_SENT = 2 };
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
    return info.tcpi_state == SYN_SENT;
}

/* Waits until another thread's connect of `fd` is in progress. */
static void wait_under_way(int fd) {
    for (int i = 0; i < WAIT_MS && !is_under_way(fd); i++)
        poll(NULL, 0, 1);
}

static void *shut_down_from_thread(void *argument) {
    int fd = *(int *)argument;
    wait_under_way(fd);
    return (void *)(intptr_t)shutdown(fd, SHUT_RDWR);
}

static void by_another_thread(const struct server *full, const struct server *server) {
    pthread_t thread;
    void *result;
    int fd = tcp_socket(0);
    pthread_create(&thread, NULL, shut_down_from_thread, &fd);
    observe_result("blocking connect, shut down by another thread", connect_to(fd, full));
    pthread_join(thread, &result);
    observe("that thread's shutdown", "%d", (int)(intptr_t)result);
    observe_poll("poll then", fd);
    observe("SO_ERROR then", "%s", error_name(socket_error(fd)));
    observe_result("the next connect", connect_to(fd, server));
    observe_result("and a write", write(fd, "x", 1));
    close(fd);
    close(accept(server->fd, NULL, NULL));
}

struct blocking {
    int fd;
    const struct server *server;
    int result, error;
};

static void *connect_in_thread(void *argument) {
    struct blocking *blocking = argument;
    blocking->result = connect_to(blocking->fd, blocking->server);
    blocking->error = errno;
    return NULL;
}

static void by_another_process(const struct server *full, const struct server *server) {
    struct blocking blocking = {.fd = tcp_socket(0), .server = full};
    pthread_t thread;
    pthread_create(&thread, NULL, connect_in_thread, &blocking);
    wait_under_way(blocking.fd);
    pid_t child = fork();
    if (child == 0)
        _exit(shutdown(blocking.fd, SHUT_WR) != 0);
    int status = -1;
    waitpid(child, &status, 0);
    pthread_join(thread, NULL);
    observe("a child's shutdown", "%d", WEXITSTATUS(status));
    observe("the parent's blocking connect", "%s",
            error_name(blocking.result < 0 ? blocking.error : 0));
    observe_result("its next connect", connect_to(blocking.fd, server));
    observe_result("and a write", write(blocking.fd, "x", 1));
    close(blocking.fd);
    close(accept(server->fd, NULL, NULL));
}

/* ---- Disconnecting ---- */

static int domain_of(int fd) {
    int domain = 0;
    socklen_t len = sizeof domain;
    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len);
    return domain;
}

static void disconnected(const struct server *full, const struct server *server) {
    int fd = begin(full);
    observe_result("AF_UNSPEC under way", connect(fd, &unspecified, sizeof unspecified));
    observe_poll("its poll", fd);
    observe("its SO_ERROR", "%s", error_name(socket_error(fd)));
    elsewhere(fd, server);
    close(fd);
}

static void disconnected_ipv6(const struct server *full, const struct server *server) {
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = full->addr.sin_port};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
    inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.sin6_addr);
    observe_result("IPv6 socket", connect(fd, (struct sockaddr *)&mapped, sizeof mapped));
    observe_result("IPv6: AF_UNSPEC", connect(fd, &unspecified, sizeof unspecified));
    observe("IPv6: SO_DOMAIN", "%d", domain_of(fd) == AF_INET6);
    mapped.sin6_port = server->addr.sin_port;
    observe_result("IPv6: next", connect(fd, (struct sockaddr *)&mapped, sizeof mapped));
    observe_outcome("IPv6: its outcome", fd);
    close(fd);
    close(accept(server->fd, NULL, NULL));
}

/* An address of this host with a port that is free: that of a socket which is closed. */
static struct sockaddr_in free_address(in_addr_t address) {
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr = {htonl(address)}};
    socklen_t len = sizeof own;
    int fd = tcp_socket(0);
    if (bind(fd, (struct sockaddr *)&own, sizeof own) != 0 ||
        getsockname(fd, (struct sockaddr *)&own, &len) != 0)
        die("bind");
    close(fd);
    return own;
}

static void observe_own(const char *name, int fd, const struct sockaddr_in *bound) {
    struct sockaddr_in own = {0};
    socklen_t len = sizeof own;
    getsockname(fd, (struct sockaddr *)&own, &len);
    observe(name, "%s, a port %d, the one bound %d", inet_ntoa(own.sin_addr), own.sin_port != 0,
            own.sin_port == bound->sin_port);
}

static int bound_socket(in_addr_t address, int flags, struct sockaddr_in *own) {
    int fd = tcp_socket(flags);
    *own = free_address(address);
    if (bind(fd, (struct sockaddr *)own, sizeof *own) != 0)
        die("bind");
    return fd;
}

/* The socket stays bound. */
static void bound(const struct server *full, const struct server *server, in_addr_t address,
                  const char *label) {
    struct sockaddr_in own;
    printf("-- bound to %s\n", label);
    int fd = bound_socket(address, SOCK_NONBLOCK, &own);
    connect_to(fd, full);
    observe_own("under way", fd, &own);
    connect(fd, &unspecified, sizeof unspecified);
    observe_own("after AF_UNSPEC", fd, &own);
    observe_result("bind", bind(fd, (struct sockaddr *)&own, sizeof own));
    close(fd);

    fd = bound_socket(address, 0, &own);
    connect_to(fd, server);
    observe_own("connected", fd, &own);
    connect(fd, &unspecified, sizeof unspecified);
    observe_own("after AF_UNSPEC", fd, &own);
    close(fd);
    close(accept(server->fd, NULL, NULL));

    fd = bound_socket(address, SOCK_NONBLOCK, &own);
    connect_to(fd, full);
    shutdown(fd, SHUT_WR);
    observe_own("after shutdown", fd, &own);
    close(fd);
}

/* The target sees a reset. */
static void of_a_connection(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    char byte;
    observe_result("AF_UNSPEC when connected",
                   connect(pair.client, &unspecified, sizeof unspecified));
    observe_poll("poll here", pair.client);
    observe("SO_ERROR here", "%s", error_name(socket_error(pair.client)));
    wait_for(pair.accepted, POLLIN);
    observe_result("the target reads", read(pair.accepted, &byte, 1));
    observe_result("connected once more", connect_to(pair.client, server));
    close(accept(server->fd, NULL, NULL));
    close_pair(&pair);
}

/* ---- While other threads wait ---- */

enum waiting {
    READING,
    READING_VECTORS,
    RECEIVING_ALL,
    RECEIVING_MESSAGE,
    SENDING,
    SENDING_MESSAGE
};

static const char *const waiting_names[] = {"read",    "readv", "recv MSG_WAITALL",
                                            "recvmsg", "send",  "sendmsg"};

struct waiter {
    int fd;
    enum waiting how;
    pid_t id; /* of its thread, once it is about to wait */
    ssize_t result;
    int error;
};

static ssize_t call(enum waiting how, int fd) {
    char buf[8] = "message";
    struct iovec iov = {buf, sizeof buf};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    switch (how) {
    case READING:
        return read(fd, buf, sizeof buf);
    case READING_VECTORS:
        return readv(fd, &iov, 1);
    case RECEIVING_ALL:
        return recv(fd, buf, sizeof buf, MSG_WAITALL);
    case RECEIVING_MESSAGE:
        return recvmsg(fd, &msg, 0);
    case SENDING:
        return send(fd, buf, sizeof buf, MSG_NOSIGNAL);
    default:
        return sendmsg(fd, &msg, MSG_NOSIGNAL);
    }
}

static void *call_in_thread(void *argument) {
    struct waiter *waiter = argument;
    __atomic_store_n(&waiter->id, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
    waiter->result = call(waiter->how, waiter->fd);
    waiter->error = errno;
    return NULL;
}

/* Waits until the thread sleeps in the kernel. */
static void wait_asleep(const struct waiter *waiter) {
    char path[64], stat[128], state = 0;
    for (int i = 0; i < WAIT_MS && state != 'S'; i++) {
        pid_t id = __atomic_load_n(&waiter->id, __ATOMIC_ACQUIRE);
        snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)id);
        FILE *file = id ? fopen(path, "re") : NULL;
        if (file && fgets(stat, sizeof stat, file) && strrchr(stat, ')'))
            state = strrchr(stat, ')')[2];
        if (file)
            fclose(file);
        poll(NULL, 0, 1);
    }
}

/* Another thread waits in vain: it is told why, and takes the pending error. */
static void under_others(const struct server *full) {
    for (enum waiting how = READING; how <= SENDING_MESSAGE; how++) {
        struct waiter waiter = {.fd = begin(full), .how = how};
        char title[80];
        pthread_t thread;
        fcntl(waiter.fd, F_SETFL, 0);
        pthread_create(&thread, NULL, call_in_thread, &waiter);
        wait_asleep(&waiter);
        shutdown(waiter.fd, SHUT_WR);
        pthread_join(thread, NULL);
        snprintf(title, sizeof title, "shutdown under another thread's %s", waiting_names[how]);
        errno = waiter.error;
        observe_result(title, waiter.result);
        observe("the error has been told", "%s", error_name(socket_error(waiter.fd)));
        close(waiter.fd);
    }
}

/* The errno depends on the kernel: ECONNRESET, or EPIPE since it counts disconnections. */
static void disconnected_under_a_reader(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    struct waiter waiter = {.fd = pair.client, .how = READING};
    pthread_t thread;
    pthread_create(&thread, NULL, call_in_thread, &waiter);
    wait_asleep(&waiter);
    connect(pair.client, &unspecified, sizeof unspecified);
    pthread_join(thread, NULL);
    observe("AF_UNSPEC under another thread's read: it fails", "%d", waiter.result < 0);
    close_pair(&pair);
}

/* ---- Signals ---- */

static sigjmp_buf out_of_connect;

static volatile int jumper;

static void jump(int signal) {
    (void)signal;
    if (is_under_way(jumper))
        siglongjmp(out_of_connect, 1);
}

static void jumped(const struct server *full, const struct server *server) {
    struct itimerval often = {{0, 20000}, {0, 20000}}, never = {{0, 0}, {0, 0}};
    volatile int fd = tcp_socket(0);
    jumper = fd;
    signal(SIGALRM, jump);
    if (sigsetjmp(out_of_connect, 1) == 0) {
        setitimer(ITIMER_REAL, &often, NULL);
        observe_result("connect", connect_to(fd, full));
    }
    setitimer(ITIMER_REAL, &never, NULL);
    observe_poll("left by siglongjmp: poll", fd);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    observe_result("and connect", connect_to(fd, full));
    close(fd);
    fd = tcp_socket(0);
    observe_result("another socket's connect", connect_to(fd, server));
    close(fd);
    close(accept(server->fd, NULL, NULL));
    pid_t child = fork();
    if (child == 0)
        _exit(7);
    int status = 0;
    waitpid(child, &status, 0);
    observe("and a fork", "%d", WEXITSTATUS(status));
}

static const struct server *handler_server;
static volatile sig_atomic_t handled, handled_well;

static void connect_in_handler(int signal) {
    int saved = errno, fd = tcp_socket(0);
    (void)signal;
    handled_well += connect_to(fd, handler_server) == 0;
    handled++;
    close(fd);
    errno = saved;
}

static void *accept_all(void *argument) {
    const struct server *server = argument;
    for (int fd; (fd = accept(server->fd, NULL, NULL)) >= 0;)
        close(fd);
    return NULL;
}

/* A signal that may come at any moment of a connect, with a handler that connects as well. */
static void in_asynchronous_handlers(void) {
    struct server server = serve_backlog(1024);
    struct sigaction action = {.sa_handler = connect_in_handler, .sa_flags = SA_RESTART};
    pthread_t acceptor;
    sigset_t alarm_only;
    int good = 0, made = 0;
    sigemptyset(&alarm_only);
    sigaddset(&alarm_only, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarm_only, NULL);
    pthread_create(&acceptor, NULL, accept_all, &server);
    pthread_sigmask(SIG_UNBLOCK, &alarm_only, NULL);
    handler_server = &server;
    sigaction(SIGALRM, &action, NULL);
    for (; made < 300 || (handled < 20 && made < 100000); made++) {
        struct itimerval once = {{0, 0}, {0, 1 + made % 60 * 5}};
        int fd = tcp_socket(0);
        setitimer(ITIMER_REAL, &once, NULL);
        good += connect_to(fd, &server) == 0 && write(fd, "x", 1) == 1;
        close(fd);
    }
    signal(SIGALRM, SIG_IGN);
    observe("connects that signals came into, and all were well", "%d", good == made);
    observe("connects in the handlers, and all were well", "%d", handled_well == handled);
    shutdown(server.fd, SHUT_RDWR);
    pthread_join(acceptor, NULL);
    close(server.fd);
    int lowest = dup(0);
    observe("no descriptor is left over", "%d", lowest < 40);
    close(lowest);
}

/* ---- Other ends ---- */

static void cancellation(const struct server *full) {
    struct blocking cancelled = {.fd = tcp_socket(0), .server = full};
    pthread_t thread;
    void *result = NULL;
    pthread_create(&thread, NULL, connect_in_thread, &cancelled);
    wait_under_way(cancelled.fd);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    observe("the thread was cancelled", "%d", result == PTHREAD_CANCELED);
    observe_poll("its descriptor: poll", cancelled.fd);
    fcntl(cancelled.fd, F_SETFL, O_NONBLOCK);
    observe_result("connect", connect_to(cancelled.fd, full));
    observe_result("write", write(cancelled.fd, "x", 1));
    observe_result("shutdown of it", shutdown(cancelled.fd, SHUT_RDWR));
    observe("and SO_ERROR", "%s", error_name(socket_error(cancelled.fd)));
    close(cancelled.fd);
}

static void in_a_child(const struct server *full) {
    int fd = begin(full);
    pid_t child = fork();
    if (child == 0) {
        struct sockaddr_in name;
        socklen_t len = sizeof name;
        observe_poll("under way in a child: poll", fd);
        observe_result("write", write(fd, "x", 1));
        observe_result("connect", connect_to(fd, full));
        observe_result("getsockname", getsockname(fd, (struct sockaddr *)&name, &len));
        observe("its address", "%s", inet_ntoa(name.sin_addr));
        len = sizeof name;
        observe_result("getpeername", getpeername(fd, (struct sockaddr *)&name, &len));
        _exit(0);
    }
    waitpid(child, NULL, 0);
    observe_poll("and in the parent, when it has ended: poll", fd);
    close(fd);
}

static void vforked(const struct server *server) {
    char byte;
    int status = -1;
    pid_t child = vfork();
    if (child == 0) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool good = connect_to(fd, server) == 0 && write(fd, "v", 1) == 1;
        _exit(good ? 0 : 1);
    }
    waitpid(child, &status, 0);
    observe("a child of vfork connects and writes", "%d", WEXITSTATUS(status));
    int accepted = accept(server->fd, NULL, NULL);
    observe_result("which arrives", receive_all(accepted, &byte, 1));
    close(accepted);
    int fd = tcp_socket(0);
    observe_result("the parent connects", connect_to(fd, server));
    close(fd);
    close(accept(server->fd, NULL, NULL));
}

int main(void) {
    struct server server = serve();
    struct full_server full = serve_full();
    shut_down(&full.server, &server, SHUT_RD, "reading");
    shut_down(&full.server, &server, SHUT_WR, "writing");
    shut_down(&full.server, &server, SHUT_RDWR, "both ways");
    copied(&full.server, &server);
    watched(&full.server);
    by_another_thread(&full.server, &server);
    by_another_process(&full.server, &server);
    disconnected(&full.server, &server);
    disconnected_ipv6(&full.server, &server);
    bound(&full.server, &server, INADDR_LOOPBACK + 9, "an address");
    bound(&full.server, &server, INADDR_ANY, "any address");
    of_a_connection(&server);
    under_others(&full.server);
    disconnected_under_a_reader(&server);
    jumped(&full.server, &server);
    cancellation(&full.server);
    in_a_child(&full.server);
    vforked(&server);
    end_full(&full);
    in_asynchronous_handlers();
    return 0;
}
