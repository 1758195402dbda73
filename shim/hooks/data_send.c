/* SPDX-License-Identifier: MIT */
/* data_send.c - see data.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>

#include "shim/base/fork_guard.h"
#include "shim/base/hint.h"
#include "shim/base/libc.h"
#include "shim/base/pending_reset.h"
#include "shim/base/readable.h"
#include "shim/hooks/connect.h"
#include "shim/hooks/data.h"
#include "shim/hooks/data_whole.h"
#include "shim/socket/options.h"
#include "shim/socket/state.h"

static ssize_t fail(int err) {
    errno = err;
    return -1;
}

/* How to finish a send that was made with MSG_NOSIGNAL because the descriptor seems to be ours. */
enum verdict {
    VERDICT_STANDS, /* result and errno are TCP's */
    VERDICT_REPEAT, /* not ours, or TCP would raise SIGPIPE: make the original call */
};

/* Called after a short send. If the send was blocking and ended because the helper had closed its
 * end, the kernel has spent the pending error on this call; TCP would report it to the next one, so
 * it is put back. (Not after a shutdown for writing by this process, and not if an error is still
 * pending.) */
static void keep_reset(int fd, int flags) {
    if (flags & MSG_DONTWAIT || !shim_is_blocking(fd))
        return;
    short ends = shim_poll_now(fd, 0);
    if (ends & POLLHUP && !(ends & POLLERR) && !hint_has(fd, HINT_SHUT) && shim_is_ours(fd))
        pending_reset_put_back(fd);
}

/* A send of no bytes, which programs use to find out whether they are connected. While a connect is
 * in progress, TCP waits or fails with EAGAIN; AF_UNIX would return 0. */
static ssize_t sent_nothing(int fd, int flags) {
    if (shim_state_read(fd).kind != SHIM_CONNECTING)
        return 0;
    return flags & MSG_DONTWAIT || !shim_is_blocking(fd) ? fail(EAGAIN) : shim_wait_writable(fd);
}

/* Decides how to finish a send of `len` bytes. *sent is the result of the call, and may be
 * changed. */
static enum verdict judge(int fd, ssize_t *sent, size_t len, int flags) {
    if (*sent == 0 && len == 0)
        *sent = sent_nothing(fd, flags);
    if (*sent > 0 && (size_t)*sent < len)
        keep_reset(fd, flags);
    /* The application's own call may get another error first, and some families reject
     * MSG_NOSIGNAL. */
    if (*sent < 0 && (errno == EFAULT || errno == EINVAL || errno == EOPNOTSUPP))
        return VERDICT_REPEAT;
    if (*sent >= 0 || (errno != EPIPE && errno != ECONNRESET && errno != ENOTSOCK))
        return VERDICT_STANDS;
    if (errno == ENOTSOCK) {
        hint_remove(fd, HINT_OURS | HINT_PENDING);
        return VERDICT_REPEAT;
    }
    int err = errno;
    struct shim_state state = shim_state_read(fd);
    errno = err;
    /* A foreign socket reports EPIPE again if the call is repeated. If a thread has meanwhile
     * disconnected ours, the pending error of the TCP socket that replaced it is the error of this
     * call. */
    if (state.kind == SHIM_FOREIGN) {
        if (err == EPIPE)
            return VERDICT_REPEAT;
        if (hint_has(fd, HINT_GIVEN_UP))
            shim_take_error(fd);
        return VERDICT_STANDS;
    }
    /* TCP reports the reset first, without a signal, and EPIPE from then on. */
    if (err == ECONNRESET || shim_take_error(fd)) {
        errno = shim_reset_errno(&state);
        return VERDICT_STANDS;
    }
    errno = EPIPE;
    return flags & MSG_NOSIGNAL ? VERDICT_STANDS : VERDICT_REPEAT;
}

/* The same for a message, whose vectors are read only after the kernel has accepted them. */
static enum verdict judge_message(int fd, ssize_t *sent, const struct iovec *iov, size_t n_iov,
                                  int flags) {
    return judge(fd, sent, *sent > 0 ? iov_bytes(iov, n_iov) : 0, flags);
}

/* Handles EPIPE on a descriptor without a hint, which may be ours by exec or SCM_RIGHTS. A SIGPIPE
 * that was not ignored cannot be undone, but the errno is corrected, and from now on there is a
 * hint. */
static ssize_t unhinted(int fd, ssize_t result) {
    if (result >= 0 || errno != EPIPE || hint_has(fd, HINT_OURS))
        return result;
    struct shim_state state = shim_state_read(fd);
    if (state.kind == SHIM_FOREIGN)
        return result;
    errno = shim_take_error(fd) ? shim_reset_errno(&state) : EPIPE;
    return result;
}

ssize_t shim_write(int fd, const void *buf, size_t len) {
    if (hint_has(fd, HINT_OURS)) {
        int saved = errno;
        ssize_t result = real.send(fd, buf, len, MSG_NOSIGNAL);
        if (judge(fd, &result, len, 0) == VERDICT_STANDS)
            return result;
        errno = saved;
    }
    return unhinted(fd, real.write(fd, buf, len));
}

/* Writes vectors without SIGPIPE. Returns true if *result is the answer. (writev of no bytes does
 * nothing, so it must not become a sendmsg: with a stale hint, `fd` may be a datagram socket, which
 * would send an empty datagram.) */
static bool write_quietly(int fd, const struct iovec *iov, int n_iov, int flags, ssize_t *result) {
    struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = 0};
    if (!hint_has(fd, HINT_OURS) || n_iov <= 0 || n_iov > IOV_MAX ||
        !readable_bytes(iov, (size_t)n_iov * sizeof *iov) || iov_bytes(iov, (size_t)n_iov) == 0)
        return false;
    int saved = errno;
    msg.msg_iovlen = (size_t)n_iov;
    *result = real.sendmsg(fd, &msg, flags | MSG_NOSIGNAL);
    if (judge_message(fd, result, iov, (size_t)n_iov, flags) == VERDICT_STANDS)
        return true;
    errno = saved;
    return false;
}

ssize_t shim_writev(int fd, const struct iovec *iov, int n_iov) {
    ssize_t result;
    if (write_quietly(fd, iov, n_iov, 0, &result))
        return result;
    return unhinted(fd, real.writev(fd, iov, n_iov));
}

/* Is a reset of the connection `fd` still to be reported? If so, returns true and sets errno, as
 * TCP reports the reset before it raises SIGPIPE. */
static bool tells_reset(int fd) {
    int saved = errno;
    if (!hint_has(fd, HINT_OURS) || !shim_is_hung_up(fd))
        return false;
    struct shim_state state = shim_state_read(fd);
    bool reset = state.kind != SHIM_FOREIGN && shim_take_error(fd);
    errno = reset ? shim_reset_errno(&state) : saved;
    return reset;
}

ssize_t shim_pwritev64v2(int fd, const struct iovec *iov, int n_iov, int64_t offset, int flags) {
    ssize_t result;
    bool plain = offset == -1 && !(flags & ~RWF_NOWAIT);
    if (plain && write_quietly(fd, iov, n_iov, flags ? MSG_DONTWAIT : 0, &result))
        return result;
    if (!plain && offset == -1 && tells_reset(fd))
        return -1;
    return unhinted(
        fd, call_vectors((struct vector_call){real.pwritev64v2, real.pwritev2, SYS_pwritev2}, fd,
                         iov, n_iov, offset, flags));
}

ssize_t shim_pwritev2(int fd, const struct iovec *iov, int n_iov, off_t offset, int flags) {
    return shim_pwritev64v2(fd, iov, n_iov, offset, flags);
}

/* ---- Zero-copy ----
 *
 * SO_ZEROCOPY, set before connect, promised the program that completions would be reported, which
 * is impossible here. TCP fails with ENOBUFS when it cannot report them (no optmem or locked memory
 * left), and senders then copy. Without SO_ZEROCOPY, TCP and AF_UNIX ignore MSG_ZEROCOPY. */

static bool is_zerocopy(int fd, int flags) {
    const struct option_row *row =
        flags & MSG_ZEROCOPY ? option_find(SOL_SOCKET, SO_ZEROCOPY) : NULL;
    return row && hint_has(fd, HINT_OURS) && shim_is_ours(fd) && option_kept_get(fd, row);
}

/* ---- Urgent data ----
 *
 * The helper must learn which byte is urgent when it reads it in sequence. AF_UNIX's own MSG_OOB
 * would tell it too late or not at all, and only some kernels have it. So a descriptor (any will
 * do) is passed with the byte (SCM_RIGHTS), which the helper receives together with it. */

/* Sends the urgent byte. If no descriptor can be passed, it is sent as an ordinary one. */
static ssize_t send_marked(int fd, const void *byte, int flags) {
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {.align = {.cmsg_len = CMSG_LEN(sizeof(int)),
                           .cmsg_level = SOL_SOCKET,
                           .cmsg_type = SCM_RIGHTS}};
    struct iovec iov = {(void *)(uintptr_t)byte, 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    fork_guard_open();
    int mark = (int)real.syscall(SYS_eventfd2, 0u, O_CLOEXEC);
    memcpy(CMSG_DATA(&control.align), &mark, sizeof mark);
    if (mark < 0)
        msg.msg_controllen = 0;
    ssize_t result = raw_sendmsg(fd, &msg, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
    if (result < 0 && errno == ETOOMANYREFS) {
        msg.msg_controllen = 0;
        result = raw_sendmsg(fd, &msg, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    int err = errno;
    if (mark >= 0)
        raw_close(mark);
    fork_guard_close();
    errno = err;
    return result;
}

/* Sends the last byte of a send with MSG_OOB; waits for room if the call is a blocking one. */
static ssize_t send_last(int fd, const void *byte, int flags) {
    for (;;) {
        ssize_t result = send_marked(fd, byte, flags);
        if (result > 0 || errno != EAGAIN || flags & MSG_DONTWAIT || !shim_is_blocking(fd))
            return result;
        if (shim_wait_writable(fd) != 0)
            return -1;
    }
}

/* Sends all bytes but the last as ordinary ones, and the last as the urgent one, as MSG_OOB
 * does. */
static ssize_t send_urgent(int fd, const struct iovec *iov, size_t n_iov, int flags) {
    size_t sent = 0, left = 0;
    flags &= ~(MSG_OOB | MSG_FASTOPEN);
    for (size_t i = 0; i < n_iov; i++)
        left += iov[i].iov_len;
    for (size_t i = 0; i < n_iov && left > 0; i++) {
        const char *bytes = iov[i].iov_base;
        size_t ordinary = iov[i].iov_len - (iov[i].iov_len == left);
        ssize_t n = ordinary ? real.send(fd, bytes, ordinary, flags | MSG_NOSIGNAL) : 0;
        bool cut = n < (ssize_t)ordinary;
        if (!cut && iov[i].iov_len == left) {
            ssize_t last = send_last(fd, bytes + ordinary, flags);
            cut = last < 0;
            n = cut && n == 0 ? last : n + !cut;
        }
        if (cut)
            return sent || n > 0 ? (ssize_t)(sent + (size_t)(n > 0 ? n : 0)) : n;
        sent += (size_t)n;
        left -= (size_t)n;
    }
    return (ssize_t)sent;
}

/* Is this a send of urgent data on a connection of ours? */
static bool is_urgent(int fd, int flags) {
    return flags & MSG_OOB && shim_is_ours(fd);
}

static ssize_t shim_send_urgent(int fd, const struct iovec *iov, size_t n_iov, int flags) {
    int saved = errno;
    ssize_t result = send_urgent(fd, iov, n_iov, flags);
    if (judge_message(fd, &result, iov, n_iov, flags) != VERDICT_REPEAT)
        return result;
    errno = saved;
    if (n_iov > 0) /* raises SIGPIPE */
        result = real.send(fd, iov->iov_base, iov->iov_len, flags & ~(MSG_OOB | MSG_FASTOPEN));
    return result;
}

ssize_t shim_send(int fd, const void *buf, size_t len, int flags) {
    if (is_urgent(fd, flags)) {
        struct iovec iov = {(void *)(uintptr_t)buf, len};
        return shim_send_urgent(fd, &iov, 1, flags);
    }
    if (is_zerocopy(fd, flags))
        return fail(ENOBUFS);
    if (hint_has(fd, HINT_OURS)) {
        int saved = errno;
        ssize_t result = real.send(fd, buf, len, flags | MSG_NOSIGNAL);
        if (judge(fd, &result, len, flags) == VERDICT_STANDS)
            return result;
        errno = saved;
    }
    return unhinted(fd, real.send(fd, buf, len, flags));
}

/* TCP fast open connects and sends in one call. Over a route these are two steps. */
static bool fast_open(int fd, const struct sockaddr *addr, socklen_t len, int *result) {
    if (!addr || !shim_connect_is_routed(fd, addr, len))
        return false;
    *result = shim_connect(fd, addr, len);
    return true;
}

/* TCP ignores a destination address on a connected socket; AF_UNIX fails with EISCONN or
 * EOPNOTSUPP. (The kernel has then read the address or the message header.) */
static bool rejects_address(int fd, ssize_t result) {
    return result < 0 && (errno == EISCONN || errno == EOPNOTSUPP) && shim_is_ours(fd);
}

ssize_t shim_sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *addr,
                    socklen_t addr_len) {
    int connected = 0;
    if (!addr)
        return shim_send(fd, buf, len, flags);
    if (flags & MSG_FASTOPEN && fast_open(fd, addr, addr_len, &connected))
        return connected == 0 ? shim_send(fd, buf, len, flags & ~MSG_FASTOPEN) : -1;
    ssize_t result = real.sendto(fd, buf, len, flags, addr, addr_len);
    if (!rejects_address(fd, result))
        return result;
    hint_add(fd, HINT_OURS);
    return shim_send(fd, buf, len, flags & ~MSG_FASTOPEN);
}

/* The message without address and ancillary data, which TCP ignores and AF_UNIX does not. */
static struct msghdr plain_message(const struct msghdr *msg) {
    return (struct msghdr){.msg_iov = msg->msg_iov, .msg_iovlen = msg->msg_iovlen};
}

static bool is_plain(const struct msghdr *msg) {
    return !msg->msg_name && !msg->msg_controllen;
}

static ssize_t send_plain(int fd, const struct msghdr *msg, int flags) {
    if (is_urgent(fd, flags))
        return shim_send_urgent(fd, msg->msg_iov, (size_t)msg->msg_iovlen, flags);
    if (is_zerocopy(fd, flags))
        return fail(ENOBUFS);
    struct msghdr plain = plain_message(msg);
    int saved = errno;
    ssize_t result = real.sendmsg(fd, &plain, (flags & ~MSG_FASTOPEN) | MSG_NOSIGNAL);
    if (judge_message(fd, &result, msg->msg_iov, (size_t)msg->msg_iovlen, flags) == VERDICT_STANDS)
        return result;
    errno = saved;
    return real.sendmsg(fd, &plain, flags);
}

ssize_t shim_sendmsg(int fd, const struct msghdr *msg, int flags) {
    int connected = 0;
    bool ours = hint_has(fd, HINT_OURS);
    if ((ours || flags & MSG_FASTOPEN) && !readable_bytes(msg, sizeof *msg))
        return real.sendmsg(fd, msg, flags);
    if (flags & MSG_FASTOPEN && fast_open(fd, msg->msg_name, msg->msg_namelen, &connected))
        return connected == 0 ? send_plain(fd, msg, flags) : -1;
    if (ours && ((is_plain(msg) && !(flags & MSG_FASTOPEN)) || shim_is_ours(fd)))
        return send_plain(fd, msg, flags);
    ssize_t result = unhinted(fd, real.sendmsg(fd, msg, flags));
    return rejects_address(fd, result) && msg->msg_name ? send_plain(fd, msg, flags) : result;
}

int shim_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n_msgs, int flags) {
    if (!hint_has(fd, HINT_OURS) || !shim_is_ours(fd))
        return real.sendmmsg(fd, msgs, n_msgs, flags);
    unsigned sent = 0;
    while (sent < n_msgs && sent < UIO_MAXIOV) {
        ssize_t n = send_plain(fd, &msgs[sent].msg_hdr, flags);
        if (n < 0)
            return sent ? (int)sent : (int)fail(errno);
        msgs[sent].msg_len = (unsigned)n;
        const struct msghdr *msg = &msgs[sent++].msg_hdr;
        if ((size_t)n < iov_bytes(msg->msg_iov, (size_t)msg->msg_iovlen))
            break; /* as the kernel does: the next send would spend a pending error */
    }
    return (int)sent;
}

ssize_t shim_sendfile(int out, int in, void *offset, size_t len) {
    return tells_reset(out) ? -1 : unhinted(out, real.sendfile(out, in, offset, len));
}

ssize_t shim_sendfile64(int out, int in, void *offset, size_t len) {
    return tells_reset(out) ? -1 : unhinted(out, real.sendfile64(out, in, offset, len));
}

ssize_t shim_splice(int in, void *in_offset, int out, void *out_offset, size_t len,
                    unsigned flags) {
    if (tells_reset(out))
        return -1;
    len = data_at_most(in, len);
    ssize_t result = shim_received(in, real.splice(in, in_offset, out, out_offset, len, flags));
    if (result == 0 && len > 0 && shim_is_disconnected(in))
        return fail(ENOTCONN);
    return unhinted(out, result);
}
