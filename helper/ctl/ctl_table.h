/* SPDX-License-Identifier: MIT */
/*
 * ctl_table.h - rows of text under titles, aligned, and cut to the width of the terminal.
 */
#ifndef HELPER_CTL_CTL_TABLE_H
#define HELPER_CTL_CTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define CTL_COLUMNS_MAX 16

struct ctl_column {
    const char *title;
    size_t cut_to; /* where there is no room, its texts may be cut to so many characters; 0: not */
    int leaves;    /* where there is still no room: the highest goes first, 0 stays */
    bool right;    /* numbers are aligned at their right end */
};

struct ctl_table {
    const struct ctl_column *columns;
    size_t column_count, row_count, rows_max;
    char **cells; /* row by row */
};

/* `columns` are at most CTL_COLUMNS_MAX, and stay the caller's. */
void ctl_table_init(struct ctl_table *table, const struct ctl_column *columns, size_t count);
/* Copies one text for each column. Does nothing if memory is short. */
void ctl_table_add(struct ctl_table *table, const char *const *cells);
/* Prints titles and at most `rows` rows, each at most `width` characters wide. 0: no limit. */
void ctl_table_print(const struct ctl_table *table, size_t width, size_t rows, FILE *out);
void ctl_table_free(struct ctl_table *table);

/* How wide lines on standard output may be: COLUMNS, or what the terminal says. 0, which means no
 * limit, if it is no terminal. */
size_t ctl_width(void);

#endif
