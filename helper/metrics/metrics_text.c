/* SPDX-License-Identifier: MIT */
/* metrics_text.c - see metrics_text.h. */
#include "helper/metrics/metrics_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/smux.h"
#include "helper/metrics/metrics_table.h"

const char *const metrics_content_type[METRICS_FORMATS] = {
    [METRICS_PROMETHEUS] = "text/plain; version=0.0.4; charset=utf-8",
    [METRICS_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8"};

static const char *const prefixes[] = {
    [METRICS_GATEWAY] = "smuxshim_gateway_", [METRICS_HELPER] = "smuxshim_helper_"};

struct writer {
    FILE *out;
    const struct metrics *metrics;
    enum metrics_format format;
    const char *prefix;
    const char *family; /* whose header was written last */
};

/* ---- What a client wants ---- */

/* The weight of a media type in an Accept header, in thousandths; 0: it is not wanted. */
static int weight_of(const char *accept, const char *type) {
    const char *found = strstr(accept, type);
    if (!found)
        return 0;
    const char *end = found + strcspn(found, ","), *q = strstr(found, "q=");
    if (!q || q > end)
        return 1000;
    double weight = strtod(q + 2, NULL);
    return weight >= 0 && weight <= 1 ? (int)(weight * 1000) : 0;
}

enum metrics_format metrics_format_wanted(const char *accept) {
    int open = accept ? weight_of(accept, "application/openmetrics-text") : 0;
    return open > 0 && open >= weight_of(accept, "text/plain") ? METRICS_OPENMETRICS
                                                               : METRICS_PROMETHEUS;
}

/* ---- Lines ---- */

char *metrics_escape(const char *value, char *out, size_t size) {
    size_t len = 0;
    for (; *value && len + 2 < size; value++) {
        if (*value == '\\' || *value == '"' || *value == '\n')
            out[len++] = '\\';
        out[len++] = *value;
        if (*value == '\n')
            out[len - 1] = 'n';
    }
    out[len] = '\0';
    return out;
}

/* OpenMetrics names the family of a counter without what its samples end in. */
static void header(struct writer *writer, const struct metrics_row *row, const char *type) {
    static const char total[] = "_total";
    size_t len = strlen(row->name), end = sizeof total - 1;
    bool cut = writer->format == METRICS_OPENMETRICS && len > end &&
               strcmp(row->name + len - end, total) == 0;
    int name_len = (int)(cut ? len - end : len);
    if (writer->family && strcmp(writer->family, row->name) == 0)
        return;
    writer->family = row->name;
    fprintf(writer->out, "# HELP %s%.*s %s\n# TYPE %s%.*s %s\n", writer->prefix, name_len,
            row->name, row->help, writer->prefix, name_len, row->name, type);
}

static const char *type_of(const struct metrics_row *row) {
    return row->kind == METRICS_COUNTER ? "counter" : "gauge";
}

/* `labels` and the row's own label, where there are any. */
static void sample(const struct writer *writer, const struct metrics_row *row, const char *labels,
                   uint64_t value) {
    const char *label = row->label ? row->label : "";
    fprintf(writer->out, "%s%s", writer->prefix, row->name);
    if (*labels || *label)
        fprintf(writer->out, "{%s%s%s}", labels, *labels && *label ? "," : "", label);
    if (row->micro)
        fprintf(writer->out, " %" PRIu64 ".%06" PRIu64 "\n", value / 1000000u, value % 1000000u);
    else
        fprintf(writer->out, " %" PRIu64 "\n", value);
}

/* A value of the whole daemon, which no slot has. */
static void single(struct writer *writer, enum metrics_kind kind, const char *name,
                   const char *label, const char *help, uint64_t value) {
    const struct metrics_row row = {
        .kind = (uint8_t)kind, .name = name, .label = label, .help = help};
    header(writer, &row, type_of(&row));
    sample(writer, &row, "", value);
}

/* ---- Workers ---- */

#define LABELS_SIZE (2 * (METRICS_ESCAPED_SIZE + 16))

static void worker_labels(const struct metrics *metrics, uint32_t worker, char *out, size_t size) {
    out[0] = '\0';
    if (metrics->program == METRICS_GATEWAY)
        snprintf(out, size, "worker=\"%u\"", worker);
}

static void write_workers(struct writer *writer) {
    const struct metrics *metrics = writer->metrics;
    char labels[LABELS_SIZE];
    for (int i = 0; i < WORKER_VALUES; i++) {
        const struct metrics_row *row = &metrics_worker_rows[i];
        if (!(row->programs & metrics->program))
            continue;
        header(writer, row, type_of(row));
        for (uint32_t w = 0; w < metrics->workers; w++) {
            worker_labels(metrics, w, labels, sizeof labels);
            sample(writer, row, labels, metrics_get(&metrics->slot[w].value[i]));
        }
    }
}

/* ---- Series: those of all workers with the same name are one ---- */

static void add_series(struct metrics_series *to, const struct metrics_series *from) {
    for (size_t i = 0; i < sizeof to->value / sizeof *to->value; i++)
        to->value[i] += metrics_get(&from->value[i]);
    for (size_t i = 0; i <= METRICS_BUCKETS; i++)
        to->time.bucket[i] += metrics_get(&from->time.bucket[i]);
    to->time.sum_us += metrics_get(&from->time.sum_us);
}

static void add_group(struct metrics_group *all, const struct metrics_group *group) {
    uint32_t count = __atomic_load_n(&group->count, __ATOMIC_ACQUIRE);
    add_series(&all->series[0], &group->series[0]);
    for (uint32_t i = 1; i < count && i <= METRICS_SERIES_MAX; i++) {
        const struct metrics_series *series = &group->series[i];
        add_series(metrics_series(all, series->name[0], series->name[1]), series);
    }
}

static bool is_used(const struct metrics_series *series) {
    for (size_t i = 0; i < sizeof series->value / sizeof *series->value; i++)
        if (series->value[i] > 0)
            return true;
    return false;
}

static void series_labels(const struct metrics_series *series, const char *const *names, char *out,
                          size_t size) {
    char value[METRICS_ESCAPED_SIZE];
    int len = 0;
    out[0] = '\0';
    for (int i = 0; i < 2 && names[i]; i++)
        len += snprintf(out + len, size - (size_t)len, "%s%s=\"%s\"", i ? "," : "", names[i],
                        metrics_escape(series->name[i], value, sizeof value));
}

static void write_histogram(struct writer *writer, const struct metrics_row *row,
                            const char *labels, const struct metrics_histogram *time) {
    uint64_t count = 0;
    for (int i = 0; i < METRICS_BUCKETS; i++) {
        count += time->bucket[i];
        fprintf(writer->out, "%s%s_bucket{%s,le=\"%g%s\"} %" PRIu64 "\n", writer->prefix, row->name,
                labels, metrics_bucket_us[i] / 1e6, metrics_bucket_us[i] % 1000000u ? "" : ".0",
                count);
    }
    count += time->bucket[METRICS_BUCKETS];
    fprintf(writer->out, "%s%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", writer->prefix, row->name,
            labels, count);
    fprintf(writer->out, "%s%s_sum{%s} %" PRIu64 ".%06" PRIu64 "\n", writer->prefix, row->name,
            labels, time->sum_us / 1000000u, time->sum_us % 1000000u);
    fprintf(writer->out, "%s%s_count{%s} %" PRIu64 "\n", writer->prefix, row->name, labels, count);
}

/* `all` has been added up. The series of all others is shown once it is in use. */
static void write_group(struct writer *writer, const struct metrics_group *all,
                        const struct metrics_row *rows, int count, const struct metrics_row *time,
                        const char *const *names) {
    char labels[LABELS_SIZE];
    uint32_t first = is_used(&all->series[0]) ? 0 : 1;
    for (int i = 0; i < count; i++) {
        const struct metrics_row *row = &rows[i];
        if (!(row->programs & writer->metrics->program) || first == all->count)
            continue;
        header(writer, row, type_of(row));
        for (uint32_t s = first; s < all->count; s++) {
            series_labels(&all->series[s], names, labels, sizeof labels);
            sample(writer, row, labels, all->series[s].value[i]);
        }
    }
    if (first == all->count)
        return;
    header(writer, time, "histogram");
    for (uint32_t s = first; s < all->count; s++) {
        series_labels(&all->series[s], names, labels, sizeof labels);
        write_histogram(writer, time, labels, &all->series[s].time);
    }
}

static void write_series(struct writer *writer) {
    static struct metrics_group flows, peers;
    const struct metrics *metrics = writer->metrics;
    memset(&flows, 0, sizeof flows);
    memset(&peers, 0, sizeof peers);
    metrics_group_init(&flows);
    metrics_group_init(&peers);
    for (uint32_t w = 0; w < metrics->workers; w++) {
        add_group(&flows, &metrics->slot[w].flows);
        add_group(&peers, &metrics->slot[w].peers);
    }
    write_group(writer, &flows, metrics_flow_rows, FLOW_VALUES, &metrics_flow_time,
                metrics_flow_labels[metrics->program]);
    write_group(writer, &peers, metrics_peer_rows, PEER_VALUES, &metrics_peer_time,
                metrics_peer_labels[metrics->program]);
}

/* ---- All of it ---- */

static void write_daemon(struct writer *writer, uint64_t now_us) {
    const struct metrics *metrics = writer->metrics;
    char why[200];
    bool open = writer->format == METRICS_OPENMETRICS;
    fprintf(writer->out,
            "# HELP %sbuild%s The version of this program.\n# TYPE %sbuild%s %s\n"
            "%sbuild_info{version=\"%s\"} 1\n",
            writer->prefix, open ? "" : "_info", writer->prefix, open ? "" : "_info",
            open ? "info" : "gauge", writer->prefix, SMUX_LIBRARY_VERSION);
    single(writer, METRICS_GAUGE, "start_time_seconds", NULL,
           "When the daemon was started, in seconds since 1970.", metrics->started_s);
    single(writer, METRICS_GAUGE, "healthy", NULL, "1 if every loop turns, as /healthz says.",
           metrics_is_healthy(metrics, now_us, why, sizeof why));
    single(writer, METRICS_GAUGE, "ready", NULL, "1 if it takes connections, as /readyz says.",
           metrics_is_ready(metrics, now_us, why, sizeof why));
    if (metrics->program != METRICS_GATEWAY)
        return;
    single(writer, METRICS_GAUGE, "workers", NULL, "Workers that are configured.",
           metrics->workers);
    single(writer, METRICS_COUNTER, "workers_replaced_total", NULL,
           "Workers that have died and were replaced.", metrics_get(&metrics->replaced));
}

char *metrics_text(const struct metrics *metrics, enum metrics_format format, uint64_t now_us,
                   size_t *len) {
    char *text = NULL;
    struct writer writer = {.out = open_memstream(&text, len),
                            .metrics = metrics,
                            .format = format,
                            .prefix = prefixes[metrics->program]};
    if (!writer.out)
        return NULL;
    write_daemon(&writer, now_us);
    write_workers(&writer);
    write_series(&writer);
    if (format == METRICS_OPENMETRICS)
        fputs("# EOF\n", writer.out);
    if (ferror(writer.out) | fclose(writer.out)) {
        free(text);
        return NULL;
    }
    return text;
}
