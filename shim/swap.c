/* swap.c - see swap.h and the steps in control.h. */
#include "swap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>

#include "epoll_registry.h"
#include "hint.h"
#include "options.h"
#include "real.h"
#include "window.h"

/* 64 bits that do not repeat: the kernel's random bytes of this process image, the time, and a
 * counter, mixed. No system call. They need not be secret: the helper resolves collisions. */
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

static bool peer_is_trusted(int fd) {
    struct ucred cred;
    socklen_t len = sizeof cred;
    return raw_getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 &&
           (cred.uid == 0 || cred.uid == (uid_t)real.syscall(SYS_geteuid));
}

int swap_connect_helper(int fd, const char *path) {
    struct sockaddr_un name;
    socklen_t len = shim_path_name(&name, path);
    if (raw_connect(fd, &name, len) == 0)
        return 0;
    if (errno != ENOENT && errno != ENOTDIR)
        return errno;
    len = shim_abstract_name(&name, path);
    if (raw_connect(fd, &name, len) != 0)
        return errno == EAGAIN ? EAGAIN : ENOENT;
    return peer_is_trusted(fd) ? 0 : EACCES;
}

static void fill_request(struct shim_request *req, const struct swap *swap) {
    bool bound = swap->local.port != 0 || !shim_endpoint_is_any(&swap->local);
    *req = (struct shim_request){
        .magic = SHIM_CONTROL_MAGIC,
        .version = SHIM_CONTROL_VERSION,
        .size = sizeof *req,
        .id = random_id(),
        .kind = SHIM_REQUEST_CONNECT,
        .family = swap->local.family,
        .name_len = (uint16_t)(swap->host ? strlen(swap->host) : 0),
        .fd = (uint32_t)swap->fd + 1,
        .dest = swap->dest,
    };
    if (bound) {
        req->flags |= SHIM_LOCAL_BOUND;
        req->local = swap->local;
    }
}

/* Sends the request, the name and the padding: exactly SHIM_GATE_LEN bytes. */
static int send_gate(int fd, const struct shim_request *req, const char *host) {
    static const char padding[SHIM_GATE_LEN];
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov[3] = {
        {(void *)(uintptr_t)req, sizeof *req},
        {(void *)(uintptr_t)host, req->name_len},
        {(void *)(uintptr_t)padding, SHIM_GATE_LEN - sizeof *req - req->name_len},
    };
    struct msghdr msg = {
        .msg_iov = iov, .msg_iovlen = 3, .msg_control = &control, .msg_controllen = sizeof control};
    memset(&control, 0, sizeof control);
    control.align.cmsg_len = CMSG_LEN(sizeof fd);
    control.align.cmsg_level = SOL_SOCKET;
    control.align.cmsg_type = SCM_RIGHTS;
    memcpy(CMSG_DATA(&control.align), &fd, sizeof fd);
    ssize_t n = raw_sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    /* A helper that has read the first part and ended it may have closed before the rest was sent:
     * the outcome tells. */
    if (n == SHIM_GATE_LEN || (n >= 0 && shim_is_hung_up(fd)))
        return 0;
    /* Fewer skbs fit than control.h reckons with: a kernel unlike any known. Better no
     * connection than one with a gate of unknown length. */
    if (n >= 0)
        return EPROTO;
    /* Too many descriptors of this user's are on their way: wait, as for room in the backlog. */
    return errno == EPIPE ? ECONNREFUSED : errno == ETOOMANYREFS ? EAGAIN : errno;
}

/* What sandboxes answer who may not have sockets of this kind: systemd's RestrictAddressFamilies,
 * and common seccomp filters. None of it is an errno of TCP's connect. */
static bool is_forbidden(int err) {
    return err == EAFNOSUPPORT || err == EPERM || err == ENOSYS || err == EINVAL;
}

static int open_pair(const struct swap *swap, struct shim_request *req) {
    int gate = SHIM_GATE_SNDBUF;
    int fd = raw_socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return is_forbidden(errno) ? -EACCES : -errno;
    raw_setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &gate, sizeof gate);
    int err = swap_connect_helper(fd, swap->settings->socket_path);
    if (err == 0) {
        options_carry(swap->fd, fd, swap->local.family, req);
        err = send_gate(fd, req, swap->host);
    }
    if (err == 0)
        return fd;
    raw_close(fd);
    return -err;
}

/* Makes `new_fd` stand where `fd` is: same file flags, same close-on-exec, same epoll sets. */
static int replace(int fd, int new_fd, int file_flags) {
    struct epoll_moved moved;
    int close_on_exec = raw_fcntl(fd, F_GETFD, 0) & FD_CLOEXEC ? O_CLOEXEC : 0;
    int settable = file_flags & (O_NONBLOCK | O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME);
    if (file_flags & O_ASYNC || hint_has(fd, HINT_OWNER))
        options_carry_owner(fd, new_fd);
    if (settable != O_NONBLOCK)
        raw_fcntl(new_fd, F_SETFL, settable);
    epoll_registry_detach(fd, &moved);
    int err = 0;
    while (raw_dup3(new_fd, fd, close_on_exec) < 0) {
        err = errno;
        if (err != EINTR && err != EBUSY)
            break;
        err = 0;
    }
    /* The kernel noted the temporary number for O_ASYNC's signals; turned on again, it notes this. */
    if (err == 0 && file_flags & O_ASYNC) {
        raw_fcntl(fd, F_SETFL, settable & ~O_ASYNC);
        raw_fcntl(fd, F_SETFL, settable);
    }
    epoll_registry_attach(fd, &moved);
    return err;
}

int swap_in(const struct swap *swap) {
    struct shim_request req;
    fill_request(&req, swap);
    window_open();
    int pair = open_pair(swap, &req);
    int err = pair < 0 ? -pair : 0;
    if (pair >= 0) {
        err = replace(swap->fd, pair, swap->file_flags);
        raw_close(pair);
    }
    window_close();
    return err;
}

/* Of a failed connect's outcome the own name is what the program had bound, if anything. Somebody
 * else may have the port by now; then the program gets another. */
static void bind_again(int fd, const struct shim_state *state) {
    struct sockaddr_storage local;
    if (state->kind != SHIM_FAILED || state->outcome.err == EPROTO ||
        (state->outcome.local.port == 0 && shim_endpoint_is_any(&state->outcome.local)))
        return;
    socklen_t len = shim_endpoint_to_sockaddr(&state->outcome.local, &local);
    raw_bind(fd, &local, len);
}

int swap_out(int fd, const struct shim_state *state, int family) {
    int file_flags = raw_fcntl(fd, F_GETFL, 0);
    if (state->outcome.dest.family)
        family = state->outcome.dest.family;
    window_open();
    int tcp = raw_socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int err = tcp < 0 ? errno : 0;
    if (tcp >= 0) {
        options_restore(fd, tcp);
        bind_again(tcp, state);
        err = replace(fd, tcp, file_flags);
        raw_close(tcp);
    }
    window_close();
    if (err == 0)
        hint_set(fd, hint_get(fd) & (HINT_EPOLL | HINT_OWNER));
    return err;
}
