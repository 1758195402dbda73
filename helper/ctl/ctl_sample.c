/* SPDX-License-Identifier: MIT */
/* ctl_sample.c - see ctl_sample.h. */
#include "helper/ctl/ctl_sample.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "helper/ctl/ctl_client.h"

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- Order ---- */

static int compare_numbers(double a, double b) {
    return a < b ? -1 : a > b;
}

static int compare_ids(const void *a, const void *b) {
    const struct ctl_stream *left = a, *right = b;
    return compare_numbers((double)left->id, (double)right->id);
}

static double sum_of(const struct ctl_stream *stream, const char *key, const char *other) {
    return (double)(ctl_number(stream->object, key) + ctl_number(stream->object, other));
}

struct ordering {
    enum ctl_order order;
    bool reverse;
};

/* The greatest first, or by alphabet. */
static int compare_by(const struct ctl_stream *a, const struct ctl_stream *b,
                      enum ctl_order order) {
    switch (order) {
    case CTL_BY_RATE:
        return compare_numbers(b->rate_in + b->rate_out, a->rate_in + a->rate_out);
    case CTL_BY_RATE_IN:
        return compare_numbers(b->rate_in, a->rate_in);
    case CTL_BY_RATE_OUT:
        return compare_numbers(b->rate_out, a->rate_out);
    case CTL_BY_BYTES:
        return compare_numbers(sum_of(b, "bytes_in", "bytes_out"),
                               sum_of(a, "bytes_in", "bytes_out"));
    case CTL_BY_AGE:
        return compare_numbers((double)ctl_number(b->object, "age_ms"),
                               (double)ctl_number(a->object, "age_ms"));
    case CTL_BY_PROGRAM:
        return strcmp(ctl_text(a->object, "program"), ctl_text(b->object, "program"));
    case CTL_BY_DESTINATION:
        return strcmp(ctl_text(a->object, "destination"), ctl_text(b->object, "destination"));
    case CTL_BY_BEGIN:
        break;
    }
    return 0;
}

/* Equal ones keep the order of their beginnings, so that lines do not jump. */
static int compare(const void *a, const void *b, void *ordering) {
    const struct ordering *how = ordering;
    int result = compare_by(a, b, how->order);
    if (result == 0)
        return compare_ids(a, b) * (how->order == CTL_BY_BEGIN && how->reverse ? -1 : 1);
    return how->reverse ? -result : result;
}

void ctl_sample_sort(struct ctl_sample *sample, enum ctl_order order, bool reverse) {
    struct ordering how = {order, reverse};
    if (sample->count)
        qsort_r(sample->streams, sample->count, sizeof *sample->streams, compare, &how);
}

/* ---- Rates ---- */

static const struct ctl_stream *find(const struct ctl_sample *sample, long long id) {
    const struct ctl_stream wanted = {.id = id};
    return sample->count ? bsearch(&wanted, sample->streams, sample->count, sizeof *sample->streams,
                                   compare_ids)
                         : NULL;
}

static double rate(const struct ctl_stream *now, const struct ctl_stream *before, const char *key,
                   double seconds) {
    double bytes =
        (double)(ctl_number(now->object, key) - (before ? ctl_number(before->object, key) : 0));
    return seconds > 0 && bytes > 0 ? bytes / seconds : 0;
}

static void complete(struct ctl_stream *stream, const struct ctl_sample *before, double at_s) {
    char user[33];
    const struct ctl_stream *old = find(before, stream->id);
    double age_s = (double)ctl_number(stream->object, "age_ms") / 1000;
    double seconds = old ? at_s - before->at_s : age_s;
    stream->rate_in = rate(stream, old, "bytes_in", seconds);
    stream->rate_out = rate(stream, old, "bytes_out", seconds);
    ctl_user(ctl_number(stream->object, "uid"), user, sizeof user);
    json_object_set_new(stream->object, "user", json_string(user));
    json_object_set_new(stream->object, "rate_in", json_integer((json_int_t)stream->rate_in));
    json_object_set_new(stream->object, "rate_out", json_integer((json_int_t)stream->rate_out));
}

/* ---- Samples ---- */

static json_t *ask(const struct ctl_options *options) {
    json_t *status = ctl_ask_helper(options, json_pack("{s:s}", "command", "status"), NULL);
    if (status)
        json_object_del(status, "ok");
    return status;
}

bool ctl_sample_take(struct ctl_sample *sample, const struct ctl_options *options) {
    struct ctl_sample before = *sample;
    *sample = (struct ctl_sample){.status = ask(options), .at_s = now_s()};
    const json_t *list = json_object_get(sample->status, "streams");
    size_t count = json_array_size(list);
    sample->streams = count ? calloc(count, sizeof *sample->streams) : NULL;
    sample->count = sample->streams ? count : 0;
    ctl_sample_sort(&before, CTL_BY_BEGIN, false);
    for (size_t i = 0; i < sample->count; i++) {
        struct ctl_stream *stream = &sample->streams[i];
        stream->object = json_array_get(list, i);
        stream->id = ctl_number(stream->object, "id");
        complete(stream, &before, sample->at_s);
    }
    ctl_sample_free(&before);
    return sample->status;
}

void ctl_sample_free(struct ctl_sample *sample) {
    json_decref(sample->status);
    free(sample->streams);
    *sample = (struct ctl_sample){0};
}

/* ---- The table ---- */

static const struct ctl_column columns[] = {{"PID", .right = true, .leaves = 4},
                                            {"USER", .leaves = 8, .cut_to = 6},
                                            {"PROGRAM", .cut_to = 8},
                                            {"DESTINATION", .cut_to = 15},
                                            {"NAME", .leaves = 3, .cut_to = 10},
                                            {"GATEWAY", .leaves = 7, .cut_to = 7},
                                            {"STATE", .leaves = 6},
                                            {"WAITS FOR", .leaves = 5},
                                            {"AGE", .right = true, .leaves = 2},
                                            {"IN", .right = true, .leaves = 9},
                                            {"OUT", .right = true, .leaves = 10},
                                            {"IN/S", .right = true},
                                            {"OUT/S", .right = true}};
#define COLUMNS (sizeof columns / sizeof *columns)

static void add(struct ctl_table *table, const struct ctl_stream *stream) {
    const json_t *o = stream->object;
    char pid[32], age[32], in[32], out[32], rate_in[32], rate_out[32];
    snprintf(pid, sizeof pid, "%lld", ctl_number(o, "pid"));
    const char *const cells[COLUMNS] = {
        pid,
        ctl_text(o, "user"),
        ctl_text(o, "program"),
        ctl_text(o, "destination"),
        ctl_text(o, "name"),
        ctl_text(o, "gateway"),
        ctl_text(o, "state"),
        ctl_text(o, "waiting"),
        ctl_age(ctl_number(o, "age_ms"), age, sizeof age),
        ctl_bytes((double)ctl_number(o, "bytes_in"), in, sizeof in),
        ctl_bytes((double)ctl_number(o, "bytes_out"), out, sizeof out),
        ctl_bytes(stream->rate_in, rate_in, sizeof rate_in),
        ctl_bytes(stream->rate_out, rate_out, sizeof rate_out)};
    ctl_table_add(table, cells);
}

void ctl_sample_print(const struct ctl_sample *sample, size_t width, size_t rows, FILE *out) {
    struct ctl_table table;
    ctl_table_init(&table, columns, COLUMNS);
    for (size_t i = 0; i < sample->count && (rows == 0 || i < rows); i++)
        add(&table, &sample->streams[i]);
    ctl_table_print(&table, width, rows, out);
    ctl_table_free(&table);
}
