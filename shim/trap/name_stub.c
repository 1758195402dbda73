/* SPDX-License-Identifier: MIT */
/* name_stub.c - see name_stub.h. */
#include "shim/trap/name_stub.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "shim/process/name_ask.h"
#include "shim/process/name_cache.h"
#include "shim/process/settings.h"
#include "shim/trap/dns_message.h"

#define DATAGRAMS_PER_TURN 32
#define ANSWER_MAX         65535
#define ASK_AGAIN_MS       1000
#define HANDOVER_PIPE_SIZE 4096 /* bytes: 512 conversations on their way */

struct query {
    uint64_t due_ms; /* when it is given up; 0: the place is free */
    uint16_t id;     /* as the program has it */
    uint16_t asked;  /* as the server has it: random, so that nobody can guess it */
    bool watched;    /* a route has the name */
    struct dns_question question;
    size_t len;
    uint8_t message[NAME_STUB_MESSAGE_MAX];
};

struct conversation {
    bool open;
    int program, server; /* sockets */
    uint64_t spoke_ms;
    struct query queries[NAME_STUB_QUERIES];
};

/* The sockets of a conversation on their way to the thread. A pipe passes one as a whole. */
struct handover {
    int program, server;
};

static struct {
    bool running;
    int handover[2]; /* a pipe: the thread reads */
    /* The rest is the thread's alone. */
    int epoll_fd;
    uint64_t ask_again_ms; /* no helper has answered: until then none is asked */
    struct conversation conversations[NAME_STUB_CONVERSATIONS];
    uint8_t datagram[ANSWER_MAX];
} stub;

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* ---- Answers ---- */

static void answer(struct conversation *conversation, struct query *query, uint8_t *message,
                   size_t len) {
    dns_set_id(message, query->id);
    query->due_ms = 0;
    if (len > 0)
        send(conversation->program, message, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The name is one of a route, and this host cannot resolve it: the helper gives it an address. As
 * with getaddrinfo() that is an IPv4 address, unless the helper has none left. */
static void synthesize(struct conversation *conversation, struct query *query) {
    const struct settings *settings = settings_get();
    const struct dns_question *question = &query->question;
    char kept[HELPER_HOST_NAME_MAX + 1];
    struct endpoint address;
    int err = settings && now_ms() >= stub.ask_again_ms
                  ? name_ask_address(settings, question->name, AF_INET, &address, kept)
                  : EAGAIN;
    if (err == ENOSPC)
        err = name_ask_address(settings, question->name, AF_INET6, &address, kept);
    if (err == EAGAIN && now_ms() >= stub.ask_again_ms)
        stub.ask_again_ms = now_ms() + ASK_AGAIN_MS;
    if (err) {
        answer(conversation, query, query->message, dns_failure_make(query->message, query->len));
        return;
    }
    name_cache_remember(&address, kept);
    uint16_t type = address.family == AF_INET ? DNS_TYPE_A : DNS_TYPE_AAAA;
    answer(conversation, query, query->message,
           dns_answer_make(query->message, query->len, sizeof query->message,
                           question->type == type ? &address : NULL, NAME_STUB_TTL));
}

/* The server cannot be reached. */
static void unanswered(struct conversation *conversation, struct query *query) {
    if (query->watched)
        synthesize(conversation, query);
    else
        answer(conversation, query, query->message, dns_failure_make(query->message, query->len));
}

/* The server has not answered. Nor does the stub, if the name is none of ours. */
static void give_up(struct conversation *conversation, struct query *query) {
    if (query->watched)
        synthesize(conversation, query);
    query->due_ms = 0;
}

static void remember(void *context, const struct endpoint *address) {
    const struct query *query = context;
    const struct settings *settings = settings_get();
    if (settings && !name_ranges_hold(&settings->names, address))
        name_cache_remember(address, query->question.name);
}

static struct query *query_asked(struct conversation *conversation, uint16_t asked) {
    for (size_t i = 0; i < NAME_STUB_QUERIES; i++)
        if (conversation->queries[i].due_ms && conversation->queries[i].asked == asked)
            return &conversation->queries[i];
    return NULL;
}

/* An answer whose question is another is somebody's guess: the real one may still come. */
static void server_said(struct conversation *conversation, uint8_t *message, size_t len) {
    enum dns_outcome outcome;
    struct query *query = len < DNS_HEADER_SIZE ? NULL : query_asked(conversation, dns_id(message));
    if (!query || !dns_answer_read(message, len, &query->question, &outcome))
        return;
    if (query->watched && outcome == DNS_OUTCOME_UNKNOWN) {
        synthesize(conversation, query);
        return;
    }
    if (query->watched)
        dns_answer_addresses(message, len, remember, query);
    answer(conversation, query, message, len);
}

static void server_is_gone(struct conversation *conversation) {
    for (size_t i = 0; i < NAME_STUB_QUERIES; i++)
        if (conversation->queries[i].due_ms)
            unanswered(conversation, &conversation->queries[i]);
}

/* ---- Queries ---- */

/* A free place, or that of the oldest. */
static struct query *query_place(struct conversation *conversation) {
    struct query *place = &conversation->queries[0];
    for (size_t i = 1; i < NAME_STUB_QUERIES; i++)
        if (conversation->queries[i].due_ms < place->due_ms)
            place = &conversation->queries[i];
    return place;
}

static uint16_t unused_id(struct conversation *conversation) {
    uint16_t id;
    do {
        if (getrandom(&id, sizeof id, 0) != sizeof id)
            id = (uint16_t)(now_ms() ^ (uintptr_t)&id);
    } while (query_asked(conversation, id));
    return id;
}

/* What is no query of a name passes in neither direction. */
static void program_said(struct conversation *conversation, uint8_t *message, size_t len) {
    const struct settings *settings = settings_get();
    struct query *query = query_place(conversation);
    struct dns_question question;
    if (len > sizeof query->message || !dns_query_read(message, len, &question))
        return;
    conversation->spoke_ms = now_ms();
    query->question = question;
    query->watched = settings && question.class == DNS_CLASS_IN &&
                     route_list_watches_name(&settings->routes, question.name);
    query->id = dns_id(message);
    query->due_ms = 0; /* so that its old number may be used again */
    query->asked = unused_id(conversation);
    query->due_ms =
        conversation->spoke_ms + (query->watched ? NAME_STUB_WAIT_MS : NAME_STUB_FORGET_MS);
    query->len = len;
    memcpy(query->message, message, len);
    dns_set_id(query->message, query->asked);
    if (send(conversation->server, query->message, len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
        return;
    if (errno == EAGAIN || errno == ENOBUFS)
        unanswered(conversation, query);
    else
        server_is_gone(conversation); /* the error may be an earlier query's */
}

/* ---- Conversations ---- */

static void end(struct conversation *conversation) {
    if (!conversation->open)
        return;
    conversation->open = false;
    close(conversation->program);
    close(conversation->server);
}

/* Reads what has come, up to a bound. Returns 0, or the socket's error: the other end is gone. */
static int drain(struct conversation *conversation, int socket,
                 void (*said)(struct conversation *, uint8_t *, size_t)) {
    for (int i = 0; i < DATAGRAMS_PER_TURN; i++) {
        ssize_t n = recv(socket, stub.datagram, sizeof stub.datagram, MSG_DONTWAIT);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : errno;
        said(conversation, stub.datagram, (size_t)n);
    }
    return 0;
}

static void turn(struct conversation *conversation) {
    if (conversation->open && drain(conversation, conversation->program, program_said) != 0)
        end(conversation);
    if (conversation->open && drain(conversation, conversation->server, server_said) != 0)
        server_is_gone(conversation);
}

/* Returns how long until the next is due; -1 if none is. */
static int look_at_clock(void) {
    uint64_t now = now_ms(), next = UINT64_MAX;
    for (size_t i = 0; i < NAME_STUB_CONVERSATIONS; i++) {
        struct conversation *conversation = &stub.conversations[i];
        if (!conversation->open)
            continue;
        for (size_t j = 0; j < NAME_STUB_QUERIES; j++) {
            struct query *query = &conversation->queries[j];
            if (query->due_ms && query->due_ms <= now)
                give_up(conversation, query);
            if (query->due_ms && query->due_ms < next)
                next = query->due_ms;
        }
    }
    return next == UINT64_MAX ? -1 : (int)(next > now ? next - now : 0);
}

/* A free place, or that of the one that has been silent longest. */
static struct conversation *conversation_place(void) {
    struct conversation *place = &stub.conversations[0];
    for (size_t i = 0; i < NAME_STUB_CONVERSATIONS && place->open; i++)
        if (!stub.conversations[i].open || stub.conversations[i].spoke_ms < place->spoke_ms)
            place = &stub.conversations[i];
    end(place);
    return place;
}

static int watch(int fd, void *data) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = data};
    return epoll_ctl(stub.epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void conversation_begins(const struct handover *sockets) {
    struct conversation *conversation = conversation_place();
    conversation->open = true;
    conversation->program = sockets->program;
    conversation->server = sockets->server;
    conversation->spoke_ms = now_ms();
    for (size_t i = 0; i < NAME_STUB_QUERIES; i++)
        conversation->queries[i].due_ms = 0;
    if (watch(conversation->program, conversation) < 0 ||
        watch(conversation->server, conversation) < 0)
        end(conversation);
}

static void take_handovers(void) {
    struct handover sockets;
    while (read(stub.handover[0], &sockets, sizeof sockets) == sizeof sockets)
        conversation_begins(&sockets);
}

/* An event may be of a conversation that has ended, or given way, in the same turn: turn() reads
 * whatever there is now, so that it does not matter. */
static void *serve(void *unused) {
    struct epoll_event events[16];
    (void)unused;
    for (;;) {
        int n = epoll_wait(stub.epoll_fd, events, sizeof events / sizeof *events, look_at_clock());
        for (int i = 0; i < n; i++)
            if (events[i].data.ptr)
                turn(events[i].data.ptr);
        take_handovers();
    }
    return NULL;
}

/* ---- The caller's side ---- */

/* Signals are the supervisor's: its other thread takes them. */
static int start_thread(void) {
    sigset_t all, before;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&thread, NULL, serve, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err)
        return -err;
    pthread_detach(thread);
    return 0;
}

static int start(void) {
    if (pipe2(stub.handover, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    fcntl(stub.handover[1], F_SETPIPE_SZ, HANDOVER_PIPE_SIZE);
    stub.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int err = stub.epoll_fd < 0 || watch(stub.handover[0], NULL) < 0 ? -errno : start_thread();
    if (err) {
        close(stub.handover[0]);
        close(stub.handover[1]);
        if (stub.epoll_fd >= 0)
            close(stub.epoll_fd);
    }
    stub.running = !err;
    return err;
}

static socklen_t address_len(int family) {
    return family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

static bool bind_to(int fd, struct sockaddr_storage *address) {
    if (address->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)address)->sin6_port = 0;
    else
        ((struct sockaddr_in *)address)->sin_port = 0;
    return bind(fd, (struct sockaddr *)address, address_len(address->ss_family)) == 0;
}

/* Binds the stub's socket to the server's own address where that is this machine's, as
 * systemd-resolved's is: some resolvers look at where an answer comes from. */
static bool bind_like(int own, const struct sockaddr *server, socklen_t len) {
    struct sockaddr_storage here = {0}, loopback = {.ss_family = server->sa_family};
    memcpy(&here, server, len < sizeof here ? len : sizeof here);
    if (server->sa_family == AF_INET6)
        ((struct sockaddr_in6 *)&loopback)->sin6_addr = in6addr_loopback;
    else
        ((struct sockaddr_in *)&loopback)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return bind_to(own, &here) || bind_to(own, &loopback);
}

/* Connects the program's socket and the stub's with each other. Returns 0 or -errno. */
static int join(int socket, int own, const struct sockaddr *server, socklen_t server_len) {
    struct sockaddr_storage here, program;
    socklen_t len = sizeof here;
    if (!bind_like(own, server, server_len) ||
        getsockname(own, (struct sockaddr *)&here, &len) < 0 ||
        connect(socket, (struct sockaddr *)&here, len) < 0)
        return -errno;
    len = sizeof program;
    if (getsockname(socket, (struct sockaddr *)&program, &len) < 0 ||
        connect(own, (struct sockaddr *)&program, len) < 0)
        return -errno;
    return 0;
}

static int udp_socket(int family) {
    return socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static int hand_over(int socket, const struct handover *sockets, const struct sockaddr *server,
                     socklen_t len) {
    if (sockets->program < 0 || sockets->server < 0 || connect(sockets->server, server, len) < 0)
        return -errno;
    int err = join(socket, sockets->program, server, len);
    if (!err && write(stub.handover[1], sockets, sizeof *sockets) != sizeof *sockets)
        err = -errno;
    if (err) /* takes the source address back as well */
        (void)connect(socket, &(struct sockaddr){.sa_family = AF_UNSPEC}, sizeof(struct sockaddr));
    return err;
}

int name_stub_connect(int socket, const struct sockaddr *server, socklen_t len) {
    int err = stub.running ? 0 : start();
    if (err)
        return err;
    struct handover sockets = {.program = udp_socket(server->sa_family),
                               .server = udp_socket(server->sa_family)};
    err = hand_over(socket, &sockets, server, len);
    if (err) {
        if (sockets.program >= 0)
            close(sockets.program);
        if (sockets.server >= 0)
            close(sockets.server);
    }
    return err;
}
