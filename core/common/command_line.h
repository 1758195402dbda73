/* SPDX-License-Identifier: MIT */
/*
 * command_line.h - the command lines of smuxshim, smux-helper, smux-gateway and smuxctl. Each is a
 * table that the options are parsed with and the usage text is made from; completion for shells is
 * made from that text (completion.awk), so the shape of its lines matters.
 *
 * This is not part of the preloaded library.
 */
#ifndef CORE_COMMON_COMMAND_LINE_H
#define CORE_COMMON_COMMAND_LINE_H

#include <stdbool.h>
#include <stddef.h>

struct program_option {
    const char *name;  /* long; NULL ends the table */
    char letter;       /* short, or 0 */
    const char *value; /* its name in the usage; NULL: the option is a flag */
    const char *help;
    size_t at;       /* of the const char * (for a flag, the bool) in the program's struct, or: */
    const char *key; /* what `take` is called with, besides the value; NULL: no call */
};

struct program {
    const char *name, *version;
    const char *synopsis; /* what may follow the name */
    const char *details;  /* lines of the usage before the options, or NULL */
    const struct program_option *options;
    bool
        stops; /* stop at the first argument that is not an option: the rest is another program's */
    /* Called for rows with a `key`; `value` is NULL for flags. False: there are too many. */
    bool (*take)(void *out, const char *key, const char *value);
};

/* The largest number of rows in a table. */
#define PROGRAM_OPTIONS_MAX 16

/* Reads the command line into `out`. Returns -1 if the program must go on, with the arguments at
 * argv[optind]; otherwise the exit status: 0 after --help and --version, which every program has,
 * or 2 after one line on stderr. */
int program_options(const struct program *program, int argc, char **argv, void *out);

/* Prints one line on stderr, which ends with a hint at --help. Returns the exit status, 2. */
int program_misused(const struct program *program, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
