/* SPDX-License-Identifier: MIT */
/* ctl_table.c - see ctl_table.h. */
#include "helper/ctl/ctl_table.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#define GAP             2 /* blanks between columns */
#define WIDTH_UNKNOWN   80
#define CUT_MARK        "+"
#define ROWS_MAX_BEGINS 64

/* ---- Characters, as wide as a terminal shows them ---- */

/* The bytes of the first character, and its width; what cannot be shown is one byte and -1. */
static size_t character(const char *text, int *width) {
    mbstate_t state = {0};
    wchar_t wide;
    size_t bytes = mbrtowc(&wide, text, strlen(text), &state);
    *width = bytes > strlen(text) ? -1 : wcwidth(wide);
    return *width < 0 && bytes > strlen(text) ? 1 : bytes;
}

/* A copy in which nothing controls the terminal. */
static char *printable(const char *text) {
    char *copy = malloc(strlen(text) + 1), *out = copy;
    int width;
    while (copy && *text) {
        size_t bytes = character(text, &width);
        memcpy(out, width < 0 ? "?" : text, width < 0 ? 1 : bytes);
        out += width < 0 ? 1 : bytes;
        text += bytes;
    }
    if (copy)
        *out = '\0';
    return copy;
}

/* The width of the whole, or of as many characters as fit into `most`; *bytes of them. */
static size_t width_of(const char *text, size_t most, size_t *bytes) {
    size_t sum = 0;
    int width;
    for (*bytes = 0; text[*bytes]; sum += (size_t)width) {
        size_t step = character(text + *bytes, &width);
        if (sum + (size_t)width > most)
            break;
        *bytes += step;
    }
    return sum;
}

static size_t full_width(const char *text) {
    size_t bytes;
    return width_of(text, SIZE_MAX / 2, &bytes);
}

/* ---- Rows ---- */

void ctl_table_init(struct ctl_table *table, const struct ctl_column *columns, size_t count) {
    *table = (struct ctl_table){.columns = columns, .column_count = count};
}

static bool make_room(struct ctl_table *table) {
    if (table->row_count < table->rows_max)
        return true;
    size_t rows = table->rows_max ? 2 * table->rows_max : ROWS_MAX_BEGINS;
    char **cells = reallocarray(table->cells, rows, table->column_count * sizeof *cells);
    if (!cells)
        return false;
    table->cells = cells;
    table->rows_max = rows;
    return true;
}

void ctl_table_add(struct ctl_table *table, const char *const *cells) {
    if (!make_room(table))
        return;
    char **row = table->cells + table->row_count++ * table->column_count;
    for (size_t i = 0; i < table->column_count; i++)
        row[i] = printable(cells[i]);
}

void ctl_table_free(struct ctl_table *table) {
    for (size_t i = 0; i < table->row_count * table->column_count; i++)
        free(table->cells[i]);
    free(table->cells);
    *table = (struct ctl_table){0};
}

/* ---- Widths ---- */

/* Of each column; 0: it is left out. */
struct widths {
    size_t of[CTL_COLUMNS_MAX];
};

static const char *cell(const struct ctl_table *table, size_t row, size_t column) {
    const char *text = table->cells[row * table->column_count + column];
    return text ? text : "";
}

static void measure(const struct ctl_table *table, struct widths *widths) {
    for (size_t i = 0; i < table->column_count; i++) {
        widths->of[i] = strlen(table->columns[i].title);
        for (size_t row = 0; row < table->row_count; row++) {
            size_t width = full_width(cell(table, row, i));
            if (width > widths->of[i])
                widths->of[i] = width;
        }
    }
}

static size_t total(const struct ctl_table *table, const struct widths *widths) {
    size_t sum = 0;
    for (size_t i = 0; i < table->column_count; i++)
        if (widths->of[i])
            sum += widths->of[i] + (sum ? GAP : 0);
    return sum;
}

/* The widest column that may be cut; -1 if there is none. */
static int widest_to_cut(const struct ctl_table *table, const struct widths *widths) {
    int widest = -1;
    for (size_t i = 0; i < table->column_count; i++)
        if (table->columns[i].cut_to && widths->of[i] > table->columns[i].cut_to &&
            (widest < 0 || widths->of[i] > widths->of[widest]))
            widest = (int)i;
    return widest;
}

static int first_to_leave(const struct ctl_table *table, const struct widths *widths) {
    int first = -1;
    for (size_t i = 0; i < table->column_count; i++)
        if (widths->of[i] && table->columns[i].leaves > 0 &&
            (first < 0 || table->columns[i].leaves > table->columns[first].leaves))
            first = (int)i;
    return first;
}

/* What the columns need if all that may be cut is cut. */
static size_t least(const struct ctl_table *table, struct widths widths) {
    for (size_t i = 0; i < table->column_count; i++)
        if (table->columns[i].cut_to && widths.of[i] > table->columns[i].cut_to)
            widths.of[i] = table->columns[i].cut_to;
    return total(table, &widths);
}

static void fit(const struct ctl_table *table, struct widths *widths, size_t width) {
    int column;
    while (least(table, *widths) > width && (column = first_to_leave(table, widths)) >= 0)
        widths->of[column] = 0;
    while (total(table, widths) > width && (column = widest_to_cut(table, widths)) >= 0)
        widths->of[column]--;
}

/* ---- Printing ---- */

static void print_cell(const char *text, size_t width, bool right, bool last, FILE *out) {
    size_t bytes = strlen(text), shown = full_width(text);
    bool cut = shown > width;
    if (cut)
        shown = width_of(text, width - 1, &bytes) + 1;
    int blanks = (int)(width - shown);
    fprintf(out, "%*s%.*s%s%*s", right ? blanks : 0, "", (int)bytes, text, cut ? CUT_MARK : "",
            right || last ? 0 : blanks, "");
}

/* `row` SIZE_MAX: the titles. */
static void print_row(const struct ctl_table *table, const struct widths *widths, size_t row,
                      FILE *out) {
    size_t last = table->column_count - 1;
    while (last > 0 && !widths->of[last])
        last--;
    bool first = true;
    for (size_t i = 0; i <= last; i++) {
        const struct ctl_column *column = &table->columns[i];
        if (!widths->of[i])
            continue;
        fprintf(out, "%*s", first ? 0 : GAP, "");
        print_cell(row == SIZE_MAX ? column->title : cell(table, row, i), widths->of[i],
                   column->right, i == last, out);
        first = false;
    }
    fputc('\n', out);
}

void ctl_table_print(const struct ctl_table *table, size_t width, size_t rows, FILE *out) {
    struct widths widths = {0};
    measure(table, &widths);
    if (width)
        fit(table, &widths, width);
    print_row(table, &widths, SIZE_MAX, out);
    for (size_t row = 0; row < table->row_count && (rows == 0 || row < rows); row++)
        print_row(table, &widths, row, out);
}

size_t ctl_width(void) {
    const char *columns = getenv("COLUMNS");
    struct winsize size;
    long given = columns ? strtol(columns, NULL, 10) : 0;
    if (!isatty(STDOUT_FILENO))
        return 0;
    if (given > 0)
        return (size_t)given;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col
                                                                       : WIDTH_UNKNOWN;
}
