/* SPDX-License-Identifier: MIT */
/* ctl.c - smuxctl: command line and the simple commands. */
#include "helper/ctl/ctl.h"

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
    "  status [--json]               sessions and streams of the running helper\n"
    "  routes [HOST:PORT]            the helper's routes, or the one that would match\n"
    "  names [--json]                host names with synthetic addresses, and the addresses\n"
    "  check                         check the configuration and print the effective routes\n"
    "  reload                        make the helper read its configuration again\n"
    "  drain                         accept no new connections, and stop after the last one\n"
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
    {0}};

static const struct program smuxctl = {
    .name = "smuxctl",
    .version = SMUX_LIBRARY_VERSION,
    .synopsis = "[-c FILE] COMMAND",
    .details = commands_usage,
    .options = option_table,
};

static int wrong_usage(const char *text) {
    return program_misused(&smuxctl, "%s", text);
}

/* ---- Commands ---- */

static int simple_command(const struct ctl_options *options, const char *command) {
    int helper_fd = ctl_connect_helper(options, false);
    if (helper_fd < 0)
        return CTL_FAILED;
    json_t *answer = ctl_ask(helper_fd, json_pack("{s:s}", "command", command), NULL);
    json_decref(answer);
    close(helper_fd);
    return answer ? CTL_OK : CTL_FAILED;
}

static int run_status(const struct ctl_options *options, char **arguments) {
    (void)arguments;
    return ctl_status(options);
}

static int run_routes(const struct ctl_options *options, char **arguments) {
    return ctl_routes(options, arguments[0]);
}

static int run_names(const struct ctl_options *options, char **arguments) {
    (void)arguments;
    return ctl_names(options);
}

static int run_check(const struct ctl_options *options, char **arguments) {
    (void)arguments;
    return ctl_check(options);
}

static int run_doctor(const struct ctl_options *options, char **arguments) {
    struct ctl_options own = *options;
    return ctl_doctor(&own, arguments);
}

static int run_reload(const struct ctl_options *options, char **arguments) {
    (void)arguments;
    return simple_command(options, "reload");
}

static int run_drain(const struct ctl_options *options, char **arguments) {
    (void)arguments;
    return simple_command(options, "drain");
}

static int run_stop(const struct ctl_options *options, char **arguments) {
    (void)arguments;
    return simple_command(options, "stop");
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

static const struct command {
    const char *name;
    int arguments_min, arguments_max;
    const char *expected;
    int (*run)(const struct ctl_options *options, char **arguments);
    bool alone; /* it needs neither the configuration nor a helper, or looks for them itself */
} commands[] = {{"doctor", 0, DOCTOR_ARGUMENTS_MAX, "expected at most 8 arguments after doctor",
                 run_doctor, true},
                {"status", 0, 0, "expected no argument after status", run_status, false},
                {"routes", 0, 1, "expected at most HOST:PORT after routes", run_routes, false},
                {"names", 0, 0, "expected no argument after names", run_names, false},
                {"check", 0, 0, "expected no argument after check", run_check, false},
                {"reload", 0, 0, "expected no argument after reload", run_reload, false},
                {"drain", 0, 0, "expected no argument after drain", run_drain, false},
                {"stop", 0, 0, "expected no argument after stop", run_stop, false},
                {"connect", 2, 2, "expected HOST PORT after connect", run_connect, false},
                {"genpsk", 1, 2, "expected NAME [FILE] after genpsk", run_genpsk, true},
                {"genkey", 1, 1, "expected FILE after genkey", run_genkey, true}};

/* Returns -1 to continue, or the exit status. */
static int parse_options(struct ctl_options *options, int argc, char **argv) {
    int status = program_options(&smuxctl, argc, argv, options);
    if (status < 0 && optind == argc)
        return wrong_usage(
            "expected a command: doctor, status, routes, names, check, reload, drain, stop, "
            "connect, genpsk or genkey");
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
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

int ctl_main(int argc, char **argv) {
    struct ctl_options options = {0};
    int status = parse_options(&options, argc, argv);
    const struct command *command = status < 0 ? find_command(argv[optind]) : NULL;
    if (status < 0 && !(command && command->alone))
        status = find_socket(&options);
    if (status >= 0)
        return status;
    if (!command)
        return wrong_usage(
            "unknown command, expected doctor, status, routes, names, check, reload, drain, "
            "stop, connect, genpsk or genkey");
    int count = argc - ++optind;
    if (count < command->arguments_min || count > command->arguments_max)
        return wrong_usage(command->expected);
    return command->run(&options, argv + optind);
}
