/* SPDX-License-Identifier: MIT */
/* name_table.c - see name_table.h. */
#include "helper/client/name_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "helper/client/name_file.h"
#include "helper/net/log.h"

#define HEADS   65536 /* of hash chains */
#define INDEXES 3
/* The file may have this many lines of forgotten names, plus as many as there are names. */
#define REWRITE_SLACK 1024
/* After a failed attempt, the next one comes when there are so many more lines. */
#define REWRITE_RETRY 256

enum index { BY_NAME, BY_V4, BY_V6 };

struct entry {
    struct endpoint v4, v6; /* family 0: none */
    uid_t uid;
    char *name;             /* lower case, no final dot */
    uint32_t next[INDEXES]; /* in the hash chains; numbers of entries, 0 ends */
    uint32_t newer, older;  /* ordered by last use */
};

struct user {
    uid_t uid;
    uint32_t count;
};

struct name_table {
    struct name_file file;
    bool usable;      /* the files can be used */
    bool handed_over; /* it belongs to another helper now */
    bool unsaved;     /* the file lacks some of the names ... */
    size_t retry_at;  /* ... and is rewritten when it has this many lines */
    struct name_ranges ranges;
    uint32_t max_per_user;
    uid_t owner;
    uint64_t next;         /* number of the next address */
    uint64_t seed;         /* of the hash, so that users cannot choose names that collide */
    struct entry *entries; /* [0] is not used */
    uint32_t count, capacity;
    uint32_t newest, oldest;
    struct user *users;
    size_t user_count;
    uint32_t heads[INDEXES][HEADS];
};

/* ---- Finding ---- */

static uint32_t hash(const struct name_table *names, const void *bytes, size_t len) {
    uint64_t h = names->seed;
    for (size_t i = 0; i < len; i++) {
        h = (h ^ ((const uint8_t *)bytes)[i]) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    return (uint32_t)(h >> 32) % HEADS;
}

static uint32_t name_bucket(const struct name_table *names, const char *name) {
    return hash(names, name, strlen(name));
}

static uint32_t address_bucket(const struct name_table *names, const struct endpoint *address) {
    return hash(names, address->addr, sizeof address->addr);
}

static const struct endpoint *address_of(const struct entry *entry, int family) {
    return family == AF_INET6 ? &entry->v6 : &entry->v4;
}

static uint32_t find_address(const struct name_table *names, const struct endpoint *address) {
    struct endpoint plain = endpoint_unmapped(address);
    enum index index = plain.family == AF_INET6 ? BY_V6 : BY_V4;
    uint32_t i = names->heads[index][address_bucket(names, &plain)];
    while (i && memcmp(address_of(&names->entries[i], plain.family)->addr, plain.addr,
                       sizeof plain.addr) != 0)
        i = names->entries[i].next[index];
    return i;
}

static const struct name_range *range_of(const struct name_table *names, int family) {
    return family == AF_INET6 ? &names->ranges.v6 : &names->ranges.v4;
}

/* The entry of a name with an address in the current range. After a change of the range a name gets
 * a second entry. */
static uint32_t find_name(const struct name_table *names, const char *name, int family) {
    const struct name_range *range = range_of(names, family);
    uint32_t i = names->heads[BY_NAME][name_bucket(names, name)];
    while (i && (strcmp(names->entries[i].name, name) != 0 ||
                 !name_range_holds(range, address_of(&names->entries[i], family))))
        i = names->entries[i].next[BY_NAME];
    return i;
}

/* ---- Order of use ---- */

static void unlink_use(struct name_table *names, uint32_t i) {
    struct entry *entry = &names->entries[i];
    *(entry->newer ? &names->entries[entry->newer].older : &names->newest) = entry->older;
    *(entry->older ? &names->entries[entry->older].newer : &names->oldest) = entry->newer;
}

static void link_newest(struct name_table *names, uint32_t i) {
    struct entry *entry = &names->entries[i];
    entry->newer = 0;
    entry->older = names->newest;
    *(names->newest ? &names->entries[names->newest].newer : &names->oldest) = i;
    names->newest = i;
}

static void touch(struct name_table *names, uint32_t i) {
    unlink_use(names, i);
    link_newest(names, i);
}

/* ---- Users ---- */

static struct user *known_user(struct name_table *names, uid_t uid) {
    for (size_t i = 0; i < names->user_count; i++)
        if (names->users[i].uid == uid)
            return &names->users[i];
    return NULL;
}

/* Adds one if there is none, which may move the others in memory. */
static struct user *find_user(struct name_table *names, uid_t uid) {
    struct user *known = known_user(names, uid);
    if (known)
        return known;
    struct user *larger = realloc(names->users, (names->user_count + 1) * sizeof *larger);
    if (!larger)
        return NULL;
    names->users = larger;
    names->users[names->user_count] = (struct user){.uid = uid};
    return &names->users[names->user_count++];
}

static bool may_have_more(struct name_table *names, uid_t uid) {
    if (uid == 0 || uid == names->owner)
        return true;
    const struct user *user = find_user(names, uid);
    return user && user->count < names->max_per_user;
}

/* ---- Entries ---- */

static void unchain(struct name_table *names, enum index index, uint32_t bucket, uint32_t i) {
    uint32_t *at = &names->heads[index][bucket];
    while (*at != i)
        at = &names->entries[*at].next[index];
    *at = names->entries[i].next[index];
}

static void chain(struct name_table *names, enum index index, uint32_t bucket, uint32_t i) {
    names->entries[i].next[index] = names->heads[index][bucket];
    names->heads[index][bucket] = i;
}

/* Forgets the least recently used entry and returns its place. */
static uint32_t evict(struct name_table *names) {
    uint32_t i = names->oldest;
    struct entry *entry = &names->entries[i];
    struct user *user = known_user(names, entry->uid);
    unlink_use(names, i);
    unchain(names, BY_NAME, name_bucket(names, entry->name), i);
    if (entry->v4.family)
        unchain(names, BY_V4, address_bucket(names, &entry->v4), i);
    if (entry->v6.family)
        unchain(names, BY_V6, address_bucket(names, &entry->v6), i);
    if (user)
        user->count--;
    free(entry->name);
    return i;
}

/* A place for a new entry; 0 if memory is short. */
static uint32_t take_place(struct name_table *names) {
    if (names->count == NAME_TABLE_MAX)
        return evict(names);
    if (names->count + 1 >= names->capacity) {
        uint32_t capacity = names->capacity ? names->capacity * 2 : 64;
        struct entry *larger = realloc(names->entries, capacity * sizeof *larger);
        if (!larger)
            return 0;
        names->entries = larger;
        names->capacity = capacity;
    }
    return ++names->count;
}

static bool insert(struct name_table *names, const struct name_record *record) {
    char *name = strdup(record->name);
    uint32_t i = name && find_user(names, record->uid) ? take_place(names) : 0;
    struct user *user = known_user(names, record->uid);
    if (!i || !user) {
        free(name);
        return false;
    }
    names->entries[i] =
        (struct entry){.v4 = record->v4, .v6 = record->v6, .uid = record->uid, .name = name};
    user->count++;
    chain(names, BY_NAME, name_bucket(names, name), i);
    if (record->v4.family)
        chain(names, BY_V4, address_bucket(names, &record->v4), i);
    if (record->v6.family)
        chain(names, BY_V6, address_bucket(names, &record->v6), i);
    link_newest(names, i);
    return true;
}

static bool is_free(const struct name_table *names, const struct endpoint *address) {
    return address->family == 0 || !find_address(names, address);
}

/* ---- Assigning addresses ---- */

/* The addresses of the next number that were not assigned in an earlier, overlapping range. */
static void choose_addresses(const struct name_table *names, struct name_record *record,
                             uint64_t *number) {
    do {
        record->v4.family = record->v6.family = 0;
        if (!name_range_address(&names->ranges.v4, *number, &record->v4))
            memset(&record->v4, 0, sizeof record->v4);
        if (!name_range_address(&names->ranges.v6, *number, &record->v6))
            memset(&record->v6, 0, sizeof record->v6);
        ++*number;
    } while (!is_free(names, &record->v4) || !is_free(names, &record->v6));
}

struct walk {
    const struct name_table *names;
    uint32_t at;
};

static bool next_record(void *ctx, struct name_record *record) {
    struct walk *walk = ctx;
    if (!walk->at)
        return false;
    name_table_get(walk->names, walk->at, record);
    walk->at = walk->names->entries[walk->at].newer;
    return true;
}

static void rewrite_file(struct name_table *names) {
    struct walk walk = {names, names->oldest};
    int error = name_file_rewrite(&names->file, next_record, &walk);
    names->unsaved = error != 0;
    names->retry_at = names->file.lines + REWRITE_RETRY;
    if (error)
        log_about(LOG_WARNING, ABOUT(.file = names->file.path), "%s: cannot be rewritten: %s",
                  names->file.path, strerror(-error));
}

static bool is_full(int error) {
    return error == -ENOSPC || error == -EDQUOT || error == -EFBIG;
}

/* The line could not be stored. */
static void note_unsaved(struct name_table *names, int error) {
    if (names->unsaved)
        return;
    log_about(LOG_WARNING, ABOUT(.file = names->file.path),
              "%s: cannot be written: %s: new names are known only until this helper ends",
              names->file.path, strerror(-error));
    names->unsaved = true;
    names->retry_at =
        names->file.lines + 1; /* the next line that succeeds shows that there is room again */
}

/* Stores the record before anybody is told of it. If there is no room for the line, that is no
 * error: this helper knows the name as long as it runs, and the stored number is never assigned to
 * another name. */
static int store(struct name_table *names, const struct name_record *record, uint64_t next) {
    int error = name_file_set_next(&names->file, next);
    bool numbered = error == 0;
    if (numbered) {
        names->next = next;
        error = name_file_append(&names->file, record);
    }
    if (error == 0)
        return 0;
    if (numbered && is_full(error)) {
        note_unsaved(names, error);
        return 0;
    }
    log_about(LOG_ERR, ABOUT(.file = names->file.path),
              "%s: cannot be written: %s: \"%s\" gets no address", names->file.path,
              strerror(-error), record->name);
    return -EIO;
}

static int add(struct name_table *names, uid_t uid, const char *name, int family) {
    struct name_record record = {.uid = uid};
    uint64_t number = names->next;
    char text[NAME_RANGES_TEXT_SIZE];
    if (names->handed_over)
        return -EAGAIN;
    if (!names->usable)
        return -EIO;
    strcpy(record.name, name);
    if (!may_have_more(names, uid)) {
        log_of(LOG_WARNING, ABOUT(.uid = uid),
               "\"%s\" gets no address: the user has %u names, the limit (max-per-user)", name,
               (unsigned)names->max_per_user);
        return -EDQUOT;
    }
    choose_addresses(names, &record, &number);
    if ((family == AF_INET6 ? record.v6 : record.v4).family == 0) {
        log_of(LOG_WARNING, ABOUT(.uid = uid),
               "\"%s\" gets no address: %s is used up; expected a larger range in [names]", name,
               name_range_text(range_of(names, family), text, sizeof text));
        return -ENOSPC;
    }
    log_of(LOG_DEBUG, ABOUT(.uid = uid), "\"%s\" gets the addresses of number %llu", name,
           (unsigned long long)number);
    int error = store(names, &record, number);
    if (error == 0 && !insert(names, &record))
        error = -EIO;
    bool retry = names->unsaved && names->file.lines >= names->retry_at;
    if (error == 0 && (retry || names->file.lines > 2u * names->count + REWRITE_SLACK))
        rewrite_file(names);
    return error;
}

int name_table_give(struct name_table *names, uid_t uid, const char *name, int family,
                    struct endpoint *address) {
    char key[HELPER_HOST_NAME_MAX + 1];
    size_t len = strlen(name);
    if (len > 1 && name[len - 1] == '.')
        len--;
    for (size_t i = 0; i < len; i++)
        key[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
    key[len] = '\0';
    uint32_t i = find_name(names, key, family);
    if (!i) {
        int error = add(names, uid, key, family);
        if (error)
            return error;
        i = names->newest;
    }
    touch(names, i);
    *address = *address_of(&names->entries[i], family);
    return 0;
}

const char *name_table_find(struct name_table *names, const struct endpoint *address) {
    uint32_t i = find_address(names, address);
    if (!i)
        return NULL;
    touch(names, i);
    return names->entries[i].name;
}

bool name_table_hold(const struct name_table *names, const struct endpoint *address) {
    return address->family &&
           (name_ranges_hold(&names->ranges, address) || find_address(names, address));
}

size_t name_table_count(const struct name_table *names) {
    return names->count;
}

uint32_t *name_table_order(const struct name_table *names, size_t *count) {
    uint32_t *order = malloc((names->count + 1) * sizeof *order);
    *count = 0;
    for (uint32_t i = names->newest; order && i; i = names->entries[i].older)
        order[(*count)++] = i;
    return order;
}

void name_table_get(const struct name_table *names, uint32_t number, struct name_record *record) {
    const struct entry *entry = &names->entries[number];
    record->v4 = entry->v4;
    record->v6 = entry->v6;
    record->uid = entry->uid;
    strcpy(record->name, entry->name);
}

/* ---- Life ---- */

static bool take_record(void *ctx, const struct name_record *record) {
    struct name_table *names = ctx;
    return (record->v4.family || record->v6.family) && is_free(names, &record->v4) &&
           is_free(names, &record->v6) && insert(names, record);
}

/* The number after the highest one in the table. */
static uint64_t next_of_table(const struct name_table *names) {
    uint64_t next = 0, number;
    for (uint32_t i = names->newest; i; i = names->entries[i].older) {
        const struct entry *entry = &names->entries[i];
        if (name_range_number(&names->ranges.v4, &entry->v4, &number) && number >= next)
            next = number + 1;
        if (name_range_number(&names->ranges.v6, &entry->v6, &number) && number >= next)
            next = number + 1;
    }
    return next;
}

/* Both files are damaged, so it is not known which addresses were assigned: no more are. */
static void give_up(struct name_table *names) {
    names->usable = false;
    log_error("%s and %s are both damaged: new names get no addresses, because these might be "
              "in use; expected both files to be removed once no program uses an old address",
              names->file.path, names->file.next_path);
}

static void judge(struct name_table *names, const struct name_found *found) {
    names->next = next_of_table(names);
    if (!found->next_known && (found->damaged > 0 || (found->next_damaged && found->empty))) {
        give_up(names);
        return;
    }
    if (found->damaged > 0 || (found->next_known && names->next < found->next))
        log_warn("%s: damaged: %zu names are intact; the addresses of the others are invalid and "
                 "will not be assigned again",
                 names->file.path, name_table_count(names));
    if (found->damaged > 0)
        rewrite_file(names);
    if (found->next_known && names->next < found->next)
        names->next = found->next;
    if (found->next_known || found->empty)
        return;
    log_warn("%s is damaged or missing: rewritten from the other file", names->file.next_path);
    name_file_set_next(&names->file, names->next);
}

static void load(struct name_table *names, const char *socket_path) {
    struct name_found found = {0};
    int error = name_file_open(&names->file, socket_path);
    if (error == 0)
        error = name_file_load(&names->file, &found, take_record, names);
    names->usable = error == 0;
    if (error)
        log_error("%s: %s: names that only a gateway can resolve get no addresses",
                  names->file.path, strerror(-error));
    else
        judge(names, &found);
}

struct name_table *name_table_new(const char *socket_path, const struct config_names *config,
                                  uid_t owner) {
    struct name_table *names = calloc(1, sizeof *names);
    if (!names)
        return NULL;
    names->owner = owner;
    while (getrandom(&names->seed, sizeof names->seed, 0) < 0 && errno == EINTR)
        continue;
    name_table_configure(names, config);
    load(names, socket_path);
    return names;
}

void name_table_hand_over(struct name_table *names) {
    names->handed_over = true;
    name_file_close(&names->file);
}

void name_table_configure(struct name_table *names, const struct config_names *config) {
    names->ranges = config->ranges;
    names->max_per_user = config->max_per_user;
}

void name_table_free(struct name_table *names) {
    if (!names)
        return;
    for (uint32_t i = names->newest; i; i = names->entries[i].older)
        free(names->entries[i].name);
    name_file_close(&names->file);
    free(names->entries);
    free(names->users);
    free(names);
}
