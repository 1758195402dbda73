/* SPDX-License-Identifier: MIT */
/* name_answer.c - answers the shim's questions about names. See name_table.h. */
#include <errno.h>
#include <string.h>

#include "helper/client/name_table.h"

/* `error`: 0 or a negative errno, which is positive in the answer. */
static size_t pack(int error, const struct endpoint *address, const char *name,
                   uint8_t out[NAME_ANSWER_SIZE]) {
    struct helper_name_answer answer = {.magic = HELPER_PROTOCOL_MAGIC,
                                        .version = HELPER_PROTOCOL_VERSION,
                                        .name_len = (uint16_t)(error ? 0 : strlen(name)),
                                        .err = -error,
                                        .address = *address};
    memcpy(out, &answer, sizeof answer);
    memcpy(out + sizeof answer, name, answer.name_len);
    return sizeof answer + answer.name_len;
}

size_t name_answer_error(int error, uint8_t out[NAME_ANSWER_SIZE]) {
    return pack(error, &(struct endpoint){0}, "", out);
}

size_t name_answer(struct name_table *names, const struct route_list *routes, uid_t uid,
                   const struct helper_request *request, const char *name,
                   uint8_t out[NAME_ANSWER_SIZE]) {
    struct endpoint address = request->dest;
    address.port = 0;
    address.scope_id = 0;
    if (request->kind == HELPER_REQUEST_NAME) {
        name = name_table_find(names, &address);
        return name ? pack(0, &address, name, out) : name_answer_error(-ENOENT, out);
    }
    if (!route_list_watches_name(routes, name))
        return name_answer_error(-ENOENT, out);
    int error = name_table_give(names, uid, name, request->dest.family, &address);
    return error ? name_answer_error(error, out)
                 : pack(0, &address, name_table_find(names, &address), out);
}
