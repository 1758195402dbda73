/* SPDX-License-Identifier: MIT */
/* resolver.c - see resolver.h. */
#include "helper/net/resolver.h"

/* Newer versions of the library have another call for ares_query; this one they keep. */
#define CARES_NO_DEPRECATED
#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "helper/net/events.h"
#include "helper/net/hosts.h"

/* A query that is not answered within this time is sent again; three times in all. */
#define TRY_MS 2000
#define TRIES  3

#define DNS_CLASS_IN 1
#define DNS_TYPE_SRV 33

/* The most queries under way, in total and of one client. The library scans all of them again and
 * again, and cancelled ones remain until they are answered. */
#define QUERIES_MAX        1024u
#define CLIENT_QUERIES_MAX 128u

struct resolver_socket {
    struct resolver *resolver;
    struct loop_watch watch;
    struct loop_garbage garbage;
    struct list_link link; /* in the resolver's sockets */
};

struct resolver {
    struct loop *loop;
    ares_channel channel;
    struct loop_timer timer;
    struct loop_task task; /* starts queries that wait */
    struct list sockets;
    unsigned under_way; /* queries, cancelled ones included */
    unsigned waiting;   /* queries whose turn has not come */
    struct hosts hosts; /* if the library does not read the file: before or behind name servers */
    bool hosts_first, hosts_last;
    struct list turns; /* clients whose next query may start; the next one first */
};

struct resolver_client {
    struct resolver *resolver;
    struct list waiting; /* queries */
    unsigned under_way;
    struct list_link turn; /* in resolver.turns */
    bool freed;            /* when the last one under way has ended */
};

/* Outlives a cancelled query, because the library cannot cancel a single one. */
struct resolver_ticket {
    struct resolver_client *client;
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
    uint8_t flags = events_of(events);
    bool in = flags & EVENT_READ, out = flags & EVENT_WRITE;
    ares_process_fd(resolver->channel, in ? watch->fd : ARES_SOCKET_BAD,
                    out ? watch->fd : ARES_SOCKET_BAD);
    arm(resolver);
}

static void free_socket(struct loop_garbage *garbage) {
    free(container_of(garbage, struct resolver_socket, garbage));
}

static void drop_socket(struct resolver *resolver, struct resolver_socket *socket) {
    list_remove(&socket->link);
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
    list_prepend(&resolver->sockets, &socket->link);
}

static struct resolver_socket *find_socket(const struct resolver *resolver, int fd) {
    list_for_each(link, &resolver->sockets) {
        struct resolver_socket *socket = container_of(link, struct resolver_socket, link);
        if (socket->watch.fd == fd)
            return socket;
    }
    return NULL;
}

static void socket_state(void *user, ares_socket_t fd, int readable, int writable) {
    struct resolver *resolver = user;
    struct resolver_socket *socket = find_socket(resolver, fd);
    uint32_t mask = LOOP_LEVEL | (readable ? EPOLLIN : 0) | (writable ? EPOLLOUT : 0);
    if (!socket) {
        if (readable || writable)
            add_socket(resolver, fd, mask);
    } else if (readable || writable) {
        loop_watch_mask(resolver->loop, &socket->watch, mask);
    } else {
        drop_socket(resolver, socket);
    }
}

/* No search domains: a name without a dot is looked up as it is. */
static int make_absolute(struct ares_options *options) {
    options->flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES;
    options->ndots = 0;
    options->ndomains = 0;
    return ARES_OPT_FLAGS | ARES_OPT_NDOTS | ARES_OPT_DOMAINS;
}

/* Reads /etc/hosts in place of the library, before or behind the name servers as nsswitch.conf
 * says: opens the channel again, for name servers only. (Since c-ares 1.20 a channel does not tell
 * what it has read there.) If that file wants no name servers, the channel stays as it is: the
 * library then finds no /etc/hosts, and has nothing else to ask. */
static int take_hosts(struct resolver *resolver, struct ares_options *options, int mask) {
    struct hosts_order order = hosts_order_read(NSSWITCH_FILE);
    resolver->hosts_first = order.files && (order.files_first || !order.servers);
    resolver->hosts_last = order.files && !resolver->hosts_first;
    if (!order.files || !order.servers)
        return ARES_SUCCESS;
    char only_servers[] = "b";
    options->lookups = only_servers;
    ares_destroy(resolver->channel);
    return ares_init_options(&resolver->channel, options, mask | ARES_OPT_LOOKUPS);
}

static int open_channel(struct resolver *resolver, bool absolute) {
    struct ares_options options = {.timeout = TRY_MS,
                                   .tries = TRIES,
                                   .sock_state_cb = socket_state,
                                   .sock_state_cb_data = resolver};
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
    if (absolute)
        mask |= make_absolute(&options);
    int status = ares_library_init(ARES_LIB_INIT_ALL);
    if (status == ARES_SUCCESS)
        status = ares_init_options(&resolver->channel, &options, mask);
    return status == ARES_SUCCESS && absolute ? take_hosts(resolver, &options, mask) : status;
}

static int set_servers(struct resolver *resolver, const char *servers) {
    int status = ares_set_servers_ports_csv(resolver->channel, servers);
    if (status != ARES_SUCCESS)
        ares_destroy(resolver->channel);
    return status;
}

struct resolver *resolver_new(struct loop *loop, bool absolute, const char *servers,
                              const char **why) {
    struct resolver *resolver = calloc(1, sizeof *resolver);
    int status = ARES_ENOMEM;
    if (resolver) {
        resolver->loop = loop;
        list_init(&resolver->sockets);
        list_init(&resolver->turns);
        status = open_channel(resolver, absolute);
        if (status == ARES_SUCCESS && servers && servers[0])
            status = set_servers(resolver, servers);
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
    loop_task_cancel(resolver->loop, &resolver->task);
    hosts_fini(&resolver->hosts);
    free(resolver);
}

/* 0 or a negative errno. */
static int error_from_status(int status) {
    switch (status) {
    case ARES_SUCCESS:
        return 0;
    case ARES_ETIMEOUT:
        return -ETIMEDOUT;
    case ARES_ENOMEM:
        return -ENOMEM;
    case ARES_EDESTRUCTION:
    case ARES_ECANCELLED:
        return -ECANCELED;
    default:
        return -EHOSTUNREACH;
    }
}

/* ---- Whose turn it is ---- */

/* The client takes turns if it has a query that may start. */
static void settle_turn(struct resolver_client *client) {
    bool may_start = !list_is_empty(&client->waiting) && client->under_way < CLIENT_QUERIES_MAX;
    if (!may_start)
        list_remove(&client->turn);
    else if (!list_is_linked(&client->turn))
        list_append(&client->resolver->turns, &client->turn);
}

static void enqueue(struct resolver_client *client, struct resolver_query *query) {
    query->client = client;
    client->resolver->waiting++;
    list_append(&client->waiting, &query->waits);
    settle_turn(client);
}

static void dequeue(struct resolver_query *query) {
    struct resolver_client *client = query->client;
    query->client = NULL;
    client->resolver->waiting--;
    list_remove(&query->waits);
    settle_turn(client);
}

struct resolver_load resolver_load(const struct resolver *resolver) {
    return (struct resolver_load){resolver->waiting, resolver->under_way};
}

struct resolver_client *resolver_client_new(struct resolver *resolver) {
    struct resolver_client *client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    client->resolver = resolver;
    list_init(&client->waiting);
    return client;
}

void resolver_client_free(struct resolver_client *client) {
    if (!client)
        return;
    client->freed = true;
    if (client->under_way == 0)
        free(client);
}

static void one_ended(struct resolver_client *client) {
    client->resolver->under_way--;
    client->under_way--;
    if (client->freed && client->under_way == 0)
        free(client);
    else
        settle_turn(client);
}

/* ---- One query ---- */

static void start_waiting(struct loop_task *task);

/* Finds the addresses that the file has. Returns how many. */
static int find_in_hosts(const struct resolver *resolver, const char *name, uint16_t port,
                         struct endpoint *addresses) {
    int count = hosts_find(&resolver->hosts, name, addresses, RESOLVER_ADDRESSES_MAX);
    for (int i = 0; i < count; i++)
        addresses[i].port = port;
    return count;
}

/* The query has ended, for the library: its owner is told next. */
static void end_ticket(struct resolver_ticket *ticket) {
    if (ticket->query)
        ticket->query->ticket = NULL;
    one_ended(ticket->client);
    free(ticket);
}

/* Starts what waits; not from within the library, nor when it is about to be freed. */
static void go_on(struct resolver *resolver, int status) {
    if (!list_is_empty(&resolver->turns) && status != ARES_EDESTRUCTION)
        loop_task_post(resolver->loop, &resolver->task, start_waiting);
}

static uint32_t shorter(uint32_t ttl_s, int other_s) {
    return other_s >= 0 && (uint32_t)other_s < ttl_s ? (uint32_t)other_s : ttl_s;
}

static void on_result(void *user, int status, int timeouts, struct ares_addrinfo *result) {
    struct resolver_ticket *ticket = user;
    struct resolver *resolver = ticket->client->resolver;
    struct resolver_query *query = ticket->query;
    struct endpoint addresses[RESOLVER_ADDRESSES_MAX];
    uint32_t ttl_s = UINT32_MAX;
    int count = 0;
    (void)timeouts;
    if (status == ARES_SUCCESS) {
        for (struct ares_addrinfo_node *node = result->nodes;
             node && count < RESOLVER_ADDRESSES_MAX; node = node->ai_next) {
            if (!endpoint_from_sockaddr(&addresses[count], node->ai_addr, node->ai_addrlen))
                continue;
            addresses[count++].port = ticket->port;
            ttl_s = shorter(ttl_s, node->ai_ttl);
        }
        for (struct ares_addrinfo_cname *alias = result->cnames; alias; alias = alias->next)
            ttl_s = shorter(ttl_s, alias->ttl);
    }
    if (result)
        ares_freeaddrinfo(result);
    end_ticket(ticket);
    if (query) {
        query->ttl_s = ttl_s;
        if (status == ARES_SUCCESS && count == 0)
            status = ARES_ENODATA;
        if (resolver->hosts_last && error_from_status(status) == -EHOSTUNREACH) {
            count = find_in_hosts(resolver, query->name, query->port, addresses);
            status = count ? ARES_SUCCESS : status;
        }
        query->done(query, error_from_status(status), addresses, count);
    }
    go_on(resolver, status);
}

/* The same for the records of a service. */
static void on_message(void *user, int status, int timeouts, unsigned char *message, int len) {
    struct resolver_ticket *ticket = user;
    struct resolver *resolver = ticket->client->resolver;
    struct resolver_query *query = ticket->query;
    struct dns_srv records[DNS_SRV_MAX];
    uint32_t ttl_s = 0;
    int count = 0;
    (void)timeouts;
    if (status == ARES_SUCCESS)
        count = dns_srv_parse(message, (size_t)len, records, &ttl_s);
    end_ticket(ticket);
    if (query) {
        query->ttl_s = ttl_s;
        int error = error_from_status(status);
        if (!error && count <= 0)
            error = count < 0 ? count : -EHOSTUNREACH;
        query->found(query, error, records, count > 0 ? count : 0);
    }
    go_on(resolver, status);
}

static void start_one(struct resolver_client *client, struct resolver_query *query) {
    static const struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC,
                                                     .ai_socktype = SOCK_STREAM};
    struct resolver *resolver = client->resolver;
    struct endpoint addresses[RESOLVER_ADDRESSES_MAX];
    dequeue(query);
    int count = resolver->hosts_first && query->done
                    ? find_in_hosts(resolver, query->name, query->port, addresses)
                    : 0;
    if (count > 0) {
        query->ttl_s = 0;
        query->done(query, 0, addresses, count);
        return;
    }
    struct resolver_ticket *ticket = calloc(1, sizeof *ticket);
    if (!ticket) {
        if (query->done)
            query->done(query, -ENOMEM, NULL, 0);
        else
            query->found(query, -ENOMEM, NULL, 0);
        return;
    }
    *ticket = (struct resolver_ticket){.client = client, .query = query, .port = query->port};
    query->ticket = ticket;
    resolver->under_way++;
    client->under_way++;
    settle_turn(client);
    if (query->done)
        ares_getaddrinfo(resolver->channel, query->name, NULL, &hints, on_result, ticket);
    else
        ares_query(resolver->channel, query->name, DNS_CLASS_IN, DNS_TYPE_SRV, on_message, ticket);
}

/* Starts one query of each client in turn. */
static void start_waiting(struct loop_task *task) {
    struct resolver *resolver = container_of(task, struct resolver, task);
    if (resolver->hosts_first || resolver->hosts_last)
        hosts_update(&resolver->hosts, HOSTS_FILE);
    while (!list_is_empty(&resolver->turns) && resolver->under_way < QUERIES_MAX) {
        struct list_link *turn = list_first(&resolver->turns);
        struct resolver_client *client = container_of(turn, struct resolver_client, turn);
        list_remove(turn);
        list_append(&resolver->turns, turn);
        start_one(client, container_of(list_first(&client->waiting), struct resolver_query, waits));
    }
    arm(resolver);
}

static void start(struct resolver_client *client, struct resolver_query *query, const char *name) {
    query->name = name;
    query->ticket = NULL;
    enqueue(client, query);
    loop_task_post(client->resolver->loop, &client->resolver->task, start_waiting);
}

void resolver_start(struct resolver_client *client, struct resolver_query *query, const char *name,
                    uint16_t port,
                    void (*done)(struct resolver_query *, int, const struct endpoint *, int)) {
    query->done = done;
    query->found = NULL;
    query->port = port;
    start(client, query, name);
}

void resolver_start_service(struct resolver_client *client, struct resolver_query *query,
                            const char *name,
                            void (*found)(struct resolver_query *, int, const struct dns_srv *,
                                          int)) {
    query->done = NULL;
    query->found = found;
    start(client, query, name);
}

void resolver_cancel(struct resolver_query *query) {
    if (query->client)
        dequeue(query);
    if (query->ticket)
        query->ticket->query = NULL;
    query->ticket = NULL;
}
