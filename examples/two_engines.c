/* SPDX-License-Identifier: MIT
 *
 * The protocol engine without any I/O: a client's and a server's engine in one thread, with two
 * arrays of bytes for the wires between them.  An event loop does the same with sockets.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <smux.h>

struct side {
    const char *name;
    smux_session *session;
    unsigned char wire[65536]; /* what it has sent and the other one has not been fed yet */
    size_t wire_len;
    bool finished;
};

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Engine to wire: what writev would do with a socket.  It may take less than it is offered. */
static void send_out(struct side *side) {
    struct iovec iov[16];
    int count = smux_output(side->session, iov, 16, now_us());
    size_t taken = 0;
    for (int i = 0; i < count; i++) {
        size_t room = sizeof side->wire - side->wire_len;
        size_t n = iov[i].iov_len < room ? iov[i].iov_len : room;
        memcpy(side->wire + side->wire_len, iov[i].iov_base, n);
        side->wire_len += n;
        taken += n;
        if (n < iov[i].iov_len)
            break;
    }
    smux_sent(side->session, taken);
}

/* The server repeats what it hears; the client prints it. */
static void handle(struct side *side, bool is_server, const smux_event *event) {
    switch (event->type) {
    case SMUX_EVENT_ACCEPT:
        printf("%s: stream %u\n", side->name, smux_stream_id(event->stream));
        smux_accept(event->stream);
        break;
    case SMUX_EVENT_DATA:
        printf("%s: %zu bytes: %.*s\n", side->name, event->len, (int)event->len,
               (const char *)event->data);
        if (is_server && smux_send(event->stream, event->data, event->len) < 0)
            smux_reset(event->stream);
        else
            smux_consume(event->stream, event->len);
        break;
    case SMUX_EVENT_EOF:
        printf("%s: end of stream %u\n", side->name, smux_stream_id(event->stream));
        smux_close(event->stream);
        side->finished = true;
        break;
    case SMUX_EVENT_RESET:
        printf("%s: %s\n", side->name, smux_strerror(event->error));
        smux_close(event->stream);
        side->finished = true;
        break;
    case SMUX_EVENT_FAILED:
        printf("%s: %s\n", side->name, smux_session_error_text(side->session));
        exit(1);
    default: /* WRITABLE, SENT, HELLO, GOAWAY: nothing to do here */
        break;
    }
}

/* Wire to engine: what is done after recv. */
static void take_in(struct side *side, bool is_server, struct side *other) {
    smux_event event;
    smux_feed(side->session, other->wire, other->wire_len, now_us());
    while (smux_next_event(side->session, &event))
        handle(side, is_server, &event);
    other->wire_len = 0; /* only now: the events' data lay there */
}

static smux_session *session_new(enum smux_role role) {
    smux_session *session;
    int error = smux_session_new(&session, role, NULL, NULL, now_us());
    if (!error)
        return session;
    fprintf(stderr, "no session: %s\n", smux_strerror(error));
    exit(1);
}

int main(void) {
    static struct side client = {.name = "client"}, server = {.name = "server"};
    smux_stream *stream;
    client.session = session_new(SMUX_CLIENT);
    server.session = session_new(SMUX_SERVER);

    if (smux_open(client.session, &stream) || smux_send(stream, "hello, engine", 13) != 13)
        return 1;
    smux_close_write(stream);
    while (!client.finished || !server.finished) {
        send_out(&client);
        take_in(&server, true, &client);
        send_out(&server);
        take_in(&client, false, &server);
    }
    smux_session_free(client.session);
    smux_session_free(server.session);
    return 0;
}
