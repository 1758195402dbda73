/* SPDX-License-Identifier: MIT */
/* ctl_routes.c - smuxctl routes and smuxctl check. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "helper/client/admin_client.h"
#include "helper/client/admission.h"
#include "helper/ctl/ctl.h"
#include "helper/ctl/ctl_client.h"

/* ---- Printing ---- */

static void print_route(const struct route_list *list, size_t index) {
    static const char *const connects[] = {"confirm", "eager"};
    static const char *const failures[] = {"refuse", "direct"};
    static const char *const handshakes[] = {"socks5", "none"};
    const struct route *route = &list->route[index];
    const char *separator = "";
    char text[400];
    printf("route %s: ", route->name);
    for (size_t i = 0; i < list->n_rules; i++) {
        if (list->rule[i].route != index)
            continue;
        route_rule_format(list, &list->rule[i], text, sizeof text);
        printf("%s%s", separator, text);
        separator = ", ";
    }
    printf(
        " -> gateway %s, connect = %s, connect-timeout = %ums, on-failure = %s, handshake = %s\n",
        route->gateway, connects[route->connect], route->connect_timeout_ms,
        failures[route->on_failure], handshakes[route->handshake]);
}

static void print_routes(const struct route_list *list) {
    for (size_t i = 0; i < list->n_routes; i++)
        print_route(list, i);
}

static void print_match(const char *destination, const char *route, const char *gateway,
                        const char *rule) {
    if (route)
        printf("%s: route %s, rule %s, gateway %s\n", destination, route, rule, gateway);
    else
        printf("%s: no route, connected directly\n", destination);
}

/* ---- HOST:PORT ---- */

bool ctl_split_destination(const char *text, char *host, size_t size, uint16_t *port) {
    const char *colon = strrchr(text, ':');
    char *end;
    if (!colon || colon == text)
        return false;
    size_t len = (size_t)(colon - text);
    if (text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    long value = strtol(colon + 1, &end, 10);
    if (len == 0 || len >= size || *end || end == colon + 1 || value < 1 || value > 65535)
        return false;
    memcpy(host, text, len);
    host[len] = '\0';
    *port = (uint16_t)value;
    return true;
}

/* ---- routes ---- */

static int routes_of_helper(int helper_fd, const char *destination, const char *host,
                            uint16_t port) {
    static struct route_list list;
    struct route_error error;
    json_t *request = json_pack("{s:s}", "command", "routes");
    if (destination) {
        json_object_set_new(request, "host", json_string(host));
        json_object_set_new(request, "port", json_integer(port));
    }
    json_t *answer = ctl_ask(helper_fd, request, NULL);
    if (!answer)
        return CTL_FAILED;
    const char *routes = json_string_value(json_object_get(answer, "routes"));
    if (destination)
        print_match(destination, json_string_value(json_object_get(answer, "route")),
                    json_string_value(json_object_get(answer, "gateway")),
                    json_string_value(json_object_get(answer, "rule")));
    else if (routes && route_list_parse(&list, routes, &error))
        print_routes(&list);
    json_decref(answer);
    return CTL_OK;
}

static int routes_of_config(const struct config *config, const char *destination, const char *host,
                            uint16_t port) {
    struct admin_destination to;
    char text[400];
    if (!destination) {
        print_routes(&config->routes);
        return CTL_OK;
    }
    if (!admin_destination_set(&to, host, port)) {
        fprintf(stderr, "smuxctl: \"%s\": expected a host name or address\n", host);
        return CTL_USAGE;
    }
    const struct route_rule *rule =
        route_list_match_rule(&config->routes, &to.endpoint, to.name[0] ? to.name : NULL);
    if (!rule) {
        print_match(destination, NULL, NULL, NULL);
        return CTL_OK;
    }
    const struct route *route = &config->routes.route[rule->route];
    route_rule_format(&config->routes, rule, text, sizeof text);
    print_match(destination, route->name, route->gateway, text);
    return CTL_OK;
}

/* Asks the running helper; with -c, or if no helper answers, uses the configuration. */
int ctl_routes(const struct ctl_options *options, const char *destination) {
    static struct config config;
    struct config_error error;
    char host[256] = "";
    uint16_t port = 0;
    if (destination && !ctl_split_destination(destination, host, sizeof host, &port)) {
        fprintf(stderr, "smuxctl: \"%s\": expected HOST:PORT\n", destination);
        return CTL_USAGE;
    }
    int helper_fd = options->file ? -1 : ctl_connect_helper(options, true);
    if (helper_fd >= 0) {
        int status = routes_of_helper(helper_fd, destination, host, port);
        close(helper_fd);
        return status;
    }
    if (!config_load_with(&config, options->file, NULL, NULL, &error)) {
        fprintf(stderr, "smuxctl: %s\n", error.text);
        return CTL_USAGE;
    }
    return routes_of_config(&config, destination, host, port);
}

/* ---- check ---- */

static void print_gateway(const struct config_gateway *gateway) {
    char text[CONFIG_URL_MAX + 1];
    printf("gateway %s: ", gateway->name);
    for (int i = 0; i < gateway->n_addresses; i++)
        printf("%s%s", i ? ", " : "", config_address_text(&gateway->address[i], text, sizeof text));
    printf(" (smux version %u, connections %u)\n", gateway->session.version, gateway->connections);
}

static void print_names(const struct config *config) {
    char v4[NAME_RANGES_TEXT_SIZE], v6[NAME_RANGES_TEXT_SIZE];
    if (config->routes.n_name_rules)
        printf("names: synthetic addresses from %s and %s\n",
               name_range_text(&config->names.ranges.v4, v4, sizeof v4),
               name_range_text(&config->names.ranges.v6, v6, sizeof v6));
}

static void print_listener(const struct config_listener *listener) {
    char text[CONFIG_URL_MAX + 1], section[80];
    printf("%s: ", config_listener_text(listener, section, sizeof section));
    for (int i = 0; i < listener->n_addresses; i++)
        printf("%s%s", i ? ", " : "",
               config_address_text(&listener->address[i], text, sizeof text));
    if (listener->kind == CONFIG_FORWARD)
        printf(" to %s",
               config_address_text(&listener->destination, text, sizeof text) + strlen("tcp://"));
    printf(" (%s%sunrouted %s)\n", listener->password_file[0] ? "with passwords, " : "",
           listener->insecure ? "insecure, " : "",
           listener->unrouted == ROUTE_DIRECT ? "direct" : "refused");
}

int ctl_check(const struct ctl_options *options) {
    static struct config config;
    struct config_error error;
    struct admission admission;
    char bad[64];
    if (!config_load_with(&config, options->file, NULL, NULL, &error)) {
        fprintf(stderr, "smuxctl: %s\n", error.text);
        return CTL_USAGE;
    }
    const char *why = admission_resolve(&admission, &config.helper, bad, sizeof bad);
    if (why) {
        fprintf(stderr, "smuxctl: %s: %s \"%s\"\n", config.file, why, bad);
        return CTL_USAGE;
    }
    printf("configuration %s: good\n", config.file[0] ? config.file : "from the environment");
    for (int i = 0; i < config.n_gateways; i++)
        print_gateway(&config.gateway[i]);
    print_routes(&config.routes);
    print_names(&config);
    for (int i = 0; i < config.n_listeners; i++)
        print_listener(&config.listener[i]);
    return CTL_OK;
}
