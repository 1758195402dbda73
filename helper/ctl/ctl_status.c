/* SPDX-License-Identifier: MIT */
/* ctl_status.c - smuxctl status and smuxctl names. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "helper/ctl/ctl.h"
#include "helper/ctl/ctl_client.h"

static void print_session(const json_t *s) {
    char in[32], out[32], since[32];
    printf("session  %s %s: %s", ctl_text(s, "gateway"), ctl_text(s, "address"),
           ctl_text(s, "state"));
    if (json_object_get(s, "uid"))
        printf(", of user %lld", ctl_number(s, "uid"));
    if (ctl_number(s, "since") > 0)
        printf(", version %lld, RTT %.2f ms, since %s, in %s, out %s, streams %lld now, %lld in "
               "total",
               ctl_number(s, "version"), (double)ctl_number(s, "rtt_us") / 1000,
               ctl_since(ctl_number(s, "since"), since, sizeof since),
               ctl_bytes((double)ctl_number(s, "bytes_in"), in, sizeof in),
               ctl_bytes((double)ctl_number(s, "bytes_out"), out, sizeof out),
               ctl_number(s, "streams"), ctl_number(s, "streams_total"));
    printf(", reconnects %lld, last error: %s\n", ctl_number(s, "reconnects"),
           ctl_text(s, "last_error"));
}

static void print_stream(const json_t *s) {
    char in[32], out[32], age[32], pid[24];
    snprintf(pid, sizeof pid, "%lld", ctl_number(s, "pid"));
    const char *name = ctl_text(s, "name");
    printf("%-8s %-16s %-11s %-24s %-24s %7s %8s %8s\n", pid, ctl_text(s, "program"),
           ctl_text(s, "state"), ctl_text(s, "destination"), name,
           ctl_age(ctl_number(s, "age_ms"), age, sizeof age),
           ctl_bytes((double)ctl_number(s, "bytes_in"), in, sizeof in),
           ctl_bytes((double)ctl_number(s, "bytes_out"), out, sizeof out));
}

static void print_status(const json_t *status) {
    const json_t *sessions = json_object_get(status, "sessions");
    const json_t *streams = json_object_get(status, "streams");
    char age[32];
    printf("helper   pid %lld, version %s, up %s, connections %lld now, %lld in total%s\n",
           ctl_number(status, "pid"), ctl_text(status, "version"),
           ctl_age(ctl_number(status, "uptime_ms"), age, sizeof age),
           ctl_number(status, "connections"), ctl_number(status, "connections_total"),
           json_is_true(json_object_get(status, "draining")) ? ", draining" : "");
    for (size_t i = 0; i < json_array_size(sessions); i++)
        print_session(json_array_get(sessions, i));
    if (json_array_size(streams) > 0)
        printf("\n%-8s %-16s %-11s %-24s %-24s %7s %8s %8s\n", "PID", "PROGRAM", "STATE",
               "DESTINATION", "NAME", "AGE", "IN", "OUT");
    for (size_t i = 0; i < json_array_size(streams); i++)
        print_stream(json_array_get(streams, i));
}

int ctl_status(const struct ctl_options *options) {
    int helper_fd = ctl_connect_helper(options, false);
    if (helper_fd < 0)
        return CTL_FAILED;
    json_t *status = ctl_ask(helper_fd, json_pack("{s:s}", "command", "status"), NULL);
    close(helper_fd);
    if (!status)
        return CTL_FAILED;
    json_object_del(status, "ok");
    if (options->json) {
        json_dumpf(status, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        print_status(status);
    }
    json_decref(status);
    return CTL_OK;
}

/* ---- names ---- */

static void print_names(const json_t *names) {
    for (size_t i = 0; i < json_array_size(names); i++) {
        const json_t *one = json_array_get(names, i);
        printf("%-15s %-39s %s\n", ctl_text(one, "ipv4"), ctl_text(one, "ipv6"),
               ctl_text(one, "name"));
    }
}

int ctl_names(const struct ctl_options *options) {
    int helper_fd = ctl_connect_helper(options, false);
    if (helper_fd < 0)
        return CTL_FAILED;
    json_t *answer = ctl_ask(helper_fd, json_pack("{s:s}", "command", "names"), NULL);
    close(helper_fd);
    if (!answer)
        return CTL_FAILED;
    if (options->json) {
        json_dumpf(json_object_get(answer, "names"), stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        print_names(json_object_get(answer, "names"));
    }
    json_decref(answer);
    return CTL_OK;
}
