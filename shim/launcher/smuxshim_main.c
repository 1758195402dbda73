/* SPDX-License-Identifier: MIT */
/*
 * smuxshim_main.c - the launcher:
 * smuxshim [-c FILE | -g GATEWAY -r DESTINATIONS] [-m MODE] [-v] PROGRAM [ARG...]
 *
 * Loads the configuration, makes sure that a helper runs, warns if the program cannot be preloaded
 * or puts it under the trap, and executes it. Exit status: 2 for an error in the command line or
 * configuration; 1 if the library is not found or no helper can be started; 126 and 127, as in a
 * shell, if the program cannot be run.
 */
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/common/command_line.h"
#include "core/common/config.h"
#include "shim/launcher/launch.h"
#include "shim/trap/trap.h"

struct options {
    const char *file, *gateway, *routes;
    const char *mode; /* one of `modes`; NULL: the first */
    bool verbose, check;
    char **program;
};

static const struct program_option option_table[] = {
    {"config", 'c', "FILE", "read the configuration from FILE", offsetof(struct options, file),
     NULL},
    {"gateway", 'g', "GATEWAY", "tcp://HOST:PORT, unix:///PATH, or a gateway's name in the file",
     offsetof(struct options, gateway), NULL},
    {"routes", 'r', "DESTINATIONS",
     "destinations to route over it: 10.0.0.0/8:5432,*.db.internal:3306",
     offsetof(struct options, routes), NULL},
    {"mode", 'm', "MODE",
     "preload a library (the default), trap system calls, or what fits: preload, trap, auto",
     offsetof(struct options, mode), NULL},
    {"check", 0, NULL, "say whether PROGRAM can be preloaded, and run nothing",
     offsetof(struct options, check), NULL},
    {"verbose", 'v', NULL, "say what the launcher does", offsetof(struct options, verbose), NULL},
    {0}};

static const struct program smuxshim = {
    .name = "smuxshim",
    .version = SMUXSHIM_VERSION,
    .synopsis = "[-c FILE | -g GATEWAY -r DESTINATIONS] [-m MODE] [-v] PROGRAM [ARGUMENT...]\n"
                "       smuxshim --check [PROGRAM]",
    .options = option_table,
    .stops = true,
};

static const char *const modes[] = {"preload", "trap", "auto"};

static bool is_mode(const char *text) {
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(text, modes[i]) == 0)
            return true;
    return false;
}

/* Returns -1 to continue, else the exit status. */
static int parse_options(struct options *options, int argc, char **argv) {
    int status = program_options(&smuxshim, argc, argv, options);
    if (status >= 0)
        return status;
    options->program = argv + optind;
    if (options->file && (options->gateway || options->routes))
        return program_misused(&smuxshim, "expected either -c, or -g and -r, not both");
    if (options->mode && !is_mode(options->mode))
        return program_misused(&smuxshim, "--mode %s: expected preload, trap or auto",
                               options->mode);
    if (!*options->program && !options->check)
        return program_misused(&smuxshim, "expected a PROGRAM to run");
    return -1;
}

static bool load(struct config *config, struct options *options) {
    static char absolute[PATH_MAX];
    struct config_error error;
    if (options->file && realpath(options->file, absolute))
        options->file = absolute; /* the helper reloads it from another folder */
    if (!config_load_with(config, options->file, options->gateway, options->routes, &error)) {
        fprintf(stderr, "smuxshim: %s\n", error.text);
        return false;
    }
    if (config->routes.n_routes > 0)
        return true;
    fputs("smuxshim: nothing is routed: expected -r DESTINATIONS, SMUXSHIM_ROUTES, or a [route "
          "NAME] in "
          "a configuration file\n",
          stderr);
    return false;
}

static bool export_routes(const struct config *config) {
    size_t len = route_list_format(&config->routes, NULL, 0);
    char *text = malloc(len + 1);
    if (!text)
        return false;
    route_list_format(&config->routes, text, len + 1);
    bool ok = setenv("SMUXSHIM_ROUTES", text, 1) == 0;
    free(text);
    return ok;
}

/* Defaults are exported, too: an outer smuxshim may have exported other values. */
static bool export_names(const struct config *config) {
    char text[NAME_RANGES_TEXT_SIZE];
    return setenv("SMUXSHIM_NAMES", name_ranges_text(&config->names.ranges, text, sizeof text),
                  1) == 0;
}

static bool ensure_helper(const struct config *config, const struct options *options,
                          const char *socket_path) {
    struct config_error error;
    if (helper_place_answers(socket_path)) {
        if (options->verbose)
            fprintf(stderr, "smuxshim: a helper answers at %s\n", socket_path);
        return true;
    }
    if (!config->helper.autostart) {
        fprintf(stderr, "smuxshim: no helper answers at %s, and autostart = no\n", socket_path);
        return false;
    }
    if (!config_check_gateways(config, &error)) {
        fprintf(stderr, "smuxshim: %s\n", error.text);
        exit(2);
    }
    struct launch_helper helper = {
        .socket_path = socket_path,
        .config_file = options->file,
        .gateway = options->gateway ? options->gateway : getenv("SMUXSHIM_GATEWAY"),
        .routes = options->routes ? options->routes : getenv("SMUXSHIM_ROUTES"),
        .verbose = options->verbose,
    };
    return launch_start_helper(&helper);
}

/* Returns false if preloading would keep the program from starting. */
static bool warn_about(const char *program, const char *library) {
    char path[PATH_MAX];
    if (!launch_find_program(program, path, sizeof path))
        return true; /* exec will report it */
    struct launch_check check = launch_check_program(path, library);
    const char *advice = launch_check_advice(check.verdict);
    if (advice)
        fprintf(stderr, "smuxshim: warning: %s cannot be preloaded: %s\n", check.file, advice);
    return check.verdict != LAUNCH_OTHER_LIBC;
}

static int run(char **program) {
    execvp(program[0], program);
    int status = errno == ENOENT ? 127 : 126;
    fprintf(stderr, "smuxshim: %s: %s\n", program[0], strerror(errno));
    return status;
}

/* What the library needs to start another helper later, if this one ends. */
static bool export_source(const struct options *options) {
    if (options->file)
        return setenv("SMUXSHIM_CONFIG", options->file, 1) == 0 &&
               unsetenv("SMUXSHIM_GATEWAY") == 0;
    return !options->gateway || setenv("SMUXSHIM_GATEWAY", options->gateway, 1) == 0;
}

static bool export_environment(const struct config *config, const struct options *options,
                               const char *socket_path, const char *library) {
    if (export_routes(config) && export_names(config) && export_source(options) &&
        setenv("SMUXSHIM_SOCKET", socket_path, 1) == 0 &&
        (!library || launch_export_preload(library)))
        return true;
    perror("smuxshim: environment");
    return false;
}

static bool find_library(char *library, size_t size) {
    if (!launch_find_library(library, size)) {
        fputs("smuxshim: libsmuxshim.so is neither beside smuxshim nor in " SMUXSHIM_LIBDIR "\n",
              stderr);
        return false;
    }
    if (!strpbrk(library, ": \t\n"))
        return true;
    fprintf(stderr,
            "smuxshim: %s: expected a path without blanks and colons, which LD_PRELOAD cannot "
            "hold\n",
            library);
    return false;
}

/* ---- The two ways to intercept the program's calls ---- */

/* Returns -1 to go on, else the exit status. */
static int enter_trap(const struct options *options) {
    const char *strict = getenv("SMUXSHIM_STRICT");
    char why[200];
    enum trap_start start = trap_start(why, sizeof why);
    if (start == TRAP_STARTED) {
        if (options->verbose)
            fprintf(stderr, "smuxshim: a supervisor answers for %s\n", options->program[0]);
        return -1;
    }
    bool refused = start == TRAP_BROKEN || (strict && strcmp(strict, "1") == 0);
    fprintf(stderr, "smuxshim: %s%s\n", refused ? "" : "warning: connects go direct: ", why);
    return refused ? 1 : -1;
}

/* A launcher into which the library is loaded runs itself again without it: the supervisor must see
 * the kernel's answers. */
static void shed_library(const char *library, char **argv) {
    const char *before = getenv("LD_PRELOAD");
    bool loaded = before && strstr(before, library);
    if (loaded && launch_remove_preload(library))
        execv("/proc/self/exe", argv);
}

static bool is_trap(const struct options *options, const char *library) {
    char path[PATH_MAX];
    if (!options->mode || strcmp(options->mode, "auto") != 0)
        return options->mode && strcmp(options->mode, "trap") == 0;
    return launch_find_program(options->program[0], path, sizeof path) &&
           launch_check_is_for_trap(launch_check_program(path, library).verdict);
}

/* ---- --check: three lines, each "WHAT: ..." (smuxshim(1)) ---- */

static void print_library(const char *library) {
    char file[PATH_MAX], version[VERSION_NOTE_TEXT_SIZE];
    if (!launch_library_file(library, file, sizeof file))
        snprintf(file, sizeof file, "%s", library);
    printf("library: %s %s\n", launch_library_version(file, version) ? version : "unknown", file);
}

static int print_program(const char *program, const char *library) {
    char path[PATH_MAX];
    if (!launch_find_program(program, path, sizeof path)) {
        printf("program: missing %s\n", program);
        return 1;
    }
    struct launch_check verdict = launch_check_program(path, library);
    const char *advice = launch_check_advice(verdict.verdict);
    if (advice)
        printf("program: no %s: %s\n", verdict.file, advice);
    else
        printf("program: %s %s\n", verdict.verdict == LAUNCH_PRELOADABLE ? "yes" : "unknown",
               verdict.file);
    return advice ? 1 : 0;
}

static int check(const char *program) {
    char library[PATH_MAX], own[PATH_MAX] = "";
    launch_own_dir(own, sizeof own);
    printf("launcher: %s %s\n", SMUXSHIM_VERSION, own);
    if (!find_library(library, sizeof library))
        return 1;
    print_library(library);
    return program ? print_program(program, library) : 0;
}

int main(int argc, char **argv) {
    static struct config config;
    struct options options = {0};
    char library[PATH_MAX], socket_path[sizeof((struct sockaddr_un *)0)->sun_path];
    const char *why;
    config_make_absolute();
    int status = parse_options(&options, argc, argv);
    if (status >= 0)
        return status;
    if (options.check)
        return check(options.program[0]);
    if (!load(&config, &options))
        return 2;
    if (!helper_place_socket(socket_path, sizeof socket_path, config.helper.socket, &why)) {
        fprintf(stderr, "smuxshim: SMUXSHIM_SOCKET: expected %s\n", why);
        return 2;
    }
    if (!find_library(library, sizeof library))
        return 1;
    bool trap = is_trap(&options, library);
    if (trap)
        shed_library(library, argv);
    bool preload = !trap && warn_about(options.program[0], library);
    if (!ensure_helper(&config, &options, socket_path) ||
        !export_environment(&config, &options, socket_path, preload ? library : NULL))
        return 1;
    status = trap ? enter_trap(&options) : -1;
    return status >= 0 ? status : run(options.program);
}
