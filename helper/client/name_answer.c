/* name_answer.c - questions of the shim about names. See name_table.h. */
#include <errno.h>
#include <string.h>

#include "helper/client/name_table.h"

static size_t pack(int err, const struct shim_endpoint *address, const char *name,
                   uint8_t out[NAMES_ANSWER_SIZE]) {
    struct shim_name_answer answer = {.magic = SHIM_CONTROL_MAGIC,
                                      .version = SHIM_CONTROL_VERSION,
                                      .name_len = (uint16_t)(err ? 0 : strlen(name)),
                                      .err = err,
                                      .address = *address};
    memcpy(out, &answer, sizeof answer);
    memcpy(out + sizeof answer, name, answer.name_len);
    return sizeof answer + answer.name_len;
}

size_t names_answer_error(int err, uint8_t out[NAMES_ANSWER_SIZE]) {
    return pack(err, &(struct shim_endpoint){0}, "", out);
}

size_t names_answer(struct names *names, const struct route_list *routes, uid_t uid,
                    const struct shim_request *request, const char *name,
                    uint8_t out[NAMES_ANSWER_SIZE]) {
    struct shim_endpoint address = request->dest;
    address.port = 0;
    address.scope_id = 0;
    if (request->kind == SHIM_REQUEST_NAME) {
        name = names_find(names, &address);
        return name ? pack(0, &address, name, out) : names_answer_error(ENOENT, out);
    }
    if (!route_list_watches_name(routes, name))
        return names_answer_error(ENOENT, out);
    int err = names_give(names, uid, name, request->dest.family, &address);
    return err ? names_answer_error(err, out) : pack(0, &address, names_find(names, &address), out);
}
