/* SPDX-License-Identifier: MIT */
/* command_line.c - see command_line.h. */
#include "core/common/command_line.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* These follow the options of the program. Long options are numbered from FIRST on, so that none
 * looks like a letter. */
enum { OPTION_HELP = PROGRAM_OPTIONS_MAX, OPTION_VERSION, OPTIONS_END };
#define FIRST 256

#define USAGE_COLUMN 30

static void print_option(char letter, const char *name, const char *value, const char *help) {
    char text[80];
    snprintf(text, sizeof text, "%c%c%c --%s%s%s", letter ? '-' : ' ', letter ? letter : ' ',
             letter ? ',' : ' ', name, value ? " " : "", value ? value : "");
    printf("  %-*s %s\n", USAGE_COLUMN, text, help);
}

static int print_usage(const struct program *program) {
    printf("Usage: %s %s\n", program->name, program->synopsis);
    if (program->details)
        fputs(program->details, stdout);
    for (const struct program_option *row = program->options; row->name; row++)
        print_option(row->letter, row->name, row->value, row->help);
    print_option('h', "help", NULL, "print this text");
    print_option('V', "version", NULL, "print the version");
    return 0;
}

int program_misused(const struct program *program, const char *format, ...) {
    va_list args;
    fprintf(stderr, "%s: ", program->name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "; see %s --help\n", program->name);
    return 2;
}

/* ---- What getopt_long needs ---- */

struct prepared {
    char letters[2 + 2 * OPTIONS_END + 3];
    struct option longs[OPTIONS_END + 1];
};

static void add(struct prepared *prepared, size_t *count, int index, char letter, const char *name,
                bool has_value) {
    size_t len = strlen(prepared->letters);
    prepared->longs[(*count)++] =
        (struct option){name, has_value ? required_argument : no_argument, NULL, FIRST + index};
    if (letter)
        snprintf(prepared->letters + len, sizeof prepared->letters - len, "%c%s", letter,
                 has_value ? ":" : "");
}

static void prepare(struct prepared *prepared, const struct program *program) {
    size_t count = 0;
    memset(prepared, 0, sizeof *prepared);
    strcpy(prepared->letters, program->stops ? "+:" : ":");
    for (int i = 0; program->options[i].name; i++)
        add(prepared, &count, i, program->options[i].letter, program->options[i].name,
            program->options[i].value != NULL);
    add(prepared, &count, OPTION_HELP, 'h', "help", false);
    add(prepared, &count, OPTION_VERSION, 'V', "version", false);
}

/* The index of the option that getopt_long found, by letter or by name. */
static int index_of(const struct program *program, int found) {
    if (found >= FIRST)
        return found - FIRST;
    for (int i = 0; program->options[i].name; i++)
        if (program->options[i].letter == found)
            return i;
    return found == 'h' ? OPTION_HELP : OPTION_VERSION;
}

static int complain(const struct program *program, int found, const char *word) {
    bool is_long = strncmp(word, "--", 2) == 0;
    if (found == ':') {
        const struct program_option *row = &program->options[index_of(program, optopt)];
        return program_misused(program, "--%s: expected %s after it", row->name, row->value);
    }
    if (is_long && optopt >= FIRST)
        return program_misused(program, "%s: expected no value", word);
    if (is_long)
        return program_misused(program, "unknown option %s", word);
    return program_misused(program, "unknown option -%c", optopt);
}

static bool store(const struct program *program, const struct program_option *row, void *out) {
    char *at = (char *)out + row->at;
    if (row->key)
        return program->take(out, row->key, row->value ? optarg : NULL);
    if (row->value)
        memcpy(at, &optarg, sizeof optarg);
    else
        *(bool *)at = true;
    return true;
}

int program_options(const struct program *program, int argc, char **argv, void *out) {
    struct prepared prepared;
    prepare(&prepared, program);
    opterr = 0;
    for (int found;
         (found = getopt_long(argc, argv, prepared.letters, prepared.longs, NULL)) != -1;) {
        if (found == '?' || found == ':')
            return complain(program, found, argv[optind - 1]);
        int index = index_of(program, found);
        if (index == OPTION_HELP)
            return print_usage(program);
        if (index == OPTION_VERSION)
            return printf("%s %s\n", program->name, program->version) < 0;
        if (!store(program, &program->options[index], out))
            return program_misused(program, "--%s: expected fewer options",
                                   program->options[index].name);
    }
    return -1;
}
