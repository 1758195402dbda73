/* SPDX-License-Identifier: MIT */
/* options_emulate.c - getsockopt and setsockopt on a socket of ours, answered as TCP answers. See
 * options.h. */
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>

#include "shim/base/fork_guard.h"
#include "shim/base/hint.h"
#include "shim/base/libc.h"
#include "shim/socket/linger_notice.h"
#include "shim/socket/options.h"

/* linux: asm-generic/socket.h */
#define SO_INQ_OF_UNIX       84
#define SO_PEERPIDFD_OF_UNIX 77

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

static int fail(int err) {
    errno = err;
    return -1;
}

/* Copies an answer out as the kernel does: truncated to the caller's length, which becomes the
 * length copied. */
static int answer(const void *value, size_t value_len, void *out, socklen_t *len) {
    if ((int)*len < 0)
        return fail(EINVAL);
    if (*len > value_len)
        *len = (socklen_t)value_len;
    memcpy(out, value, *len);
    return 0;
}

/* An IP-level integer is returned as one byte if the caller has room for fewer than four. */
static int answer_int(int level, int value, void *out, socklen_t *len) {
    if (level == IPPROTO_IP && *len > 0 && *len < sizeof value && value >= 0 && value <= 255) {
        unsigned char byte = (unsigned char)value;
        return answer(&byte, 1, out, len);
    }
    return answer(&value, sizeof value, out, len);
}

/* The state that TCP would be in once the peer has acknowledged everything. A SHUT_RD at this end
 * cannot be told from the peer's end of file. */
static uint8_t tcp_state_of(int fd, const struct shim_state *state) {
    /* linux: net/tcp_states.h */
    enum { ESTABLISHED = 1, SYN_SENT = 2, FIN_WAIT2 = 5, CLOSE = 7, CLOSE_WAIT = 8 };
    if (state->kind != SHIM_CONNECTED)
        return state->kind == SHIM_CONNECTING ? SYN_SENT : CLOSE;
    short ends = shim_poll_now(fd, POLLRDHUP);
    if (ends)
        return ends & POLLHUP ? CLOSE : CLOSE_WAIT;
    /* A send of no bytes fails only if the socket is shut down for writing. */
    int saved = errno;
    bool shut =
        real.syscall(SYS_sendto, fd, "", (size_t)0, MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0) < 0;
    errno = saved;
    return shut ? FIN_WAIT2 : ESTABLISHED;
}

/* Plausible values of an idle local connection: programs expect an MSS, a window and a round-trip
 * time that are not zero. */
static int answer_tcp_info(int fd, const struct shim_state *state, void *out, socklen_t *len) {
    struct tcp_info info = {
        .tcpi_state = tcp_state_of(fd, state),
        .tcpi_options = TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE,
        .tcpi_snd_wscale = 7,
        .tcpi_rcv_wscale = 7,
        .tcpi_rto = 201000,
        .tcpi_ato = 40000,
        .tcpi_snd_mss = 1448,
        .tcpi_rcv_mss = 1448,
        .tcpi_pmtu = 1500,
        .tcpi_rcv_ssthresh = 65535,
        .tcpi_rtt = 100,
        .tcpi_rttvar = 50,
        .tcpi_snd_ssthresh = INT_MAX,
        .tcpi_snd_cwnd = 10,
        .tcpi_advmss = 1448,
        .tcpi_reordering = 3,
        .tcpi_rcv_space = 65535,
    };
    return answer(&info, sizeof info, out, len);
}

/* ---- Options without a row: a fresh TCP socket answers as this kernel does ---- */

static int fresh_socket(int fd) {
    fork_guard_open();
    int tcp = raw_socket(options_family(fd), SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (tcp < 0)
        fork_guard_close();
    return tcp;
}

static void close_fresh(int tcp) {
    int saved = errno;
    raw_close(tcp);
    fork_guard_close();
    errno = saved;
}

/* INT_MIN stands for "never set". */
static struct option_row row_of(int level, int name) {
    return (struct option_row){
        .level = level, .name = name, .how = OPTION_STORE, .standard = INT_MIN};
}

static int get_fresh(int fd, int level, int name, void *out, socklen_t *len) {
    struct option_row row = row_of(level, name);
    int kept = option_kept_get(fd, &row);
    if (kept != INT_MIN)
        return answer_int(level, kept, out, len);
    int tcp = fresh_socket(fd);
    if (tcp < 0)
        return -1;
    int result = raw_getsockopt(tcp, level, name, out, len);
    close_fresh(tcp);
    return result;
}

int options_ioctl(int fd, unsigned long request, void *argument) {
    int tcp = fresh_socket(fd);
    if (tcp < 0)
        return -1;
    int result = (int)real.syscall(SYS_ioctl, tcp, request, argument);
    close_fresh(tcp);
    return result;
}

/* Keeps the value that the fresh socket reads back. */
static int set_fresh(int fd, int level, int name, const void *value, socklen_t len) {
    struct option_row row = row_of(level, name);
    int tcp = fresh_socket(fd), kept;
    socklen_t kept_len = sizeof kept;
    if (tcp < 0)
        return -1;
    int result = raw_setsockopt(tcp, level, name, value, len);
    if (result == 0 && raw_getsockopt(tcp, level, name, &kept, &kept_len) == 0 &&
        kept_len == sizeof kept)
        option_kept_put(fd, &row, kept);
    close_fresh(tcp);
    return result;
}

static int get_name(int fd, const struct option_row *row, void *out, socklen_t *len) {
    char name[OPTION_NAME_SIZE];
    option_name_get(fd, row, name);
    return name[0] ? answer(name, sizeof name, out, len)
                   : get_fresh(fd, row->level, row->name, out, len);
}

/* A fresh TCP socket knows which congestion control algorithms exist and may be used. */
static int set_name(int fd, const struct option_row *row, const void *value, socklen_t len) {
    char name[OPTION_NAME_SIZE] = {0};
    socklen_t name_len = sizeof name;
    int tcp = fresh_socket(fd);
    if (tcp < 0)
        return -1;
    int result = raw_setsockopt(tcp, row->level, row->name, value, len);
    if (result == 0 && raw_getsockopt(tcp, row->level, row->name, name, &name_len) == 0)
        option_name_put(fd, row, name);
    close_fresh(tcp);
    return result;
}

static bool is_kept(const struct option_row *row) {
    return row->how == OPTION_MARK || row->how == OPTION_STORE || row->how == OPTION_EARLY ||
           row->how == OPTION_LATE;
}

static int get_row(int fd, const struct option_row *row, void *out, socklen_t *len) {
    if (row->how == OPTION_REFUSE)
        return fail(ENOPROTOOPT);
    if (row->how == OPTION_NAME)
        return get_name(fd, row, out, len);
    int value = is_kept(row) ? option_kept_get(fd, row) : row->standard;
    return answer_int(row->level, value, out, len);
}

/* SO_SNDBUF and SO_RCVBUF: the size that was set, or the kernel's. */
static int get_buffer(int fd, const struct option_row *row, void *out, socklen_t *len) {
    int value = option_kept_get(fd, row);
    if (value == 0)
        return raw_getsockopt(fd, SOL_SOCKET, row->name, out, len);
    return answer(&value, sizeof value, out, len);
}

/* SO_PEERNAME fails if the caller has more room than the name, and does not update the length.
 * Unlike getpeername, it still answers after the connection has ended. */
static int get_peer_name(const struct shim_state *state, void *out, socklen_t *len) {
    struct sockaddr_storage name;
    if (state->kind != SHIM_CONNECTED)
        return fail(ENOTCONN);
    if (*len > endpoint_to_sockaddr(&state->outcome.dest, &name))
        return fail(EINVAL);
    memcpy(out, &name, *len);
    return 0;
}

static int get_socket(int fd, const struct shim_state *state, int name, void *out, socklen_t *len) {
    static const struct ucred nobody = {0, (uid_t)-1, (gid_t)-1};
    uint64_t no_limit = UINT64_MAX;
    const struct option_row *row = option_find(SOL_SOCKET, name);
    if (row && row->how == OPTION_BUFFER)
        return get_buffer(fd, row, out, len);
    if (row && row->how == OPTION_STORE && row->name == SO_MAX_PACING_RATE &&
        *len >= sizeof no_limit && option_kept_get(fd, row) == row->standard)
        return answer(&no_limit, sizeof no_limit, out, len);
    if (row && row->how == OPTION_STORE)
        return get_row(fd, row, out, len);
    switch (name) {
    case SO_DOMAIN: {
        int domain = state->outcome.dest.family ? state->outcome.dest.family : options_family(fd);
        return answer(&domain, sizeof domain, out, len);
    }
    case SO_PROTOCOL: {
        int protocol = IPPROTO_TCP;
        return answer(&protocol, sizeof protocol, out, len);
    }
    case SO_PEERCRED:
        return answer(&nobody, sizeof nobody, out, len);
    case SO_PEERNAME:
        return get_peer_name(state, out, len);
    case SO_PEERGROUPS:
        return fail(ENODATA);
    case SO_GET_FILTER:
        *len = 0;
        return 0;
    default:
        return raw_getsockopt(fd, SOL_SOCKET, name, out, len);
    }
}

int options_get(int fd, const struct shim_state *state, int level, int name, void *value,
                socklen_t *len) {
    const struct option_row *row = option_find(level, name);
    uint16_t family = state->outcome.dest.family;
    if (!value || !len)
        return fail(EFAULT);
    if (level == SOL_SOCKET)
        return get_socket(fd, state, name, value, len);
    if (level == IPPROTO_IPV6 && (family ? family : options_family(fd)) != AF_INET6)
        return fail(EOPNOTSUPP);
    if (level == IPPROTO_TCP && name == TCP_INFO)
        return answer_tcp_info(fd, state, value, len);
    return row ? get_row(fd, row, value, len) : get_fresh(fd, level, name, value, len);
}

/* Reads the caller's integer as the kernel does; an IP-level option may be one byte. */
static bool take_int(int level, const void *value, socklen_t len, int *out) {
    if (value && len >= sizeof *out)
        memcpy(out, value, sizeof *out);
    else if (value && level == IPPROTO_IP && len >= 1)
        *out = *(const unsigned char *)value;
    else
        return false;
    return true;
}

static int set_buffer(int fd, const struct shim_state *state, const struct option_row *row,
                      int value) {
    /* Reads back as the kernel computes it: doubled, and at least its minimum. */
    int least = row->name == SO_SNDBUF ? 4608 : 2304;
    int64_t doubled = value < 0 || value > INT_MAX / 2 ? INT_MAX - 1 : 2 * (int64_t)value;
    int err = option_kept_put(fd, row, doubled < least ? least : (int)doubled);
    if (err)
        return fail(err);
    if (row->name == SO_RCVBUF)
        return raw_setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, sizeof value);
    if (state->kind == SHIM_CONNECTING)
        return 0; /* it would open the gate; the helper sets it when the connection opens */
    if (value < HELPER_OPEN_SNDBUF)
        value = HELPER_OPEN_SNDBUF;
    return raw_setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, sizeof value);
}

static int set_linger(int fd, const struct shim_state *state, const void *value, socklen_t len) {
    struct linger linger;
    if (raw_setsockopt(fd, SOL_SOCKET, SO_LINGER, value, len) != 0)
        return -1;
    memcpy(&linger, value, sizeof linger);
    /* The helper reads the option again after it has given the outcome, so no notice is needed
     * before that. */
    struct shim_state now = state->kind == SHIM_CONNECTING ? shim_state_read(fd) : *state;
    if (now.kind == SHIM_CONNECTED)
        linger_notice_send(fd, now.outcome.id, linger.l_onoff && linger.l_linger == 0);
    return 0;
}

/* The value that TCP would store. */
static int as_kept(const struct option_row *row, int value) {
    const int ecn_bits = 3; /* TCP itself sets these */
    if ((row->level == IPPROTO_IP && row->name == IP_TOS) ||
        (row->level == IPPROTO_IPV6 && row->name == IPV6_TCLASS))
        return value < 0 ? 0 : value & ~ecn_bits;
    if (row->level == IPPROTO_TCP && row->name == TCP_LINGER2 && value == 0)
        return row->standard;
    return value;
}

static int set_row(int fd, const struct shim_state *state, const struct option_row *row,
                   const void *value, socklen_t len) {
    int number;
    if (row->how == OPTION_KERNEL)
        return raw_setsockopt(fd, row->level, row->name, value, len);
    if (row->how == OPTION_REFUSE)
        return fail(ENOPROTOOPT);
    if (row->how == OPTION_NAME)
        return set_name(fd, row, value, len);
    if (!value)
        return fail(EFAULT);
    if (!take_int(row->level, value, len, &number))
        return fail(EINVAL);
    if (row->how == OPTION_EARLY)
        return fail(EINVAL);
    if (row->how == OPTION_ANSWER)
        return row->name == TCP_MAXSEG && row->level == IPPROTO_TCP && number == 0
                   ? 0
                   : set_fresh(fd, row->level, row->name, value, len);
    if (row->how == OPTION_BUFFER)
        return set_buffer(fd, state, row, number);
    if (number < row->min || number > row->max)
        return fail(EINVAL);
    if (row->level == IPPROTO_IP && row->name == IP_TTL) {
        if (number == 0)
            return fail(EINVAL);
        number = number < 0 ? row->standard : number; /* -1: the system's default */
    }
    int err = is_kept(row) ? option_kept_put(fd, row, as_kept(row, number)) : 0;
    return err ? fail(err) : 0;
}

int options_set(int fd, const struct shim_state *state, int level, int name, const void *value,
                socklen_t len) {
    const struct option_row *row = option_find(level, name);
    uint16_t family = state->outcome.dest.family;
    if (level == IPPROTO_IPV6 && (family ? family : options_family(fd)) != AF_INET6)
        return fail(ENOPROTOOPT);
    if (level == SOL_SOCKET && name == SO_LINGER)
        return set_linger(fd, state, value, len);
    if (level == SOL_SOCKET && name == SO_ZEROCOPY)
        return fail(ENOTSUP); /* completions cannot be reported */
    if (row)
        return set_row(fd, state, row, value, len);
    if (level == SOL_SOCKET && name == SO_ATTACH_FILTER) /* harmless to ignore, and in use */
        return len == sizeof(struct {
                   short n;
                   void *code;
               })
                   ? 0
                   : fail(EINVAL);
    if (level == SOL_SOCKET && name == SO_DETACH_FILTER)
        return fail(ENOENT);
    if (level == SOL_SOCKET && name != SO_INQ_OF_UNIX)
        return raw_setsockopt(fd, level, name, value, len);
    return set_fresh(fd, level, name, value, len);
}

static bool is_tcp_level(int level) {
    return level == IPPROTO_TCP || level == IPPROTO_IP || level == IPPROTO_IPV6;
}

bool options_set_differs(int level, int name) {
    if (level != SOL_SOCKET)
        return is_tcp_level(level);
    switch (name) {
    case SO_SNDBUF:
    case SO_RCVBUF:
    case SO_LINGER:
    case SO_MAX_PACING_RATE:
    case SO_ATTACH_FILTER:
    case SO_DETACH_FILTER:
    case SO_LOCK_FILTER:
    case SO_REUSEPORT:
    case SO_ZEROCOPY:
    case 72: /* SO_BUF_LOCK */
    case 74: /* SO_TXREHASH */
    case SO_INQ_OF_UNIX:
        return true;
    default:
        return false;
    }
}

bool options_get_differs(int level, int name) {
    if (level != SOL_SOCKET)
        return is_tcp_level(level);
    switch (name) {
    case SO_ERROR:
    case SO_DOMAIN:
    case SO_PROTOCOL:
    case SO_PEERNAME:
    case SO_PEERCRED:
    case SO_PEERGROUPS:
    case SO_PEERPIDFD_OF_UNIX:
    case SO_GET_FILTER:
        return true;
    default:
        return name != SO_LINGER && options_set_differs(level, name);
    }
}
