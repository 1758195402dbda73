/* SPDX-License-Identifier: MIT */
/* ctl.c - smuxctl: command line and the simple commands. */
#include "helper/ctl/ctl.h"

#include <locale.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/common/command_line.h"
#include "core/common/helper_protocol.h"
#include "core/smux.h"
#include "helper/client/admin.h"
#include "helper/ctl/ctl_client.h"

static const char commands_usage[] =
    "  doctor [PROGRAM | HOST:PORT]...  find out what is wrong, and what to do about it\n"
    "  status [--json]               sessions and connections of the running helper\n"
    "  streams [--watch] [--json]    its connections, with rates and what they wait for\n"
    "  top                           the busiest connections, on the whole terminal\n"
    "  events                        connects and ends as they happen, in JSON lines\n"
    "  routes [HOST:PORT]            the helper's routes, or the one that would match\n"
    "  names [--json]                host names with synthetic addresses, and the addresses\n"
    "  check                         check the configuration and print the effective routes\n"
    "  reload                        make the helper read its configuration again\n"
    "  drain [--wait]                accept no new connections, and stop after the last one\n"
    "  upgrade [--wait]              let the helper that is installed now take its place\n"
    "  stop                          stop the helper now\n"
    "  connect [--fdpass] HOST PORT  connect stdin and stdout to HOST:PORT through the helper\n"
    "  genpsk NAME [FILE]            make a shared secret for TLS carriers, into a new file\n"
    "  genkey FILE                   make a key for TLS carriers, and print its pin\n";

static const struct program_option option_table[] = {
    {"config", 'c', "FILE", "use FILE instead of the usual configuration",
     offsetof(struct ctl_options, file), NULL},
    {"json", 0, NULL, "print JSON", offsetof(struct ctl_options, json), NULL},
    {"fdpass", 0, NULL, "pass the connection over stdout (ssh's ProxyUseFdpass)",
     offsetof(struct ctl_options, fdpass), NULL},
    {"watch", 0, NULL, "print again every second", offsetof(struct ctl_options, watch), NULL},
    {"wait", 0, NULL, "print how many connections are left, until the helper has ended",
     offsetof(struct ctl_options, wait), NULL},
    {0}};

static const struct program smuxctl = {
    .name = "smuxctl",
    .version = SMUX_LIBRARY_VERSION,
    .synopsis = "[-c FILE] COMMAND",
    .details = commands_usage,
    .options = option_table,
};

/* ---- Commands ---- */

static int run_routes(const struct ctl_options *options, char **arguments) {
    return ctl_routes(options, arguments[0]);
}

static int run_doctor(const struct ctl_options *options, char **arguments) {
    struct ctl_options own = *options;
    return ctl_doctor(&own, arguments);
}

static int run_connect(const struct ctl_options *options, char **arguments) {
    return ctl_connect(options, arguments[0], arguments[1]);
}

static int run_genpsk(const struct ctl_options *options, char **arguments) {
    (void)options;
    return ctl_genpsk(arguments[0], arguments[1]);
}

static int run_genkey(const struct ctl_options *options, char **arguments) {
    (void)options;
    return ctl_genkey(arguments[0]);
}

#define DOCTOR_ARGUMENTS_MAX 8

/* The options that only some commands have. */
enum { TAKES_JSON = 1, TAKES_WATCH = 2, TAKES_WAIT = 4, TAKES_FDPASS = 8 };

static const struct command {
    const char *name;
    int arguments_min, arguments_max;
    const char *expected; /* after the name */
    /* What it does: one of these; neither: the helper is asked to do it. */
    int (*run)(const struct ctl_options *options);
    int (*run_with)(const struct ctl_options *options, char **arguments);
    unsigned takes;
    bool alone; /* it needs neither the configuration nor a helper, or looks for them itself */
} commands[] = {
    {"doctor", 0, DOCTOR_ARGUMENTS_MAX, "at most 8 arguments", NULL, run_doctor, TAKES_JSON, true},
    {"status", 0, 0, "no argument", ctl_status, NULL, TAKES_JSON, false},
    {"streams", 0, 0, "no argument", ctl_streams, NULL, TAKES_JSON | TAKES_WATCH, false},
    {"top", 0, 0, "no argument", ctl_top, NULL, 0, false},
    {"events", 0, 0, "no argument", ctl_events, NULL, TAKES_JSON, false},
    {"routes", 0, 1, "at most HOST:PORT", NULL, run_routes, 0, false},
    {"names", 0, 0, "no argument", ctl_names, NULL, TAKES_JSON, false},
    {"check", 0, 0, "no argument", ctl_check, NULL, 0, false},
    {"reload", 0, 0, "no argument", NULL, NULL, 0, false},
    {"drain", 0, 0, "no argument", ctl_drain, NULL, TAKES_WAIT, false},
    {"upgrade", 0, 0, "no argument", ctl_upgrade, NULL, TAKES_WAIT, false},
    {"stop", 0, 0, "no argument", NULL, NULL, 0, false},
    {"connect", 2, 2, "HOST PORT", NULL, run_connect, TAKES_FDPASS, false},
    {"genpsk", 1, 2, "NAME [FILE]", NULL, run_genpsk, 0, true},
    {"genkey", 1, 1, "FILE", NULL, run_genkey, 0, true}};
#define COMMANDS (sizeof commands / sizeof *commands)

/* "doctor, status or genkey": all of them, or those that take these options. Returns `out`. */
static const char *list_commands(unsigned takes, char *out, size_t size) {
    size_t len = 0, left = 0;
    for (size_t i = 0; i < COMMANDS; i++)
        left += (commands[i].takes & takes) == takes;
    for (size_t i = 0; i < COMMANDS && len < size; i++)
        if ((commands[i].takes & takes) == takes)
            len += (size_t)snprintf(out + len, size - len, "%s%s", commands[i].name,
                                    --left > 1  ? ", "
                                    : left == 1 ? " or "
                                                : "");
    return out;
}

static int check_options(const struct ctl_options *options, const struct command *command) {
    const struct {
        const char *name;
        bool given;
        unsigned bit;
    } given[] = {{"json", options->json, TAKES_JSON},
                 {"watch", options->watch, TAKES_WATCH},
                 {"wait", options->wait, TAKES_WAIT},
                 {"fdpass", options->fdpass, TAKES_FDPASS}};
    char names[200];
    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        if (given[i].given && !(command->takes & given[i].bit))
            return program_misused(&smuxctl, "--%s: expected with %s, not with %s", given[i].name,
                                   list_commands(given[i].bit, names, sizeof names), command->name);
    return -1;
}

/* Returns -1 to continue, or the exit status. */
static int parse_options(struct ctl_options *options, int argc, char **argv) {
    int status = program_options(&smuxctl, argc, argv, options);
    char names[200];
    if (status < 0 && optind == argc)
        return program_misused(&smuxctl, "expected a command: %s",
                               list_commands(0, names, sizeof names));
    return status;
}

/* Finds the control socket. The configuration may set its path, so an invalid configuration is an
 * error, unless the environment names the socket. */
static int find_socket(struct ctl_options *options) {
    static struct config config;
    struct config_error error;
    char path[256];
    const char *why;
    if (!config_load_with(&config, options->file, NULL, NULL, &error)) {
        if (!getenv("SMUXSHIM_SOCKET")) {
            fprintf(stderr, "smuxctl: %s\n", error.text);
            return CTL_USAGE;
        }
        config_init(&config);
    }
    if (helper_place_socket(path, sizeof path, config.helper.socket, &why) &&
        admin_path(options->socket, sizeof options->socket, path))
        return -1;
    fprintf(stderr, "smuxctl: socket: expected %s\n", why);
    return CTL_USAGE;
}

static const struct command *find_command(const char *name) {
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

int ctl_main(int argc, char **argv) {
    struct ctl_options options = {0};
    setlocale(LC_CTYPE, ""); /* of what tables show */
    char names[200];
    int status = parse_options(&options, argc, argv);
    const struct command *command = status < 0 ? find_command(argv[optind]) : NULL;
    if (command)
        status = check_options(&options, command);
    if (status < 0 && !(command && command->alone))
        status = find_socket(&options);
    if (status >= 0)
        return status;
    if (!command)
        return program_misused(&smuxctl, "unknown command, expected %s",
                               list_commands(0, names, sizeof names));
    int count = argc - ++optind;
    if (count < command->arguments_min || count > command->arguments_max)
        return program_misused(&smuxctl, "expected %s after %s", command->expected, command->name);
    if (command->run)
        return command->run(&options);
    return command->run_with ? command->run_with(&options, argv + optind)
                             : ctl_simple(&options, command->name);
}
