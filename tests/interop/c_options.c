/* SPDX-License-Identifier: MIT */
#include "c_peer.h"

#include <getopt.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { TEXT, NUMBER, FLAG };

/* name, kind, member */
#define OPTIONS(X)                                                                                 \
    X("listen", TEXT, listen)                                                                      \
    X("connect", TEXT, connect)                                                                    \
    X("role", TEXT, role)                                                                          \
    X("run", TEXT, run)                                                                            \
    X("version", NUMBER, version)                                                                  \
    X("streams", NUMBER, streams)                                                                  \
    X("size", NUMBER, size)                                                                        \
    X("seed", NUMBER, seed)                                                                        \
    X("keepalive-interval-ms", NUMBER, interval_ms)                                                \
    X("keepalive-timeout-ms", NUMBER, timeout_ms)                                                  \
    X("idle-ms", NUMBER, idle_ms)                                                                  \
    X("timeout-s", NUMBER, watchdog_s)                                                             \
    X("max-frame", NUMBER, max_frame)                                                              \
    X("receive-buffer", NUMBER, receive_buffer)                                                    \
    X("stream-buffer", NUMBER, stream_buffer)                                                      \
    X("careful-close", FLAG, careful)                                                              \
    X("no-accept", FLAG, no_accept)                                                                \
    X("fixed-window", FLAG, fixed_window)                                                          \
    X("about", FLAG, about)

static const struct row {
    enum kind kind;
    size_t offset;
} rows[] = {
#define X(name, kind, member) {kind, offsetof(struct options, member)},
    OPTIONS(X)
#undef X
};

static const struct option names[] = {
#define X(name, kind, member) {name, (kind) != FLAG, NULL, 0},
    OPTIONS(X)
#undef X
        {NULL, 0, NULL, 0}};

_Noreturn void usage(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("c_peer: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(2);
}

static uint64_t number(const char *name, const char *text) {
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    if (end == text || *end)
        usage("--%s: expected a number, got %s", name, text);
    return value;
}

static void set(struct options *o, int index, const char *value) {
    void *member = (char *)o + rows[index].offset;
    switch (rows[index].kind) {
    case TEXT:
        *(const char **)member = value;
        break;
    case NUMBER:
        *(uint64_t *)member = number(names[index].name, value);
        break;
    case FLAG:
        *(bool *)member = true;
        break;
    }
}

void options_parse(struct options *o, int argc, char **argv) {
    *o = (struct options){.version = 1,
                          .seed = 1,
                          .interval_ms = 10000,
                          .timeout_ms = 30000,
                          .idle_ms = 4000,
                          .watchdog_s = 60,
                          .max_frame = 32768,
                          .receive_buffer = 4194304,
                          .stream_buffer = 65536};
    int index, option;
    while ((option = getopt_long(argc, argv, "", names, &index)) == 0)
        set(o, index, optarg);
    if (option != -1)
        exit(2); /* getopt has printed why */
    if (o->about)
        return;
    if (optind < argc)
        usage("unexpected argument %s", argv[optind]);
    if (!o->listen == !o->connect)
        usage("expected exactly one of --listen and --connect");
    if (!o->role)
        o->role = o->connect ? "client" : "server";
    if (strcmp(o->role, "client") != 0 && strcmp(o->role, "server") != 0)
        usage("--role: expected client or server, got %s", o->role);
}

enum smux_role options_role(const struct options *o) {
    return strcmp(o->role, "client") == 0 ? SMUX_CLIENT : SMUX_SERVER;
}

void options_config(const struct options *o, smux_config *config) {
    smux_config_init(config);
    config->version = (int)o->version; /* 0: the version of the first frame */
    config->keepalive_disabled = o->interval_ms == 0;
    config->keepalive_interval_us = o->interval_ms * 1000;
    config->keepalive_timeout_us = o->timeout_ms * 1000;
    config->max_frame_size = (uint32_t)o->max_frame;
    config->max_receive_buffer = (uint32_t)o->receive_buffer;
    config->max_stream_buffer = (uint32_t)o->stream_buffer;
    config->auto_window = !o->fixed_window;
    smux_config_fault fault;
    if (smux_config_verify(config, options_role(o), &fault))
        usage("%s: %s", fault.field, fault.why);
}
