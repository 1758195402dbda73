/* SPDX-License-Identifier: MIT */
/* lookups.c - names of a route through every old function, with buffers of every size and from many
 * threads at once: lookups NAME PORT. Prints "good", or what is not. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOM    1200
#define THREADS 16
#define ROUNDS  50

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("line %d: %s\n", __LINE__, #condition);                                         \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static const char *name, *port;

static int inside(const void *pointer, const char *buf, size_t len) {
    return (const char *)pointer >= buf && (const char *)pointer < buf + len;
}

/* A result of an _r function: whole and in the buffer, or ERANGE and nothing. */
static int check(int error, const struct hostent *found, const char *buf, size_t len, int h_error) {
    if (error == ERANGE) {
        MUST(!found && h_error == NETDB_INTERNAL);
        return 0;
    }
    MUST(error == 0 && found);
    MUST(strcasecmp(found->h_name, name) == 0 && inside(found->h_name, buf, len));
    MUST(inside(found->h_addr_list, buf, len) && inside(found->h_addr_list[0], buf, len));
    MUST(!found->h_addr_list[1] && inside(found->h_aliases, buf, len) && !found->h_aliases[0]);
    return 1;
}

/* One buffer size, which ends where the memory does. */
static int every_function(size_t len, const struct hostent *six, const struct hostent *four) {
    char *buf = malloc(len + !len);
    struct hostent room, *found = NULL;
    int h_error = -1, good;
    MUST(buf);
    int error = gethostbyname_r(name, &room, buf, len, &found, &h_error);
    good = check(error, found, buf, len, h_error);
    error = gethostbyname2_r(name, AF_INET6, &room, buf, len, &found, &h_error);
    good += check(error, found, buf, len, h_error);
    MUST(error || memcmp(found->h_addr_list[0], six->h_addr_list[0], 16) == 0);
    error = gethostbyaddr_r(four->h_addr_list[0], 4, AF_INET, &room, buf, len, &found, &h_error);
    good += check(error, found, buf, len, h_error);
    error = gethostbyaddr_r(six->h_addr_list[0], 16, AF_INET6, &room, buf, len, &found, &h_error);
    good += check(error, found, buf, len, h_error);
    free(buf);
    return good;
}

static struct hostent copy_of(const struct hostent *host, char *addr, char **list) {
    struct hostent copy = *host;
    memcpy(addr, host->h_addr_list[0], (size_t)host->h_length);
    list[0] = addr;
    list[1] = NULL;
    copy.h_addr_list = list;
    return copy;
}

static void sizes(void) {
    char addr[2][16], *list[2][2];
    const struct hostent *host = gethostbyname(name);
    MUST(host && host->h_addrtype == AF_INET && host->h_length == 4);
    struct hostent four = copy_of(host, addr[0], list[0]);
    host = gethostbyname2(name, AF_INET6);
    MUST(host && host->h_addrtype == AF_INET6 && host->h_length == 16);
    struct hostent six = copy_of(host, addr[1], list[1]);
    host = gethostbyaddr(four.h_addr_list[0], 4, AF_INET);
    MUST(host && strcasecmp(host->h_name, name) == 0);
    MUST(every_function(0, &six, &four) == 0);
    for (size_t len = 0; len <= ROOM; len += 13)
        every_function(len, &six, &four);
    MUST(every_function(ROOM, &six, &four) == 4);
}

static void *lookups(void *expected) {
    for (int i = 0; i < ROUNDS; i++) {
        struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list = NULL;
        char host[NI_MAXHOST];
        MUST(getaddrinfo(name, port, &hints, &list) == 0 && list && !list->ai_next);
        MUST(memcmp(list->ai_addr, expected, sizeof(struct sockaddr_in)) == 0);
        MUST(getnameinfo(list->ai_addr, list->ai_addrlen, host, sizeof host, NULL, 0,
                         NI_NAMEREQD) == 0);
        MUST(strcasecmp(host, name) == 0);
        MUST(getnameinfo(list->ai_addr, list->ai_addrlen, host, (socklen_t)strlen(name), NULL, 0,
                         0) == EAI_OVERFLOW);
        freeaddrinfo(list);
    }
    return NULL;
}

static void threads(void) {
    pthread_t thread[THREADS];
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list;
    MUST(getaddrinfo(name, port, &hints, &list) == 0);
    for (int i = 0; i < THREADS; i++)
        MUST(pthread_create(&thread[i], NULL, lookups, list->ai_addr) == 0);
    for (int i = 0; i < THREADS; i++)
        MUST(pthread_join(thread[i], NULL) == 0);
    freeaddrinfo(list);
}

int main(int argc, char **argv) {
    MUST(argc == 3);
    name = argv[1];
    port = argv[2];
    sizes();
    threads();
    puts("good");
    return 0;
}
