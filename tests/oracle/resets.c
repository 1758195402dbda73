/* SPDX-License-Identifier: MIT */
/* resets.c - a reset that comes after data, or while a call is blocked halfway: the call returns
 * how much it has moved, and the next one must report the reset. */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

#include "oracle.h"

static char big[8 << 20];
static int in_pipe[2]; /* with room for what is spliced */
static int file;       /* as long as `big` */
static volatile sig_atomic_t pipes;

static void on_pipe(int signal) {
    (void)signal;
    pipes++;
}

/* The kernel reports the hang-up last. */
static void wait_reset(int fd) {
    for (int i = 0; i < WAIT_MS && !(poll_now(fd, 0) & POLLHUP); i++)
        poll(NULL, 0, 1);
}

static void wait_bytes(int fd, int len) {
    for (int there = 0, i = 0; i < WAIT_MS; i++) {
        if (ioctl(fd, FIONREAD, &there) == 0 && there >= len)
            return;
        poll(NULL, 0, 1);
    }
}

/* A connection of which `len` bytes can still be read. */
static int reset_behind(const struct server *server, int len) {
    struct pair pair = connected_pair(server, 0);
    memset(big, 'a', (size_t)len);
    (void)!write(pair.accepted, big, (size_t)len);
    wait_bytes(pair.client, len);
    reset_close(pair.accepted);
    wait_reset(pair.client);
    pipes = 0;
    return pair.client;
}

enum way {
    READ,
    READV,
    RECV_ALL,
    RECVFROM_ALL,
    RECVMSG_ALL,
    RECV_MORE_PARTS,
    RECV_AT_ONCE,
    PEEK_ALL,
    TRUNC,
    TRUNC_ALL,
    SPLICE,
    N_WAYS,
};

static const char *const way_names[] = {
    "read",
    "readv",
    "recv MSG_WAITALL",
    "recvfrom MSG_WAITALL",
    "recvmsg MSG_WAITALL",
    "recvmsg MSG_WAITALL, forty vectors",
    "recv MSG_WAITALL|MSG_DONTWAIT",
    "recv MSG_WAITALL|MSG_PEEK",
    "recv MSG_TRUNC",
    "recv MSG_TRUNC|MSG_WAITALL",
    "splice",
};

static ssize_t receive(enum way way, int fd) {
    static char buf[5000];
    struct iovec iov[40];
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = way == RECV_MORE_PARTS ? 40 : 2};
    for (int i = 0; i < 40; i++)
        iov[i] = (struct iovec){buf + 100 * i, 100};
    switch (way) {
    case READ:
        return read(fd, buf, sizeof buf);
    case READV:
        return readv(fd, iov, 40);
    case RECVFROM_ALL:
        return recvfrom(fd, buf, sizeof buf, MSG_WAITALL, NULL, NULL);
    case RECVMSG_ALL:
        iov[1].iov_len = 4900;
        return recvmsg(fd, &msg, MSG_WAITALL);
    case RECV_MORE_PARTS:
        return recvmsg(fd, &msg, MSG_WAITALL);
    case RECV_AT_ONCE:
        return recv(fd, buf, sizeof buf, MSG_WAITALL | MSG_DONTWAIT);
    case PEEK_ALL:
        return recv(fd, buf, sizeof buf, MSG_WAITALL | MSG_PEEK);
    case TRUNC:
        return recv(fd, NULL, sizeof buf, MSG_TRUNC);
    case SPLICE:
        return splice(fd, NULL, in_pipe[1], NULL, sizeof buf, 0);
    case TRUNC_ALL:
        return recv(fd, NULL, sizeof buf, MSG_TRUNC | MSG_WAITALL);
    default:
        return recv(fd, buf, sizeof buf, MSG_WAITALL);
    }
}

/* Every way to receive more than is available, and what the next calls report. */
static void behind_data(const struct server *server, int low_water) {
    for (enum way way = 0; way < N_WAYS; way++) {
        int fd = reset_behind(server, 3000);
        setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &low_water, sizeof low_water);
        printf("-- %s, SO_RCVLOWAT %d\n", way_names[way], low_water);
        observe_result("what came before the reset", receive(way, fd));
        observe("poll", "%s", events_text((unsigned)poll_now(fd, POLLIN | POLLOUT | POLLRDHUP)));
        if (way == PEEK_ALL)
            observe_result("it is still there", receive(READ, fd));
        observe_result("then", receive(READ, fd));
        observe_result("in the end", receive(READ, fd));
        observe("SO_ERROR", "%s", error_name(socket_error(fd)));
        close(fd);
    }
}

static void observe_write(const char *name, int fd) {
    ssize_t n = write(fd, "x", 1);
    int err = errno;
    observe(name, "%s, SIGPIPE %d", n < 0 ? error_name(err) : "1", (int)pipes);
}

/* The reset is reported by one other call, once, in any process. */
static void told_by(const struct server *server) {
    int fd = reset_behind(server, 3);
    observe_result("before a write", receive(RECV_ALL, fd));
    observe_write("write", fd);
    observe_write("write again", fd);
    observe_result("read", receive(READ, fd));
    close(fd);

    fd = reset_behind(server, 3);
    observe_result("before SO_ERROR", receive(RECV_ALL, fd));
    observe("SO_ERROR", "%s", error_name(socket_error(fd)));
    observe("SO_ERROR again", "%s", error_name(socket_error(fd)));
    observe_result("read", receive(READ, fd));
    close(fd);

    fd = reset_behind(server, 3);
    pid_t child = fork();
    if (child == 0) {
        observe_result("in a child", receive(RECV_ALL, fd));
        _exit(0);
    }
    waitpid(child, NULL, 0);
    int copy = dup(fd);
    close(fd);
    observe_result("a copy in the parent", receive(READ, copy));
    observe_result("the copy again", receive(READ, copy));
    close(copy);
}

/* SO_RCVLOWAT set before connect, and the reader is a copy. */
static void low_water_before(const struct server *server) {
    int fd = tcp_socket(0), eight = 8;
    setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &eight, sizeof eight);
    if (connect_to(fd, server) != 0)
        die("connect");
    int accepted = accept(server->fd, NULL, NULL), copy = dup(fd);
    (void)!write(accepted, "abc", 3);
    wait_bytes(copy, 3);
    reset_close(accepted);
    wait_reset(copy);
    close(fd);
    observe_result("SO_RCVLOWAT before connect", receive(READ, copy));
    observe_result("then", receive(READ, copy));
    observe_result("in the end", receive(READ, copy));
    close(copy);
}

/* recvmmsg checks for a pending error first, and stores an error that ends it. */
static void many_messages(const struct server *server) {
    for (int flags = 0; flags <= MSG_WAITALL; flags += MSG_WAITALL) {
        int fd = reset_behind(server, 3);
        char buf[2][10];
        struct iovec iov[2] = {{buf[0], 10}, {buf[1], 10}};
        struct mmsghdr msgs[2] = {{.msg_hdr = {.msg_iov = iov, .msg_iovlen = 1}},
                                  {.msg_hdr = {.msg_iov = iov + 1, .msg_iovlen = 1}}};
        printf("-- recvmmsg, flags %d\n", flags);
        observe_result("recvmmsg", recvmmsg(fd, msgs, 2, flags, NULL));
        observe_result("recvmmsg again", recvmmsg(fd, msgs, 2, flags, NULL));
        observe("its messages", "%u %u", msgs[0].msg_len, msgs[1].msg_len);
        observe_result("read", receive(READ, fd));
        close(fd);
    }
}

struct ending {
    const struct pair *pair;
    bool by_shutdown; /* here, instead of a reset there */
};

/* Resets when the writer cannot write more. (If it is not yet blocked, the result is the same.) */
static void *end_of_full(void *argument) {
    const struct ending *ending = argument;
    for (int i = 0; i < WAIT_MS && poll_now(ending->pair->client, POLLOUT); i++)
        poll(NULL, 0, 1);
    if (ending->by_shutdown)
        shutdown(ending->pair->client, SHUT_RDWR);
    else
        reset_close(ending->pair->accepted);
    return NULL;
}

static void *reset_behind_three(void *argument) {
    const struct ending *ending = argument;
    (void)!write(ending->pair->accepted, "abc", 3);
    reset_close(ending->pair->accepted);
    return NULL;
}

static void waiting_reader(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    struct ending ending = {.pair = &pair};
    pthread_t thread;
    pthread_create(&thread, NULL, reset_behind_three, &ending);
    observe_result("a reader that waits", receive(RECV_ALL, pair.client));
    observe_result("then", receive(READ, pair.client));
    observe_result("in the end", receive(READ, pair.client));
    pthread_join(thread, NULL);
    close(pair.client);
}

enum writing { WRITE, WRITEV, SEND, SENDTO, SENDMSG, SENDMMSG, SENDFILE, N_WRITINGS };

static const char *const writing_names[] = {"write",   "writev",   "send MSG_NOSIGNAL", "sendto",
                                            "sendmsg", "sendmmsg", "sendfile"};

static ssize_t write_big(enum writing how, int fd) {
    struct iovec iov[2] = {{big, sizeof big / 2}, {big + sizeof big / 2, sizeof big / 2}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    struct mmsghdr msgs[2] = {{.msg_hdr = msg}, {.msg_hdr = msg}};
    off_t offset = 0;
    switch (how) {
    case WRITE:
        return write(fd, big, sizeof big);
    case WRITEV:
        return writev(fd, iov, 2);
    case SEND:
        return send(fd, big, sizeof big, MSG_NOSIGNAL);
    case SENDTO:
        return sendto(fd, big, sizeof big, 0, NULL, 0);
    case SENDFILE: /* whose next piece takes the error away, also from TCP */
        return sendfile(fd, file, &offset, sizeof big);
    case SENDMSG:
        return sendmsg(fd, &msg, 0);
    default:
        return sendmmsg(fd, msgs, 2, 0);
    }
}

/* The blocked write returns how much it has sent; the next call gets the error. */
static void waiting_writer(const struct server *server, enum writing how, bool by_shutdown) {
    struct pair pair = connected_pair(server, 0);
    struct ending ending = {.pair = &pair, .by_shutdown = by_shutdown};
    char title[80];
    pthread_t thread;
    pipes = 0;
    pthread_create(&thread, NULL, end_of_full, &ending);
    ssize_t n = write_big(how, pair.client);
    while (n > 0)
        n = write_big(how, pair.client);
    int err = errno;
    /* A reset that arrives between two pieces, or two calls, of sendfile is told by the next call,
     * with every kind of socket; and the one after that says EPIPE. */
    if (how == SENDFILE && err == ECONNRESET && pipes == 0) {
        write_big(how, pair.client);
        err = errno;
    }
    /* When an AF_UNIX socket is closed, there is a moment in which its peer is already unwritable
     * but has no pending error yet. If a piece of sendfile falls into it, it fails with EPIPE and
     * SIGPIPE, and the next call gets the error: the same two results in the other order. */
    if (how == SENDFILE && err == ECONNRESET && pipes == 1)
        err = EPIPE;
    snprintf(title, sizeof title, "a %s that waits, %s", writing_names[how],
             by_shutdown ? "shut down" : "reset");
    observe(title, "%s, SIGPIPE %d", error_name(err), (int)pipes);
    observe_write("then", pair.client);
    observe_result("read", receive(READ, pair.client));
    pthread_join(thread, NULL);
    close(pair.client);
    if (by_shutdown)
        close(pair.accepted);
}

/* A number of a former connection that accept has reused. `other`: the other end of the new
 * socket. */
static int number_again(const struct server *server, int *other) {
    *other = tcp_socket(0);
    struct pair pair = connected_pair(server, 0);
    close_pair(&pair);
    if (connect_to(*other, server) != 0)
        die("connect");
    int accepted = accept(server->fd, NULL, NULL);
    observe("the number is used again", "%d", accepted == pair.client);
    return accepted;
}

static void send_message(int fd) {
    if (send_descriptor(fd, fd, "message", 7) != 7)
        die("sendmsg");
}

static void observe_descriptor(int fd) {
    union {
        char bytes[CMSG_SPACE(4 * sizeof(int))];
        struct cmsghdr align;
    } control;
    char buf[20];
    struct iovec iov = {buf, sizeof buf};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    observe_result("a message", recvmsg(fd, &msg, MSG_WAITALL));
    observe("... has descriptors", "%d",
            msg.msg_controllen == CMSG_LEN(sizeof(int)) ||
                msg.msg_controllen == CMSG_SPACE(sizeof(int)));
}

/* MSG_WAITALL on other sockets that have the number of a former connection. */
static void other_sockets(const struct server *server) {
    int other, fd = number_again(server, &other), ends[2];
    (void)!write(other, "hello", 5);
    wait_bytes(fd, 5);
    reset_close(other);
    wait_reset(fd);
    observe_result("an accepted socket", receive(RECV_ALL, fd));
    observe_result("then", receive(READ, fd));
    observe_result("in the end", receive(READ, fd));
    close(fd);

    struct pair pair = connected_pair(server, 0);
    close_pair(&pair);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
        die("socketpair");
    observe("the number is used again", "%d", ends[0] == pair.client);
    send_message(ends[1]);
    send_message(ends[1]);
    shutdown(ends[1], SHUT_WR);
    observe_descriptor(ends[0]);
    observe_descriptor(ends[0]);
    close(ends[0]);
    close(ends[1]);
}

int main(void) {
    struct server server = serve();
    signal(SIGPIPE, on_pipe);
    if (pipe(in_pipe) != 0)
        die("pipe");
    file = memfd_create("oracle", MFD_CLOEXEC);
    if (ftruncate(file, sizeof big) != 0)
        die("file");
    behind_data(&server, 1);
    behind_data(&server, 4000);
    low_water_before(&server);
    told_by(&server);
    many_messages(&server);
    other_sockets(&server);
    waiting_reader(&server);
    for (enum writing how = 0; how < N_WRITINGS; how++)
        waiting_writer(&server, how, false);
    waiting_writer(&server, WRITE, true);
    return 0;
}
