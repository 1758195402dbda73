/* SPDX-License-Identifier: MIT */
/* admin_list.c - answers with long lists. Each turn of the loop adds a few entries, as the client
 * reads them, so that no other work waits for the list and an answer needs memory for one turn's
 * entries only. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper/client/admin_client.h"
#include "helper/client/conn.h"
#include "helper/client/name_file.h"
#include "helper/client/name_table.h"

#define ENTRIES_PER_TURN 64

/* ---- Connections ---- */

static bool fill_streams(struct admin_client *client, json_t *entries) {
    const struct conn *conn;
    for (int i = 0; i < ENTRIES_PER_TURN && (conn = conns_cursor_take(&client->next_conn)); i++)
        if (conn->state != CONN_NEW) /* it has asked for nothing yet */
            json_array_append_new(entries, conn_status(conn));
    return client->next_conn.conn;
}

/* ---- Names ---- */

static void add_name(json_t *entries, const struct name_record *record) {
    char v4[INET6_ADDRSTRLEN] = "", v6[INET6_ADDRSTRLEN] = "";
    if (record->v4.family)
        inet_ntop(AF_INET, record->v4.addr, v4, sizeof v4);
    if (record->v6.family)
        inet_ntop(AF_INET6, record->v6.addr, v6, sizeof v6);
    json_array_append_new(entries, json_pack("{s:s, s:s, s:s, s:i}", "name", record->name, "ipv4",
                                             v4, "ipv6", v6, "uid", (int)record->uid));
}

static bool fill_names(struct admin_client *client, json_t *entries) {
    struct name_record record;
    for (int i = 0; i < ENTRIES_PER_TURN && client->name_at < client->name_count; i++) {
        name_table_get(client->clients->conns->names, client->name_order[client->name_at++],
                       &record);
        add_name(entries, &record);
    }
    return client->name_at < client->name_count;
}

/* ---- The answer ---- */

/* Replaces the bytes that have been sent by `len` bytes of `text`, and then `end`. */
static bool set_answer(struct admin_client *client, const char *text, size_t len, const char *end) {
    size_t end_len = strlen(end);
    char *answer = realloc(client->answer, len + end_len + 1);
    if (!answer)
        return false;
    memcpy(answer, text, len);
    memcpy(answer + len, end, end_len + 1);
    client->answer = answer;
    client->answer_len = len + end_len;
    client->answer_off = 0;
    return true;
}

static bool fill(struct admin_client *client) {
    json_t *entries = json_array();
    bool first = client->list_begins;
    client->list_begins = false;
    client->list_goes_on = client->fill(client, entries);
    bool any = json_array_size(entries) > 0;
    char *text = json_dumps(entries, JSON_COMPACT);
    json_decref(entries);
    if (!text)
        return false;
    /* The text is "[a,b]"; its brackets are replaced by what joins it to the other parts. */
    size_t len = strlen(text) - 1;
    text[0] = first || !any ? ' ' : ',';
    bool set = set_answer(client, text, len, client->list_goes_on ? "" : "]}\n");
    free(text);
    return set;
}

static void on_turn(struct loop_task *task) {
    struct admin_client *client = container_of(task, struct admin_client, task);
    if (fill(client))
        admin_client_send(client);
    else
        admin_client_close(client);
}

static bool goes_on(struct admin_client *client) {
    if (!client->list_goes_on)
        return false;
    loop_task_post(client->clients->loop, &client->task, on_turn);
    return true;
}

static void on_closing(struct admin_client *client) {
    loop_task_cancel(client->clients->loop, &client->task);
    free(client->name_order);
    client->name_order = NULL;
    conns_cursor_end(&client->next_conn);
}

/* Answers with `head`, an object that takes the list as its last member. Takes the reference. */
static void answer_with_list(struct admin_client *client, json_t *head, const char *key,
                             bool (*fill_list)(struct admin_client *client, json_t *entries)) {
    char *text = head ? json_dumps(head, JSON_COMPACT) : NULL;
    char begin[40];
    snprintf(begin, sizeof begin, ",\"%s\":[", key);
    client->fill = fill_list;
    client->goes_on = goes_on;
    client->closing = on_closing;
    client->list_begins = client->list_goes_on = true;
    json_decref(head);
    if (text && set_answer(client, text, strlen(text) - 1, begin))
        admin_client_send(client);
    else
        admin_client_close(client);
    free(text);
}

void admin_client_list_streams(struct admin_client *client, json_t *head) {
    conns_cursor_begin(client->clients->conns, &client->next_conn);
    answer_with_list(client, head, "streams", fill_streams);
}

void admin_client_list_names(struct admin_client *client, json_t *head) {
    client->name_order = name_table_order(client->clients->conns->names, &client->name_count);
    answer_with_list(client, head, "names", fill_names);
}
