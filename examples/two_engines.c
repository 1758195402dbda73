/* SPDX-License-Identifier: MIT
 *
 * The protocol engine without any I/O: a client's and a server's engine in one thread, with two
 * arrays of bytes for the wires between them.  An event loop does the same with sockets.
 *
 * The client sends a mebibyte, and the server sends it back. The server's wire is the slower one,
 * so it cannot keep up: what smux_stream_send does not take is held until SMUX_EVENT_WRITABLE, and
 * held bytes are not consumed, so that in the end the server stops reading and the client has to
 * wait, too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <smux.h>

enum { TOTAL = 1 << 20, SEND_BUFFER = 16384, BUDGET = 65536, WIRE = 8192 };
/* The budget is exceeded at most by what is fed at a time. */
enum { HELD_MAX = BUDGET + WIRE };

static const uint64_t END_US = 35000000; /* beyond the keepalive's timeout of 30 s */

/* The engine accepts any clock. This one stands still while there is work. */
static uint64_t now_us;

static unsigned char data[TOTAL];

struct side {
    const char *name;
    smux_session *session;
    unsigned char wire[WIRE]; /* bytes sent that the other engine has not been fed yet */
    size_t wire_len, wire_max;
    unsigned char held[HELD_MAX]; /* server: received, but not yet sent back and not consumed */
    size_t held_len;
    bool shut;                  /* server: the client has half-closed */
    size_t sent, received;      /* client: bytes so far */
    unsigned short_sends, full; /* how often smux_stream_send took less, and reading had to stop */
    bool finished;
};

/* Engine to wire: what writev would do with a socket.  It may take less than it is offered. */
static bool send_out(struct side *side) {
    struct iovec iov[16];
    size_t taken = 0;
    int count = smux_session_output(side->session, iov, 16, now_us);
    for (int i = 0; i < count; i++) {
        size_t room = side->wire_max - side->wire_len;
        size_t n = iov[i].iov_len < room ? iov[i].iov_len : room;
        memcpy(side->wire + side->wire_len, iov[i].iov_base, n);
        side->wire_len += n;
        taken += n;
    }
    smux_session_output_done(side->session, taken);
    return taken > 0;
}

static void fail(const struct side *side, const char *why) {
    fprintf(stderr, "%s: %s\n", side->name, why);
    exit(1);
}

/* What smux_stream_send took, which may be less than offered: then SMUX_EVENT_WRITABLE comes later.
 * */
static size_t offer(struct side *side, smux_stream *stream, const void *bytes, size_t len) {
    ssize_t n = smux_stream_send(stream, bytes, len);
    if (n < 0)
        fail(side, smux_strerror((int)n));
    side->short_sends += (size_t)n < len;
    return (size_t)n;
}

/* The client: as much as the engine takes now; the rest at WRITABLE. */
static void send_data(struct side *client, smux_stream *stream) {
    client->sent += offer(client, stream, data + client->sent, TOTAL - client->sent);
    if (client->sent == TOTAL)
        smux_stream_close_write(stream);
}

/* And looks whether it comes back. */
static void check_data(struct side *client, const smux_event *event) {
    if (event->len > TOTAL - client->received ||
        memcmp(event->data, data + client->received, event->len) != 0)
        fail(client, "other bytes came back");
    client->received += event->len;
    smux_stream_consume(event->stream, event->len);
}

/* The server: only what has been sent is consumed, so that it never holds more than its budget. */
static void send_held(struct side *server, smux_stream *stream) {
    size_t n = server->held_len ? offer(server, stream, server->held, server->held_len) : 0;
    server->held_len -= n;
    memmove(server->held, server->held + n, server->held_len);
    smux_stream_consume(stream, n);
    if (server->shut && server->held_len == 0) {
        smux_stream_close(stream); /* what the engine has taken still goes out */
        server->finished = true;
    }
}

static void handle_server(struct side *server, const smux_event *event) {
    switch (event->type) {
    case SMUX_EVENT_ACCEPT:
        smux_stream_accept(event->stream);
        break;
    case SMUX_EVENT_DATA: /* lies in what was fed, and has to be copied to outlive it */
        memcpy(server->held + server->held_len, event->data, event->len);
        server->held_len += event->len;
        send_held(server, event->stream);
        break;
    case SMUX_EVENT_EOF:
        server->shut = true;
        send_held(server, event->stream);
        break;
    case SMUX_EVENT_WRITABLE:
        send_held(server, event->stream);
        break;
    default:
        break;
    }
}

static void handle_client(struct side *client, const smux_event *event) {
    switch (event->type) {
    case SMUX_EVENT_DATA:
        check_data(client, event);
        break;
    case SMUX_EVENT_EOF:
        smux_stream_close(event->stream);
        client->finished = true;
        break;
    case SMUX_EVENT_WRITABLE:
        send_data(client, event->stream);
        break;
    default:
        break;
    }
}

static void take_events(struct side *side, bool is_server) {
    smux_event event;
    while (smux_session_next_event(side->session, &event)) {
        if (event.type == SMUX_EVENT_RESET || event.type == SMUX_EVENT_FAILED)
            fail(side, smux_strerror(event.error));
        (is_server ? handle_server : handle_client)(side, &event);
    }
}

/* Wire to engine: what is done after recv, if more is wanted. */
static bool take_in(struct side *side, bool is_server, struct side *other) {
    bool wanted = smux_session_want_read(side->session), any = wanted && other->wire_len > 0;
    side->full += !wanted;
    if (any)
        smux_session_feed(side->session, other->wire, other->wire_len, now_us);
    take_events(side, is_server); /* those of smux_session_output_done and smux_session_tick, too */
    if (any)
        other->wire_len = 0; /* only now: the events' data lay there */
    return any;
}

/* Nothing moves: an event loop would wait until one of the deadlines, here the clock jumps. */
static void wait_for_deadline(struct side *client, struct side *server) {
    uint64_t a = smux_session_deadline(client->session), b = smux_session_deadline(server->session);
    now_us = a < b ? a : b;
    printf("%4.1f s: time for keepalive\n", (double)now_us / 1e6);
    smux_session_tick(client->session, now_us);
    smux_session_tick(server->session, now_us);
}

static void start(struct side *side, enum smux_role role) {
    smux_config config;
    smux_config_init(&config);
    config.max_receive_buffer = BUDGET;
    config.stream_send_buffer = SEND_BUFFER;
    int error = smux_session_new(&side->session, role, &config, NULL, now_us);
    if (error)
        fail(side, smux_strerror(error));
}

int main(void) {
    static struct side client = {.name = "client", .wire_max = WIRE};
    static struct side server = {.name = "server", .wire_max = WIRE / 2};
    smux_stream *stream;
    start(&client, SMUX_CLIENT);
    start(&server, SMUX_SERVER);

    for (size_t i = 0; i < TOTAL; i++)
        data[i] = (unsigned char)(i * 31 >> 3);
    if (smux_stream_open(client.session, &stream))
        return 1;
    send_data(&client, stream);
    while (now_us < END_US) {
        bool moved = send_out(&client);
        moved |= take_in(&server, true, &client);
        moved |= send_out(&server);
        moved |= take_in(&client, false, &server);
        if (!moved)
            wait_for_deadline(&client, &server);
    }
    printf("client: sent %zu bytes, %u times fewer than offered; %zu came back\n", client.sent,
           client.short_sends, client.received);
    printf("server: sent fewer than offered %u times, stopped reading %u times\n",
           server.short_sends, server.full);
    smux_session_free(client.session);
    smux_session_free(server.session);
    return client.finished && server.finished && client.received == TOTAL ? 0 : 1;
}
