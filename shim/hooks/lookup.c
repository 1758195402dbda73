/* SPDX-License-Identifier: MIT */
/* lookup.c - getaddrinfo, getnameinfo, and what all lookups share. See lookup.h. */
#include "shim/hooks/lookup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shim/base/libc.h"
#include "shim/base/shim_log.h"
#include "shim/process/name_cache.h"

/* ---- Shared ---- */

const struct settings *lookup_watches(const char *name) {
    const struct settings *settings = name ? settings_get() : NULL;
    return settings && route_list_watches_name(&settings->routes, name) ? settings : NULL;
}

const struct settings *lookup_synthetic(const struct endpoint *address) {
    const struct settings *settings = settings_get();
    return settings && settings->routes.n_name_rules && name_ranges_hold(&settings->names, address)
               ? settings
               : NULL;
}

/* A real address in the synthetic range could be taken for another name's, so it is not
 * remembered. */
void lookup_remember(const struct settings *settings, const struct endpoint *address,
                     const char *name) {
    if (!name_ranges_hold(&settings->names, address))
        name_cache_remember(address, name);
}

/* A failed lookup may have taken long, so a second one is made only where it is likely to succeed:
 * names with only IPv4 addresses are common, names with only IPv6 addresses are not. */
bool lookup_known_otherwise(const char *name, int family, bool no_data) {
    struct addrinfo hints = {.ai_family = family == AF_INET ? AF_INET6 : AF_INET,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int saved = h_errno;
    if (family != AF_INET6 && (family != AF_INET || !no_data))
        return false;
    bool known = real.getaddrinfo(name, NULL, &hints, &list) == 0;
    if (known)
        freeaddrinfo(list);
    h_errno = saved;
    return known;
}

static void log_lookup(const char *name, const struct endpoint *address, int err) {
    char text[ENDPOINT_TEXT_SIZE];
    if (!shim_log_wanted())
        return;
    shim_log("lookup of %s: %s", name,
             err == ENOENT   ? "no route of the helper has this name"
             : err == EAGAIN ? "no helper answers"
             : err           ? strerror(err)
                             : endpoint_text(address, text, sizeof text));
}

int lookup_synthesize(const struct settings *settings, const char *name, int family,
                      struct endpoint *address) {
    char kept[HELPER_HOST_NAME_MAX + 1];
    if (!helper_host_name_valid(name, strnlen(name, HELPER_HOST_NAME_MAX + 1)))
        return ENOENT;
    int err =
        name_ask_address(settings, name, family == AF_INET6 ? AF_INET6 : AF_INET, address, kept);
    if (err == ENOSPC && family == AF_UNSPEC)
        err = name_ask_address(settings, name, AF_INET6, address, kept);
    log_lookup(name, address, err);
    if (err == 0)
        name_cache_remember(address, kept);
    return err;
}

int lookup_name(const struct settings *settings, const struct endpoint *address,
                char name[HELPER_HOST_NAME_MAX + 1]) {
    struct endpoint plain = endpoint_unmapped(address);
    if (name_cache_find(&plain, name, HELPER_HOST_NAME_MAX + 1))
        return 0;
    int err = name_ask_name(settings, &plain, name);
    if (err == 0)
        name_cache_remember(&plain, name);
    return err;
}

struct lookup_failure lookup_failure(int err) {
    static const struct {
        int err;
        struct lookup_failure failure;
    } table[] = {
        {ENOENT, {0, 0}},
        {EACCES, {0, 0}},
        {EAGAIN, {EAI_AGAIN, TRY_AGAIN}},
        {EMFILE, {EAI_SYSTEM, NETDB_INTERNAL}},
        {ENFILE, {EAI_SYSTEM, NETDB_INTERNAL}},
        {ENOMEM, {EAI_MEMORY, NETDB_INTERNAL}},
        {ENOBUFS, {EAI_MEMORY, NETDB_INTERNAL}},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].err == err)
            return table[i].failure;
    return (struct lookup_failure){EAI_FAIL, NO_RECOVERY};
}

/* ---- getaddrinfo ---- */

static bool is_no_data(int error) {
#ifdef EAI_NODATA
    if (error == EAI_NODATA)
        return true;
#endif
#ifdef EAI_ADDRFAMILY
    if (error == EAI_ADDRFAMILY)
        return true;
#endif
    (void)error;
    return false;
}

/* Does this failure mean "the name has no address here", rather than bad arguments? */
static bool is_unknown_name(int error) {
    return error == EAI_NONAME || error == EAI_AGAIN || error == EAI_FAIL || is_no_data(error);
}

static void remember_list(const struct settings *settings, const char *name,
                          const struct addrinfo *list) {
    struct endpoint address;
    for (; list; list = list->ai_next)
        if (endpoint_from_sockaddr(&address, list->ai_addr, list->ai_addrlen))
            lookup_remember(settings, &address, name);
}

/* Replaces the numeric canonical name by the real one. musl stores it in the same block as the
 * list; if the name is longer than the numeric text there is no room, and that text stays. */
static void set_canonical_name(struct addrinfo *list, const char *name) {
#ifdef __GLIBC__
    char *canonical = strdup(name);
    if (canonical) {
        free(list->ai_canonname);
        list->ai_canonname = canonical;
    }
#else
    if (list->ai_canonname && strlen(name) <= strlen(list->ai_canonname))
        strcpy(list->ai_canonname, name);
#endif
}

/* Lets libc build the list from the synthetic address as a numeric host, because the program frees
 * it with libc's freeaddrinfo. */
static int synthetic_list(const struct settings *settings, const char *node, const char *service,
                          const struct addrinfo *hints, struct addrinfo **res, int error) {
    struct addrinfo numeric = {0};
    struct endpoint address;
    char text[INET6_ADDRSTRLEN];
    if (hints)
        numeric = *hints;
    int err = lookup_synthesize(settings, node, numeric.ai_family, &address);
    if (err) {
        int eai = lookup_failure(err).eai;
        if (eai == EAI_SYSTEM)
            errno = err;
        return eai ? eai : error;
    }
    numeric.ai_flags = (numeric.ai_flags & ~AI_ADDRCONFIG) | AI_NUMERICHOST;
    inet_ntop(address.family, address.addr, text, sizeof text);
    int result = real.getaddrinfo(text, service, &numeric, res);
    if (result == 0 && numeric.ai_flags & AI_CANONNAME && *res)
        set_canonical_name(*res, node);
    return result;
}

int shim_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                     struct addrinfo **res) {
    int result = real.getaddrinfo(node, service, hints, res);
    const struct settings *settings = lookup_watches(node);
    if (!settings || (hints && hints->ai_flags & AI_NUMERICHOST))
        return result;
    if (result == 0)
        remember_list(settings, node, *res);
    else if (is_unknown_name(result) &&
             !lookup_known_otherwise(node, hints ? hints->ai_family : AF_UNSPEC,
                                     is_no_data(result)))
        result = synthetic_list(settings, node, service, hints, res, result);
    return result;
}

/* ---- getnameinfo ---- */

/* libc must not look up a synthetic address: no name server knows it, and the query would leak
 * it. */
static int without_name(const struct sockaddr *addr, socklen_t len, char *host, socklen_t host_len,
                        char *serv, socklen_t serv_len, int flags, int err) {
    if (flags & NI_NAMEREQD)
        return err == ENOENT ? EAI_NONAME : EAI_AGAIN;
    return real.getnameinfo(addr, len, host, host_len, serv, serv_len, flags | NI_NUMERICHOST);
}

int shim_getnameinfo(const struct sockaddr *addr, socklen_t len, char *host, socklen_t host_len,
                     char *serv, socklen_t serv_len, int flags) {
    struct endpoint address;
    char name[HELPER_HOST_NAME_MAX + 1];
    const struct settings *settings;
    if (flags & NI_NUMERICHOST || !host || !host_len ||
        !endpoint_from_sockaddr(&address, addr, len) || !(settings = lookup_synthetic(&address)))
        return real.getnameinfo(addr, len, host, host_len, serv, serv_len, flags);
    int err = lookup_name(settings, &address, name);
    if (err)
        return without_name(addr, len, host, host_len, serv, serv_len, flags, err);
    if (strlen(name) >= host_len)
        return EAI_OVERFLOW;
    strcpy(host, name);
    return serv && serv_len
               ? real.getnameinfo(addr, len, NULL, 0, serv, serv_len, flags & ~NI_NAMEREQD)
               : 0;
}
