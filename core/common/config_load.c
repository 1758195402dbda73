/* SPDX-License-Identifier: MIT */
/* config_load.c - where the configuration comes from: files, the environment, the command line. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/common/config_internal.h"
#include "core/common/read_whole.h"

/* Memory that does not come from the heap: the shim reads configurations inside connect(2), where a
 * program may hold its allocator's lock. */
static char *scratch_map(size_t len) {
    void *mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mem == MAP_FAILED ? NULL : mem;
}

static bool fail_file(struct config_error *error, const char *file, const char *what) {
    snprintf(error->text, sizeof error->text, "%.*s: %.200s", CONFIG_PATH_MAX, file, what);
    return false;
}

bool config_parse(struct config *config, const char *file, const char *text, size_t len,
                  struct config_error *error) {
    char *copy = scratch_map(len + 1);
    if (!copy)
        return fail_file(error, file, strerror(errno));
    memcpy(copy, text, len);
    bool ok = config_parse_text(config, file, copy, len, error);
    munmap(copy, len + 1);
    return ok;
}

int config_file_map(const char *file, char **text, size_t *len) {
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    return fd < 0 ? -errno : config_file_map_open(fd, text, len);
}

int config_file_map_open(int fd, char **text, size_t *len) {
    *text = scratch_map(CONFIG_FILE_MAX + 2);
    ssize_t n = *text ? read_whole(fd, *text, CONFIG_FILE_MAX + 1) : -errno;
    int error = n < 0 ? (int)-n : n > CONFIG_FILE_MAX ? EFBIG : 0;
    close(fd);
    if (error && *text)
        config_file_unmap(*text);
    *len = error ? 0 : (size_t)n;
    return -error;
}

void config_file_unmap(char *text) {
    munmap(text, CONFIG_FILE_MAX + 2);
}

bool config_read(struct config *config, const char *file, struct config_error *error) {
    char *text = NULL;
    size_t len = 0;
    if (strlen(file) > CONFIG_PATH_MAX)
        return fail_file(error, file, "expected a path of at most 255 bytes");
    int failed = config_file_map(file, &text, &len);
    if (failed)
        return fail_file(error, file,
                         failed == -EFBIG ? "expected at most 1 MiB" : strerror(-failed));
    bool ok = config_parse_text(config, file, text, len, error);
    config_file_unmap(text);
    return ok;
}

static bool exists(const char *path) {
    return access(path, F_OK) == 0;
}

static bool fits(int len, size_t size) {
    return len > 0 && (size_t)len < size;
}

static const char system_file[] = "/etc/smuxshim/smuxshim.conf";

/* The path of the user's own file, whether it exists or not. False if there is no place for one. */
static bool user_file(char *out, size_t size) {
    const char *xdg = shim_getenv("XDG_CONFIG_HOME"), *home = shim_getenv("HOME");
    if (xdg && xdg[0] == '/')
        return fits(snprintf(out, size, "%s/smuxshim/smuxshim.conf", xdg), size);
    return home && home[0] == '/' &&
           fits(snprintf(out, size, "%s/.config/smuxshim/smuxshim.conf", home), size);
}

bool config_find(char *out, size_t size) {
    const char *given = shim_getenv("SMUXSHIM_CONFIG");
    if (given && *given)
        return fits(snprintf(out, size, "%s", given), size);
    if (user_file(out, size) && exists(out))
        return true;
    return fits(snprintf(out, size, "%s", system_file), size) && exists(out);
}

void config_make_absolute(void) {
    static char absolute[PATH_MAX];
    const char *given = getenv("SMUXSHIM_CONFIG");
    if (given && *given && *given != '/' && realpath(given, absolute))
        setenv("SMUXSHIM_CONFIG", absolute, 1);
}

/* Prefixes the error with the source of the text: "SMUXSHIM_ROUTES: ...". */
static bool fail_source(struct config_error *error, const char *source, const char *text) {
    char copy[sizeof error->text];
    snprintf(copy, sizeof copy, "%s", text);
    snprintf(error->text, sizeof error->text, "%s: %.400s", source, copy);
    return false;
}

static void all_routes_to(struct route_list *routes, const char *gateway) {
    for (size_t i = 0; i < routes->n_routes; i++)
        snprintf(routes->route[i].gateway, sizeof routes->route[i].gateway, "%s", gateway);
}

/* The text is the name of a gateway in the file, or a list of addresses for "main". */
static bool apply_gateway(struct config *config, const char *source, const char *text,
                          struct config_error *error) {
    const char *name = "main";
    if (config_gateway(config, text))
        name = text;
    else if (!config_set_gateway_text(config, text, error))
        return fail_source(error, source, error->text);
    all_routes_to(&config->routes, name);
    return true;
}

static bool apply_routes(struct config *config, const char *source, const char *text,
                         struct config_error *error) {
    struct route_error route_error;
    return route_list_parse(&config->routes, text, &route_error) ||
           fail_source(error, source, route_error.text);
}

/* Whether this is one of the files that are read without being named. */
static bool is_usual_file(const char *file) {
    char usual[CONFIG_PATH_MAX + 1];
    return strcmp(file, system_file) == 0 ||
           (user_file(usual, sizeof usual) && strcmp(file, usual) == 0);
}

/* FNV-1a, 64 bits, over the text including its terminator. */
static uint64_t hash_text(uint64_t hash, const char *text) {
    do
        hash = (hash ^ (uint8_t)*text) * 0x100000001b3u;
    while (*text++);
    return hash;
}

void config_own_socket(struct config *config, const char *gateway, const char *routes) {
    char file[PATH_MAX], folder[CONFIG_PATH_MAX + 1];
    bool usual = !config->file[0] || is_usual_file(config->file);
    if (config->helper.socket[0] || (usual && !gateway && !routes) ||
        !helper_place_own(folder, sizeof folder))
        return;
    if (!config->file[0] || !realpath(config->file, file))
        snprintf(file, sizeof file, "%s", config->file);
    uint64_t hash = hash_text(0xcbf29ce484222325u, usual ? "" : file);
    hash = hash_text(hash_text(hash, gateway ? gateway : ""), routes ? routes : "");
    int len = snprintf(config->helper.socket, sizeof config->helper.socket, "%s/%016llx/%s", folder,
                       (unsigned long long)hash, HELPER_SOCKET_FILE);
    if (len >= (int)sizeof((struct sockaddr_un *)0)->sun_path)
        config->helper.socket[0] = '\0';
}

static bool apply_ranges(struct config *config, const char *text, struct config_error *error) {
    const char *why = name_ranges_parse(&config->names.ranges, text);
    if (!why)
        return true;
    snprintf(error->text, sizeof error->text, "SMUXSHIM_NAMES: expected %s, not \"%.80s\"", why,
             text);
    return false;
}

bool config_load_with(struct config *config, const char *file, const char *gateway,
                      const char *routes, struct config_error *error) {
    const char *given_gateway = gateway, *given_routes = routes;
    char found[CONFIG_PATH_MAX + 1];
    const char *gateway_source = "gateway", *routes_source = "destinations";
    /* A file that was named explicitly is meant as it is: ignore the environment, which may be that
     * of an outer smuxshim. */
    const char *env_routes = file ? NULL : shim_getenv("SMUXSHIM_ROUTES");
    const char *env_gateway = file ? NULL : shim_getenv("SMUXSHIM_GATEWAY");
    const char *env_names = file ? NULL : shim_getenv("SMUXSHIM_NAMES");
    config_init(config);
    if (!file && config_find(found, sizeof found))
        file = found;
    if (file && !config_read(config, file, error))
        return false;
    if (!routes && env_routes && *env_routes) {
        routes = env_routes;
        routes_source = "SMUXSHIM_ROUTES";
    }
    if (!gateway && env_gateway && *env_gateway) {
        gateway = env_gateway;
        gateway_source = "SMUXSHIM_GATEWAY";
    }
    if (routes && !apply_routes(config, routes_source, routes, error))
        return false;
    if (env_names && *env_names && !apply_ranges(config, env_names, error))
        return false;
    if (!config_check_names(config, error))
        return false;
    if (gateway && !apply_gateway(config, gateway_source, gateway, error))
        return false;
    config_own_socket(config, given_gateway, given_routes);
    return true;
}

bool config_check_gateways(const struct config *config, struct config_error *error) {
    for (size_t i = 0; i < config->routes.n_routes; i++) {
        const struct route *route = &config->routes.route[i];
        if (config_gateway(config, route->gateway))
            continue;
        snprintf(error->text, sizeof error->text,
                 "route \"%s\": expected an address for its gateway \"%s\": a [gateway %s] in the "
                 "configuration, or SMUXSHIM_GATEWAY",
                 route->name, route->gateway, route->gateway);
        return false;
    }
    return true;
}

bool config_load(struct config *config, struct config_error *error) {
    return config_load_with(config, NULL, NULL, NULL, error);
}
