/* SPDX-License-Identifier: MIT */
/*
 * ctl_sample.h - the helper's status at one moment, and the rates since the sample before.
 */
#ifndef HELPER_CTL_CTL_SAMPLE_H
#define HELPER_CTL_CTL_SAMPLE_H

#include "helper/ctl/ctl.h"
#include "helper/ctl/ctl_table.h"

struct ctl_stream {
    json_t *object; /* as the helper says, and the members user, rate_in and rate_out */
    long long id;
    double rate_in, rate_out; /* bytes per second */
};

/* In what order streams are shown. */
enum ctl_order {
    CTL_BY_BEGIN, /* the oldest first; the others: the greatest first */
    CTL_BY_RATE,
    CTL_BY_RATE_IN,
    CTL_BY_RATE_OUT,
    CTL_BY_BYTES,
    CTL_BY_AGE,
    CTL_BY_PROGRAM, /* both by alphabet */
    CTL_BY_DESTINATION
};

struct ctl_sample {
    json_t *status; /* NULL: none */
    struct ctl_stream *streams;
    size_t count;
    double at_s; /* CLOCK_MONOTONIC */
};

/* Takes one, and frees the one in *sample, which rates are relative to; of a connection that is not
 * in it, and in the first sample, they are averages since the connection began. False after a line
 * on stderr; the old sample is freed then as well. */
bool ctl_sample_take(struct ctl_sample *sample, const struct ctl_options *options);
void ctl_sample_free(struct ctl_sample *sample);

void ctl_sample_sort(struct ctl_sample *sample, enum ctl_order order, bool reverse);

/* Prints the streams as a table; `rows` 0: all. */
void ctl_sample_print(const struct ctl_sample *sample, size_t width, size_t rows, FILE *out);

#endif
