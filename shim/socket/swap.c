/* SPDX-License-Identifier: MIT */
/* swap.c - see swap.h and the steps in core/common/CONTROL.md. */
#include "shim/socket/swap.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <time.h>

#include "shim/base/fork_guard.h"
#include "shim/base/hint.h"
#include "shim/base/libc.h"
#include "shim/process/helper_socket.h"
#include "shim/socket/epoll_registry.h"
#include "shim/socket/options.h"

/* as in linux/in.h and linux/tcp.h; not every libc has them */
#define IP_BIND_ADDRESS_NO_PORT_OF_LINUX 24
#define TCP_FASTOPEN_NO_COOKIE_OF_LINUX  34

/* 64 bits that are unlikely to repeat, mixed from the random bytes that the kernel gave this
 * process image, the time and a counter. No system call. They need not be secret, and the helper
 * resolves collisions. */
static uint64_t random_id(void) {
    static _Atomic uint64_t counter;
    struct timespec now;
    uint64_t seed[2] = {0, 0};
    const void *kernel_random = (const void *)getauxval(AT_RANDOM);
    if (kernel_random)
        memcpy(seed, kernel_random, sizeof seed);
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t x = seed[0] ^ (uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec;
    x += atomic_fetch_add(&counter, 1) * 0x9e3779b97f4a7c15u + (uint64_t)(uintptr_t)&now;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (x ^ x >> 31) + seed[1];
}

static void fill_request(struct helper_request *req, const struct swap *swap) {
    bool bound = swap->local.port != 0 || !endpoint_is_any(&swap->local);
    *req = (struct helper_request){
        .magic = HELPER_PROTOCOL_MAGIC,
        .version = HELPER_PROTOCOL_VERSION,
        .size = sizeof *req,
        .id = random_id(),
        .kind = HELPER_REQUEST_CONNECT,
        .family = swap->local.family,
        .name_len = (uint16_t)(swap->host ? strlen(swap->host) : 0),
        .fd = (uint32_t)swap->number + 1,
        .dest = swap->dest,
    };
    if (bound) {
        req->flags |= HELPER_LOCAL_BOUND;
        req->local = swap->local;
    }
}

/* Sends the request, the name and the padding: exactly HELPER_GATE_LEN bytes. */
static int send_gate(int fd, const struct helper_request *req, const char *host) {
    static const char padding[HELPER_GATE_LEN];
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov[3] = {
        {(void *)(uintptr_t)req, sizeof *req},
        {(void *)(uintptr_t)host, req->name_len},
        {(void *)(uintptr_t)padding, HELPER_GATE_LEN - sizeof *req - req->name_len},
    };
    struct msghdr msg = {
        .msg_iov = iov, .msg_iovlen = 3, .msg_control = &control, .msg_controllen = sizeof control};
    memset(&control, 0, sizeof control);
    control.align.cmsg_len = CMSG_LEN(sizeof fd);
    control.align.cmsg_level = SOL_SOCKET;
    control.align.cmsg_type = SCM_RIGHTS;
    memcpy(CMSG_DATA(&control.align), &fd, sizeof fd);
    ssize_t n = raw_sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    /* The helper may have read the first part, given the outcome and closed before the rest was
     * sent. */
    if (n == HELPER_GATE_LEN || (n >= 0 && shim_is_hung_up(fd)))
        return 0;
    /* The socket did not take the whole gate, which no known kernel does. Better no connection than
     * one with a gate of unknown length. */
    if (n >= 0)
        return EPROTO;
    /* A helper that refuses may close before the request is sent. */
    if (errno == EPIPE) {
        int refusal = helper_socket_refusal(fd);
        return refusal ? SWAP_REFUSED + refusal : ECONNREFUSED;
    }
    /* Too many descriptors of this user are in flight: wait, as for a full backlog. */
    return errno == ETOOMANYREFS ? EAGAIN : errno;
}

/* The errnos with which sandboxes (systemd's RestrictAddressFamilies, common seccomp filters)
 * refuse a socket of this family. TCP's connect has none of them. */
static bool is_forbidden(int err) {
    return err == EAFNOSUPPORT || err == EPERM || err == ENOSYS || err == EINVAL;
}

static int open_pair(const struct swap *swap, struct helper_request *req) {
    int gate = HELPER_GATE_SNDBUF;
    int fd = raw_socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return is_forbidden(errno) ? -EACCES : -errno;
    raw_setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &gate, sizeof gate);
    int err = helper_socket_connect(fd, swap->settings->socket_path);
    if (err == 0) {
        options_carry(swap->fd, fd, swap->local.family, req);
        err = send_gate(fd, req, swap->host);
    }
    if (err == 0)
        return fd;
    raw_close(fd);
    return -err;
}

/* Looks at `b` last, so that the answer about it is as fresh as possible. */
static bool is_same_file(int a, int b) {
    struct stat file_a, file_b;
    return fstat(a, &file_a) == 0 && fstat(b, &file_b) == 0 && file_a.st_dev == file_b.st_dev &&
           file_a.st_ino == file_b.st_ino;
}

#define SETTABLE (O_NONBLOCK | O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME)

void swap_file_flags(int new_fd, int file_flags) {
    if ((file_flags & SETTABLE) != O_NONBLOCK)
        raw_fcntl(new_fd, F_SETFL, file_flags & SETTABLE);
}

/* Replaces `fd` by `new_fd`, with the same file status flags, close-on-exec flag and epoll
 * registrations. If `old` is not -1 and `fd` is no longer the file that `old` is a copy of, nothing
 * is replaced and EBADF is returned. */
static int replace(int fd, int new_fd, int file_flags, int old) {
    struct epoll_moved moved;
    int close_on_exec = raw_fcntl(fd, F_GETFD, 0) & FD_CLOEXEC ? O_CLOEXEC : 0;
    if (file_flags & O_ASYNC || hint_has(fd, HINT_OWNER))
        options_carry_owner(fd, new_fd);
    swap_file_flags(new_fd, file_flags);
    int err = epoll_registry_detach(fd, &moved);
    if (err == 0 && old >= 0 && !is_same_file(old, fd))
        err = EBADF;
    while (err == 0 && raw_dup3(new_fd, fd, close_on_exec) < 0)
        err = errno == EINTR || errno == EBUSY ? 0 : errno;
    /* For the signals of O_ASYNC the kernel has stored the temporary descriptor number; turning the
     * flag off and on stores the right one. */
    if (err == 0 && file_flags & O_ASYNC) {
        raw_fcntl(fd, F_SETFL, file_flags & SETTABLE & ~O_ASYNC);
        raw_fcntl(fd, F_SETFL, file_flags & SETTABLE);
    }
    epoll_registry_attach(fd, &moved);
    return err;
}

int swap_in_open(const struct swap *swap) {
    struct helper_request req;
    fill_request(&req, swap);
    return open_pair(swap, &req);
}

int swap_in(const struct swap *swap) {
    fork_guard_open();
    int pair = swap_in_open(swap);
    int err = pair < 0 ? -pair : 0;
    if (pair >= 0) {
        err = replace(swap->fd, pair, swap->file_flags, -1);
        raw_close(pair);
    }
    fork_guard_close();
    return err;
}

static void set_option(int fd, int level, int name, int value) {
    raw_setsockopt(fd, level, name, &value, sizeof value);
}

/* Binds `tcp` as the program had bound its socket. The program has owned the address since its
 * bind(2), so SO_REUSEADDR is set meanwhile: the helper may still use it for the connection that
 * ends here. */
static void bind_again(int from, int tcp) {
    struct endpoint bound;
    struct sockaddr_storage local;
    int reuse = 0;
    socklen_t len = sizeof reuse;
    if (!option_address_get(from, OPTION_BOUND, &bound))
        return;
    raw_getsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &reuse, &len);
    set_option(tcp, SOL_SOCKET, SO_REUSEADDR, 1);
    raw_bind(tcp, &local, endpoint_to_sockaddr(&bound, &local));
    set_option(tcp, SOL_SOCKET, SO_REUSEADDR, reuse);
}

/* After a disconnect a socket still shows the port number that connect chose, though it no longer
 * owns the port. That number must not be mistaken for a port that the program has bound; a bind
 * without a port clears it. */
static void forget_port(int tcp, int family) {
    struct sockaddr_storage any;
    socklen_t len = endpoint_to_sockaddr(&(struct endpoint){.family = (uint16_t)family}, &any);
    set_option(tcp, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT_OF_LINUX, 1);
    raw_bind(tcp, &any, len);
    set_option(tcp, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT_OF_LINUX, 0);
}

/* Gives `tcp`, a new socket, the pending error ECONNRESET, as TCP does to a socket that is
 * disconnected. A connect with fast open that needs no cookie sends nothing yet, and shutdown
 * aborts it. On a kernel without this feature no error is set. */
static void leave_reset(int tcp, int family) {
    static const struct endpoint loopback[2] = {
        {.family = AF_INET, .port = 1, .addr = {127, 0, 0, 1}},
        {.family = AF_INET6, .port = 1, .addr = {[15] = 1}}};
    struct sockaddr_storage name;
    int on = 1;
    socklen_t len = endpoint_to_sockaddr(&loopback[family == AF_INET6], &name);
    if (raw_setsockopt(tcp, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on) != 0)
        return;
    if (raw_setsockopt(tcp, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE_OF_LINUX, &on, sizeof on) != 0) {
        set_option(tcp, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 0);
        return;
    }
    if (raw_connect(tcp, &name, len) == 0) {
        real.syscall(SYS_shutdown, tcp, SHUT_RDWR);
    } else { /* it did send a SYN, to where nobody listens: drop that error */
        raw_connect(tcp, &(struct sockaddr){.sa_family = AF_UNSPEC}, sizeof(struct sockaddr));
        shim_take_error(tcp);
    }
    forget_port(tcp, family);
    set_option(tcp, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 0);
    set_option(tcp, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE_OF_LINUX, 0);
}

/* Replaces `fd` by `tcp` and shuts the old connection down, for every process that holds it.
 * Threads that wait on it wake up once the new socket is in place, so that its pending error tells
 * them why. `old` is a copy of `fd`, or -1. With a copy, a file that another thread has meanwhile
 * put at `fd` is left there. */
static int replace_and_end(int fd, int tcp, int file_flags, int old) {
    if (old < 0)
        real.syscall(SYS_shutdown, fd, SHUT_RDWR);
    int err = replace(fd, tcp, file_flags, old);
    if (err == 0 && old >= 0)
        real.syscall(SYS_shutdown, old, SHUT_RDWR);
    return err;
}

int swap_out_open(int fd, const struct shim_state *state, uint32_t *restored) {
    int family = options_family(fd);
    int tcp = raw_socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (tcp < 0)
        return -errno;
    if (state->kind != SHIM_FAILED)
        leave_reset(tcp, family);
    *restored = options_restore(fd, tcp);
    bind_again(fd, tcp);
    return tcp;
}

int swap_out(int fd, const struct shim_state *state) {
    int file_flags = raw_fcntl(fd, F_GETFL, 0), tcp = -1, err = 0;
    bool failed = state->kind == SHIM_FAILED;
    uint32_t restored = 0;
    if (file_flags < 0)
        return errno;
    fork_guard_open();
    int old = failed ? -1 : raw_fcntl(fd, F_DUPFD_CLOEXEC, 0);
    bool closed = !failed && old < 0 && errno == EBADF;
    if (closed || (old >= 0 && !shim_is_ours(old)))
        err = EBADF; /* another thread has just closed or replaced it */
    if (err == 0) {
        tcp = swap_out_open(fd, state, &restored);
        err = tcp < 0 ? -tcp : 0;
    }
    if (err == 0) {
        if (!failed) /* before a waiting thread wakes up */
            hint_add(fd, HINT_GIVEN_UP);
        err = failed ? replace(fd, tcp, file_flags, -1) : replace_and_end(fd, tcp, file_flags, old);
    }
    if (tcp >= 0)
        raw_close(tcp);
    if (old >= 0)
        raw_close(old);
    fork_guard_close();
    if (err == 0)
        hint_change(fd, HINT_LASTING | HINT_GIVEN_UP, restored);
    else
        hint_remove(fd, HINT_GIVEN_UP);
    return err;
}
