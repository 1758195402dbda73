/* SPDX-License-Identifier: MIT */
/* options.c - keeps options on the unix socket and carries them over the swap. See options.h. */
#include "shim/socket/options.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "shim/base/hint.h"
#include "shim/base/libc.h"

static const struct option_row rows[] = {
#define OPTION(level, name, how, field, standard, min, max)                                        \
    {level, name, OPTION_##how, field, standard, min, max},
#include "shim/socket/options.def"
#undef OPTION
};
#define N_ROWS (sizeof rows / sizeof *rows)

/* The kernel's initial value is all ones; a mark of ours has bit 62 set and bit 63 clear. */
#define MARK_NONE  UINT64_MAX
#define MARK_OURS  (UINT64_C(1) << 62)
#define MARK_CHECK (UINT64_C(3) << 62)

#define STORE_MAX 32 /* options in one store */

/* Linux's classic socket filters, as in linux/filter.h, which may not be installed. */
struct instruction {
    uint16_t code;
    uint8_t jump_true, jump_false;
    uint32_t k;
};
struct program {
    unsigned short n;
    struct instruction *code;
};
enum { LOAD_IMMEDIATE = 0x00, RETURN = 0x06 };

struct store {
    unsigned short n;                           /* instructions */
    struct instruction code[2 * STORE_MAX + 1]; /* pairs, then "accept all" */
};

const struct option_row *option_find(int level, int name) {
    for (size_t i = 0; i < N_ROWS; i++)
        if (rows[i].name == name && rows[i].level == level)
            return &rows[i];
    return NULL;
}

static uint64_t mark_read(int fd) {
    uint64_t mark = MARK_NONE;
    socklen_t len = sizeof mark;
    if (raw_getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &mark, &len) != 0 ||
        (mark & MARK_CHECK) != MARK_OURS)
        return MARK_OURS;
    return mark;
}

static void mark_write(int fd, uint64_t mark) {
    raw_setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &mark, sizeof mark);
}

static uint64_t field_mask(uint16_t field) {
    return ((UINT64_C(1) << (field & 0xff)) - 1) << (field >> 8);
}

static unsigned field_get(uint64_t mark, uint16_t field) {
    return (unsigned)((mark & field_mask(field)) >> (field >> 8));
}

static uint64_t field_put(uint64_t mark, uint16_t field, unsigned value) {
    mark &= ~field_mask(field);
    return mark | ((uint64_t)value << (field >> 8) & field_mask(field));
}

/* The value of a field; 0 means "not set", which reads as the row's default. */
static int mark_value(uint64_t mark, const struct option_row *row) {
    unsigned kept = field_get(mark, row->field);
    return kept ? (int)kept : row->standard;
}

static uint64_t mark_with(uint64_t mark, const struct option_row *row, int value) {
    unsigned width = row->field & 0xff;
    return field_put(mark, row->field, width == 1 ? value != 0 : (unsigned)value);
}

static uint32_t store_key(const struct option_row *row) {
    return (uint32_t)row->level << 16 | (uint32_t)row->name;
}

static void store_read(int fd, struct store *store) {
    socklen_t n = 2 * STORE_MAX + 1;
    store->n = 0;
    /* The kernel counts this length in instructions. */
    if (raw_getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, store->code, &n) == 0 && n > 0)
        store->n = (unsigned short)(n - 1);
}

static struct instruction *store_find(struct store *store, const struct option_row *row) {
    for (unsigned i = 0; i + 1 < store->n; i += 2)
        if (store->code[i].k == store_key(row))
            return &store->code[i + 1];
    return NULL;
}

static void store_put(struct store *store, const struct option_row *row, int value) {
    struct instruction *slot = store_find(store, row);
    if (!slot && store->n < 2 * STORE_MAX) {
        store->code[store->n] = (struct instruction){LOAD_IMMEDIATE, 0, 0, store_key(row)};
        slot = &store->code[store->n + 1];
        store->n += 2;
    }
    if (slot)
        *slot = (struct instruction){LOAD_IMMEDIATE, 0, 0, (uint32_t)value};
}

static int store_write(int fd, struct store *store) {
    struct program program = {(unsigned short)(store->n + 1), store->code};
    store->code[store->n] = (struct instruction){RETURN, 0, 0, UINT32_MAX};
    return raw_setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) ? errno : 0;
}

int option_kept_get(int fd, const struct option_row *row) {
    struct store store;
    if (row->how == OPTION_MARK)
        return mark_value(mark_read(fd), row);
    store_read(fd, &store);
    const struct instruction *slot = store_find(&store, row);
    return slot ? (int)slot->k : row->standard;
}

int option_kept_put(int fd, const struct option_row *row, int value) {
    struct store store;
    if (row->how == OPTION_MARK) {
        mark_write(fd, mark_with(mark_read(fd), row, value));
        return 0;
    }
    store_read(fd, &store);
    store_put(&store, row, value);
    return store_write(fd, &store);
}

/* The four integers of a name have keys whose option numbers TCP does not use. */
static struct option_row name_part(const struct option_row *row, unsigned part) {
    struct option_row key = *row;
    key.name |= (int)(part + 1) << 12;
    return key;
}

static void store_get_name(struct store *store, const struct option_row *row,
                           char name[OPTION_NAME_SIZE]) {
    memset(name, 0, OPTION_NAME_SIZE);
    for (unsigned i = 0; i < OPTION_NAME_SIZE / 4; i++) {
        struct option_row part = name_part(row, i);
        const struct instruction *slot = store_find(store, &part);
        if (slot)
            memcpy(name + 4 * (size_t)i, &slot->k, 4);
    }
}

static void store_put_name(struct store *store, const struct option_row *row,
                           const char name[OPTION_NAME_SIZE]) {
    for (unsigned i = 0; i < OPTION_NAME_SIZE / 4; i++) {
        struct option_row part = name_part(row, i);
        int value;
        memcpy(&value, name + 4 * (size_t)i, 4);
        if (value || store_find(store, &part))
            store_put(store, &part, value);
    }
}

void option_name_get(int fd, const struct option_row *row, char name[OPTION_NAME_SIZE]) {
    struct store store;
    store_read(fd, &store);
    store_get_name(&store, row, name);
}

int option_name_put(int fd, const struct option_row *row, const char name[OPTION_NAME_SIZE]) {
    struct store store;
    store_read(fd, &store);
    store_put_name(&store, row, name);
    return store_write(fd, &store);
}

/* ---- Addresses: words in the store, with keys of a level that no protocol has ---- */

#define ADDRESS_LEVEL 0xffff
#define ADDRESS_WORDS (sizeof(struct endpoint) / sizeof(uint32_t))
_Static_assert(sizeof(struct endpoint) % sizeof(uint32_t) == 0, "addresses are words");
_Static_assert(2 * ADDRESS_WORDS <= STORE_MAX / 2, "addresses leave room for options");

static struct option_row address_row(enum option_address which, size_t word) {
    return (struct option_row){.level = ADDRESS_LEVEL, .name = (int)(which * ADDRESS_WORDS + word)};
}

/* A word that is zero takes no room. */
static void store_put_address(struct store *store, enum option_address which,
                              const struct endpoint *address) {
    uint32_t words[ADDRESS_WORDS];
    memcpy(words, address, sizeof words);
    for (size_t i = 0; i < ADDRESS_WORDS; i++) {
        struct option_row row = address_row(which, i);
        if (words[i] || store_find(store, &row))
            store_put(store, &row, (int)words[i]);
    }
}

bool option_address_get(int fd, enum option_address which, struct endpoint *out) {
    uint32_t words[ADDRESS_WORDS] = {0};
    struct store store;
    bool found = false;
    store_read(fd, &store);
    for (size_t i = 0; i < ADDRESS_WORDS; i++) {
        struct option_row row = address_row(which, i);
        const struct instruction *slot = store_find(&store, &row);
        found = found || slot;
        words[i] = slot ? slot->k : 0;
    }
    if (found)
        memcpy(out, words, sizeof words);
    return found;
}

int option_address_put(int fd, enum option_address which, const struct endpoint *address) {
    struct store store;
    store_read(fd, &store);
    store_put_address(&store, which, address);
    return store_write(fd, &store);
}

uint16_t options_family(int fd) {
    return field_get(mark_read(fd), MARK_FAMILY6) ? AF_INET6 : AF_INET;
}

bool options_flag(int fd, uint16_t field) {
    return field_get(mark_read(fd), field) != 0;
}

void options_set_flag(int fd, uint16_t field, bool on) {
    uint64_t mark = mark_read(fd), wanted = field_put(mark, field, on);
    if (wanted != mark)
        mark_write(fd, wanted);
}

/* Each of the first 22 rows, the common options, has a bit; the others share the last bit. */
#define ROW_BIT_SHARED (1u << 22)
static uint32_t row_bit(size_t index) {
    return index < 22 ? 1u << index : ROW_BIT_SHARED;
}

void options_note(int fd, int level, int name) {
    const struct option_row *row = option_find(level, name);
    if (row)
        hint_add(fd, row_bit((size_t)(row - rows)));
    if (level == SOL_SOCKET && name == SO_RCVLOWAT)
        hint_add(fd, HINT_LOWAT);
}

static bool is_born_here(int fd) {
    return hint_word(fd, true) && hint_has(fd, HINT_TCP);
}

/* The options that may have been set on `fd`, as bits of rows: all of them for a socket that came
 * by exec or SCM_RIGHTS. */
static uint32_t rows_noted(int fd) {
    return is_born_here(fd) ? hint_get(fd) & HINT_OPTIONS : HINT_OPTIONS;
}

/* As rows_noted, but without buffer sizes that the kernel chose: those suit TCP only. */
static uint32_t rows_to_carry(int fd) {
    enum { SEND_SET = 1, RECEIVE_SET = 2 }; /* bits of SO_BUF_LOCK, since Linux 5.14 */
    uint32_t set = rows_noted(fd);
    int lock = 0;
    socklen_t len = sizeof lock;
    if (is_born_here(fd))
        return set;
    if (raw_getsockopt(fd, SOL_SOCKET, 72 /* SO_BUF_LOCK */, &lock, &len) != 0)
        lock = 0;
    if (!(lock & SEND_SET))
        set &= ~row_bit((size_t)(option_find(SOL_SOCKET, SO_SNDBUF) - rows));
    if (!(lock & RECEIVE_SET))
        set &= ~row_bit((size_t)(option_find(SOL_SOCKET, SO_RCVBUF) - rows));
    return set;
}

/* Is this the kernel's initial value? */
static bool is_standard(const struct option_row *row, const char *value, socklen_t len) {
    static const char zeros[64];
    int number;
    if (len != sizeof number)
        return memcmp(value, zeros, len) == 0;
    memcpy(&number, value, sizeof number);
    return number == row->standard;
}

bool options_device(int fd, char name[IFNAMSIZ]) {
    socklen_t len = IFNAMSIZ;
    int saved = errno;
    memset(name, 0, IFNAMSIZ);
    if (rows_noted(fd) & ROW_BIT_SHARED &&
        raw_getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len) != 0)
        name[0] = '\0';
    errno = saved;
    return name[0] != '\0';
}

static void carry_kernel(int from, int to, const struct option_row *row,
                         struct helper_request *req) {
    char value[64];
    socklen_t len = sizeof value;
    if (raw_getsockopt(from, row->level, row->name, value, &len) != 0)
        return;
    /* Most options that share a bit were not set, and setting one to 0 may reset another. */
    if (row_bit((size_t)(row - rows)) == ROW_BIT_SHARED && is_standard(row, value, len))
        return;
    raw_setsockopt(to, row->level, row->name, value, len);
    if (row->name == SO_LINGER) {
        struct linger linger;
        memcpy(&linger, value, sizeof linger);
        if (linger.l_onoff && linger.l_linger == 0)
            req->flags |= HELPER_LINGER_RESET;
    }
}

/* The helper sets SO_SNDBUF, because that opens the gate. Both sizes are kept to be read back. */
static void carry_buffer(int value, const struct option_row *row, struct store *store,
                         struct helper_request *req, int to) {
    int half = value / 2; /* getsockopt doubles what setsockopt was given */
    store_put(store, row, value);
    if (row->name == SO_SNDBUF)
        req->sndbuf = (uint32_t)half;
    else
        raw_setsockopt(to, SOL_SOCKET, SO_RCVBUF, &half, sizeof half);
}

static void carry_row(int from, int to, const struct option_row *row, struct helper_request *req,
                      uint64_t *mark, struct store *store) {
    int value;
    socklen_t len = sizeof value;
    if (row->how == OPTION_KERNEL) {
        carry_kernel(from, to, row, req);
        return;
    }
    if (row->how == OPTION_NAME) {
        char name[OPTION_NAME_SIZE] = {0};
        len = sizeof name;
        if (raw_getsockopt(from, row->level, row->name, name, &len) == 0)
            store_put_name(store, row, name);
        return;
    }
    if (row->how == OPTION_ANSWER || row->how == OPTION_LATE || row->how == OPTION_IGNORE ||
        row->how == OPTION_REFUSE ||
        raw_getsockopt(from, row->level, row->name, &value, &len) != 0 || len != sizeof value)
        return;
    if (row->how == OPTION_BUFFER)
        carry_buffer(value, row, store, req, to);
    else if ((row->how == OPTION_STORE || row->how == OPTION_EARLY) && value != row->standard)
        store_put(store, row, value);
    else if (row->how == OPTION_MARK)
        *mark = mark_with(*mark, row, value);
}

void options_carry(int from, int to, uint16_t family, struct helper_request *req) {
    uint64_t mark = field_put(MARK_OURS, MARK_FAMILY6, family == AF_INET6);
    struct store store = {.n = 0};
    int saved = errno;
    uint32_t set = rows_to_carry(from);
    for (size_t i = 0; set && i < N_ROWS; i++)
        if (set & row_bit(i))
            carry_row(from, to, &rows[i], req, &mark, &store);
    if (req->flags & HELPER_LOCAL_BOUND)
        store_put_address(&store, OPTION_BOUND, &req->local);
    if (mark != MARK_OURS)
        mark_write(to, mark);
    if (store.n)
        store_write(to, &store);
    errno = saved;
}

/* Returns whether the option was set. */
static bool restore_row(int from, int to, const struct option_row *row, uint64_t mark,
                        struct store *store) {
    char bytes[64];
    socklen_t len = sizeof bytes;
    if (row->how == OPTION_KERNEL) {
        if (raw_getsockopt(from, row->level, row->name, bytes, &len) != 0)
            return false;
        raw_setsockopt(to, row->level, row->name, bytes, len);
        return !is_standard(row, bytes, len);
    }
    if (row->how == OPTION_NAME) {
        store_get_name(store, row, bytes);
        if (bytes[0])
            raw_setsockopt(to, row->level, row->name, bytes,
                           (socklen_t)strnlen(bytes, OPTION_NAME_SIZE));
        return bytes[0] != '\0';
    }
    const struct instruction *slot = store_find(store, row);
    int value = row->how == OPTION_MARK ? mark_value(mark, row) : slot ? (int)slot->k : 0;
    if (row->how == OPTION_MARK ? value == row->standard : !slot)
        return false;
    if (row->how == OPTION_BUFFER)
        value /= 2;
    raw_setsockopt(to, row->level, row->name, &value, sizeof value);
    return true;
}

uint32_t options_restore(int from, int to) {
    uint32_t restored = 0;
    struct store store;
    uint64_t mark = mark_read(from);
    int saved = errno;
    store_read(from, &store);
    for (size_t i = 0; i < N_ROWS; i++)
        if (restore_row(from, to, &rows[i], mark, &store))
            restored |= row_bit(i);
    errno = saved;
    return restored;
}

void options_carry_owner(int from, int to) {
    struct f_owner_ex owner;
    if (raw_fcntl(from, F_GETOWN_EX, (long)&owner) == 0)
        raw_fcntl(to, F_SETOWN_EX, (long)&owner);
    raw_fcntl(to, F_SETSIG, raw_fcntl(from, F_GETSIG, 0));
}
