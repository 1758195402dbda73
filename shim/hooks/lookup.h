/* SPDX-License-Identifier: MIT */
/*
 * lookup.h - the lookups of names, watched for routes by host name.
 *
 * A name that matches a name rule of a route is resolved by libc as ever, and what came out is
 * remembered (name_cache.h). If libc cannot resolve it the helper gives it a synthetic address
 * (name_ask.h), and the gateway resolves the name at connect. Where no helper answers that is a
 * temporary failure (EAI_AGAIN); where it has no address left, a permanent one (EAI_FAIL). Names
 * that match no rule, and everything if no route has a name rule, go straight to libc.
 */
#ifndef SHIM_HOOKS_LOOKUP_H
#define SHIM_HOOKS_LOOKUP_H

#include <netdb.h>
#include <sys/socket.h>

int shim_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                     struct addrinfo **res);
int shim_getnameinfo(const struct sockaddr *addr, socklen_t len, char *host, socklen_t host_len,
                     char *serv, socklen_t serv_len, int flags);
struct hostent *shim_gethostbyname(const char *name);
struct hostent *shim_gethostbyname2(const char *name, int family);
int shim_gethostbyname_r(const char *name, struct hostent *ret, char *buf, size_t len,
                         struct hostent **result, int *h_error);
int shim_gethostbyname2_r(const char *name, int family, struct hostent *ret, char *buf, size_t len,
                          struct hostent **result, int *h_error);
struct hostent *shim_gethostbyaddr(const void *addr, socklen_t len, int family);
int shim_gethostbyaddr_r(const void *addr, socklen_t len, int family, struct hostent *ret,
                         char *buf, size_t size, struct hostent **result, int *h_error);

#endif
