/* data_receive.c - see data.h. */
#include <errno.h>
#include <string.h>

#include "addresses.h"
#include "data.h"
#include "hint.h"
#include "real.h"
#include "state.h"

static ssize_t fail(int err) {
    errno = err;
    return -1;
}

/* A result of receiving from `fd`: ECONNRESET of a connection that never was is the connect's
 * errno. */
ssize_t shim_received(int fd, ssize_t result) {
    if (result >= 0 || errno != ECONNRESET)
        return result;
    struct shim_state state = shim_state_read(fd);
    return state.kind == SHIM_FOREIGN ? result : fail(shim_reset_errno(&state));
}

static bool known_ours(int fd) {
    return hint_has(fd, HINT_OURS) && shim_is_ours(fd);
}

/* recv(fd, NULL or whatever, len, MSG_TRUNC): TCP takes bytes away without copying them. */
static ssize_t discard(int fd, size_t len, int flags) {
    char scratch[2048];
    size_t gone = 0;
    while (gone < len) {
        size_t want = len - gone < sizeof scratch ? len - gone : sizeof scratch;
        ssize_t n = real.recv(fd, scratch, want, flags & ~MSG_TRUNC);
        if (n <= 0)
            return gone ? (ssize_t)gone : shim_received(fd, n);
        gone += (size_t)n;
        if (!(flags & MSG_WAITALL))
            flags |= MSG_DONTWAIT;
    }
    return (ssize_t)gone;
}

/* The outcome of recv(MSG_OOB). AF_UNIX leaves an empty buffer behind, for which poll says POLLIN until
 * the next read; a read of nothing takes it away. (It would also take a pending error.) */
static ssize_t received_urgent(int fd, ssize_t result, int flags) {
    char nothing;
    int saved = errno;
    if (result < 0 && saved == EOPNOTSUPP && known_ours(fd))
        return fail(EINVAL); /* a kernel without urgent data for AF_UNIX: none has come */
    if (result > 0 && !(flags & MSG_PEEK) && known_ours(fd) && !shim_is_hung_up(fd)) {
        real.syscall(SYS_recvfrom, fd, &nothing, (size_t)0, MSG_DONTWAIT, NULL, NULL);
        errno = saved;
    }
    return shim_received(fd, result);
}

static ssize_t received_as(int fd, ssize_t result, int flags) {
    return flags & MSG_OOB ? received_urgent(fd, result, flags) : shim_received(fd, result);
}

/* Flags that AF_UNIX would take differently. Returns true if *result is the answer. */
static bool special_flags(int fd, size_t len, int flags, ssize_t *result) {
    if (!(flags & (MSG_ERRQUEUE | MSG_TRUNC)) || !known_ours(fd))
        return false;
    if (flags & MSG_ERRQUEUE)
        *result = fail(EAGAIN); /* nothing is ever queued there */
    else if (flags & MSG_PEEK)
        return false;
    else
        *result = discard(fd, len, flags);
    return true;
}

ssize_t shim_read(int fd, void *buf, size_t len) {
    return shim_received(fd, real.read(fd, buf, len));
}

ssize_t shim_readv(int fd, const struct iovec *iov, int n_iov) {
    return shim_received(fd, real.readv(fd, iov, n_iov));
}

ssize_t shim_recv(int fd, void *buf, size_t len, int flags) {
    ssize_t result;
    if (special_flags(fd, len, flags, &result))
        return result;
    return received_as(fd, real.recv(fd, buf, len, flags), flags);
}

ssize_t shim_recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *addr,
                      socklen_t *addr_len) {
    struct sockaddr_storage before;
    socklen_t size = addr && addr_len ? *addr_len : 0;
    size_t kept = size < sizeof before ? size : sizeof before;
    ssize_t result;
    if (special_flags(fd, len, flags, &result)) {
        if (result >= 0 && size)
            *addr_len = 0;
        return result;
    }
    if (size && hint_has(fd, HINT_OURS))
        memcpy(&before, addr, kept);
    result = received_as(fd, real.recvfrom(fd, buf, len, flags, addr, addr_len), flags);
    if (result >= 0 && size && *addr_len && address_is_ours(fd, addr, size, *addr_len)) {
        if (hint_has(fd, HINT_OURS))
            memcpy(addr, &before, kept);
        *addr_len = 0; /* TCP names no source */
    }
    return result;
}

static size_t iov_total(const struct msghdr *msg) {
    size_t total = 0;
    for (size_t i = 0; i < (size_t)msg->msg_iovlen; i++)
        total += msg->msg_iov[i].iov_len;
    return total;
}

static void clear_source(int fd, struct msghdr *msg, socklen_t size) {
    if ((size || hint_has(fd, HINT_OURS)) && msg->msg_name && msg->msg_namelen &&
        address_is_ours(fd, msg->msg_name, size, msg->msg_namelen))
        msg->msg_namelen = 0;
}

ssize_t shim_recvmsg(int fd, struct msghdr *msg, int flags) {
    ssize_t result;
    if (flags & (MSG_ERRQUEUE | MSG_TRUNC) && msg &&
        special_flags(fd, iov_total(msg), flags, &result)) {
        msg->msg_namelen = 0;
        msg->msg_controllen = 0;
        msg->msg_flags = 0;
        return result;
    }
    struct sockaddr_storage before;
    socklen_t size = msg ? msg->msg_namelen : 0;
    size_t kept = size && msg->msg_name && hint_has(fd, HINT_OURS) ? size : 0;
    if (kept > sizeof before)
        kept = sizeof before;
    memcpy(&before, kept ? msg->msg_name : (const void *)"", kept);
    result = received_as(fd, real.recvmsg(fd, msg, flags), flags);
    if (result < 0)
        return result;
    socklen_t named = msg->msg_namelen;
    clear_source(fd, msg, size);
    if (named && !msg->msg_namelen && kept)
        memcpy(msg->msg_name, &before, kept);
    return result;
}

int shim_recvmmsg(int fd, struct mmsghdr *msgs, unsigned n_msgs, int flags,
                  struct timespec *timeout) {
    if (flags & MSG_ERRQUEUE && known_ours(fd))
        return (int)fail(EAGAIN);
    int n = (int)shim_received(fd, real.recvmmsg(fd, msgs, n_msgs, flags, timeout));
    for (int i = 0; i < n; i++)
        clear_source(fd, &msgs[i].msg_hdr, msgs[i].msg_hdr.msg_namelen ? sizeof(sa_family_t) : 0);
    return n;
}
