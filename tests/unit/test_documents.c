/* SPDX-License-Identifier: MIT */
/* PROTOCOL.md and CONTROL.md show exactly the bytes that the code sends. */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/common/helper_protocol.h"
#include "core/smux.h"

#define TEXT_MAX 65536

/* Reads a document; the test runs in the root of the tree. */
static char *read_document(const char *path) {
    char *text = calloc(1, TEXT_MAX);
    FILE *file = fopen(path, "re");
    if (!file || !text)
        fail_msg("%s cannot be read, expected to run in the root of the tree", path);
    assert_true(fread(text, 1, TEXT_MAX - 1, file) < TEXT_MAX - 1);
    fclose(file);
    return text;
}

/* ---- PROTOCOL.md: the dump of a session ---- */

/* A transcript: "C" or "S" and the bytes of one frame in each line, and an empty line between two
 * speakers. */
struct transcript {
    char text[4096];
    char speaker;
};

static void note_line(struct transcript *t, char speaker, const char *bytes) {
    size_t len = strlen(t->text);
    snprintf(t->text + len, sizeof t->text - len, "%s%c%s\n",
             t->speaker && t->speaker != speaker ? "\n" : "", speaker, bytes);
    t->speaker = speaker;
}

static void note_frames(struct transcript *t, char speaker, const uint8_t *at, size_t len) {
    while (len > 0) {
        char line[200] = "";
        assert_true(len >= 8);
        size_t size = 8u + (at[2] | (size_t)at[3] << 8);
        assert_true(size <= len && 3 * size < sizeof line);
        for (size_t i = 0; i < size; i++)
            snprintf(line + 3 * i, sizeof line - 3 * i, " %02x", at[i]);
        note_line(t, speaker, line);
        at += size;
        len -= size;
    }
}

struct side {
    smux_session *session;
    smux_stream *accepted;
    size_t unread;
    char letter;
};

struct pair {
    struct side client, server;
    uint64_t now_us;
};

static void handle_events(struct side *side) {
    smux_event event;
    while (smux_session_next_event(side->session, &event)) {
        if (event.type == SMUX_EVENT_ACCEPT)
            side->accepted = event.stream;
        if (event.type == SMUX_EVENT_DATA)
            side->unread += event.len;
    }
}

/* Carries what `from` has to send to `to`. `t` may be NULL. True if there was anything. */
static bool carry(struct pair *pair, struct side *from, struct side *to, struct transcript *t) {
    static uint8_t bytes[1 << 20];
    struct iovec iov[16];
    size_t len = 0;
    int count = 0;
    while ((count = smux_session_output(from->session, iov, 16, pair->now_us)) > 0) {
        size_t taken = 0;
        for (int i = 0; i < count; i++) {
            assert_true(len + taken + iov[i].iov_len <= sizeof bytes);
            memcpy(bytes + len + taken, iov[i].iov_base, iov[i].iov_len);
            taken += iov[i].iov_len;
        }
        smux_session_output_done(from->session, taken);
        len += taken;
    }
    handle_events(from);
    if (t)
        note_frames(t, from->letter, bytes, len);
    assert_int_equal(smux_session_feed(to->session, bytes, len, pair->now_us), 0);
    handle_events(to);
    return len > 0;
}

static void settle(struct pair *pair, struct transcript *t) {
    bool moved = true;
    while (moved) {
        moved = carry(pair, &pair->client, &pair->server, t);
        moved = carry(pair, &pair->server, &pair->client, t) || moved;
    }
}

static void pair_begin(struct pair *pair) {
    smux_config config;
    smux_config_init(&config);
    config.version = 2;
    *pair = (struct pair){.client.letter = 'C', .server.letter = 'S', .now_us = 1000000};
    assert_int_equal(
        smux_session_new(&pair->client.session, SMUX_CLIENT, &config, NULL, pair->now_us), 0);
    assert_int_equal(
        smux_session_new(&pair->server.session, SMUX_SERVER, &config, NULL, pair->now_us), 0);
}

/* Five bytes there and back, as the document tells it: one transcript for each of its blocks. */
static void play_conversation(struct pair *pair, struct transcript *t) {
    smux_stream *stream;
    assert_int_equal(smux_stream_open(pair->client.session, &stream), 0);
    assert_int_equal(smux_stream_send(stream, "ping\n", 5), 5);
    settle(pair, &t[0]);
    assert_int_equal(smux_stream_consume(pair->server.accepted, pair->server.unread), 0);
    pair->server.unread = 0;
    assert_int_equal(smux_stream_send(pair->server.accepted, "pong\n", 5), 5);
    settle(pair, &t[1]);
    smux_stream_close(stream);
    carry(pair, &pair->client, &pair->server, &t[2]);
    smux_stream_close(pair->server.accepted);
    settle(pair, &t[2]);
}

/* A slow reader, and then a reset. */
static void play_update(struct pair *pair, struct transcript *t) {
    static const uint8_t zeros[131072];
    smux_stream *stream;
    assert_int_equal(smux_stream_open(pair->client.session, &stream), 0);
    assert_int_equal(smux_stream_send(stream, zeros, sizeof zeros), sizeof zeros);
    settle(pair, NULL);
    assert_int_equal(pair->server.unread, sizeof zeros);
    pair->now_us += 5000000;
    smux_session_tick(pair->server.session, pair->now_us);
    assert_int_equal(smux_stream_consume(pair->server.accepted, sizeof zeros), 0);
    settle(pair, &t[0]);
    smux_stream_reset(stream);
    settle(pair, &t[1]);
}

static bool is_hex(const char *at) {
    return strspn(at, "0123456789abcdef") == 2 && (at[2] == ' ' || at[2] == '\n');
}

/* The next block of the document in the form of a transcript. */
static bool next_block(const char **at, char *out, size_t size) {
    const char *line = strstr(*at, "\n```dump\n");
    size_t len = 0;
    if (!line)
        return false;
    for (line += strlen("\n```dump\n"); strncmp(line, "```", 3) != 0;) {
        const char *end = strchr(line, '\n');
        if (end != line)
            out[len++] = *line;
        for (const char *token = line + 1 + (end != line) * 2; token < end && is_hex(token);
             token += 3)
            len += (size_t)snprintf(out + len, size - len, " %.2s", token);
        out[len++] = '\n';
        line = end + 1;
    }
    out[len] = '\0';
    *at = line;
    return true;
}

static void the_dump_of_a_session_is_what_the_engine_sends(void **state) {
    struct transcript played[5] = {0};
    struct pair pair;
    char block[4096];
    int n = 0;
    (void)state;
    pair_begin(&pair);
    play_conversation(&pair, played);
    play_update(&pair, played + 3);
    smux_session_free(pair.client.session);
    smux_session_free(pair.server.session);
    char *text = read_document("core/PROTOCOL.md");
    for (const char *at = text; next_block(&at, block, sizeof block); n++) {
        assert_true(n < 5);
        assert_string_equal(block, played[n].text);
    }
    assert_int_equal(n, 5);
    free(text);
}

/* ---- CONTROL.md: tables and examples ---- */

struct field {
    const char *heading, *name;
    size_t offset, size;
};

#define FIELD(heading, type, name)                                                                 \
    { heading, #name, offsetof(struct type, name), sizeof(((struct type *)0)->name) }

static const struct field fields[] = {
    FIELD("### Request", helper_request, magic),
    FIELD("### Request", helper_request, version),
    FIELD("### Request", helper_request, size),
    FIELD("### Request", helper_request, id),
    FIELD("### Request", helper_request, kind),
    FIELD("### Request", helper_request, flags),
    FIELD("### Request", helper_request, family),
    FIELD("### Request", helper_request, name_len),
    FIELD("### Request", helper_request, sndbuf),
    FIELD("### Request", helper_request, fd),
    FIELD("### Request", helper_request, dest),
    FIELD("### Request", helper_request, local),
    FIELD("### Request", endpoint, family),
    FIELD("### Request", endpoint, port),
    FIELD("### Request", endpoint, scope_id),
    FIELD("### Request", endpoint, addr),
    FIELD("### Names", helper_name_answer, magic),
    FIELD("### Names", helper_name_answer, version),
    FIELD("### Names", helper_name_answer, name_len),
    FIELD("### Names", helper_name_answer, err),
    FIELD("### Names", helper_name_answer, reserved),
    FIELD("### Names", helper_name_answer, address),
};

/* Rows "| OFFSET | SIZE | `NAME` |" of the document, in its order, are the fields. */
static void the_tables_of_messages_are_the_structs(void **state) {
    char *text = read_document("core/common/CONTROL.md"), *rest = text, *line;
    const char *heading = "";
    size_t n = 0;
    (void)state;
    while ((line = strsep(&rest, "\n"))) {
        size_t offset, size;
        char name[40];
        if (strncmp(line, "### ", 4) == 0)
            heading = line;
        if (sscanf(line, "| %zu | %zu | `%39[a-z_]`", &offset, &size, name) != 3)
            continue;
        assert_true(n < sizeof fields / sizeof *fields);
        assert_string_equal(name, fields[n].name);
        assert_memory_equal(heading, fields[n].heading, strlen(fields[n].heading));
        assert_int_equal(offset, fields[n].offset);
        assert_int_equal(size, fields[n].size);
        n++;
    }
    assert_int_equal(n, sizeof fields / sizeof *fields);
    free(text);
}

static void the_examples_of_outcomes_are_the_names_that_are_bound(void **state) {
    char *text = read_document("core/common/CONTROL.md");
    struct helper_outcome outcome = {
        .id = 0x0123456789abcdef,
        .dest = {.family = AF_INET, .port = 5432, .addr = {10, 0, 0, 5}},
        .local = {.family = AF_INET, .port = 40000, .addr = {10, 0, 0, 2}}};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct sockaddr_un name;
        char line[120];
        outcome.err = i ? ECONNREFUSED : 0;
        socklen_t len = helper_outcome_pack(&outcome, &name);
        int shown = (int)(len - offsetof(struct sockaddr_un, sun_path) - 1);
        snprintf(line, sizeof line, "\n    %.*s\n", shown, name.sun_path + 1);
        if (!strstr(text, line))
            fail_msg("CONTROL.md does not show %s", line);
    }
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_dump_of_a_session_is_what_the_engine_sends),
        cmocka_unit_test(the_tables_of_messages_are_the_structs),
        cmocka_unit_test(the_examples_of_outcomes_are_the_names_that_are_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
