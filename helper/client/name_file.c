/* SPDX-License-Identifier: MIT */
/* name_file.c - see name_file.h. */
#include "helper/client/name_file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEXT_LEN 26 /* 16 digits, a blank, 8 digits, a newline */

/* CRC-32 of IEEE 802.3, bit by bit: lines are short and rare. */
static uint32_t crc32(const char *bytes, size_t len) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < len; i++) {
        crc ^= (uint8_t)bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* ---- Lines ---- */

static const char *address_text(const struct endpoint *address, char *out, socklen_t size) {
    return address->family ? inet_ntop(address->family, address->addr, out, size) : "-";
}

size_t name_line_format(const struct name_record *record, char out[NAME_LINE_SIZE]) {
    char v4[INET6_ADDRSTRLEN], v6[INET6_ADDRSTRLEN];
    int len = snprintf(out, NAME_LINE_SIZE, "%s %s %" PRIu32 " %s ",
                       address_text(&record->v4, v4, sizeof v4),
                       address_text(&record->v6, v6, sizeof v6), record->uid, record->name);
    len += snprintf(out + len, NAME_LINE_SIZE - (size_t)len, "%08" PRIx32 "\n",
                    crc32(out, (size_t)len));
    return (size_t)len;
}

static bool address_parse(struct endpoint *address, int family, const char *text) {
    memset(address, 0, sizeof *address);
    if (strcmp(text, "-") == 0)
        return true;
    address->family = (uint16_t)family;
    return inet_pton(family, text, address->addr) == 1;
}

bool name_line_parse(struct name_record *record, const char *line, size_t len) {
    char text[NAME_LINE_SIZE], again[NAME_LINE_SIZE], *rest = text;
    if (len >= sizeof text || memchr(line, '\0', len))
        return false;
    memcpy(text, line, len);
    text[len] = '\0';
    const char *v4 = strsep(&rest, " "), *v6 = strsep(&rest, " "), *uid = strsep(&rest, " ");
    const char *name = strsep(&rest, " ");
    if (!rest || !address_parse(&record->v4, AF_INET, v4) ||
        !address_parse(&record->v6, AF_INET6, v6) || !helper_host_name_valid(name, strlen(name)))
        return false;
    strcpy(record->name, name);
    record->uid = (uint32_t)strtoul(uid, NULL, 10);
    /* Format the record again and compare: that checks the form of the numbers and the checksum. */
    size_t again_len = name_line_format(record, again);
    return again_len == len + 1 && memcmp(again, line, len) == 0;
}

/* ---- Opening ---- */

/* Opens a file that only this user can access. Returns a descriptor or a negative errno. */
static int open_own(const char *path, int flags) {
    struct stat st;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags, 0600);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid())
        return fd;
    close(fd);
    return -EPERM;
}

int name_file_open(struct name_file *file, const char *socket_path) {
    const char *slash = strrchr(socket_path, '/');
    int dir_len = slash ? (int)(slash - socket_path) : 0;
    memset(file, 0, sizeof *file);
    file->fd = file->next_fd = -1;
    if (snprintf(file->next_path, sizeof file->next_path, "%.*s/" NAME_FILE ".next", dir_len,
                 socket_path) >= (int)sizeof file->next_path)
        return -ENAMETOOLONG;
    snprintf(file->path, sizeof file->path, "%.*s/" NAME_FILE, dir_len, socket_path);
    file->fd = open_own(file->path, 0);
    if (file->fd < 0)
        return file->fd;
    file->next_fd = open_own(file->next_path, 0);
    return file->next_fd < 0 ? file->next_fd : 0;
}

void name_file_close(struct name_file *file) {
    if (file->fd >= 0)
        close(file->fd);
    if (file->next_fd >= 0)
        close(file->next_fd);
    file->fd = file->next_fd = -1;
}

/* ---- Reading ---- */

static int read_all(int fd, char *out, size_t len) {
    for (size_t have = 0; have < len;) {
        ssize_t n = pread(fd, out + have, len - have, (off_t)have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        have += (size_t)n;
    }
    return 0;
}

static void next_format(uint64_t next, char out[NEXT_LEN + 1]) {
    int len = snprintf(out, NEXT_LEN + 1, "%016" PRIx64, next);
    snprintf(out + len, NEXT_LEN + 1 - (size_t)len, " %08" PRIx32 "\n", crc32(out, (size_t)len));
}

static bool next_parse(const char *text, uint64_t *next) {
    char again[NEXT_LEN + 1];
    *next = strtoull(text, NULL, 16);
    next_format(*next, again);
    return memcmp(again, text, NEXT_LEN) == 0;
}

static void load_next(struct name_file *file, struct name_found *found) {
    char text[NEXT_LEN + 1];
    ssize_t n = pread(file->next_fd, text, sizeof text, 0);
    text[n > 0 && n <= NEXT_LEN ? n : 0] = '\0';
    found->next_known = n == NEXT_LEN && next_parse(text, &found->next);
    found->next_damaged = n != 0 && !found->next_known;
}

static void load_lines(struct name_file *file, struct name_found *found, const char *text,
                       size_t len, bool (*take)(void *, const struct name_record *), void *ctx) {
    struct name_record record;
    for (const char *end = text + len; text < end;) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t line_len = (size_t)((newline ? newline : end) - text);
        if (newline && name_line_parse(&record, text, line_len) && take(ctx, &record))
            file->lines++;
        else
            found->damaged++;
        text += line_len + 1;
    }
}

int name_file_load(struct name_file *file, struct name_found *found,
                   bool (*take)(void *ctx, const struct name_record *record), void *ctx) {
    struct stat st;
    memset(found, 0, sizeof *found);
    load_next(file, found);
    if (fstat(file->fd, &st) < 0)
        return -errno;
    if (st.st_size > NAME_FILE_MAX)
        return -EFBIG;
    file->size = (uint64_t)st.st_size;
    found->empty = st.st_size == 0;
    char *text = malloc(file->size + 1);
    int error = text ? read_all(file->fd, text, file->size) : -ENOMEM;
    if (error == 0)
        load_lines(file, found, text, file->size, take, ctx);
    free(text);
    return error;
}

/* ---- Writing ---- */

/* Writes everything: 0, -errno, or -ENOSPC after a short write. */
static int write_at(int fd, const char *bytes, size_t len, uint64_t at) {
    ssize_t n;
    do
        n = pwrite(fd, bytes, len, (off_t)at);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : (size_t)n == len ? 0 : -ENOSPC;
}

int name_file_set_next(struct name_file *file, uint64_t next) {
    char text[NEXT_LEN + 1];
    next_format(next, text);
    int error = write_at(file->next_fd, text, NEXT_LEN, 0);
    /* Bytes of an older, longer content would make it look damaged. */
    return error == 0 && ftruncate(file->next_fd, NEXT_LEN) < 0 ? -errno : error;
}

int name_file_append(struct name_file *file, const struct name_record *record) {
    char line[NAME_LINE_SIZE];
    size_t len = name_line_format(record, line);
    int error = write_at(file->fd, line, len, file->size);
    if (error == 0) {
        file->size += len;
        file->lines++;
    } else if (ftruncate(file->fd, (off_t)file->size) < 0) {
        error = -errno; /* a line that was written in part is a damaged line for the next reader */
    }
    return error;
}

static int write_records(struct name_file *file, int fd, bool (*each)(void *, struct name_record *),
                         void *ctx) {
    struct name_record record;
    char line[NAME_LINE_SIZE];
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    FILE *out = copy < 0 ? NULL : fdopen(copy, "w");
    if (!out) {
        int saved = errno;
        if (copy >= 0)
            close(copy);
        return -saved;
    }
    file->lines = 0;
    file->size = 0;
    while (each(ctx, &record)) {
        size_t len = name_line_format(&record, line);
        fwrite(line, 1, len, out);
        file->lines++;
        file->size += len;
    }
    bool bad = ferror(out);
    return fclose(out) != 0 || bad ? -(errno ? errno : EIO) : 0;
}

int name_file_rewrite(struct name_file *file, bool (*each)(void *ctx, struct name_record *record),
                      void *ctx) {
    char path[sizeof file->path + 4];
    snprintf(path, sizeof path, "%s.new", file->path);
    unlink(path);
    struct name_file old = *file;
    int fd = open_own(path, O_EXCL);
    int error = fd < 0 ? fd : write_records(file, fd, each, ctx);
    if (error == 0 && rename(path, file->path) < 0)
        error = -errno;
    if (error) {
        if (fd >= 0)
            close(fd);
        unlink(path);
        *file = old;
        return error;
    }
    close(file->fd);
    file->fd = fd;
    return 0;
}
