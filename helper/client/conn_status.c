/* SPDX-License-Identifier: MIT */
/* conn_status.c - connections as smuxctl shows them (conn.h). */
#include <stdio.h>
#include <string.h>

#include "helper/client/conn.h"

/* The program's current name; a process that has ended has none. */
static void program_name(pid_t pid, char *out, size_t size) {
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    FILE *file = fopen(path, "re");
    snprintf(out, size, "?");
    if (!file)
        return;
    if (fgets(out, (int)size, file))
        out[strcspn(out, "\n")] = '\0';
    /* A process may choose its name: keep it from controlling terminals and from breaking JSON. */
    for (char *c = out; *c; c++)
        if (*c < 0x20 || *c > 0x7e)
            *c = '?';
    fclose(file);
}

/* The name of a program, or an address and what was said about who is there. */
#define PROGRAM_MAX 200

json_t *conn_identity(const struct conn *conn) {
    char program[PROGRAM_MAX], address[ENDPOINT_TEXT_SIZE];
    uint64_t age_us = loop_now_us(conn->conns->reactor->loop) - conn->began_us;
    const char *gateway =
        conn->opening && !conn->gateway[0] ? conn->opening->gateway : conn->gateway;
    if (conn->from)
        snprintf(program, sizeof program, "%s", conn->from);
    else
        program_name(conn->pid, program, sizeof program);
    endpoint_text(&conn->dest, address, sizeof address);
    json_int_t uid = conn->uid == (uid_t)-1 ? -1 : (json_int_t)conn->uid;
    return json_pack("{s:I, s:i, s:s, s:I, s:s, s:s, s:s, s:s, s:I}", "id",
                     (json_int_t)conn->number, "pid", (int)conn->pid, "program", program, "uid",
                     uid, "via", conn->via ? conn->via : "", "destination", address, "name",
                     conn->name ? conn->name : "", "gateway", gateway, "age_ms",
                     (json_int_t)(age_us / 1000));
}

static const char *state_text(const struct conn *conn, const smux_stream_info *info) {
    if (!relay_is_attached(&conn->relay))
        return "connecting";
    if (info->read_closed && info->write_closed)
        return "closing";
    return info->read_closed || info->write_closed ? "half-closed" : "open";
}

/* What keeps its bytes, or its outcome, from going on. */
static const char *waiting_text(const struct conn *conn, const smux_stream_info *info) {
    const struct relay *relay = &conn->relay;
    if (!relay->stream)
        return conn->opening ? "gateway" : "";
    if (conn->opening)
        return "connect";
    if (relay->blocked || !kept_queue_is_empty(&relay->kept))
        return "application";
    if (info->queued == 0)
        return "";
    return info->send_window <= 0 ? "target" : "carrier";
}

json_t *conn_status(const struct conn *conn) {
    smux_stream_info info = {0};
    json_t *status = conn_identity(conn);
    if (conn->relay.stream)
        smux_stream_get_info(conn->relay.stream, &info);
    json_t *now =
        json_pack("{s:s, s:s, s:i, s:I, s:I}", "state", state_text(conn, &info), "waiting",
                  waiting_text(conn, &info), "stream", (int)info.id, "bytes_in",
                  (json_int_t)info.bytes_in, "bytes_out", (json_int_t)info.bytes_out);
    json_object_update(status, now);
    json_decref(now);
    return status;
}
