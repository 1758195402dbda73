/* SPDX-License-Identifier: MIT */
/* ctl_doctor_path.c - smuxctl doctor: what it checks of the way to gateways and targets
 * (ctl_doctor.h). */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/common/helper_protocol.h"
#include "helper/client/admin_client.h"
#include "helper/ctl/ctl_client.h"
#include "helper/ctl/ctl_doctor.h"

/* ---- Who is asked ---- */

/* The running helper, if it understands this smuxctl; else one of smuxctl's own. */
static const char *control_socket(struct doctor *doctor) {
    char why[600];
    if (doctor->control)
        return doctor->control;
    if (doctor->status && doctor->same_version)
        doctor->control = doctor->options->socket;
    else if (ctl_own_helper_start(&doctor->own, &doctor->config, why, sizeof why))
        doctor->control = doctor->own.socket;
    else
        findings_add(&doctor->findings, FINDING_FAIL, "gateway",
                     "correct it, and see that this user may read the files", "%s", why);
    return doctor->control;
}

/* Sends the request (takes the reference). NULL if there is no answer. */
static json_t *ask(struct doctor *doctor, json_t *request, int *fd) {
    const char *control = control_socket(doctor);
    int helper_fd = control ? ctl_connect_socket(control) : -1;
    if (helper_fd < 0) {
        json_decref(request);
        return NULL;
    }
    json_t *answer = ctl_exchange(helper_fd, request, fd);
    close(helper_fd);
    return answer;
}

static bool is_good(const json_t *answer) {
    return json_is_true(json_object_get(answer, "ok"));
}

/* The member's text, or an empty one. */
static const char *text_of(const json_t *answer, const char *key) {
    const char *text = json_string_value(json_object_get(answer, key));
    return text ? text : "";
}

/* ---- Gateways ---- */

static bool is_used(const struct route_list *routes, const char *gateway) {
    for (unsigned i = 0; i < routes->n_routes; i++)
        if (strcmp(routes->route[i].gateway, gateway) == 0)
            return true;
    return false;
}

/* Sessions that are there already take no time to set up. */
#define SETUP_TOLD_US 100

static void tell_answer(struct doctor *doctor, const char *check, const json_t *answer) {
    char how[80] = "it answers no pings, as servers that are not smux-gateway", setup[40] = "";
    const char *identity = text_of(answer, "identity");
    long long setup_us = ctl_number(answer, "setup_us");
    if (json_is_true(json_object_get(answer, "extensions")))
        snprintf(how, sizeof how, "round trip %.2f ms",
                 (double)ctl_number(answer, "rtt_us") / 1000);
    if (setup_us >= SETUP_TOLD_US)
        snprintf(setup, sizeof setup, ", set up in %.1f ms", (double)setup_us / 1000);
    findings_add(&doctor->findings, FINDING_OK, check, NULL,
                 "%s answers: %s%s, smux version %lld%s%s", text_of(answer, "address"), how, setup,
                 ctl_number(answer, "version"), *identity ? ", it is " : "", identity);
}

static void tell_silence(struct doctor *doctor, const char *check,
                         const struct config_gateway *gateway, const json_t *answer) {
    doctor->silent[gateway - doctor->config.gateway] = true;
    bool tls = config_addresses_have(gateway->address, gateway->n_addresses, CONFIG_TLS);
    findings_add(&doctor->findings, FINDING_FAIL, check,
                 tls ? "does smux-gateway run there, may this machine reach it, and do the secrets "
                       "of both sides match?"
                     : "does smux-gateway run there, and may this machine reach it?",
                 "%s", answer ? text_of(answer, "error") : "the helper gives no answer");
}

static void check_gateway(struct doctor *doctor, const struct config_gateway *gateway) {
    char check[ROUTE_NAME_MAX + 10];
    snprintf(check, sizeof check, "gateway %s", gateway->name);
    json_t *answer =
        ask(doctor, json_pack("{s:s, s:s}", "command", "probe", "gateway", gateway->name), NULL);
    if (is_good(answer))
        tell_answer(doctor, check, answer);
    else
        tell_silence(doctor, check, gateway, answer);
    json_decref(answer);
    if (!is_used(&doctor->routes, gateway->name))
        findings_add(&doctor->findings, FINDING_WARN, check, NULL, "no route uses it");
}

void doctor_gateways(struct doctor *doctor) {
    for (unsigned i = 0; i < doctor->config.n_gateways && control_socket(doctor); i++)
        check_gateway(doctor, &doctor->config.gateway[i]);
}

/* ---- The connect ---- */

static const char *advice_for(long long error) {
    switch (error) {
    case EACCES:
        return "add it to `allow` in the gateway's smux-gateway.conf, if it should be allowed";
    case ECONNREFUSED:
        return "the gateway is there: does the target listen at this port?";
    case ETIMEDOUT:
        return "is the target up, and may the gateway reach it? See connect-timeout";
    case EHOSTUNREACH:
        return "can the gateway resolve the name and reach the network of the target?";
    default:
        return NULL;
    }
}

/* Success may have been reported before it was known (connect = eager). False: it has failed. */
static bool lasts(int fd, const struct route *route) {
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    char byte;
    if (route->connect != ROUTE_EAGER)
        return true;
    if (poll(&poll_fd, 1, (int)route->connect_timeout_ms) <= 0)
        return true;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

static double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1e6;
}

static void tell_failure(struct doctor *doctor, const char *host, uint16_t port,
                         const json_t *answer) {
    const char *reason = text_of(answer, "reason");
    findings_add(&doctor->findings, FINDING_FAIL, "connect",
                 advice_for(ctl_number(answer, "errno")), "%s:%u: %s", host, port,
                 !answer   ? "the helper gives no answer"
                 : *reason ? reason
                           : text_of(answer, "error"));
}

static bool is_silent(const struct doctor *doctor, const char *gateway) {
    for (unsigned i = 0; i < doctor->config.n_gateways; i++)
        if (strcmp(doctor->config.gateway[i].name, gateway) == 0)
            return doctor->silent[i];
    return false;
}

static void check_connect(struct doctor *doctor, const struct route *route, const char *host,
                          uint16_t port) {
    int fd = -1;
    if (is_silent(doctor, route->gateway) && route->on_failure != ROUTE_DIRECT) {
        findings_add(&doctor->findings, FINDING_FAIL, "connect", NULL,
                     "%s:%u: not tried, as gateway %s does not answer", host, port, route->gateway);
        return;
    }
    double begin = now_ms();
    json_t *answer = ask(
        doctor, json_pack("{s:s, s:s, s:i}", "command", "connect", "host", host, "port", (int)port),
        &fd);
    double took = now_ms() - begin;
    if (!is_good(answer) || fd < 0)
        tell_failure(doctor, host, port, answer);
    else if (lasts(fd, route))
        findings_add(&doctor->findings, FINDING_OK, "connect", NULL,
                     "%s:%u: connected after %.1f ms%s, and closed at once", host, port, took,
                     route->handshake == ROUTE_PLAIN
                         ? ", as far as the gateway says (handshake = none)"
                         : "");
    else
        findings_add(&doctor->findings, FINDING_FAIL, "connect",
                     "the helper's log says why; connect = confirm lets programs know",
                     "%s:%u: reset after success was reported early (connect = eager)", host, port);
    json_decref(answer);
    if (fd >= 0)
        close(fd);
}

/* ---- Names and routes ---- */

static const struct route_rule *match(const struct doctor *doctor, const char *host, uint16_t port,
                                      struct admin_destination *to) {
    if (!admin_destination_set(to, host, port))
        return NULL;
    return route_list_match_rule(&doctor->routes, &to->endpoint, to->name[0] ? to->name : NULL);
}

static void tell_route(struct doctor *doctor, const struct route_rule *rule, const char *what) {
    const struct route *route = &doctor->routes.route[rule->route];
    char text[400];
    route_rule_format(&doctor->routes, rule, text, sizeof text);
    findings_add(&doctor->findings, FINDING_OK, "route", NULL,
                 "%s: route %s, rule %s, gateway %s%s", what, route->name, text, route->gateway,
                 route->on_failure == ROUTE_DIRECT
                     ? " (on-failure = direct: without it, connected from here)"
                     : "");
}

static void tell_no_route(struct doctor *doctor, const char *what) {
    findings_add(&doctor->findings, FINDING_FAIL, "route",
                 "add it to `destinations` of a [route NAME], if it should be carried",
                 "%s: no route matches, programs connect from here", what);
}

/* Looks the name up on this machine. NULL, with the reason in *why, if that fails. */
static struct addrinfo *look_up(const char *host, const char **why) {
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int error = getaddrinfo(host, NULL, &hints, &list);
    *why = error ? gai_strerror(error) : NULL;
    return list;
}

static const char *address_text(const struct addrinfo *one, char *out, size_t size) {
    getnameinfo(one->ai_addr, one->ai_addrlen, out, (socklen_t)size, NULL, 0, NI_NUMERICHOST);
    return out;
}

/* A rule names the host, or `*`: the gateway looks it up. */
static void check_name_there(struct doctor *doctor, const char *host) {
    const char *why;
    char address[INET6_ADDRSTRLEN + 20];
    struct addrinfo *list = look_up(host, &why);
    if (list)
        findings_add(&doctor->findings, FINDING_OK, "name", NULL,
                     "%s: the gateway resolves it; here it is %s", host,
                     address_text(list, address, sizeof address));
    else
        findings_add(&doctor->findings, FINDING_OK, "name", NULL,
                     "%s: the gateway resolves it; here it does not resolve (%s)", host, why);
    freeaddrinfo(list);
}

/* No rule knows the name: programs look it up here, and its addresses decide. */
static void check_name_here(struct doctor *doctor, const char *host, uint16_t port) {
    const char *why;
    char address[INET6_ADDRSTRLEN + 20];
    struct admin_destination to;
    struct addrinfo *list = look_up(host, &why);
    const struct route_rule *rule = NULL;
    if (!list) {
        findings_add(&doctor->findings, FINDING_FAIL, "name",
                     "add the name to `destinations` of a [route NAME]: the gateway then resolves "
                     "it",
                     "%s: does not resolve here (%s), and no route has the name", host, why);
        return;
    }
    findings_add(&doctor->findings, FINDING_OK, "name", NULL, "%s: resolves here, to %s", host,
                 address_text(list, address, sizeof address));
    for (const struct addrinfo *one = list; one && !rule; one = one->ai_next)
        rule = match(doctor, address_text(one, address, sizeof address), port, &to);
    freeaddrinfo(list);
    if (!rule) {
        tell_no_route(doctor, host);
        return;
    }
    tell_route(doctor, rule, address);
    check_connect(doctor, &doctor->routes.route[rule->route], address, port);
}

void doctor_destination(struct doctor *doctor, const char *text, const char *host, uint16_t port) {
    struct admin_destination to;
    const struct route_rule *rule = match(doctor, host, port, &to);
    if (!admin_destination_set(&to, host, port)) {
        findings_add(&doctor->findings, FINDING_FAIL, "route", NULL,
                     "\"%s\": expected a host name or an address", host);
    } else if (rule) {
        tell_route(doctor, rule, text);
        if (to.name[0])
            check_name_there(doctor, host);
        check_connect(doctor, &doctor->routes.route[rule->route], host, port);
    } else if (to.name[0]) {
        check_name_here(doctor, host, port);
    } else {
        tell_no_route(doctor, text);
    }
}
