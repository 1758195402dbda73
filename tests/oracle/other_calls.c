/* SPDX-License-Identifier: MIT */
/* other_calls.c - the less usual ways to wait for, read, write and close a socket. */
#include <aio.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>

#include "oracle.h"

static const struct timespec patience = {WAIT_MS / 1000, 0};

static void waiting(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    struct pollfd pfd = {.fd = pair.client, .events = POLLIN};
    struct timespec no_time = {0};
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP}, got = {0};
    fd_set readable;
    sigset_t none;
    int set = epoll_create1(EPOLL_CLOEXEC);
    sigemptyset(&none);
    epoll_ctl(set, EPOLL_CTL_ADD, pair.client, &event);
    observe_result("ppoll in vain", ppoll(&pfd, 1, &no_time, &none));
    observe_result("epoll_pwait in vain", epoll_pwait(set, &got, 1, 0, &none));
    (void)!write(pair.accepted, "data", 4);
    observe_result("ppoll", ppoll(&pfd, 1, &patience, &none));
    observe("... says", "%s", events_text((unsigned)pfd.revents));
    FD_ZERO(&readable);
    FD_SET(pair.client, &readable);
    observe_result("pselect", pselect(pair.client + 1, &readable, NULL, NULL, &patience, &none));
    observe_result("epoll_pwait", epoll_pwait(set, &got, 1, WAIT_MS, &none));
    observe("... says", "%s", events_text(got.events));
    observe_result("epoll_pwait2",
                   syscall(SYS_epoll_pwait2, set, &got, 1, &patience, NULL, (size_t)8));
    shutdown(pair.accepted, SHUT_WR);
    while (got.events && !(got.events & EPOLLRDHUP) && epoll_wait(set, &got, 1, WAIT_MS) > 0)
        continue;
    observe("at the end", "%s", events_text(got.events));
    close(set);
    close_pair(&pair);
}

static void vectors(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    char a[4] = {0}, b[8] = {0};
    struct iovec out[3] = {{"one", 3}, {NULL, 0}, {" two", 4}};
    struct iovec in[2] = {{a, 3}, {b, 4}};
    observe_result("writev", writev(pair.client, out, 3));
    observe_result("arrives", receive_all(pair.accepted, b, 7));
    observe_result("writev of nothing", writev(pair.client, out, 0));
    observe_result("pwritev", pwritev(pair.client, out, 3, 0));
    observe_result("preadv", preadv(pair.client, in, 2, 0));
    observe_result("pwritev2, at the position", pwritev2(pair.client, out, 3, -1, 0));
    observe_result("arrives", receive_all(pair.accepted, b, 7));
    (void)!write(pair.accepted, "answer!", 7);
    wait_for(pair.client, POLLIN);
    observe_result("preadv2, at the position", preadv2(pair.client, in, 2, -1, 0));
    observe("parts", "%.3s %.4s", a, b);
    observe_result("preadv2 that must not wait", preadv2(pair.client, in, 2, -1, RWF_NOWAIT));
    observe_result("pread", pread(pair.client, a, 1, 0));
    observe_result("lseek", lseek(pair.client, 0, SEEK_CUR));
    observe_result("ftruncate", ftruncate(pair.client, 0));
    observe_result("fsync", fsync(pair.client));
    observe_result("fallocate", fallocate(pair.client, 0, 0, 1));
    close_pair(&pair);
}

static void pages(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    char text[] = "pages of a pipe", buf[32] = {0};
    struct iovec iov = {text, sizeof text};
    int ends[2];
    if (pipe(ends) != 0)
        die("pipe");
    observe_result("vmsplice", vmsplice(ends[1], &iov, 1, 0));
    observe_result("splice to the socket",
                   splice(ends[0], NULL, pair.client, NULL, sizeof text, SPLICE_F_MORE));
    observe_result("arrives", receive_all(pair.accepted, buf, sizeof text));
    observe("its text", "%s", buf);
    (void)!write(pair.accepted, "back", 4);
    wait_for(pair.client, POLLIN);
    observe_result("splice from the socket", splice(pair.client, NULL, ends[1], NULL, 100, 0));
    observe_result("tee of a socket", tee(pair.client, ends[1], 1, 0));
    observe_result("out of the pipe", read(ends[0], buf, sizeof buf));
    observe("its text", "%.4s", buf);
    shutdown(pair.accepted, SHUT_WR);
    wait_for(pair.client, POLLIN);
    observe_result("splice at the end", splice(pair.client, NULL, ends[1], NULL, 100, 0));
    close(ends[0]);
    close(ends[1]);
    close_pair(&pair);
}

/* Observes the result of an aio request when it is complete. */
static void observe_aio(const char *name, struct aiocb *request) {
    const struct aiocb *list[] = {request};
    while (aio_error(request) == EINPROGRESS && aio_suspend(list, 1, &patience) == 0)
        continue;
    int err = aio_error(request);
    if (err)
        observe(name, "%s", error_name(err));
    else
        observe(name, "%zd", aio_return(request));
}

static void asynchronous(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    char buf[16] = {0};
    struct aiocb out = {.aio_fildes = pair.client, .aio_buf = "aio", .aio_nbytes = 3};
    struct aiocb in = {.aio_fildes = pair.client, .aio_buf = buf, .aio_nbytes = 4};
    observe_result("aio_write", aio_write(&out));
    observe_aio("... result", &out);
    observe_result("arrives", receive_all(pair.accepted, buf, 3));
    observe_result("aio_read", aio_read(&in));
    (void)!write(pair.accepted, "back", 4);
    observe_aio("... result", &in);
    observe("... bytes", "%.4s", buf);
    struct aiocb *list[] = {&out};
    out.aio_lio_opcode = LIO_WRITE;
    observe_result("lio_listio", lio_listio(LIO_WAIT, list, 1, NULL));
    observe_aio("... result", &out);
    reset_close(pair.accepted);
    wait_for(pair.client, POLLIN);
    observe_result("aio_read after a reset", aio_read(&in));
    observe_aio("... result", &in);
    close(pair.client);
}

/* A program that closes all descriptors, as daemons do, and then continues with new sockets. */
static void closing_all(const struct server *server) {
    char byte;
    pid_t pid = fork();
    if (pid == 0) {
        struct pair old = connected_pair(server, 0);
        int kept = dup2(server->fd, 3), accepted = fcntl(old.accepted, F_DUPFD, 100);
        struct server moved = {.fd = kept, .addr = server->addr};
        dup2(accepted, 4);
        closefrom(5);
        observe_result("the target of a socket closed by closefrom", recv(4, &byte, 1, 0));
        struct pair pair = connected_pair(&moved, 0);
        observe("a number is used again", "%d", pair.client <= old.client);
        observe_result("a new connection", write(pair.client, "x", 1));
        observe_result("arrives", receive_all(pair.accepted, &byte, 1));
        observe_result("close_range of it",
                       close_range((unsigned)pair.client, (unsigned)pair.client, 0));
        observe_result("its target", receive_all(pair.accepted, &byte, 1));
        struct pair last = connected_pair(&moved, 0);
        close_range((unsigned)last.client, (unsigned)last.client, CLOSE_RANGE_CLOEXEC);
        observe("CLOSE_RANGE_CLOEXEC", "%d", fcntl(last.client, F_GETFD));
        observe_result("it still works", write(last.client, "x", 1));
        _exit(0);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    observe("its exit status", "%d", status);
}

static void locks_and_leases(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    struct flock lock = {.l_type = F_WRLCK};
    int zero = 0;
    observe_result("F_SETLK", fcntl(pair.client, F_SETLK, &lock));
    observe_result("F_GETPIPE_SZ", fcntl(pair.client, F_GETPIPE_SZ));
    observe_result("F_GETSIG", fcntl(pair.client, F_GETSIG));
    observe_result("FIONBIO", ioctl(pair.client, FIONBIO, &zero));
    observe_result("FIOCLEX", ioctl(pair.client, FIOCLEX));
    observe_result("TCGETS", isatty(pair.client));
    close_pair(&pair);
}

static volatile sig_atomic_t pipes;

static void on_pipe(int signal) {
    (void)signal;
    pipes++;
}

static int reset_connection(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    reset_close(pair.accepted);
    for (int i = 0; i < WAIT_MS && !(poll_now(pair.client, 0) & POLLHUP); i++)
        poll(NULL, 0, 1);
    pipes = 0;
    return pair.client;
}

enum call {
    PWRITEV2,
    PWRITEV2_NOWAIT,
    PWRITEV2_FLAG,
    SYSCALL_PWRITEV2,
    SYSCALL_SENDFILE,
    PREADV2,
    SYSCALL_PREADV2,
    SYSCALL_RECVMMSG,
    WRITE_TO_DUP,
    WRITE_TO_DUP3,
    WRITE_TO_F_DUPFD,
    N_CALLS,
};

static const char *const call_names[] = {
    "pwritev2",
    "pwritev2 RWF_NOWAIT",
    "pwritev2 RWF_DSYNC",
    "syscall(SYS_pwritev2)",
    "syscall(SYS_sendfile)",
    "preadv2",
    "syscall(SYS_preadv2)",
    "syscall(SYS_recvmmsg)",
    "write to a copy by syscall(SYS_dup)",
    "write to a copy by syscall(SYS_dup3)",
    "write to a copy by syscall(SYS_fcntl)",
};

/* Closes `fd` and leaves only a copy of it. */
static int moved(enum call call, int fd) {
    long copy = call == WRITE_TO_DUP    ? syscall(SYS_dup, fd)
                : call == WRITE_TO_DUP3 ? syscall(SYS_dup3, fd, 170, O_CLOEXEC)
                                        : syscall(SYS_fcntl, fd, F_DUPFD, 180);
    close(fd);
    return (int)copy;
}

static long make(enum call call, int fd, int file) {
    char byte = 'x';
    struct iovec iov = {&byte, 1};
    struct mmsghdr msg = {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}};
    off_t offset = 0;
    switch (call) {
    case PWRITEV2:
        return pwritev2(fd, &iov, 1, -1, 0);
    case PWRITEV2_NOWAIT:
        return pwritev2(fd, &iov, 1, -1, RWF_NOWAIT);
    case PWRITEV2_FLAG:
        return pwritev2(fd, &iov, 1, -1, RWF_DSYNC);
    case SYSCALL_PWRITEV2:
        return syscall(SYS_pwritev2, fd, &iov, 1L, -1L, -1L, 0);
    case SYSCALL_SENDFILE:
        return syscall(SYS_sendfile, fd, file, &offset, (size_t)1);
    case PREADV2:
        return preadv2(fd, &iov, 1, -1, 0);
    case SYSCALL_PREADV2:
        return syscall(SYS_preadv2, fd, &iov, 1L, -1L, -1L, 0);
    case SYSCALL_RECVMMSG:
        return syscall(SYS_recvmmsg, fd, &msg, 1U, 0, NULL);
    default:
        return write(fd, &byte, 1);
    }
}

/* The first call reports the reset, without a signal. */
static void first_after_reset(const struct server *server) {
    int file = memfd_create("oracle", MFD_CLOEXEC);
    (void)!write(file, "file", 4);
    signal(SIGPIPE, on_pipe);
    for (enum call call = 0; call < N_CALLS; call++) {
        int fd = reset_connection(server);
        if (call >= WRITE_TO_DUP)
            fd = moved(call, fd);
        printf("-- %s\n", call_names[call]);
        for (int i = 0; i < 2; i++) {
            observe_result(i ? "after the reset, again" : "after the reset", make(call, fd, file));
            observe("its signals", "%d", (int)pipes);
        }
        close(fd);
    }
    close(file);
    signal(SIGPIPE, SIG_IGN);
}

/* Receives of a reset connection whose reader waits for more than one byte. */
static void low_water_vectors(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    char buf[8];
    struct iovec iov = {buf, sizeof buf};
    int four = 4;
    setsockopt(pair.client, SOL_SOCKET, SO_RCVLOWAT, &four, sizeof four);
    (void)!write(pair.accepted, "ab", 2);
    reset_close(pair.accepted);
    for (int i = 0; i < WAIT_MS && !(poll_now(pair.client, 0) & POLLHUP); i++)
        poll(NULL, 0, 1);
    observe_result("preadv2 below SO_RCVLOWAT", preadv2(pair.client, &iov, 1, -1, 0));
    observe_result("then the reset", preadv2(pair.client, &iov, 1, -1, 0));
    observe_result("then the end", preadv2(pair.client, &iov, 1, -1, 0));
    close(pair.client);
}

int main(void) {
    struct server server = serve();
    signal(SIGPIPE, SIG_IGN);
    waiting(&server);
    vectors(&server);
    pages(&server);
    asynchronous(&server);
    closing_all(&server);
    locks_and_leases(&server);
    first_after_reset(&server);
    low_water_vectors(&server);
    return 0;
}
