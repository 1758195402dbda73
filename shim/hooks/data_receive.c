/* SPDX-License-Identifier: MIT */
/* data_receive.c - see data.h. */
#include <errno.h>
#include <string.h>

#include "shim/base/hint.h"
#include "shim/base/libc.h"
#include "shim/base/pending_reset.h"
#include "shim/base/readable.h"
#include "shim/hooks/data.h"
#include "shim/hooks/data_whole.h"
#include "shim/hooks/peername.h"
#include "shim/hooks/socket.h"
#include "shim/socket/state.h"

static ssize_t fail(int err) {
    errno = err;
    return -1;
}

/* Has its connect failed and reported so? Such a socket is not connected, to TCP, so a receive
 * fails with ENOTCONN. (If SO_ERROR has reported the failure, or nothing yet, a receive returns end
 * of file.) */
static bool is_disconnected(int fd, const struct shim_state *state) {
    return state->kind == SHIM_FAILED && !hint_has(fd, HINT_PENDING);
}

bool shim_is_disconnected(int fd) {
    if (!hint_has(fd, HINT_OURS) || hint_has(fd, HINT_PENDING))
        return false;
    struct shim_state state = shim_state_read(fd);
    return is_disconnected(fd, &state);
}

/* Translates the result of a receive of up to `len` bytes. `ours`: what the hint said before the
 * call. The end of file may be that of a connection which another thread has disconnected
 * meanwhile: then a TCP socket has replaced it, whose pending error is what TCP would report to
 * this reader. The pending error of any other TCP socket must not be taken. */
static ssize_t received(int fd, bool ours, size_t len, ssize_t result) {
    bool ended = result == 0 && len > 0;
    if (!ours || !(ended || (result < 0 && pending_reset_is(errno))))
        return shim_received(fd, result);
    struct shim_state state = shim_state_read(fd);
    if (ended && is_disconnected(fd, &state))
        return fail(ENOTCONN);
    if (state.kind != SHIM_FOREIGN)
        return ended ? result : fail(shim_reset_errno(&state));
    return hint_has(fd, HINT_GIVEN_UP) && shim_take_error(fd) == ECONNRESET ? fail(ECONNRESET)
                                                                            : result;
}

static bool known_ours(int fd) {
    return hint_has(fd, HINT_OURS) && shim_is_ours(fd);
}

/* Translates the result of recv(MSG_OOB). AF_UNIX leaves an empty buffer in its queue, for which
 * poll reports POLLIN until the next read; a read of no bytes removes it. */
static ssize_t received_urgent(int fd, ssize_t result, int flags) {
    char nothing;
    int saved = errno;
    if (result < 0 && saved == EOPNOTSUPP && known_ours(fd))
        return fail(EINVAL); /* AF_UNIX has no MSG_OOB here: none can have come */
    if (result > 0 && !(flags & MSG_PEEK) && known_ours(fd) && !shim_is_hung_up(fd)) {
        if (real.syscall(SYS_recvfrom, fd, &nothing, (size_t)0, MSG_DONTWAIT, NULL, NULL) < 0 &&
            pending_reset_is(errno))
            pending_reset_put_back(fd);
        errno = saved;
    }
    return shim_received(fd, result);
}

static ssize_t received_as(int fd, bool ours, size_t len, ssize_t result, int flags) {
    if (flags & MSG_OOB)
        return received_urgent(fd, result, flags);
    if (ours && result == 0 && len == 0 && shim_is_disconnected(fd)) /* recv fails, read does not */
        return fail(ENOTCONN);
    return received(fd, ours, len, result);
}

/* Is it a receive that AF_UNIX would handle differently from TCP? A system call only if it may
 * be. */
static bool is_special(int fd, int flags) {
    if (!hint_has(fd, HINT_OURS) || flags & MSG_OOB)
        return false;
    if (flags & (MSG_ERRQUEUE | MSG_TRUNC | MSG_WAITALL) || data_low_water(fd))
        return shim_is_ours(fd);
    return false;
}

static ssize_t receive_special(int fd, struct msghdr *msg, int flags) {
    if (flags & MSG_ERRQUEUE)
        return fail(EAGAIN); /* TCP's error queue would be empty */
    return received(fd, true, iov_bytes(msg->msg_iov, (size_t)msg->msg_iovlen),
                    shim_receive_whole(fd, msg, flags));
}

/* The same into one buffer. */
static ssize_t receive_special_into(int fd, void *buf, size_t len, int flags, struct sockaddr *addr,
                                    socklen_t *addr_len) {
    struct iovec iov = {buf, len};
    struct msghdr msg = {
        .msg_name = addr, .msg_namelen = addr ? *addr_len : 0, .msg_iov = &iov, .msg_iovlen = 1};
    ssize_t result = receive_special(fd, &msg, flags);
    if (result >= 0 && addr)
        *addr_len = msg.msg_namelen;
    return result;
}

ssize_t shim_read(int fd, void *buf, size_t len) {
    if (data_low_water(fd) && is_special(fd, 0))
        return receive_special_into(fd, buf, len, 0, NULL, NULL);
    bool ours = hint_has(fd, HINT_OURS);
    return received(fd, ours, len, real.read(fd, buf, len));
}

/* A read into vectors that has to be composed of several. Returns true if *result is the answer,
 * false if a plain read will do. */
static bool read_special(int fd, const struct iovec *iov, int n_iov, int flags, ssize_t *result) {
    struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = 0};
    if (!data_low_water(fd) || n_iov <= 0 || n_iov > UIO_MAXIOV || !is_special(fd, flags))
        return false;
    msg.msg_iovlen = (size_t)n_iov;
    *result = receive_special(fd, &msg, flags);
    return true;
}

ssize_t shim_readv(int fd, const struct iovec *iov, int n_iov) {
    ssize_t result;
    if (read_special(fd, iov, n_iov, 0, &result))
        return result;
    bool ours = hint_has(fd, HINT_OURS);
    result = real.readv(fd, iov, n_iov);
    return received(fd, ours, ours && result == 0 ? iov_bytes(iov, (size_t)n_iov) : 0, result);
}

ssize_t shim_preadv64v2(int fd, const struct iovec *iov, int n_iov, int64_t offset, int flags) {
    ssize_t result;
    bool ours = hint_has(fd, HINT_OURS);
    if (offset == -1 && !(flags & ~RWF_NOWAIT) &&
        read_special(fd, iov, n_iov, flags ? MSG_DONTWAIT : 0, &result))
        return result;
    result = call_vectors((struct vector_call){real.preadv64v2, real.preadv2, SYS_preadv2}, fd, iov,
                          n_iov, offset, flags);
    return received(fd, ours, ours && result == 0 ? iov_bytes(iov, (size_t)n_iov) : 0, result);
}

ssize_t shim_preadv2(int fd, const struct iovec *iov, int n_iov, off_t offset, int flags) {
    return shim_preadv64v2(fd, iov, n_iov, offset, flags);
}

ssize_t shim_recv(int fd, void *buf, size_t len, int flags) {
    if (is_special(fd, flags))
        return receive_special_into(fd, buf, len, flags, NULL, NULL);
    bool ours = hint_has(fd, HINT_OURS);
    return received_as(fd, ours, len, real.recv(fd, buf, len, flags), flags);
}

/* What the caller's address buffer held before a receive from a descriptor that seems to be ours.
 * It is restored, because TCP writes nothing there. */
struct kept {
    struct sockaddr_storage bytes;
    size_t len;
};

static void keep(struct kept *kept, const void *addr, socklen_t size) {
    kept->len = size < sizeof kept->bytes ? size : sizeof kept->bytes;
    if (!readable_bytes(addr, kept->len))
        kept->len = 0;
    memcpy(&kept->bytes, kept->len ? addr : (const void *)"", kept->len);
}

ssize_t shim_recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *addr,
                      socklen_t *addr_len) {
    struct kept kept = {.len = 0};
    ssize_t result;
    bool ours = hint_has(fd, HINT_OURS);
    socklen_t size = addr ? ADDRESS_SIZE_UNKNOWN : 0;
    if (addr && (readable_near(addr_len) || (ours && readable(addr_len))))
        size = *addr_len;
    if (ours && size != ADDRESS_SIZE_UNKNOWN)
        keep(&kept, addr, size);
    if (size != ADDRESS_SIZE_UNKNOWN && is_special(fd, flags))
        result = receive_special_into(fd, buf, len, flags, size ? addr : NULL, addr_len);
    else
        result =
            received_as(fd, ours, len, real.recvfrom(fd, buf, len, flags, addr, addr_len), flags);
    if (result >= 0 && size && addr_len && address_is_ours(fd, addr, size, *addr_len)) {
        if (kept.len)
            memcpy(addr, &kept.bytes, kept.len);
        *addr_len = 0; /* TCP reports no source address */
    }
    return result;
}

static void clear_source(int fd, struct msghdr *msg, socklen_t size) {
    if ((size || hint_has(fd, HINT_OURS)) && msg->msg_name && msg->msg_namelen &&
        address_is_ours(fd, msg->msg_name, size, msg->msg_namelen))
        msg->msg_namelen = 0;
}

/* For a descriptor without a hint: reads the message header only after the kernel has accepted
 * it. */
static ssize_t receive_message(int fd, struct msghdr *msg, int flags) {
    socklen_t size = readable_near(msg) ? msg->msg_namelen : ADDRESS_SIZE_UNKNOWN;
    ssize_t result = received_as(fd, false, 0, real.recvmsg(fd, msg, flags), flags);
    if (result >= 0) {
        clear_source(fd, msg, size);
        opened_by_message(msg);
    }
    return result;
}

ssize_t shim_recvmsg(int fd, struct msghdr *msg, int flags) {
    struct kept kept = {.len = 0};
    ssize_t result;
    if (!hint_has(fd, HINT_OURS) || !readable_bytes(msg, sizeof *msg) ||
        msg->msg_iovlen > UIO_MAXIOV)
        return receive_message(fd, msg, flags);
    socklen_t size = msg->msg_namelen;
    if (msg->msg_name)
        keep(&kept, msg->msg_name, size);
    if (is_special(fd, flags)) {
        result = receive_special(fd, msg, flags);
    } else {
        result = real.recvmsg(fd, msg, flags);
        if (result >= 0)
            opened_by_message(msg);
        result = received_as(fd, true,
                             result == 0 ? iov_bytes(msg->msg_iov, (size_t)msg->msg_iovlen) : 0,
                             result, flags);
    }
    if (result < 0)
        return result;
    socklen_t named = msg->msg_namelen;
    clear_source(fd, msg, size);
    if (named && !msg->msg_namelen && kept.len)
        memcpy(msg->msg_name, &kept.bytes, kept.len);
    return result;
}

/* recvmmsg(2) of messages for which is_special holds, on a descriptor of ours. */
static int receive_messages(int fd, struct mmsghdr *msgs, unsigned n_msgs, int flags,
                            struct timespec *timeout) {
    int64_t end_us =
        timeout ? data_now_us() + (int64_t)timeout->tv_sec * 1000000 + timeout->tv_nsec / 1000
                : INT64_MAX;
    unsigned got = 0;
    if (shim_take_error(fd)) { /* recvmmsg reports a pending error before data */
        errno = ECONNRESET;
        return (int)shim_received(fd, -1);
    }
    while (got < n_msgs && got < UIO_MAXIOV) {
        ssize_t n = shim_recvmsg(fd, &msgs[got].msg_hdr, flags & ~MSG_WAITFORONE);
        if (n < 0) {
            if (got && errno == ECONNRESET)
                pending_reset_put_back(fd);
            break;
        }
        msgs[got++].msg_len = (unsigned)n;
        if (flags & MSG_WAITFORONE)
            flags |= MSG_DONTWAIT;
        if (data_now_us() >= end_us)
            break;
    }
    if (got && timeout) {
        int64_t left = end_us - data_now_us();
        left = left < 0 ? 0 : left;
        *timeout = (struct timespec){left / 1000000, left % 1000000 * 1000};
    }
    return got ? (int)got : -1;
}

int shim_recvmmsg(int fd, struct mmsghdr *msgs, unsigned n_msgs, int flags,
                  struct timespec *timeout) {
    if (is_special(fd, flags))
        return flags & MSG_ERRQUEUE ? (int)fail(EAGAIN)
                                    : receive_messages(fd, msgs, n_msgs, flags, timeout);
    int n = (int)shim_received(fd, real.recvmmsg(fd, msgs, n_msgs, flags, timeout));
    if (n > 0 && msgs[0].msg_len == 0 && shim_is_disconnected(fd))
        return (int)fail(ENOTCONN);
    for (int i = 0; i < n; i++) {
        clear_source(fd, &msgs[i].msg_hdr, ADDRESS_SIZE_UNKNOWN);
        opened_by_message(&msgs[i].msg_hdr);
    }
    return n;
}
