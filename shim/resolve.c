/* resolve.c - see resolve.h. */
#include "resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"
#include "real.h"
#include "settings.h"

#ifndef NETDB_INTERNAL /* musl */
#define NETDB_INTERNAL (-1)
#endif

static bool is_watched(const char *name) {
    const struct settings *settings = name ? settings_get() : NULL;
    return settings && route_list_watches_name(&settings->routes, name);
}

static void remember_list(const char *name, const struct addrinfo *list) {
    struct shim_endpoint address;
    for (; list; list = list->ai_next)
        if (shim_endpoint_from_sockaddr(&address, list->ai_addr, list->ai_addrlen))
            names_remember(&address, name);
}

/* Failures that say "this name has no address here", as opposed to bad arguments. */
static bool is_unknown_name(int error) {
    return error == EAI_NONAME || error == EAI_AGAIN || error == EAI_FAIL
#ifdef EAI_NODATA
           || error == EAI_NODATA
#endif
#ifdef EAI_ADDRFAMILY
           || error == EAI_ADDRFAMILY
#endif
        ;
}

/* Lets libc build the list, for the synthetic address as a numeric host: the program frees it with
 * libc's freeaddrinfo. */
static int synthetic_list(const char *node, const char *service, const struct addrinfo *hints,
                          struct addrinfo **res, int error) {
    struct addrinfo numeric = {0};
    struct shim_endpoint address;
    char text[INET6_ADDRSTRLEN];
    if (hints)
        numeric = *hints;
    int family = numeric.ai_family == AF_INET6 ? AF_INET6 : AF_INET;
    if (!names_synthesize(node, family, &address))
        return error;
    numeric.ai_flags = (numeric.ai_flags & ~AI_ADDRCONFIG) | AI_NUMERICHOST;
    inet_ntop(family, address.addr, text, sizeof text);
    int result = real.getaddrinfo(text, service, &numeric, res);
    if (result == 0 && numeric.ai_flags & AI_CANONNAME && *res) {
        char *canonical = strdup(node);
        if (canonical) {
            free((*res)->ai_canonname);
            (*res)->ai_canonname = canonical;
        }
    }
    return result;
}

int shim_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                     struct addrinfo **res) {
    int result = real.getaddrinfo(node, service, hints, res);
    if (!is_watched(node) || (hints && hints->ai_flags & AI_NUMERICHOST))
        return result;
    if (result == 0)
        remember_list(node, *res);
    else if (is_unknown_name(result))
        result = synthetic_list(node, service, hints, res, result);
    return result;
}

/* The name of a synthetic address, if the program wants names. */
static bool synthetic_name(const void *addr, socklen_t len, int family, char *name, size_t size) {
    struct shim_endpoint address = {.family = (uint16_t)family};
    if ((family != AF_INET || len != 4) && (family != AF_INET6 || len != 16))
        return false;
    memcpy(address.addr, addr, len);
    return names_is_synthetic(&address) && names_find(&address, name, size);
}

int shim_getnameinfo(const struct sockaddr *addr, socklen_t len, char *host, socklen_t host_len,
                     char *serv, socklen_t serv_len, int flags) {
    struct shim_endpoint address;
    char name[SHIM_HOST_NAME_MAX + 1];
    if (flags & NI_NUMERICHOST || !host || !shim_endpoint_from_sockaddr(&address, addr, len) ||
        !names_is_synthetic(&address) || !names_find(&address, name, sizeof name))
        return real.getnameinfo(addr, len, host, host_len, serv, serv_len, flags);
    if (strlen(name) >= host_len)
        return EAI_OVERFLOW;
    strcpy(host, name);
    return serv && serv_len ? real.getnameinfo(addr, len, NULL, 0, serv, serv_len, flags) : 0;
}

/* The old interface: one name, addresses of one family, everything in the caller's buffer. */
struct host_buffer {
    char *list[2];
    char *no_aliases[1];
    uint8_t addr[16];
    char name[SHIM_HOST_NAME_MAX + 1];
};

static void remember_hostent(const char *name, const struct hostent *host) {
    struct shim_endpoint address = {.family = (uint16_t)host->h_addrtype};
    for (char **addr = host->h_addr_list; *addr && host->h_length <= 16; addr++) {
        memcpy(address.addr, *addr, (size_t)host->h_length);
        names_remember(&address, name);
    }
}

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

/* Builds a host entry in the caller's `buf`. Returns 0, or ERANGE as the _r functions do. */
static int build_hostent(struct hostent *host, char *buf, size_t len, const char *name,
                         const uint8_t *addr, int family) {
    size_t skip = -(uintptr_t)buf % _Alignof(struct host_buffer);
    if (len < skip + sizeof(struct host_buffer))
        return ERANGE;
    fill_hostent(host, (struct host_buffer *)(void *)(buf + skip), name, addr, family);
    return 0;
}

static struct host_buffer static_buffer; /* as libc's: one per process, overwritten by each call */
static struct hostent static_host;

static struct hostent *watch_result(const char *name, int family, struct hostent *host) {
    struct shim_endpoint address;
    if (!is_watched(name))
        return host;
    if (host) {
        remember_hostent(name, host);
        return host;
    }
    if (!names_synthesize(name, family, &address))
        return NULL;
    fill_hostent(&static_host, &static_buffer, name, address.addr, family);
    return &static_host;
}

struct hostent *shim_gethostbyname(const char *name) {
    return watch_result(name, AF_INET, real.gethostbyname(name));
}

struct hostent *shim_gethostbyname2(const char *name, int family) {
    return watch_result(name, family, real.gethostbyname2(name, family));
}

static int watch_result_r(const char *name, int family, int error, struct hostent *ret, char *buf,
                          size_t len, struct hostent **result, int *h_error) {
    struct shim_endpoint address;
    if (error == ERANGE || !is_watched(name))
        return error;
    if (error == 0 && *result) {
        remember_hostent(name, *result);
        return 0;
    }
    if (!names_synthesize(name, family, &address))
        return error;
    error = build_hostent(ret, buf, len, name, address.addr, family);
    *result = error ? NULL : ret;
    *h_error = error ? NETDB_INTERNAL : 0;
    return error;
}

int shim_gethostbyname_r(const char *name, struct hostent *ret, char *buf, size_t len,
                         struct hostent **result, int *h_error) {
    int error = real.gethostbyname_r(name, ret, buf, len, result, h_error);
    return watch_result_r(name, AF_INET, error, ret, buf, len, result, h_error);
}

int shim_gethostbyname2_r(const char *name, int family, struct hostent *ret, char *buf, size_t len,
                          struct hostent **result, int *h_error) {
    int error = real.gethostbyname2_r(name, family, ret, buf, len, result, h_error);
    return watch_result_r(name, family, error, ret, buf, len, result, h_error);
}

struct hostent *shim_gethostbyaddr(const void *addr, socklen_t len, int family) {
    char name[SHIM_HOST_NAME_MAX + 1];
    uint8_t bytes[16] = {0};
    if (!synthetic_name(addr, len, family, name, sizeof name))
        return real.gethostbyaddr(addr, len, family);
    memcpy(bytes, addr, len);
    fill_hostent(&static_host, &static_buffer, name, bytes, family);
    return &static_host;
}

int shim_gethostbyaddr_r(const void *addr, socklen_t len, int family, struct hostent *ret,
                         char *buf, size_t size, struct hostent **result, int *h_error) {
    char name[SHIM_HOST_NAME_MAX + 1];
    uint8_t bytes[16] = {0};
    if (!synthetic_name(addr, len, family, name, sizeof name))
        return real.gethostbyaddr_r(addr, len, family, ret, buf, size, result, h_error);
    memcpy(bytes, addr, len);
    int error = build_hostent(ret, buf, size, name, bytes, family);
    *result = error ? NULL : ret;
    *h_error = error ? NETDB_INTERNAL : 0;
    return error;
}
