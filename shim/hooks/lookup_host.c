/* SPDX-License-Identifier: MIT */
/* lookup_host.c - the old interface: gethostbyname, gethostbyaddr and their like. See lookup.h. */
#include <errno.h>
#include <string.h>

#include "shim/base/libc.h"
#include "shim/hooks/lookup.h"

/* What a struct hostent points to: one name and one address, all in one buffer. */
struct host_buffer {
    char *list[2];
    char *no_aliases[1];
    uint8_t addr[16];
    char name[HELPER_HOST_NAME_MAX + 1];
};

static void fill_hostent(struct hostent *host, struct host_buffer *buffer, const char *name,
                         const uint8_t *addr, int family) {
    strcpy(buffer->name, name);
    memcpy(buffer->addr, addr, 16);
    buffer->list[0] = (char *)buffer->addr;
    buffer->list[1] = NULL;
    buffer->no_aliases[0] = NULL;
    *host = (struct hostent){.h_name = buffer->name,
                             .h_aliases = buffer->no_aliases,
                             .h_addrtype = family,
                             .h_length = family == AF_INET6 ? 16 : 4,
                             .h_addr_list = buffer->list};
}

/* Where the result of an _r function goes. */
struct host_result {
    struct hostent *ret;
    char *buf;
    size_t len;
    struct hostent **result;
    int *h_error;
};

/* Builds a host entry in the caller's buffer. Returns 0, or ERANGE if it is too small, as the _r
 * functions do. */
static int build_hostent(const struct host_result *out, const char *name, const uint8_t *addr,
                         int family) {
    size_t skip = -(uintptr_t)out->buf % _Alignof(struct host_buffer);
    bool fits = out->len >= skip + sizeof(struct host_buffer);
    if (fits)
        fill_hostent(out->ret, (struct host_buffer *)(void *)(out->buf + skip), name, addr, family);
    *out->result = fits ? out->ret : NULL;
    *out->h_error = fits ? 0 : NETDB_INTERNAL;
    return fits ? 0 : ERANGE;
}

/* Nothing was found. Returns what libc's _r functions return: EAGAIN for TRY_AGAIN, an errno for
 * NETDB_INTERNAL, else 0. */
static int fail_r(const struct host_result *out, int h_error, int err) {
    *out->result = NULL;
    *out->h_error = h_error;
    h_errno = h_error; /* libc's resolver sets both, and Python reads this one */
    return h_error == TRY_AGAIN ? EAGAIN : h_error == NETDB_INTERNAL ? err : 0;
}

static struct host_buffer static_buffer; /* like libc's: shared, overwritten by each call */
static struct hostent static_host;

static struct hostent *static_result(const char *name, const uint8_t *addr, int family) {
    fill_hostent(&static_host, &static_buffer, name, addr, family);
    return &static_host;
}

static struct hostent *fail_static(int h_error, int err) {
    h_errno = h_error;
    if (h_error == NETDB_INTERNAL)
        errno = err;
    return NULL;
}

/* ---- Names ---- */

static void remember_hostent(const struct settings *settings, const char *name,
                             const struct hostent *host) {
    struct endpoint address = {.family = (uint16_t)host->h_addrtype};
    for (char **addr = host->h_addr_list; *addr && host->h_length <= 16; addr++) {
        memcpy(address.addr, *addr, (size_t)host->h_length);
        lookup_remember(settings, &address, name);
    }
}

/* Does this failure mean "the name has no address here"? */
static bool is_unknown(const char *name, int family, int h_error) {
    return (h_error == HOST_NOT_FOUND || h_error == TRY_AGAIN || h_error == NO_RECOVERY ||
            h_error == NO_DATA) &&
           (family == AF_INET || family == AF_INET6) &&
           !lookup_known_otherwise(name, family, h_error == NO_DATA);
}

static struct hostent *watch_result(const char *name, int family, struct hostent *host) {
    const struct settings *settings = lookup_watches(name);
    struct endpoint address;
    if (settings && host)
        remember_hostent(settings, name, host);
    if (!settings || host || !is_unknown(name, family, h_errno))
        return host;
    int err = lookup_synthesize(settings, name, family, &address);
    if (err == 0)
        return static_result(name, address.addr, family);
    int h_error = lookup_failure(err).h_error;
    return h_error ? fail_static(h_error, err) : NULL;
}

struct hostent *shim_gethostbyname(const char *name) {
    return watch_result(name, AF_INET, real.gethostbyname(name));
}

struct hostent *shim_gethostbyname2(const char *name, int family) {
    return watch_result(name, family, real.gethostbyname2(name, family));
}

static int watch_result_r(const char *name, int family, int error, const struct host_result *out) {
    const struct settings *settings = lookup_watches(name);
    struct endpoint address;
    if (!settings || error == ERANGE)
        return error;
    if (error == 0 && *out->result) {
        remember_hostent(settings, name, *out->result);
        return 0;
    }
    if (!is_unknown(name, family, *out->h_error))
        return error;
    int err = lookup_synthesize(settings, name, family, &address);
    if (err == 0)
        return build_hostent(out, name, address.addr, family);
    int h_error = lookup_failure(err).h_error;
    return h_error ? fail_r(out, h_error, err) : error;
}

int shim_gethostbyname_r(const char *name, struct hostent *ret, char *buf, size_t len,
                         struct hostent **result, int *h_error) {
    struct host_result out = {ret, buf, len, result, h_error};
    int error = real.gethostbyname_r(name, ret, buf, len, result, h_error);
    return watch_result_r(name, AF_INET, error, &out);
}

int shim_gethostbyname2_r(const char *name, int family, struct hostent *ret, char *buf, size_t len,
                          struct hostent **result, int *h_error) {
    struct host_result out = {ret, buf, len, result, h_error};
    int error = real.gethostbyname2_r(name, family, ret, buf, len, result, h_error);
    return watch_result_r(name, family, error, &out);
}

/* ---- Addresses ---- */

/* The settings if the program asks about a synthetic address, which is stored in *address; else
 * NULL. */
static const struct settings *asks_about_synthetic(const void *addr, socklen_t len, int family,
                                                   struct endpoint *address) {
    *address = (struct endpoint){.family = (uint16_t)family};
    if (!addr || ((family != AF_INET || len != 4) && (family != AF_INET6 || len != 16)))
        return NULL;
    memcpy(address->addr, addr, len);
    return lookup_synthetic(address);
}

struct hostent *shim_gethostbyaddr(const void *addr, socklen_t len, int family) {
    struct endpoint address;
    char name[HELPER_HOST_NAME_MAX + 1];
    const struct settings *settings = asks_about_synthetic(addr, len, family, &address);
    if (!settings)
        return real.gethostbyaddr(addr, len, family);
    int err = lookup_name(settings, &address, name);
    if (err)
        return fail_static(err == ENOENT ? HOST_NOT_FOUND : TRY_AGAIN, err);
    return static_result(name, address.addr, family);
}

int shim_gethostbyaddr_r(const void *addr, socklen_t len, int family, struct hostent *ret,
                         char *buf, size_t size, struct hostent **result, int *h_error) {
    struct host_result out = {ret, buf, size, result, h_error};
    struct endpoint address;
    char name[HELPER_HOST_NAME_MAX + 1];
    const struct settings *settings = asks_about_synthetic(addr, len, family, &address);
    if (!settings)
        return real.gethostbyaddr_r(addr, len, family, ret, buf, size, result, h_error);
    int err = lookup_name(settings, &address, name);
    if (err)
        return fail_r(&out, err == ENOENT ? HOST_NOT_FOUND : TRY_AGAIN, err);
    return build_hostent(&out, name, address.addr, family);
}
