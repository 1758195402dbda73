/* SPDX-License-Identifier: MIT */
/* ctl_doctor.c - smuxctl doctor: what is the matter? This file: the configuration and the helper.
 * (ctl_doctor.h has the other parts.) */
#include "helper/ctl/ctl_doctor.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/common/helper_protocol.h"
#include "core/smux.h"
#include "helper/client/admin_client.h"
#include "helper/client/admission.h"
#include "helper/ctl/ctl_client.h"

/* A helper that is alive answers at once. */
#define ANSWER_SECONDS 3

/* ---- The configuration ---- */

static bool is_set(const char *name) {
    const char *value = getenv(name);
    return value && *value;
}

/* Why this file is the one that is read. */
static const char *why_this_file(const struct doctor *doctor) {
    if (doctor->options->file)
        return "given by -c";
    if (is_set("SMUXSHIM_CONFIG"))
        return "named by SMUXSHIM_CONFIG";
    if (strncmp(doctor->config.file, "/etc/", 5) == 0)
        return "the system's, as this user has none";
    return "this user's";
}

/* Writes which variables replace parts of the file: "; SMUXSHIM_ROUTES replaces its routes". */
static const char *overrides(const struct doctor *doctor, char *out, size_t size) {
    bool file = !doctor->options->file;
    snprintf(out, size, "%s%s%s",
             file && is_set("SMUXSHIM_ROUTES") ? "; routes of SMUXSHIM_ROUTES" : "",
             file && is_set("SMUXSHIM_GATEWAY") ? "; gateway of SMUXSHIM_GATEWAY" : "",
             file && is_set("SMUXSHIM_NAMES") ? "; names of SMUXSHIM_NAMES" : "");
    return out;
}

static void tell_configuration(struct doctor *doctor) {
    const struct config *config = &doctor->config;
    char more[200];
    overrides(doctor, more, sizeof more);
    if (config->file[0])
        findings_add(&doctor->findings, FINDING_OK, "configuration", NULL,
                     "%s, %s; gateways: %u, routes: %u%s", config->file, why_this_file(doctor),
                     config->n_gateways, config->routes.n_routes, more);
    else
        findings_add(&doctor->findings, FINDING_OK, "configuration", NULL,
                     "no file; gateways: %u, routes: %u%s", config->n_gateways,
                     config->routes.n_routes, more);
}

static void check_written_by_others(struct doctor *doctor) {
    struct stat st;
    if (doctor->config.file[0] && stat(doctor->config.file, &st) == 0 && st.st_mode & 0002)
        findings_add(&doctor->findings, FINDING_WARN, "configuration", "chmod o-w the file",
                     "%s: every user may change it (mode %04o)", doctor->config.file,
                     st.st_mode & 07777);
}

static void check_accounts(struct doctor *doctor) {
    struct admission admission;
    char bad[64];
    const char *why = admission_resolve(&admission, &doctor->config.helper, bad, sizeof bad);
    if (why)
        findings_add(&doctor->findings, FINDING_FAIL, "configuration",
                     "correct [helper]: the helper does not start like this", "%s \"%s\"", why,
                     bad);
}

/* False if there is nothing that the other checks could use. */
static bool check_configuration(struct doctor *doctor) {
    struct config *config = &doctor->config;
    struct findings *findings = &doctor->findings;
    struct config_error error;
    const char *disabled = getenv("SMUXSHIM_DISABLE");
    if (!config_load_with(config, doctor->options->file, NULL, NULL, &error)) {
        findings_add(findings, FINDING_FAIL, "configuration",
                     "correct it; `smuxctl check` shows the result", "%s", error.text);
        return false;
    }
    if (config->routes.n_routes == 0) {
        findings_add(findings, FINDING_FAIL, "configuration",
                     "write a [gateway NAME] and a [route NAME]: smuxshim.conf(5)",
                     "%s: nothing is routed",
                     config->file[0] ? config->file
                                     : "no file: neither SMUXSHIM_CONFIG nor "
                                       "~/.config/smuxshim/smuxshim.conf nor "
                                       "/etc/smuxshim/smuxshim.conf");
        return false;
    }
    tell_configuration(doctor);
    if (!config_check_gateways(config, &error))
        findings_add(findings, FINDING_FAIL, "configuration", NULL, "%s", error.text);
    check_accounts(doctor);
    check_written_by_others(doctor);
    if (disabled && strcmp(disabled, "1") == 0)
        findings_add(findings, FINDING_WARN, "configuration", "unset SMUXSHIM_DISABLE",
                     "SMUXSHIM_DISABLE is 1: nothing is routed in programs started here");
    return true;
}

/* ---- The helper ---- */

static json_t *ask_quickly(int fd, const char *command) {
    struct timeval limit = {.tv_sec = ANSWER_SECONDS};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return ctl_exchange(fd, json_pack("{s:s}", "command", command), NULL);
}

/* Asks the running helper. NULL if it does not answer. */
static json_t *ask_helper(const struct doctor *doctor, const char *command) {
    int fd = ctl_connect_socket(doctor->options->socket);
    json_t *answer = fd >= 0 ? ask_quickly(fd, command) : NULL;
    if (fd >= 0)
        close(fd);
    return answer;
}

/* No helper lets smuxctl in. */
static void tell_no_helper(struct doctor *doctor, const char *shim_socket, int error) {
    struct findings *findings = &doctor->findings;
    if (error == -EACCES && helper_place_answers(shim_socket))
        findings_add(findings, FINDING_WARN, "helper",
                     "run smuxctl as its owner to see more; what follows is checked without it",
                     "one answers at %s, but not to this user's smuxctl", shim_socket);
    else if (error != -ENOENT && error != -ECONNREFUSED)
        findings_add(findings, FINDING_FAIL, "helper", "remove what is in its place", "%s: %s",
                     doctor->options->socket, strerror(-error));
    else if (doctor->config.helper.autostart)
        findings_add(findings, FINDING_OK, "helper", NULL,
                     "none runs; the first program with a routed connect starts one at %s",
                     shim_socket);
    else
        findings_add(findings, FINDING_FAIL, "helper", "start smux-helper",
                     "none answers at %s, and autostart = no", shim_socket);
}

static bool same_file(const char *a, const char *b) {
    char real_a[PATH_MAX], real_b[PATH_MAX];
    return strcmp(a, b) == 0 ||
           (realpath(a, real_a) && realpath(b, real_b) && strcmp(real_a, real_b) == 0);
}

/* Takes the helper's routes, and compares them with those of the configuration. */
static void check_routes(struct doctor *doctor) {
    char *own = malloc(ADMIN_ROUTES_MAX);
    json_t *answer = ask_helper(doctor, "routes");
    const char *text = json_string_value(json_object_get(answer, "routes"));
    struct route_error error;
    if (own && text && route_list_parse(&doctor->routes, text, &error)) {
        route_list_format(&doctor->config.routes, own, ADMIN_ROUTES_MAX);
        if (strcmp(own, text) != 0)
            findings_add(&doctor->findings, FINDING_WARN, "helper",
                         "smuxctl reload, if the file has been changed since",
                         "its routes are not those of the configuration");
    } else {
        doctor->routes = doctor->config.routes;
    }
    json_decref(answer);
    free(own);
}

static bool listens_at(const struct doctor *doctor, const char *section, const char *address) {
    const json_t *listeners = json_object_get(doctor->status, "listeners");
    for (size_t i = 0; i < json_array_size(listeners); i++) {
        const json_t *listener = json_array_get(listeners, i);
        const json_t *addresses = json_object_get(listener, "addresses");
        if (strcmp(ctl_text(listener, "listener"), section) != 0)
            continue;
        for (size_t j = 0; j < json_array_size(addresses); j++)
            if (strcmp(json_string_value(json_array_get(addresses, j)), address) == 0)
                return true;
    }
    return false;
}

/* Does the helper listen where a section [socks] or [forward NAME] says? */
static void check_listener(struct doctor *doctor, const struct config_listener *listener) {
    char section[80], address[CONFIG_URL_MAX + 1];
    config_listener_text(listener, section, sizeof section);
    for (unsigned i = 0; i < listener->n_addresses; i++) {
        config_address_text(&listener->address[i], address, sizeof address);
        bool listens = listens_at(doctor, section, address);
        findings_add(&doctor->findings, listens ? FINDING_OK : FINDING_FAIL, section,
                     listens ? NULL : "smuxctl reload, which says why if it cannot",
                     "the helper %s at %s", listens ? "listens" : "does not listen", address);
    }
}

static void check_running(struct doctor *doctor) {
    const json_t *status = doctor->status;
    struct findings *findings = &doctor->findings;
    const char *file = json_string_value(json_object_get(status, "config"));
    char age[32];
    findings_add(findings, FINDING_OK, "helper", NULL,
                 "pid %lld answers at %s, up %s, connections: %lld", ctl_number(status, "pid"),
                 doctor->options->socket, ctl_age(ctl_number(status, "uptime_ms"), age, sizeof age),
                 ctl_number(status, "connections"));
    if (json_is_true(json_object_get(status, "draining")))
        findings_add(findings, FINDING_WARN, "helper", "the next routed connect starts another one",
                     "it is draining, and accepts no new connections");
    if (file && file[0] == '/' && !same_file(file, doctor->config.file))
        findings_add(findings, FINDING_WARN, "helper", "smuxctl -c FILE doctor, or smuxctl drain",
                     "it has read another configuration: %s", file);
    check_routes(doctor);
    for (unsigned i = 0; i < doctor->config.n_listeners; i++)
        check_listener(doctor, &doctor->config.listener[i]);
}

static void check_helper(struct doctor *doctor) {
    char path[256];
    const char *why;
    struct ctl_options *options = doctor->options;
    doctor->routes = doctor->config.routes;
    if (!helper_place_socket(path, sizeof path, doctor->config.helper.socket, &why) ||
        !admin_path(options->socket, sizeof options->socket, path)) {
        findings_add(&doctor->findings, FINDING_FAIL, "helper", "correct SMUXSHIM_SOCKET",
                     "socket: expected %s", why);
        options->socket[0] = '\0';
        return;
    }
    int fd = ctl_connect_socket(options->socket);
    if (fd < 0) {
        tell_no_helper(doctor, path, fd);
        return;
    }
    doctor->status = ask_quickly(fd, "status");
    close(fd);
    if (json_is_true(json_object_get(doctor->status, "ok")))
        check_running(doctor);
    else
        findings_add(&doctor->findings, FINDING_FAIL, "helper",
                     "end it, the next routed connect starts another one",
                     "it accepts connections at %s, but has not answered within %u seconds",
                     options->socket, ANSWER_SECONDS);
}

/* ---- All ---- */

static void check_argument(struct doctor *doctor, const char *argument) {
    char host[256];
    uint16_t port;
    if (ctl_split_destination(argument, host, sizeof host, &port))
        doctor_destination(doctor, argument, host, port);
    else
        doctor_program(doctor, argument);
}

int ctl_doctor(struct ctl_options *options, char **arguments) {
    static struct doctor doctor;
    doctor.options = options;
    findings_init(&doctor.findings, options->json);
    bool configured = check_configuration(&doctor);
    if (configured)
        check_helper(&doctor);
    doctor_versions(&doctor);
    if (configured && options->socket[0])
        doctor_folder(&doctor);
    doctor_descriptors(&doctor);
    if (configured)
        doctor_gateways(&doctor);
    for (; *arguments; arguments++)
        if (configured || !strchr(*arguments, ':'))
            check_argument(&doctor, *arguments);
    ctl_own_helper_stop(&doctor.own);
    json_decref(doctor.status);
    return findings_end(&doctor.findings);
}
