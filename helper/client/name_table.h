/*
 * name_table.h - host names and the addresses that stand for them.
 *
 * A program that looks up a name which only the gateway can resolve is given a synthetic address
 * (core/common/name_range.h). This table says which, and what it stands for when a connect to it comes,
 * from whatever process. It is in memory, and in a file (name_file.h) that outlives the helper;
 * where that may not grow (a full disk, a quota, RLIMIT_FSIZE), in memory until it may again.
 *
 * An address is given to one name, ever: numbers count up, and what is forgotten is not given again.
 * Forgotten is what was used least recently, when there are NAMES_MAX. Users who are neither root nor
 * the owner of the helper have at most `max_per_user` names each, so that none of them can use the
 * range up. The names are common to all who may use the helper.
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

#define NAMES_MAX 65536 /* about 10 MiB, with names of usual length */

struct names;
struct names_record;

/* Reads what an earlier helper at `socket_path` left. If its files are damaged, says so in one line
 * and goes on with what is left. NULL if memory is short. */
struct names *names_new(const char *socket_path, const struct config_names *config, uid_t owner);
void names_free(struct names *names);

/* Takes other ranges and limits. What was given stays. */
void names_configure(struct names *names, const struct config_names *config);

/* Gives nothing to new names from now on, and leaves the files to the next helper. What was given
 * still leads to its name. */
void names_hand_over(struct names *names);

/* The address of `name` (valid; upper case and a dot at the end do not matter) in `family`, which is
 * given now if it has none. Returns 0, or what struct shim_name_answer tells: ENOSPC, EDQUOT, EIO, EAGAIN. */
int names_give(struct names *names, uid_t uid, const char *name, int family,
               struct shim_endpoint *address);

/* The name behind an address, or NULL. Valid until the next call. */
const char *names_find(struct names *names, const struct shim_endpoint *address);

/* Is it an address that stands for a name, or would, if one had been given it? */
bool names_hold(const struct names *names, const struct shim_endpoint *address);

size_t names_count(const struct names *names);

/* The numbers of all names, the one used last first, malloc'ed. NULL if memory is short; *count is 0. */
uint32_t *names_order(const struct names *names, size_t *count);

/* The name of that number, which may be another's by now. */
void names_get(const struct names *names, uint32_t number, struct names_record *record);

/* Room for an answer to the shim. */
#define NAMES_ANSWER_SIZE (sizeof(struct shim_name_answer) + SHIM_HOST_NAME_MAX)

/* Answers a request of kind SHIM_REQUEST_ADDRESS or _NAME that shim_request_check passed. `name` is
 * what came with it; ENOENT for one that no route has. The answer has the name as it is kept: lower
 * case, no dot at the end. Returns its length. */
size_t names_answer(struct names *names, const struct route_list *routes, uid_t uid,
                    const struct shim_request *request, const char *name,
                    uint8_t out[NAMES_ANSWER_SIZE]);

/* An answer that is just an error. */
size_t names_answer_error(int err, uint8_t out[NAMES_ANSWER_SIZE]);

#endif
