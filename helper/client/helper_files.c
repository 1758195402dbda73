/* SPDX-License-Identifier: MIT */
/* helper_files.c - see helper_files.h. */
#include "helper/client/helper_files.h"

#include <stdlib.h>
#include <string.h>

/* What c-ares and libc's libraries (NSS) read; those of a user directory too. */
static const char *const of_libraries[] = {"/etc",
                                           "/usr",
                                           "/lib",
                                           "/lib64",
                                           "/dev/null",
                                           "/dev/urandom",
                                           "/proc",
                                           "/sys/fs/cgroup",
                                           "/run/nscd",
                                           "/run/systemd",
                                           "/run/resolvconf",
                                           "/run/NetworkManager",
                                           "/var/lib/sss",
                                           "/var/lib/extrausers"};

/* Where these links lead to. */
static const char *const links[] = {"/etc/resolv.conf", "/etc/hosts"};

/* Takes the path, which is on the heap; NULL is fine. */
static void add(struct helper_files *files, char *path, bool write) {
    struct landlock_rule *more =
        path ? realloc(files->rules, (files->count + 1) * sizeof *more) : NULL;
    if (!more) {
        free(path);
        return;
    }
    files->rules = more;
    files->rules[files->count++] = (struct landlock_rule){path, write};
}

static void add_folder_of(struct helper_files *files, const char *file, bool write) {
    const char *slash = strrchr(file, '/');
    if (slash)
        add(files, strndup(file, slash == file ? 1 : (size_t)(slash - file)), write);
}

static void add_gateway(struct helper_files *files, const struct config_gateway *gateway) {
    for (const struct key *key = config_gateway_keys; key->name; key++)
        if (key->type == &key_path)
            add_folder_of(files, (const char *)gateway + key->offset, false);
}

static void add_listener(struct helper_files *files, const struct config_listener *listener) {
    add_folder_of(files, listener->password_file, false);
    for (unsigned i = 0; i < listener->n_addresses; i++)
        if (listener->address[i].scheme == CONFIG_UNIX)
            add_folder_of(files, listener->address[i].host, true);
}

void helper_files_init(struct helper_files *files, const struct config *config,
                       const char *socket_path) {
    const char *aliases = getenv("HOSTALIASES");
    memset(files, 0, sizeof *files);
    add_folder_of(files, socket_path, true);
    add_folder_of(files, config->file, false);
    add_folder_of(files, config->helper.log_file, true);
    for (unsigned i = 0; i < config->n_gateways; i++)
        add_gateway(files, &config->gateway[i]);
    for (unsigned i = 0; i < config->n_listeners; i++)
        add_listener(files, &config->listener[i]);
    for (size_t i = 0; i < sizeof of_libraries / sizeof *of_libraries; i++)
        add(files, strdup(of_libraries[i]), false);
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        char *file = realpath(links[i], NULL);
        if (file)
            add_folder_of(files, file, false);
        free(file);
    }
    if (aliases)
        add(files, strdup(aliases), false);
}

void helper_files_fini(struct helper_files *files) {
    for (size_t i = 0; i < files->count; i++)
        free((char *)files->rules[i].path);
    free(files->rules);
    memset(files, 0, sizeof *files);
}
