/* SPDX-License-Identifier: MIT
 *
 * What comes from the other side of a socket: requests as the helper gets them, names as the shim
 * reads them.
 */
#include "core/common/helper_protocol.h"
#include "fuzz_check.h"

#include <sys/un.h>

static void check_name(const uint8_t *data, size_t size) {
    struct sockaddr_un name = {.sun_family = AF_UNIX}, packed;
    size_t len = size < sizeof(name.sun_path) ? size : sizeof(name.sun_path);
    memcpy(name.sun_path, data, len);
    socklen_t name_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    struct shim_outcome outcome, again;
    (void)shim_is_helper_name(&name, name_len);
    if (!shim_outcome_unpack(&outcome, &name, name_len))
        return;
    socklen_t packed_len = shim_outcome_pack(&outcome, &packed);
    MUST(packed_len <= sizeof(packed));
    MUST(shim_outcome_unpack(&again, &packed, packed_len));
    MUST(again.id == outcome.id && again.err == outcome.err);
    again.dest.scope_id = outcome.dest.scope_id; /* said of link-local IPv6 only */
    MUST(memcmp(&again.dest, &outcome.dest, sizeof(again.dest)) == 0);
}

static void check_answer(const char *bytes, size_t size) {
    struct shim_name_answer answer;
    char name[SHIM_HOST_NAME_MAX + 1];
    if (!shim_name_answer_check(bytes, size, &answer, name))
        return;
    MUST(size == sizeof(answer) + answer.name_len && strlen(name) == answer.name_len);
    MUST(answer.err ? !name[0] : shim_host_name_valid(name, answer.name_len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *copy = fuzz_copy(data, size, 0);
    enum shim_request_problem problem = shim_request_check(copy, size);
    MUST(shim_request_problem_text(problem)[0]);
    MUST(problem != SHIM_REQUEST_OK || size >= sizeof(struct shim_request));
    if (shim_host_name_valid(copy, size))
        MUST(size >= 1 && size <= SHIM_HOST_NAME_MAX && !memchr(copy, 0, size));
    check_answer(copy, size);
    free(copy);
    check_name(data, size);
    return 0;
}
