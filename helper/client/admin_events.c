/* SPDX-License-Identifier: MIT */
/*
 * admin_events.c - `smuxctl events`: one line of JSON for each connect, its outcome and its end.
 *
 * Each listener has one buffer of a fixed size. What does not fit is dropped and counted, and a
 * line says how many were lost as soon as there is room: a listener that reads slowly or not at all
 * costs the helper that buffer. While nobody listens, a connection costs one test of a pointer.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper/client/admin_client.h"
#include "helper/client/conn.h"
#include "helper/net/log.h"

#define LISTENERS_MAX 16
#define BUFFER_BYTES  (64u * 1024u)
/* The last line in a full buffer, which says how many events were lost. */
#define LOST_LINE_MAX 160u

struct admin_events {
    struct admin_client *client;
    struct list_link link; /* in clients->listeners */
    uint64_t lost;         /* events since the last line that fitted */
};

/* ---- Lines ---- */

/* Moves what is unsent to the front. Returns how many bytes fit behind it. */
static size_t make_room(struct admin_client *client) {
    size_t left = client->answer_len - client->answer_off;
    if (client->answer_off > 0)
        memmove(client->answer, client->answer + client->answer_off, left);
    client->answer_len = left;
    client->answer_off = 0;
    return BUFFER_BYTES - left;
}

static void append(struct admin_client *client, const char *text, size_t len) {
    memcpy(client->answer + client->answer_len, text, len);
    client->answer[client->answer_len + len] = '\n';
    client->answer_len += len + 1;
}

static void say_lost(struct admin_events *events) {
    char line[LOST_LINE_MAX], stamp[LOG_STAMP_SIZE];
    if (events->lost == 0 || make_room(events->client) < LOST_LINE_MAX)
        return;
    log_stamp(stamp);
    int len =
        snprintf(line, sizeof line,
                 "{\"event\":\"lost\",\"time\":\"%s\",\"connections\":%u,\"events\":%llu}", stamp,
                 events->client->clients->conns->count, (unsigned long long)events->lost);
    append(events->client, line, (size_t)len);
    events->lost = 0;
}

static void on_turn(struct loop_task *task) {
    admin_client_send(container_of(task, struct admin_client, task));
}

static void add_line(struct admin_events *events, const char *text, size_t len) {
    struct admin_client *client = events->client;
    say_lost(events);
    if (events->lost > 0 || make_room(client) < len + 1 + LOST_LINE_MAX) {
        events->lost++;
        return;
    }
    append(client, text, len);
    loop_task_post(client->clients->loop, &client->task, on_turn);
}

/* ---- Events ---- */

static const char *const event_names[] = {[CONN_EVENT_BEGUN] = "connect",
                                          [CONN_EVENT_OPEN] = "open",
                                          [CONN_EVENT_FAILED] = "fail",
                                          [CONN_EVENT_ENDED] = "end"};

/* The event's own members come first, so that lines are easy to read. */
static json_t *describe(const struct conn *conn, enum conn_event event, int error,
                        const char *why) {
    char stamp[LOG_STAMP_SIZE];
    log_stamp(stamp);
    json_t *line = json_pack("{s:s, s:s, s:I}", "event", event_names[event], "time", stamp,
                             "connections", (json_int_t)conn->conns->count);
    json_t *identity = conn_identity(conn);
    json_object_update(line, identity);
    json_decref(identity);
    if (event == CONN_EVENT_FAILED)
        json_object_set_new(line, "errno", json_integer(-error));
    if (why)
        json_object_set_new(line, "reason", json_string(why));
    if (event == CONN_EVENT_ENDED) {
        json_object_set_new(line, "bytes_in", json_integer((json_int_t)conn->relay.to_socket));
        json_object_set_new(line, "bytes_out", json_integer((json_int_t)conn->relay.from_socket));
    }
    return line;
}

static void tell(struct conns *conns, const struct conn *conn, enum conn_event event, int error,
                 const char *why) {
    json_t *line = describe(conn, event, error, why);
    char *text = json_dumps(line, JSON_COMPACT);
    json_decref(line);
    list_for_each(link, &conns->listened_by->listeners) {
        struct admin_events *events = container_of(link, struct admin_events, link);
        if (text)
            add_line(events, text, strlen(text));
        else
            events->lost++;
    }
    free(text);
}

/* ---- Listeners ---- */

/* All has been sent; more will follow. */
static bool goes_on(struct admin_client *client) {
    say_lost(client->events);
    if (client->answer_off < client->answer_len)
        loop_task_post(client->clients->loop, &client->task, on_turn);
    return true;
}

static void on_closing(struct admin_client *client) {
    struct admin_clients *clients = client->clients;
    list_remove(&client->events->link);
    loop_task_cancel(clients->loop, &client->task);
    if (list_is_empty(&clients->listeners))
        clients->conns->tell = NULL;
    free(client->events);
    client->events = NULL;
}

static int listeners(const struct admin_clients *clients) {
    int count = 0;
    list_for_each(link, &clients->listeners)
        count += link != NULL;
    return count;
}

/* The first event says how many connections there are now. */
static void greet(struct admin_client *client) {
    char line[LOST_LINE_MAX], stamp[LOG_STAMP_SIZE];
    log_stamp(stamp);
    int len = snprintf(line, sizeof line,
                       "{\"ok\":true}\n{\"event\":\"begin\",\"time\":\"%s\",\"connections\":%u}",
                       stamp, client->clients->conns->count);
    append(client, line, (size_t)len);
    admin_client_send(client);
}

void admin_events(struct admin_client *client) {
    struct admin_clients *clients = client->clients;
    if (listeners(clients) >= LISTENERS_MAX) {
        admin_client_fail(client, -EAGAIN, "16 clients listen to events already");
        return;
    }
    client->events = calloc(1, sizeof *client->events);
    client->answer = malloc(BUFFER_BYTES);
    if (!client->events || !client->answer) {
        free(client->events);
        client->events = NULL;
        free(client->answer);
        client->answer = NULL;
        admin_client_fail(client, -ENOMEM, strerror(ENOMEM));
        return;
    }
    client->events->client = client;
    client->goes_on = goes_on;
    client->closing = on_closing;
    list_append(&clients->listeners, &client->events->link);
    clients->conns->listened_by = clients;
    clients->conns->tell = tell;
    loop_timer_clear(clients->loop, &client->timer);
    greet(client);
}
