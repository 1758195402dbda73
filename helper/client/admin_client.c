/* SPDX-License-Identifier: MIT */
/* admin_client.c - see admin_client.h: answers clients and closes them. */
#include "helper/client/admin_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void free_client(struct loop_garbage *garbage) {
    free(container_of(garbage, struct admin_client, garbage));
}

void admin_client_close(struct admin_client *client) {
    struct admin_clients *clients = client->clients;
    struct loop *loop = clients->loop;
    if (client->closed)
        return;
    client->closed = true;
    if (client->closing)
        client->closing(client);
    loop_timer_clear(loop, &client->timer);
    loop_watch_close(&client->watch);
    free(client->answer);
    client->answer = NULL;
    list_remove(&client->link);
    clients->count--;
    loop_discard(loop, &client->garbage, free_client);
}

void admin_client_send(struct admin_client *client) {
    while (client->answer_off < client->answer_len) {
        ssize_t n = send(client->watch.fd, client->answer + client->answer_off,
                         client->answer_len - client->answer_off, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0 && errno != EINTR)
            break;
        client->answer_off += n > 0 ? (size_t)n : 0;
    }
    if (client->answer_off < client->answer_len || !client->goes_on || !client->goes_on(client))
        admin_client_close(client);
}

void admin_client_answer(struct admin_client *client, json_t *answer) {
    char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    json_decref(answer);
    size_t len = text ? strlen(text) : 0;
    client->answer = text ? realloc(text, len + 1) : NULL;
    if (!client->answer) {
        free(text);
        admin_client_close(client);
        return;
    }
    client->answer[len] = '\n'; /* in place of the terminator */
    client->answer_len = len + 1;
    admin_client_send(client);
}

void admin_client_fail(struct admin_client *client, int error, const char *text) {
    admin_client_answer(client,
                        json_pack("{s:b, s:s, s:i}", "ok", 0, "error", text, "errno", -error));
}
