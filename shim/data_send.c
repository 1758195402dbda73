/* data_send.c - see data.h. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "connect.h"
#include "data.h"
#include "hint.h"
#include "real.h"
#include "settings.h"
#include "state.h"

static ssize_t fail(int err) {
    errno = err;
    return -1;
}

/* What became of a send that was made with MSG_NOSIGNAL on a descriptor that seems to be ours. */
enum verdict {
    VERDICT_STANDS, /* result and errno are TCP's */
    VERDICT_REPEAT, /* not ours, or TCP would signal: make the application's call as it is */
};

static enum verdict judge(int fd, ssize_t result, int flags) {
    if (result >= 0 || (errno != EPIPE && errno != ECONNRESET && errno != ENOTSOCK))
        return VERDICT_STANDS;
    if (errno == ENOTSOCK) {
        hint_remove(fd, HINT_OURS | HINT_PENDING);
        return VERDICT_REPEAT;
    }
    int err = errno;
    struct shim_state state = shim_state_read(fd);
    errno = err;
    if (state.kind == SHIM_FOREIGN)
        return err == EPIPE && !(flags & MSG_NOSIGNAL) ? VERDICT_REPEAT : VERDICT_STANDS;
    /* TCP reports the reset first, without a signal, and EPIPE from then on. */
    if (err == ECONNRESET || shim_take_error(fd)) {
        errno = shim_reset_errno(&state);
        return VERDICT_STANDS;
    }
    errno = EPIPE;
    return flags & MSG_NOSIGNAL ? VERDICT_STANDS : VERDICT_REPEAT;
}

ssize_t shim_write(int fd, const void *buf, size_t len) {
    if (hint_has(fd, HINT_OURS)) {
        ssize_t result = real.send(fd, buf, len, MSG_NOSIGNAL);
        if (judge(fd, result, 0) == VERDICT_STANDS)
            return result;
    }
    return real.write(fd, buf, len);
}

ssize_t shim_writev(int fd, const struct iovec *iov, int n_iov) {
    if (hint_has(fd, HINT_OURS) && n_iov >= 0 && n_iov <= IOV_MAX) {
        struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov,
                             .msg_iovlen = (size_t)n_iov};
        ssize_t result = real.sendmsg(fd, &msg, MSG_NOSIGNAL);
        if (judge(fd, result, 0) == VERDICT_STANDS)
            return result;
    }
    return real.writev(fd, iov, n_iov);
}

ssize_t shim_send(int fd, const void *buf, size_t len, int flags) {
    if (hint_has(fd, HINT_OURS)) {
        ssize_t result = real.send(fd, buf, len, flags | MSG_NOSIGNAL);
        if (judge(fd, result, flags) == VERDICT_STANDS)
            return result;
    }
    return real.send(fd, buf, len, flags);
}

static bool is_routed(const struct sockaddr *addr, socklen_t len) {
    const struct settings *settings = settings_get();
    struct shim_endpoint dest;
    return settings && shim_endpoint_from_sockaddr(&dest, addr, len) &&
           (settings->deny || route_list_match(&settings->routes, &dest, NULL));
}

/* TCP fast open: connect and send in one call. Over a route it is simply both. */
static bool fast_open(int fd, const struct sockaddr *addr, socklen_t len, int *result) {
    if (!addr || !is_routed(addr, len))
        return false;
    *result = shim_connect(fd, addr, len);
    return true;
}

/* A destination address on a connected socket: TCP ignores it, AF_UNIX says EISCONN or
 * EOPNOTSUPP. */
static bool rejects_address(int fd, ssize_t result, const void *addr) {
    return result < 0 && addr && (errno == EISCONN || errno == EOPNOTSUPP) && shim_is_ours(fd);
}

ssize_t shim_sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *addr,
                    socklen_t addr_len) {
    int connected = 0;
    if (!addr)
        return shim_send(fd, buf, len, flags);
    if (flags & MSG_FASTOPEN && fast_open(fd, addr, addr_len, &connected))
        return connected == 0 ? shim_send(fd, buf, len, flags & ~MSG_FASTOPEN) : -1;
    ssize_t result = real.sendto(fd, buf, len, flags, addr, addr_len);
    if (!rejects_address(fd, result, addr))
        return result;
    hint_add(fd, HINT_OURS);
    return shim_send(fd, buf, len, flags & ~MSG_FASTOPEN);
}

/* A message without what AF_UNIX would not ignore as TCP does: address and ancillary data. */
static struct msghdr plain_message(const struct msghdr *msg) {
    return (struct msghdr){.msg_iov = msg->msg_iov, .msg_iovlen = msg->msg_iovlen};
}

static bool is_plain(const struct msghdr *msg) {
    return !msg->msg_name && !msg->msg_controllen;
}

static ssize_t send_plain(int fd, const struct msghdr *msg, int flags) {
    struct msghdr plain = plain_message(msg);
    ssize_t result = real.sendmsg(fd, &plain, (flags & ~MSG_FASTOPEN) | MSG_NOSIGNAL);
    return judge(fd, result, flags) == VERDICT_STANDS ? result : real.sendmsg(fd, &plain, flags);
}

ssize_t shim_sendmsg(int fd, const struct msghdr *msg, int flags) {
    int connected = 0;
    if (!msg)
        return real.sendmsg(fd, msg, flags);
    if (flags & MSG_FASTOPEN && fast_open(fd, msg->msg_name, msg->msg_namelen, &connected))
        return connected == 0 ? send_plain(fd, msg, flags) : -1;
    if (hint_has(fd, HINT_OURS) && (is_plain(msg) || shim_is_ours(fd)))
        return send_plain(fd, msg, flags);
    ssize_t result = real.sendmsg(fd, msg, flags);
    return rejects_address(fd, result, msg->msg_name) ? send_plain(fd, msg, flags) : result;
}

int shim_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n_msgs, int flags) {
    if (!hint_has(fd, HINT_OURS) || !shim_is_ours(fd))
        return real.sendmmsg(fd, msgs, n_msgs, flags);
    unsigned sent = 0;
    while (sent < n_msgs && sent < UIO_MAXIOV) {
        ssize_t n = send_plain(fd, &msgs[sent].msg_hdr, flags);
        if (n < 0)
            return sent ? (int)sent : (int)fail(errno);
        msgs[sent++].msg_len = (unsigned)n;
    }
    return (int)sent;
}
