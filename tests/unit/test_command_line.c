/* SPDX-License-Identifier: MIT */
/* The command lines of all programs: one table each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/common/command_line.h"

struct out {
    const char *file, *key, *value;
    bool verbose;
    int settings;
};

static bool take(void *out, const char *key, const char *value) {
    struct out *o = out;
    o->key = key;
    o->value = value;
    return ++o->settings <= 2;
}

static const struct program_option rows[] = {
    {"config", 'c', "FILE", "a file", offsetof(struct out, file), NULL},
    {"listen", 0, "URL", "an address", 0, "address"},
    {"insecure", 0, NULL, "a flag", 0, "insecure"},
    {"verbose", 'v', NULL, "another", offsetof(struct out, verbose), NULL},
    {0}};

static struct program program = {.name = "prog",
                                 .version = "9",
                                 .synopsis = "[-c FILE] ARGUMENT",
                                 .options = rows,
                                 .take = take};
static struct out out;
static char said[2000];

/* Parses `line`, split at blanks; stores in `said` what is printed on `stream`. */
static int run_to(FILE *stream, int fd, const char *line) {
    static char text[200];
    char *argv[20] = {(char *)"prog"};
    int argc = 1, saved = dup(fd);
    FILE *file = tmpfile();
    snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    memset(&out, 0, sizeof out);
    optind = 0;
    fflush(stream);
    dup2(fileno(file), fd);
    int status = program_options(&program, argc, argv, &out);
    fflush(stream);
    dup2(saved, fd);
    close(saved);
    rewind(file);
    said[fread(said, 1, sizeof said - 1, file)] = '\0';
    fclose(file);
    return status;
}

static int run(const char *line) {
    return run_to(stderr, STDERR_FILENO, line);
}

static void short_and_long_are_the_same(void **state) {
    static const char *const lines[] = {"-c f -v a", "--config f --verbose a", "--config=f -v a",
                                        "-vcf a",    "--conf f --verb a",      "-v a -c f"};
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        assert_int_equal(run(lines[i]), -1);
        assert_string_equal(out.file, "f");
        assert_true(out.verbose);
        assert_string_equal(said, "");
    }
    assert_int_equal(run(""), -1);
    assert_null(out.file);
    assert_false(out.verbose);
}

static void rows_with_a_key_are_taken(void **state) {
    (void)state;
    assert_int_equal(run("--listen u"), -1);
    assert_string_equal(out.key, "address");
    assert_string_equal(out.value, "u");
    assert_int_equal(run("--insecure"), -1);
    assert_string_equal(out.key, "insecure");
    assert_null(out.value);
    assert_int_equal(run("--insecure --insecure --listen u"), 2);
    assert_string_equal(said, "prog: --listen: expected fewer options; see prog --help\n");
}

static void errors_are_one_line_and_status_2(void **state) {
    static const char *const lines[][2] = {
        {"-x", "unknown option -x"},
        {"-vx", "unknown option -x"},
        {"--nonsense", "unknown option --nonsense"},
        {"--nonsense=1", "unknown option --nonsense=1"},
        {"-c", "--config: expected FILE after it"},
        {"--config", "--config: expected FILE after it"},
        {"--listen", "--listen: expected URL after it"},
        {"--verbose=2", "--verbose=2: expected no value"},
        {"--help=2", "--help=2: expected no value"},
    };
    char expected[200];
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        assert_int_equal(run(lines[i][0]), 2);
        snprintf(expected, sizeof expected, "prog: %s; see prog --help\n", lines[i][1]);
        assert_string_equal(said, expected);
    }
}

static void help_and_version_go_to_stdout(void **state) {
    static const char *const help[] = {"--help", "-h", "-v --help", "--he"};
    (void)state;
    for (size_t i = 0; i < sizeof help / sizeof *help; i++) {
        assert_int_equal(run_to(stdout, STDOUT_FILENO, help[i]), 0);
        assert_string_equal(said, "Usage: prog [-c FILE] ARGUMENT\n"
                                  "  -c, --config FILE              a file\n"
                                  "      --listen URL               an address\n"
                                  "      --insecure                 a flag\n"
                                  "  -v, --verbose                  another\n"
                                  "  -h, --help                     print this text\n"
                                  "  -V, --version                  print the version\n");
    }
    assert_int_equal(run_to(stdout, STDOUT_FILENO, "-V"), 0);
    assert_string_equal(said, "prog 9\n");
    assert_int_equal(run_to(stdout, STDOUT_FILENO, "--version"), 0);
    assert_string_equal(said, "prog 9\n");
}

static void arguments_after_the_first_may_belong_to_another_program(void **state) {
    (void)state;
    program.stops = true;
    assert_int_equal(run("-v other -c f --help"), -1);
    assert_int_equal(optind, 2);
    assert_null(out.file);
    assert_int_equal(run("-- -c"), -1);
    assert_int_equal(optind, 2);
    program.stops = false;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_and_long_are_the_same),
        cmocka_unit_test(rows_with_a_key_are_taken),
        cmocka_unit_test(errors_are_one_line_and_status_2),
        cmocka_unit_test(help_and_version_go_to_stdout),
        cmocka_unit_test(arguments_after_the_first_may_belong_to_another_program),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
