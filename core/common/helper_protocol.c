/* SPDX-License-Identifier: MIT */
/* helper_protocol.c - see helper_protocol.h. Pure functions, shared by the shim, the launcher and
 * the helper. */
#include "core/common/helper_protocol.h"

#include <stdio.h>
#include <string.h>

/* The abstract name, after its leading zero byte, is text so that `ss -x` shows it:
 *     smuxshim/ ID STATE DEST LOCAL SCOPE
 * ID: 16 hex digits. STATE: 'c' (connected, AF_INET) or 'C' (AF_INET6); 'e' or 'E' and four hex
 * digits of errno. DEST and LOCAL: address and port in hex, 12 or 36 digits. SCOPE: 8 digits, only
 * for AF_INET6 and only when not zero. */
#define NAME_PREFIX     "smuxshim/"
#define NAME_PREFIX_LEN (sizeof NAME_PREFIX - 1)
#define NAME_PATH_OFF   offsetof(struct sockaddr_un, sun_path)
#define NAME_LEN_MAX    (1 + NAME_PREFIX_LEN + 16 + 5 + 36 + 36)

_Static_assert(NAME_LEN_MAX <= sizeof(((struct sockaddr_un *)0)->sun_path),
               "the longest failure name must fit; a scope is shown only on success");
_Static_assert(NAME_LEN_MAX - 4 + 8 <= sizeof(((struct sockaddr_un *)0)->sun_path),
               "the longest success name must fit");

enum helper_request_problem helper_request_check(const void *bytes, size_t len) {
    struct helper_request req;
    if (len < 8)
        return HELPER_REQUEST_SHORT;
    memset(&req, 0, sizeof req);
    memcpy(&req, bytes, len < sizeof req ? len : sizeof req);
    if (req.magic != HELPER_PROTOCOL_MAGIC)
        return HELPER_REQUEST_NOT_OURS;
    if (req.version != HELPER_PROTOCOL_VERSION || req.size != sizeof req)
        return HELPER_REQUEST_VERSION;
    if (len < sizeof req)
        return HELPER_REQUEST_SHORT;
    if (req.kind == HELPER_NOTICE_LINGER)
        return HELPER_REQUEST_OK;
    if (req.kind != HELPER_REQUEST_CONNECT && req.kind != HELPER_REQUEST_ADDRESS &&
        req.kind != HELPER_REQUEST_NAME)
        return HELPER_REQUEST_KIND;
    if ((req.family != AF_INET && req.family != AF_INET6) || req.dest.family != req.family)
        return HELPER_REQUEST_FAMILY;
    if ((req.flags & HELPER_LOCAL_BOUND) && req.local.family != req.family)
        return HELPER_REQUEST_FAMILY;
    if (req.name_len > HELPER_HOST_NAME_MAX)
        return HELPER_REQUEST_NAME_LENGTH;
    if ((req.kind == HELPER_REQUEST_ADDRESS && req.name_len == 0) ||
        (req.kind == HELPER_REQUEST_NAME && req.name_len != 0))
        return HELPER_REQUEST_NAME_MISPLACED;
    return HELPER_REQUEST_OK;
}

int helper_request_fd(const struct helper_request *req) {
    return req->fd > 0 && req->fd <= INT32_MAX ? (int)(req->fd - 1) : -1;
}

struct endpoint helper_request_local(const struct helper_request *req,
                                     const struct endpoint *seen) {
    struct endpoint local = endpoint_as_family(seen, req->family);
    if (!(req->flags & HELPER_LOCAL_BOUND))
        return local;
    if (!endpoint_is_any(&req->local))
        memcpy(local.addr, req->local.addr, sizeof local.addr);
    if (req->local.port)
        local.port = req->local.port;
    return local;
}

const char *helper_request_problem_text(enum helper_request_problem problem) {
    static const char *const text[] = {
        [HELPER_REQUEST_OK] = "valid",
        [HELPER_REQUEST_SHORT] = "shorter than a request header",
        [HELPER_REQUEST_NOT_OURS] = "does not begin with the request's magic number",
        [HELPER_REQUEST_VERSION] = "of another control version than this helper's",
        [HELPER_REQUEST_KIND] = "of an unknown kind",
        [HELPER_REQUEST_FAMILY] = "names addresses that do not fit the socket's family",
        [HELPER_REQUEST_NAME_LENGTH] = "has a host name longer than 255 bytes",
        [HELPER_REQUEST_NAME_MISPLACED] =
            "a question about a name without one, or with one too many",
    };
    return (size_t)problem < sizeof text / sizeof *text ? text[problem] : "unknown";
}

bool helper_name_answer_check(const void *bytes, size_t len, struct helper_name_answer *answer,
                              char name[HELPER_HOST_NAME_MAX + 1]) {
    if (len < sizeof *answer)
        return false;
    memcpy(answer, bytes, sizeof *answer);
    if (answer->magic != HELPER_PROTOCOL_MAGIC || answer->version != HELPER_PROTOCOL_VERSION ||
        answer->name_len > HELPER_HOST_NAME_MAX || len != sizeof *answer + answer->name_len)
        return false;
    memcpy(name, (const char *)bytes + sizeof *answer, answer->name_len);
    name[answer->name_len] = '\0';
    if (answer->err)
        return answer->err > 0 && answer->name_len == 0;
    return (answer->address.family == AF_INET || answer->address.family == AF_INET6) &&
           helper_host_name_valid(name, answer->name_len);
}

bool helper_host_name_valid(const char *name, size_t len) {
    if (len == 0 || len > HELPER_HOST_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || c == '.'))
            return false;
    }
    return true;
}

/* Appends `n` bytes as hex; returns the next free position. No snprintf: the shim may pack and
 * unpack in a signal handler. */
static char *hex_put(char *at, const uint8_t *bytes, size_t n) {
    static const char digit[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        *at++ = digit[bytes[i] >> 4];
        *at++ = digit[bytes[i] & 15];
    }
    return at;
}

static char *hex_put_number(char *at, uint64_t value, size_t n_bytes) {
    uint8_t bytes[8];
    for (size_t i = 0; i < n_bytes; i++)
        bytes[i] = (uint8_t)(value >> (8 * (n_bytes - 1 - i)));
    return hex_put(at, bytes, n_bytes);
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads `n` bytes of hex at *at and advances it; false if there are fewer digits before `end`. */
static bool hex_take(const char **at, const char *end, uint8_t *bytes, size_t n) {
    if ((size_t)(end - *at) < 2 * n)
        return false;
    for (size_t i = 0; i < n; i++, *at += 2) {
        int high = hex_digit((*at)[0]), low = hex_digit((*at)[1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool hex_take_number(const char **at, const char *end, uint64_t *value, size_t n_bytes) {
    uint8_t bytes[8];
    if (!hex_take(at, end, bytes, n_bytes))
        return false;
    *value = 0;
    for (size_t i = 0; i < n_bytes; i++)
        *value = *value << 8 | bytes[i];
    return true;
}

static char *put_endpoint(char *at, const struct endpoint *ep) {
    at = hex_put(at, ep->addr, ep->family == AF_INET6 ? 16 : 4);
    return hex_put_number(at, ep->port, 2);
}

static bool take_endpoint(const char **at, const char *end, struct endpoint *ep, uint16_t family) {
    uint64_t port;
    memset(ep, 0, sizeof *ep);
    ep->family = family;
    if (!hex_take(at, end, ep->addr, family == AF_INET6 ? 16 : 4) ||
        !hex_take_number(at, end, &port, 2))
        return false;
    ep->port = (uint16_t)port;
    return true;
}

socklen_t helper_outcome_pack(const struct helper_outcome *outcome, struct sockaddr_un *name) {
    bool v6 = outcome->dest.family == AF_INET6;
    struct endpoint dest = outcome->dest;
    dest.family = v6 ? AF_INET6 : AF_INET;
    struct endpoint local = endpoint_as_family(&outcome->local, dest.family);

    memset(name, 0, sizeof *name);
    name->sun_family = AF_UNIX;
    char *at = name->sun_path + 1;
    memcpy(at, NAME_PREFIX, NAME_PREFIX_LEN);
    at = hex_put_number(at + NAME_PREFIX_LEN, outcome->id, 8);
    if (outcome->err) {
        *at++ = v6 ? 'E' : 'e';
        at = hex_put_number(at, (uint16_t)outcome->err, 2);
    } else {
        *at++ = v6 ? 'C' : 'c';
    }
    at = put_endpoint(at, &dest);
    at = put_endpoint(at, &local);
    if (v6 && dest.scope_id && !outcome->err)
        at = hex_put_number(at, dest.scope_id, 4);
    return (socklen_t)(at - (char *)name);
}

bool helper_outcome_unpack(struct helper_outcome *outcome, const struct sockaddr_un *name,
                           socklen_t len) {
    struct helper_outcome out = {0};
    uint64_t number = 0;
    if (len <= NAME_PATH_OFF + 1 + NAME_PREFIX_LEN || len > sizeof *name ||
        name->sun_family != AF_UNIX || name->sun_path[0] != '\0' ||
        memcmp(name->sun_path + 1, NAME_PREFIX, NAME_PREFIX_LEN) != 0)
        return false;
    const char *at = name->sun_path + 1 + NAME_PREFIX_LEN;
    const char *end = (const char *)name + len;
    if (!hex_take_number(&at, end, &out.id, 8) || at == end)
        return false;
    char state = *at++;
    if (!strchr("cCeE", state))
        return false;
    uint16_t family = state == 'C' || state == 'E' ? AF_INET6 : AF_INET;
    if (state == 'e' || state == 'E') {
        if (!hex_take_number(&at, end, &number, 2) || number == 0)
            return false;
        out.err = (int)number;
    }
    if (!take_endpoint(&at, end, &out.dest, family) || !take_endpoint(&at, end, &out.local, family))
        return false;
    if (at != end) {
        if (!hex_take_number(&at, end, &number, 4) || at != end)
            return false;
        out.dest.scope_id = (uint32_t)number;
    }
    *outcome = out;
    return true;
}

bool helper_name_is_valid(const struct sockaddr_un *name, socklen_t len) {
    static const char file[] = "/" HELPER_SOCKET_FILE;
    static const char prefix[] = HELPER_ABSTRACT_PREFIX;
    if (len <= NAME_PATH_OFF || len > sizeof *name || name->sun_family != AF_UNIX)
        return false;
    size_t path_len = len - NAME_PATH_OFF;
    if (name->sun_path[0] == '\0')
        return path_len >= sizeof prefix &&
               memcmp(name->sun_path + 1, prefix, sizeof prefix - 1) == 0;
    path_len = strnlen(name->sun_path, path_len);
    return path_len >= sizeof file - 1 &&
           memcmp(name->sun_path + path_len - (sizeof file - 1), file, sizeof file - 1) == 0;
}

socklen_t helper_path_name(struct sockaddr_un *name, const char *path) {
    static const char file[] = "/" HELPER_SOCKET_FILE;
    size_t len = strlen(path);
    memset(name, 0, sizeof *name);
    if (len >= sizeof name->sun_path || len < sizeof file - 1 ||
        strcmp(path + len - (sizeof file - 1), file) != 0)
        return 0;
    name->sun_family = AF_UNIX;
    memcpy(name->sun_path, path, len + 1);
    return (socklen_t)(NAME_PATH_OFF + len + 1);
}

socklen_t helper_abstract_name(struct sockaddr_un *name, const char *path) {
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a, 64 bits */
    for (const char *c = path; *c; c++)
        hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
    memset(name, 0, sizeof *name);
    name->sun_family = AF_UNIX;
    char *at = name->sun_path + 1;
    memcpy(at, HELPER_ABSTRACT_PREFIX, sizeof HELPER_ABSTRACT_PREFIX - 1);
    at = hex_put_number(at + sizeof HELPER_ABSTRACT_PREFIX - 1, hash, 8);
    return (socklen_t)(at - (char *)name);
}
