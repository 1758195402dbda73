/* SPDX-License-Identifier: MIT */
/* ctl_status.c - smuxctl status and smuxctl names. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "helper/ctl/ctl.h"
#include "helper/ctl/ctl_client.h"

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text && *text ? text : "-";
}

static long long number_of(const json_t *object, const char *key) {
    return (long long)json_integer_value(json_object_get(object, key));
}

/* Formats bytes as at most three digits and a unit, for example "1.5M". */
static const char *bytes_text(long long bytes, char *out, size_t size) {
    static const char units[] = "BKMGTP";
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1000 && unit + 2 < sizeof units; unit++)
        value /= 1024;
    snprintf(out, size, "%.*f%c", unit && value < 10 ? 1 : 0, value, units[unit]);
    return out;
}

static const char *age_text(long long ms, char *out, size_t size) {
    if (ms < 10000)
        snprintf(out, size, "%.1fs", (double)ms / 1000);
    else if (ms < 600000)
        snprintf(out, size, "%llds", ms / 1000);
    else
        snprintf(out, size, "%lldm", ms / 60000);
    return out;
}

static const char *since_text(long long since, char *out, size_t size) {
    time_t when = (time_t)since;
    struct tm tm;
    if (since == 0 || !localtime_r(&when, &tm))
        return "-";
    strftime(out, size, "%Y-%m-%d %H:%M:%S", &tm);
    return out;
}

static void print_session(const json_t *s) {
    char in[32], out[32], since[32];
    printf("session  %s %s: %s", text_of(s, "gateway"), text_of(s, "address"), text_of(s, "state"));
    if (json_object_get(s, "uid"))
        printf(", of user %lld", number_of(s, "uid"));
    if (number_of(s, "since") > 0)
        printf(", version %lld, RTT %.2f ms, since %s, in %s, out %s, streams %lld now, %lld in "
               "total",
               number_of(s, "version"), (double)number_of(s, "rtt_us") / 1000,
               since_text(number_of(s, "since"), since, sizeof since),
               bytes_text(number_of(s, "bytes_in"), in, sizeof in),
               bytes_text(number_of(s, "bytes_out"), out, sizeof out), number_of(s, "streams"),
               number_of(s, "streams_total"));
    printf(", reconnects %lld, last error: %s\n", number_of(s, "reconnects"),
           text_of(s, "last_error"));
}

static void print_stream(const json_t *s) {
    char in[32], out[32], age[32], pid[24];
    snprintf(pid, sizeof pid, "%lld", number_of(s, "pid"));
    const char *name = text_of(s, "name");
    printf("%-8s %-16s %-11s %-24s %-24s %7s %8s %8s\n", pid, text_of(s, "program"),
           text_of(s, "state"), text_of(s, "destination"), name,
           age_text(number_of(s, "age_ms"), age, sizeof age),
           bytes_text(number_of(s, "bytes_in"), in, sizeof in),
           bytes_text(number_of(s, "bytes_out"), out, sizeof out));
}

static void print_status(const json_t *status) {
    const json_t *sessions = json_object_get(status, "sessions");
    const json_t *streams = json_object_get(status, "streams");
    char age[32];
    printf("helper   pid %lld, version %s, up %s, connections %lld now, %lld in total%s\n",
           number_of(status, "pid"), text_of(status, "version"),
           age_text(number_of(status, "uptime_ms"), age, sizeof age),
           number_of(status, "connections"), number_of(status, "connections_total"),
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
        printf("%-15s %-39s %s\n", text_of(one, "ipv4"), text_of(one, "ipv6"),
               text_of(one, "name"));
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
