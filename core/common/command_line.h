/* SPDX-License-Identifier: MIT */
/*
 * command_line.h - the command lines of smuxshim, smux-helper, smux-gateway and smuxctl: each is a
 * table, from which the options are read and the usage is written.
 *
 * Not in the preloaded library.
 */
#ifndef CORE_COMMON_COMMAND_LINE_H
#define CORE_COMMON_COMMAND_LINE_H

#include <stdbool.h>
#include <stddef.h>

struct program_option {
    const char *name;  /* long; NULL ends the table */
    char letter;       /* short, or 0 */
    const char *value; /* what it is called in the usage; NULL: the option is a flag */
    const char *help;
    size_t at;       /* of the const char * (or for a flag the bool) in the program's struct, or: */
    const char *key; /* `take` is called with this and the value; NULL: neither */
};

struct program {
    const char *name, *version;
    const char *synopsis; /* what may follow the name */
    const char *details;  /* lines of the usage before the options, or NULL */
    const struct program_option *options;
    bool stops; /* at the first argument that is no option: the rest is another program's */
    /* For rows with a `key`; `value` is NULL for flags. False: there are too many. */
    bool (*take)(void *out, const char *key, const char *value);
};

/* The most rows of a table. */
#define PROGRAM_OPTIONS_MAX 16

/* Reads the command line into `out`. Returns -1 to go on with the arguments at argv[optind]; else
 * the exit status: 0 after --help and --version, which every program has, 2 after one line on
 * stderr. */
int program_options(const struct program *program, int argc, char **argv, void *out);

/* One line on stderr, which ends with a hint at --help. Returns the exit status, 2. */
int program_misused(const struct program *program, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
