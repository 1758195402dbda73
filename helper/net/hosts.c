/* SPDX-License-Identifier: MIT */
/* hosts.c - see hosts.h. */
#include "helper/net/hosts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/common/read_whole.h"
#include "helper/net/file_broker.h"
#include "helper/net/log.h"

/* ---- The file ---- */

static bool same_file(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int load(struct hosts *hosts, int fd, size_t size) {
    if (size > HOSTS_SIZE_MAX)
        size = HOSTS_SIZE_MAX;
    char *text = malloc(size + 1);
    ssize_t n = text ? read_whole(fd, text, size) : -ENOMEM;
    if (n < 0) {
        free(text);
        return (int)n;
    }
    hosts->text = text;
    hosts->len = (size_t)n;
    return 0;
}

void hosts_update(struct hosts *hosts, const char *path) {
    struct stat now;
    if (stat(path, &now) < 0) {
        hosts_fini(hosts);
        return;
    }
    if (same_file(&now, &hosts->seen))
        return;
    hosts_fini(hosts);
    hosts->seen = now;
    int fd = file_open(path, FILE_READ);
    int error = fd < 0 ? fd : load(hosts, fd, (size_t)now.st_size);
    if (fd >= 0)
        close(fd);
    if (error)
        log_about(LOG_ERR, ABOUT(.file = path), "%s: cannot be read: %s", path, strerror(-error));
}

void hosts_fini(struct hosts *hosts) {
    free(hosts->text);
    memset(hosts, 0, sizeof *hosts);
}

/* ---- Names ---- */

#define BLANKS " \t\r"

/* The next word of a line that ends at `end`; NULL if there is none. */
static const char *next_word(const char **at, const char *end, size_t *len) {
    while (*at < end && strchr(BLANKS, **at))
        (*at)++;
    const char *word = *at;
    while (*at < end && !strchr(BLANKS, **at))
        (*at)++;
    *len = (size_t)(*at - word);
    return *len ? word : NULL;
}

static size_t length_of(const char *name) {
    size_t len = strlen(name);
    return len > 1 && name[len - 1] == '.' ? len - 1 : len;
}

/* A scope (fe80::1%eth0) is left out, as such an address matches no rule of the allow list. */
static bool parse_address(const char *text, size_t len, struct endpoint *out) {
    char copy[INET6_ADDRSTRLEN + 1];
    if (len >= sizeof copy)
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    memset(out, 0, sizeof *out);
    out->family = strchr(copy, ':') ? AF_INET6 : AF_INET;
    return inet_pton(out->family, copy, out->addr) == 1;
}

static bool line_has(const char *at, const char *end, const char *name, size_t name_len,
                     struct endpoint *address) {
    size_t len;
    const char *comment = memchr(at, '#', (size_t)(end - at));
    end = comment ? comment : end;
    const char *first = next_word(&at, end, &len), *word;
    size_t first_len = len;
    while ((word = next_word(&at, end, &len)))
        if (len == name_len && strncasecmp(word, name, len) == 0)
            return parse_address(first, first_len, address);
    return false;
}

static int loopback(struct endpoint *addresses, int max) {
    static const struct endpoint both[] = {{.family = AF_INET, .addr = {127, 0, 0, 1}},
                                           {.family = AF_INET6, .addr = {[15] = 1}}};
    int count = 0;
    for (; count < 2 && count < max; count++)
        addresses[count] = both[count];
    return count;
}

static bool is_localhost(const char *name, size_t len) {
    static const char localhost[] = "localhost";
    const size_t own = sizeof localhost - 1;
    return len >= own && strncasecmp(name + len - own, localhost, own) == 0 &&
           (len == own || name[len - own - 1] == '.');
}

int hosts_find(const struct hosts *hosts, const char *name, struct endpoint *addresses, int max) {
    size_t name_len = length_of(name);
    int count = 0;
    const char *end = hosts->text ? hosts->text + hosts->len : NULL;
    for (const char *line = hosts->text; line < end && count < max;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *line_end = newline ? newline : end;
        count += line_has(line, line_end, name, name_len, &addresses[count]);
        line = line_end + 1;
    }
    return count == 0 && is_localhost(name, name_len) ? loopback(addresses, max) : count;
}

/* ---- The order ---- */

static bool is_word(const char *word, size_t len, const char *expected) {
    return len == strlen(expected) && strncasecmp(word, expected, len) == 0;
}

static void take_word(struct hosts_order *order, const char *word, size_t len) {
    static const char *const servers[] = {"dns", "resolve", "resolv", "bind"};
    if (is_word(word, len, "files")) {
        order->files_first |= !order->servers;
        order->files = true;
    }
    for (size_t i = 0; i < sizeof servers / sizeof *servers; i++)
        order->servers |= is_word(word, len, servers[i]);
}

static void take_line(struct hosts_order *order, const char *at, const char *end) {
    size_t len;
    const char *comment = memchr(at, '#', (size_t)(end - at));
    end = comment ? comment : end;
    const char *word = next_word(&at, end, &len);
    if (!word || len < 6 || strncasecmp(word, "hosts:", 6) != 0)
        return;
    at = word + 6;
    while ((word = next_word(&at, end, &len)))
        take_word(order, word, len);
}

struct hosts_order hosts_order_read(const char *path) {
    struct hosts_order order = {0};
    struct hosts file = {0};
    hosts_update(&file, path);
    const char *at = file.text, *end = at ? at + file.len : NULL;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *line_end = newline ? newline : end;
        take_line(&order, at, line_end);
        at = line_end + 1;
    }
    hosts_fini(&file);
    if (!order.files && !order.servers)
        order = (struct hosts_order){.files = true, .servers = true, .files_first = true};
    return order;
}
