/* SPDX-License-Identifier: MIT */
/* settings.c - see settings.h. */
#include "shim/process/settings.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "core/common/config.h"
#include "shim/base/libc.h"
#include "shim/base/shim_log.h"

/* How long a file must be unchanged before it replaces the routes in force; an editor that writes
 * it in pieces pauses for less. Also how often the file is checked, and how long a program without
 * routes waits for a file that is being written. */
#define SETTLED_MS 1000
#define STEP_NS    20000000
#define LOST_STEPS 10 /* how long to wait for a configured file that does not exist */

/* What tells one version of the file from another. */
struct identity {
    char file[CONFIG_PATH_MAX + 1];
    struct timespec written, changed; /* st_mtim, and st_ctim, which no program can set */
    ino_t inode;
    off_t size;
};

/* What was read, and from which file; replaced as a whole, so a reader never sees a mixture. */
struct loaded {
    struct settings settings;
    bool usable;    /* false: nothing is routed */
    bool good;      /* usable, with routes: only settings as good as these replace it */
    bool permanent; /* from the environment: never read again */
    bool quiet;     /* the problem, a file without routes, goes to the log only */
    bool young; /* it was read so soon after a change that another change may have gone unseen */
    char problem[1000];   /* what is wrong, if anything is */
    struct identity id;   /* of the file, when it was read */
    struct config config; /* room to parse in */
};

/* The first settings are in static memory, so that no system call is needed; later ones are
 * mapped. */
static struct loaded first;
static atomic_flag first_taken = ATOMIC_FLAG_INIT;

static struct loaded *_Atomic current;
static _Atomic int64_t next_check_ms;
static _Atomic uint64_t seen,
    refused; /* hashes of an identity: at the last look, and of the last bad file */

static bool env_is(const char *name, const char *value) {
    const char *given = shim_getenv(name);
    return given && strcmp(given, value) == 0;
}

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now); /* vDSO: no system call */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

__attribute__((format(printf, 2, 3))) static void broken(struct loaded *loaded, const char *format,
                                                         ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(loaded->problem, sizeof loaded->problem, format, args);
    va_end(args);
    loaded->settings.deny = loaded->usable = env_is("SMUXSHIM_STRICT", "1");
    loaded->good = false;
    route_list_init(&loaded->settings.routes);
}

static void load_environment(struct loaded *loaded, const char *routes) {
    struct route_error error;
    loaded->permanent = true;
    loaded->usable = loaded->good = route_list_parse(&loaded->settings.routes, routes, &error);
    if (!loaded->usable)
        broken(loaded, "SMUXSHIM_ROUTES: %s", error.text);
}

/* ---- The file ---- */

/* Finds the file to read and describes its version. False if there is none; id->file is then the
 * configured path, or empty. */
static bool identify(struct identity *id) {
    struct stat st;
    memset(id, 0, sizeof *id);
    if (!config_find(id->file, sizeof id->file)) {
        id->file[0] = '\0';
        return false;
    }
    if (stat(id->file, &st) != 0)
        return false;
    id->written = st.st_mtim;
    id->changed = st.st_ctim;
    id->inode = st.st_ino;
    id->size = st.st_size;
    return true;
}

static bool is_same_time(struct timespec a, struct timespec b) {
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool is_same(const struct identity *a, const struct identity *b) {
    return strcmp(a->file, b->file) == 0 && a->inode == b->inode && a->size == b->size &&
           is_same_time(a->written, b->written) && is_same_time(a->changed, b->changed);
}

static uint64_t mix(uint64_t hash, uint64_t value) {
    return (hash ^ value) * 0x100000001b3u;
}

/* A hash in one word, which threads can share without a lock. */
static uint64_t word_of(const struct identity *id) {
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (const char *c = id->file; *c; c++)
        hash = mix(hash, (uint8_t)*c);
    hash = mix(mix(hash, id->inode), (uint64_t)id->size);
    hash = mix(mix(hash, (uint64_t)id->written.tv_sec), (uint64_t)id->written.tv_nsec);
    return mix(mix(hash, (uint64_t)id->changed.tv_sec), (uint64_t)id->changed.tv_nsec) | 1;
}

/* Has the file been unchanged for SETTLED_MS, by the clock that stamps files? (If that clock is set
 * back, the file seems young for longer; look() therefore also accepts one that was the same at two
 * looks.) */
static bool is_settled(const struct identity *id) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    int64_t age_ms = (int64_t)(now.tv_sec - id->changed.tv_sec) * 1000 +
                     (now.tv_nsec - id->changed.tv_nsec) / 1000000;
    return age_ms >= SETTLED_MS;
}

static void load_file(struct loaded *loaded) {
    struct config_error error;
    struct identity after;
    bool there = identify(&loaded->id);
    if (!there && !loaded->id.file[0]) {
        if (env_is("SMUXSHIM_STRICT", "1"))
            broken(loaded, "SMUXSHIM_STRICT=1: expected a configuration file or SMUXSHIM_ROUTES, "
                           "found neither");
        return;
    }
    config_init(&loaded->config);
    loaded->usable = config_read(&loaded->config, loaded->id.file, &error);
    if (!loaded->usable) {
        broken(loaded, "%s", error.text);
    } else if (!identify(&after) || !is_same(&loaded->id, &after)) {
        broken(loaded, "%s: is still being written", loaded->id.file);
    } else if (loaded->config.routes.n_routes == 0) {
        broken(loaded, "%s: expected a [route NAME]", loaded->id.file);
        loaded->quiet = !loaded->settings.deny;
    } else {
        loaded->good = true;
        loaded->young = !is_settled(&loaded->id);
        loaded->settings.routes = loaded->config.routes;
        loaded->settings.names = loaded->config.names.ranges;
        config_own_socket(&loaded->config, NULL, NULL);
    }
}

static void find_socket(struct loaded *loaded) {
    const char *why;
    if (!helper_place_socket(loaded->settings.socket_path, sizeof loaded->settings.socket_path,
                             loaded->config.helper.socket, &why))
        broken(loaded, "SMUXSHIM_SOCKET: expected %s", why);
}

static void find_ranges(struct loaded *loaded) {
    const char *given = shim_getenv("SMUXSHIM_NAMES"), *why;
    if (given && *given && (why = name_ranges_parse(&loaded->settings.names, given)))
        broken(loaded, "SMUXSHIM_NAMES: expected %s", why);
}

static void load(struct loaded *loaded) {
    const char *routes = shim_getenv("SMUXSHIM_ROUTES");
    loaded->usable = loaded->good = loaded->quiet = loaded->young = loaded->settings.deny = false;
    loaded->problem[0] = loaded->config.file[0] = '\0';
    name_ranges_default(&loaded->settings.names);
    if (env_is("SMUXSHIM_DISABLE", "1"))
        loaded->permanent = true;
    else if (routes && *routes)
        load_environment(loaded, routes);
    else
        load_file(loaded);
    if (loaded->good)
        find_socket(loaded);
    if (loaded->good)
        find_ranges(loaded);
}

static struct loaded *room(void) {
    if (!atomic_flag_test_and_set(&first_taken))
        return &first;
    struct loaded *fresh =
        mmap(NULL, sizeof *fresh, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return fresh == MAP_FAILED ? NULL : fresh;
}

static void give_up(struct loaded *fresh) {
    if (fresh != &first)
        munmap(fresh, sizeof *fresh);
}

/* Two threads may load at once; the second one discards its result. */
static struct loaded *publish(struct loaded *old, struct loaded *fresh) {
    if (atomic_compare_exchange_strong(&current, &old, fresh))
        return fresh;
    give_up(fresh);
    return old;
}

/* Could the problem go away soon, so that another try is worth it? */
static bool may_mend(const struct loaded *loaded, int step) {
    if (loaded->good || loaded->permanent || !loaded->id.file[0])
        return false;
    return loaded->id.inode == 0
               ? step < LOST_STEPS
               : step < SETTLED_MS * 1000000LL / STEP_NS && !is_settled(&loaded->id);
}

/* The first read in this process. There are no settings to keep, so it waits for a file that is
 * being written. */
static struct loaded *begin(void) {
    struct loaded *fresh = room();
    if (!fresh)
        return NULL;
    load(fresh);
    for (int i = 0; may_mend(fresh, i); i++) {
        raw_sleep(STEP_NS);
        load(fresh);
    }
    atomic_store(&seen, word_of(&fresh->id));
    struct loaded *published = publish(NULL, fresh);
    if (published != fresh || !fresh->problem[0])
        return published;
    if (fresh->quiet)
        shim_log("%s", fresh->problem);
    else
        shim_complain(fresh->problem);
    return published;
}

/* Adopts the file's new content, unless it is bad and good settings are in force. */
static struct loaded *take_over(struct loaded *old, const struct identity *id) {
    struct loaded *fresh = room();
    if (!fresh)
        return old;
    load(fresh);
    if (fresh->good || !old->good) {
        if (fresh->problem[0])
            shim_log("%s", fresh->problem);
        return publish(old, fresh);
    }
    if (is_same(id, &fresh->id) && atomic_exchange(&refused, word_of(id)) != word_of(id))
        shim_log("%s; the previous configuration stays in force", fresh->problem);
    give_up(fresh);
    return old;
}

/* Checks the file while settings are in force. A file that is missing, being written or bad changes
 * nothing. Another file that takes its place (the system's instead of the user's) must be seen at
 * two checks. */
static struct loaded *look(struct loaded *loaded) {
    struct identity id;
    if (!identify(&id)) {
        if (loaded->good && atomic_exchange(&seen, 0) != 0)
            shim_log("%s: cannot be found; the previous configuration stays in force",
                     loaded->id.file);
        return loaded;
    }
    uint64_t word = word_of(&id);
    bool again = atomic_exchange(&seen, word) == word;
    bool unread = loaded->young && is_settled(&id);
    if ((is_same(&id, &loaded->id) && !unread) || word == atomic_load(&refused))
        return loaded;
    bool ready =
        again || !loaded->good || (strcmp(id.file, loaded->id.file) == 0 && is_settled(&id));
    return ready ? take_over(loaded, &id) : loaded;
}

/* True for one caller, once a second. */
static bool check_is_due(void) {
    int64_t now = now_ms(), due = atomic_load(&next_check_ms);
    return now >= due && atomic_compare_exchange_strong(&next_check_ms, &due, now + SETTLED_MS);
}

const struct settings *settings_get(void) {
    struct loaded *loaded = atomic_load_explicit(&current, memory_order_acquire);
    if (!loaded || !loaded->permanent) {
        int saved = errno;
        bool due = check_is_due();
        if (!loaded)
            loaded = begin();
        else if (due)
            loaded = look(loaded);
        errno = saved;
    }
    return loaded && loaded->usable ? &loaded->settings : NULL;
}
