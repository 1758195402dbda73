/* SPDX-License-Identifier: MIT */
/*
 * name_table.h - host names and their synthetic addresses.
 *
 * A program that looks up a name which only the gateway can resolve gets a synthetic address
 * (core/common/name_range.h). This table assigns it, and says which name it stands for when any
 * process connects to it. The table is in memory and in a file (name_file.h) that outlives the
 * helper. While the file cannot grow (a full disk, a quota, RLIMIT_FSIZE), new names are in memory
 * only.
 *
 * An address is never assigned to a second name: numbers only count up, and those of forgotten
 * names are not reused. When there are NAME_TABLE_MAX names, the least recently used one is
 * forgotten. Each user except root and the helper's owner has at most `max_per_user` names, so that
 * no user can exhaust the range. All users of the helper share the names.
 *
 * Not thread-safe: it belongs to the event loop.
 */
#ifndef HELPER_CLIENT_NAME_TABLE_H
#define HELPER_CLIENT_NAME_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/common/config.h"
#include "core/common/helper_protocol.h"

#define NAME_TABLE_MAX 65536 /* about 10 MiB, with names of usual length */

struct name_table;
struct name_record;

/* Loads the names that earlier helpers at `socket_path` have stored. If the files are damaged, logs
 * one line and uses what is intact. NULL if memory is short. */
struct name_table *name_table_new(const char *socket_path, const struct config_names *config,
                                  uid_t owner);
void name_table_free(struct name_table *names);

/* Changes ranges and limits. Addresses already assigned stay valid. */
void name_table_configure(struct name_table *names, const struct config_names *config);

/* Assigns no more addresses, and leaves the files to the next helper. Addresses already assigned
 * still stand for their names. */
void name_table_hand_over(struct name_table *names);

/* The address of `name` in `family`; assigns one if it has none. `name` must be valid; case and a
 * final dot do not matter. Returns 0, -ENOSPC, -EDQUOT, -EIO or -EAGAIN; core/common/CONTROL.md
 * says when. */
int name_table_give(struct name_table *names, uid_t uid, const char *name, int family,
                    struct endpoint *address);

/* The name that an address stands for, or NULL. Valid until the next call. */
const char *name_table_find(struct name_table *names, const struct endpoint *address);

/* Is it a synthetic address, assigned or not? */
bool name_table_hold(const struct name_table *names, const struct endpoint *address);

size_t name_table_count(const struct name_table *names);

/* The numbers of all names, most recently used first, in malloc'ed memory. NULL, and *count 0, if
 * memory is short. */
uint32_t *name_table_order(const struct name_table *names, size_t *count);

/* The record with that number, which may by now be of another name than when the number was
 * listed. */
void name_table_get(const struct name_table *names, uint32_t number, struct name_record *record);

/* Room for an answer to the shim. */
#define NAME_ANSWER_SIZE (sizeof(struct helper_name_answer) + HELPER_HOST_NAME_MAX)

/* Answers a request of kind HELPER_REQUEST_ADDRESS or _NAME that has passed helper_request_check.
 * `name` is the name in the request; ENOENT if no route matches it. The answer contains the name as
 * it is stored: lower case, no final dot. Returns the answer's length. */
size_t name_answer(struct name_table *names, const struct route_list *routes, uid_t uid,
                   const struct helper_request *request, const char *name,
                   uint8_t out[NAME_ANSWER_SIZE]);

/* Writes an answer that contains only an error, a negative errno. Returns its length. */
size_t name_answer_error(int error, uint8_t out[NAME_ANSWER_SIZE]);

#endif
