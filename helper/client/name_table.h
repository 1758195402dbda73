/* SPDX-License-Identifier: MIT */
/*
 * name_table.h - host names and the addresses that stand for them.
 *
 * A program that looks up a name which only the gateway can resolve is given a synthetic address
 * (core/common/name_range.h). This table says which, and what it stands for when a connect to it
 * comes, from whatever process. It is in memory, and in a file (name_file.h) that outlives the
 * helper; where that may not grow (a full disk, a quota, RLIMIT_FSIZE), in memory until it may
 * again.
 *
 * An address is given to one name, ever: numbers count up, and what is forgotten is not given
 * again. Forgotten is what was used least recently, when there are NAME_TABLE_MAX. Users who are
 * neither root nor the owner of the helper have at most `max_per_user` names each, so that none of
 * them can use the range up. The names are common to all who may use the helper.
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

/* Reads what an earlier helper at `socket_path` left. If its files are damaged, says so in one line
 * and goes on with what is left. NULL if memory is short. */
struct name_table *name_table_new(const char *socket_path, const struct config_names *config,
                                  uid_t owner);
void name_table_free(struct name_table *names);

/* Takes other ranges and limits. What was given stays. */
void name_table_configure(struct name_table *names, const struct config_names *config);

/* Gives nothing to new names from now on, and leaves the files to the next helper. What was given
 * still leads to its name. */
void name_table_hand_over(struct name_table *names);

/* The address of `name` (valid; upper case and a dot at the end do not matter) in `family`, which
 * is given now if it has none. Returns 0, or what struct helper_name_answer tells: ENOSPC, EDQUOT,
 * EIO, EAGAIN. */
int name_table_give(struct name_table *names, uid_t uid, const char *name, int family,
                    struct endpoint *address);

/* The name behind an address, or NULL. Valid until the next call. */
const char *name_table_find(struct name_table *names, const struct endpoint *address);

/* Is it an address that stands for a name, or would, if one had been given it? */
bool name_table_hold(const struct name_table *names, const struct endpoint *address);

size_t name_table_count(const struct name_table *names);

/* The numbers of all names, the one used last first, malloc'ed. NULL if memory is short; *count is
 * 0. */
uint32_t *name_table_order(const struct name_table *names, size_t *count);

/* The name of that number, which may be another's by now. */
void name_table_get(const struct name_table *names, uint32_t number, struct name_record *record);

/* Room for an answer to the shim. */
#define NAME_ANSWER_SIZE (sizeof(struct helper_name_answer) + HELPER_HOST_NAME_MAX)

/* Answers a request of kind HELPER_REQUEST_ADDRESS or _NAME that helper_request_check passed.
 * `name` is what came with it; ENOENT for one that no route has. The answer has the name as it is
 * kept: lower case, no dot at the end. Returns its length. */
size_t name_answer(struct name_table *names, const struct route_list *routes, uid_t uid,
                   const struct helper_request *request, const char *name,
                   uint8_t out[NAME_ANSWER_SIZE]);

/* An answer that is just an error. */
size_t name_answer_error(int err, uint8_t out[NAME_ANSWER_SIZE]);

#endif
