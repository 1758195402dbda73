/* SPDX-License-Identifier: MIT */
/*
 * name_file.h - the files in which the helper keeps the addresses that it has assigned to host
 * names.
 *
 * Two files next to its socket, both with mode 0600:
 *
 *     smuxshim-names       one line per name: IPv4 or "-", IPv6 or "-", uid, name, CRC-32 of the
 *     line smuxshim-names.next  the number of the next address, and a CRC-32
 *
 * A line is appended before its addresses are told to anybody, and the number is stored before the
 * line. So after a kill at any moment nothing that was told is lost, and with either file damaged
 * or gone the other one still says which addresses must not be given again. Nothing is synced to a
 * disk: programs that remember an address do not survive a power failure either.
 */
#ifndef HELPER_CLIENT_NAME_FILE_H
#define HELPER_CLIENT_NAME_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/common/helper_protocol.h"

#define NAME_FILE "smuxshim-names"

/* Room for the longest line (addresses, uid, name, checksum, blanks) and a terminator. */
#define NAME_LINE_SIZE 352

/* A larger file is not ours: twice the lines that a full table may have, each of the greatest
 * length. */
#define NAME_FILE_MAX (64u << 20)

struct name_record {
    struct endpoint v4, v6; /* family 0: none */
    uint32_t uid;           /* the first user that asked for it */
    char name[HELPER_HOST_NAME_MAX + 1];
};

/* Writes the line of a record, with a newline; returns its length. */
size_t name_line_format(const struct name_record *record, char out[NAME_LINE_SIZE]);

/* Reads a line of `len` bytes without its newline. False if it is not exactly what
 * name_line_format writes. */
bool name_line_parse(struct name_record *record, const char *line, size_t len);

struct name_file {
    int fd, next_fd; /* -1: not usable */
    size_t lines;
    uint64_t size; /* of the valid part of the file: where the next line goes */
    char path[256], next_path[256];
};

/* The result of loading. */
struct name_found {
    size_t damaged;    /* lines that are invalid, or contradict others */
    bool next_known;   /* `next` was stored and is intact */
    bool next_damaged; /* a number was stored, but is damaged */
    bool empty; /* the file has no line at all: nothing was ever stored, or the file is gone */
    uint64_t next;
};

/* Opens (creates) the files next to the helper's socket `socket_path`. 0, or a negative errno. */
int name_file_open(struct name_file *file, const char *socket_path);
void name_file_close(struct name_file *file);

/* Reads both files. Calls `take` for each valid line, in order; it returns false if the record
 * contradicts an earlier one (its address has another name). Returns 0, or a negative errno, and
 * then nothing is known. */
int name_file_load(struct name_file *file, struct name_found *found,
                   bool (*take)(void *ctx, const struct name_record *record), void *ctx);

/* Stores the number of the next address. 0 or a negative errno. */
int name_file_set_next(struct name_file *file, uint64_t next);

/* Appends a record. 0, or a negative errno; an incomplete line is removed again. */
int name_file_append(struct name_file *file, const struct name_record *record);

/* Writes a new file, which then replaces the old one. `each` fills in one record after the other
 * and returns false at the end. 0, or a negative errno, and then the old file stays. */
int name_file_rewrite(struct name_file *file, bool (*each)(void *ctx, struct name_record *record),
                      void *ctx);

#endif
