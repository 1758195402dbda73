/* resolver.c - see resolver.h. */
#include "helper/resolver.h"

#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

/* One try is answered within this time or repeated; three tries. */
#define TRY_MS 2000
#define TRIES  3

/* At once. The library looks at all of them again and again, and cancelled ones stay until answered. */
#define QUERIES_MAX 1000

struct resolver_socket {
    struct resolver *resolver;
    struct loop_watch watch;
    struct loop_garbage garbage;
    struct resolver_socket *next;
};

struct resolver {
    struct loop *loop;
    ares_channel channel;
    struct loop_timer timer;
    struct resolver_socket *sockets;
    unsigned pending; /* queries under way, cancelled ones included */
};

/* Outlives a cancelled query: the library offers no cancelling of one query. */
struct resolver_ticket {
    struct resolver *resolver;
    struct resolver_query *query; /* NULL: cancelled */
    uint16_t port;
};

static void arm(struct resolver *resolver);

static void on_timer(struct loop_timer *timer) {
    struct resolver *resolver = container_of(timer, struct resolver, timer);
    ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    arm(resolver);
}

static void arm(struct resolver *resolver) {
    struct timeval wait;
    if (!ares_timeout(resolver->channel, NULL, &wait)) {
        loop_timer_clear(resolver->loop, &resolver->timer);
        return;
    }
    uint64_t due_us = loop_now_us(resolver->loop) + 1000 + (uint64_t)wait.tv_sec * 1000000u +
                      (uint64_t)wait.tv_usec;
    loop_timer_set(resolver->loop, &resolver->timer, due_us, on_timer);
}

static void on_socket(struct loop_watch *watch, uint32_t events) {
    struct resolver_socket *socket = container_of(watch, struct resolver_socket, watch);
    struct resolver *resolver = socket->resolver;
    bool in = events & (EPOLLIN | EPOLLHUP | EPOLLERR), out = events & EPOLLOUT;
    ares_process_fd(resolver->channel, in ? watch->fd : ARES_SOCKET_BAD,
                    out ? watch->fd : ARES_SOCKET_BAD);
    arm(resolver);
}

static void free_socket(struct loop_garbage *garbage) {
    free(container_of(garbage, struct resolver_socket, garbage));
}

static void drop_socket(struct resolver *resolver, struct resolver_socket **at) {
    struct resolver_socket *socket = *at;
    *at = socket->next;
    loop_watch_release(resolver->loop, &socket->watch); /* the library closes it */
    loop_discard(resolver->loop, &socket->garbage, free_socket);
}

static void add_socket(struct resolver *resolver, int fd, uint32_t mask) {
    struct resolver_socket *socket = calloc(1, sizeof *socket);
    if (!socket)
        return; /* the query times out */
    socket->resolver = resolver;
    if (loop_watch_add(resolver->loop, &socket->watch, fd, mask, on_socket) != 0) {
        free(socket);
        return;
    }
    socket->next = resolver->sockets;
    resolver->sockets = socket;
}

static void socket_state(void *user, ares_socket_t fd, int readable, int writable) {
    struct resolver *resolver = user;
    struct resolver_socket **at = &resolver->sockets;
    uint32_t mask = LOOP_LEVEL | (readable ? EPOLLIN : 0) | (writable ? EPOLLOUT : 0);
    while (*at && (*at)->watch.fd != fd)
        at = &(*at)->next;
    if (!*at) {
        if (readable || writable)
            add_socket(resolver, fd, mask);
    } else if (readable || writable) {
        loop_watch_mask(resolver->loop, &(*at)->watch, mask);
    } else {
        drop_socket(resolver, at);
    }
}

struct resolver *resolver_new(struct loop *loop, const char **why) {
    struct resolver *resolver = calloc(1, sizeof *resolver);
    int status = ARES_ENOMEM;
    if (resolver) {
        struct ares_options options = {.timeout = TRY_MS,
                                       .tries = TRIES,
                                       .sock_state_cb = socket_state,
                                       .sock_state_cb_data = resolver};
        resolver->loop = loop;
        status = ares_library_init(ARES_LIB_INIT_ALL);
        if (status == ARES_SUCCESS)
            status =
                ares_init_options(&resolver->channel, &options,
                                  ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    }
    if (status == ARES_SUCCESS)
        return resolver;
    *why = ares_strerror(status);
    free(resolver);
    return NULL;
}

void resolver_free(struct resolver *resolver) {
    if (!resolver)
        return;
    ares_destroy(resolver->channel);
    loop_timer_clear(resolver->loop, &resolver->timer);
    free(resolver);
}

static int errno_from_status(int status) {
    switch (status) {
    case ARES_SUCCESS:
        return 0;
    case ARES_ETIMEOUT:
        return ETIMEDOUT;
    case ARES_ENOMEM:
        return ENOMEM;
    case ARES_EDESTRUCTION:
    case ARES_ECANCELLED:
        return ECANCELED;
    default:
        return EHOSTUNREACH;
    }
}

static void on_result(void *user, int status, int timeouts, struct ares_addrinfo *result) {
    struct resolver_ticket *ticket = user;
    struct resolver_query *query = ticket->query;
    struct shim_endpoint addresses[RESOLVER_ADDRESSES_MAX];
    int count = 0;
    (void)timeouts;
    if (status == ARES_SUCCESS) {
        for (struct ares_addrinfo_node *node = result->nodes;
             node && count < RESOLVER_ADDRESSES_MAX; node = node->ai_next)
            if (shim_endpoint_from_sockaddr(&addresses[count], node->ai_addr, node->ai_addrlen))
                addresses[count++].port = ticket->port;
    }
    if (result)
        ares_freeaddrinfo(result);
    ticket->resolver->pending--;
    free(ticket);
    if (!query)
        return;
    query->ticket = NULL;
    if (status == ARES_SUCCESS && count == 0)
        status = ARES_ENODATA;
    query->done(query, errno_from_status(status), addresses, count);
}

void resolver_start(struct resolver *resolver, struct resolver_query *query, const char *name,
                    uint16_t port,
                    void (*done)(struct resolver_query *, int, const struct shim_endpoint *, int)) {
    struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct resolver_ticket *ticket = NULL;
    if (resolver->pending < QUERIES_MAX)
        ticket = calloc(1, sizeof *ticket);
    query->done = done;
    query->ticket = ticket;
    if (!ticket) {
        done(query, EHOSTUNREACH, NULL, 0);
        return;
    }
    resolver->pending++;
    ticket->resolver = resolver;
    ticket->query = query;
    ticket->port = port;
    ares_getaddrinfo(resolver->channel, name, NULL, &hints, on_result, ticket);
    arm(resolver);
}

void resolver_cancel(struct resolver_query *query) {
    if (query->ticket)
        query->ticket->query = NULL;
    query->ticket = NULL;
}
