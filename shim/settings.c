/* settings.c - see settings.h. */
#include "settings.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "config.h"
#include "log.h"

/* What was read, and from what: one value, so that a reader never sees halves. */
struct loaded {
    struct settings settings;
    bool usable;    /* false: nothing is routed */
    bool permanent; /* from the environment: never looked at again */
    char file[CONFIG_PATH_MAX + 1];
    struct timespec changed; /* of the file, when it was read */
    ino_t inode;
    struct config config; /* room to parse in */
};

/* The first takes no system call to make; what is read anew later is mapped. */
static struct loaded first;
static atomic_flag first_taken = ATOMIC_FLAG_INIT;

static struct loaded *_Atomic current;
static _Atomic int64_t next_check_ms;
static atomic_bool complained;

static bool env_is(const char *name, const char *value) {
    const char *given = shim_getenv(name);
    return given && strcmp(given, value) == 0;
}

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now); /* vDSO: no system call */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void broken(struct loaded *loaded, const char *text) {
    loaded->settings.deny = loaded->usable = env_is("SMUXSHIM_STRICT", "1");
    route_list_init(&loaded->settings.routes);
    if (!atomic_exchange(&complained, true))
        shim_complain(text);
}

static void load_environment(struct loaded *loaded, const char *routes) {
    struct route_error error;
    char text[300];
    loaded->permanent = true;
    loaded->usable = route_list_parse(&loaded->settings.routes, routes, &error);
    if (!loaded->usable) {
        snprintf(text, sizeof text, "SMUXSHIM_ROUTES: %s", error.text);
        broken(loaded, text);
    }
}

static void load_file(struct loaded *loaded) {
    struct config_error error;
    struct stat st;
    if (!config_find(loaded->file, sizeof loaded->file))
        return;
    if (stat(loaded->file, &st) == 0) {
        loaded->changed = st.st_mtim;
        loaded->inode = st.st_ino;
    }
    config_init(&loaded->config);
    loaded->usable = config_read(&loaded->config, loaded->file, &error);
    if (!loaded->usable) {
        broken(loaded, error.text);
        return;
    }
    loaded->settings.routes = loaded->config.routes;
    loaded->settings.names = loaded->config.names.ranges;
    config_own_socket(&loaded->config, NULL, NULL);
}

static void find_socket(struct loaded *loaded) {
    const char *why;
    char text[200];
    if (shim_socket_path(loaded->settings.socket_path, sizeof loaded->settings.socket_path,
                         loaded->config.helper.socket, &why))
        return;
    snprintf(text, sizeof text, "SMUXSHIM_SOCKET: expected %s", why);
    broken(loaded, text);
}

static void find_ranges(struct loaded *loaded) {
    const char *given = shim_getenv("SMUXSHIM_NAMES"), *why;
    char text[200];
    if (!given || !*given || !(why = shim_ranges_parse(&loaded->settings.names, given)))
        return;
    snprintf(text, sizeof text, "SMUXSHIM_NAMES: expected %s", why);
    broken(loaded, text);
}

static struct loaded *load(void) {
    const char *routes = shim_getenv("SMUXSHIM_ROUTES");
    struct loaded *loaded = &first;
    if (atomic_flag_test_and_set(&first_taken))
        loaded =
            mmap(NULL, sizeof *loaded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (loaded == MAP_FAILED)
        return NULL;
    shim_ranges_default(&loaded->settings.names);
    if (env_is("SMUXSHIM_DISABLE", "1"))
        loaded->permanent = true;
    else if (routes && *routes)
        load_environment(loaded, routes);
    else
        load_file(loaded);
    if (loaded->usable)
        find_socket(loaded);
    if (loaded->usable)
        find_ranges(loaded);
    return loaded;
}

/* Two threads may load at once; the one that comes second gives its result up. */
static struct loaded *publish(struct loaded *old, struct loaded *fresh) {
    if (!fresh)
        return old;
    if (atomic_compare_exchange_strong(&current, &old, fresh))
        return fresh;
    if (fresh != &first)
        munmap(fresh, sizeof *fresh);
    return old;
}

static bool file_changed(const struct loaded *loaded) {
    char file[CONFIG_PATH_MAX + 1];
    struct stat st;
    if (!config_find(file, sizeof file))
        return loaded->file[0] != '\0';
    return strcmp(file, loaded->file) != 0 || stat(file, &st) != 0 || st.st_ino != loaded->inode ||
           st.st_mtim.tv_sec != loaded->changed.tv_sec ||
           st.st_mtim.tv_nsec != loaded->changed.tv_nsec;
}

/* True for one caller, once a second. */
static bool check_is_due(void) {
    int64_t now = now_ms(), due = atomic_load(&next_check_ms);
    return now >= due && atomic_compare_exchange_strong(&next_check_ms, &due, now + 1000);
}

const struct settings *settings_get(void) {
    struct loaded *loaded = atomic_load_explicit(&current, memory_order_acquire);
    if (!loaded || !loaded->permanent) {
        int saved = errno;
        bool due = check_is_due();
        if (!loaded || (due && file_changed(loaded)))
            loaded = publish(loaded, load());
        errno = saved;
    }
    return loaded && loaded->usable ? &loaded->settings : NULL;
}
