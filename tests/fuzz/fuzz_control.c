/* SPDX-License-Identifier: MIT
 *
 * What arrives from the other side of a socket: requests that the helper receives, and names that
 * the shim reads.
 */
#include "core/common/helper_protocol.h"
#include "fuzz_check.h"

#include <sys/un.h>

static void check_name(const uint8_t *data, size_t size) {
    struct sockaddr_un name = {.sun_family = AF_UNIX}, packed;
    size_t len = size < sizeof(name.sun_path) ? size : sizeof(name.sun_path);
    memcpy(name.sun_path, data, len);
    socklen_t name_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    struct helper_outcome outcome, again;
    (void)helper_name_is_valid(&name, name_len);
    if (!helper_outcome_unpack(&outcome, &name, name_len))
        return;
    socklen_t packed_len = helper_outcome_pack(&outcome, &packed);
    MUST(packed_len <= sizeof(packed));
    MUST(helper_outcome_unpack(&again, &packed, packed_len));
    MUST(again.id == outcome.id && again.err == outcome.err);
    again.dest.scope_id = outcome.dest.scope_id; /* only link-local IPv6 has one */
    MUST(memcmp(&again.dest, &outcome.dest, sizeof(again.dest)) == 0);
}

static void check_answer(const char *bytes, size_t size) {
    struct helper_name_answer answer;
    char name[HELPER_HOST_NAME_MAX + 1];
    if (!helper_name_answer_check(bytes, size, &answer, name))
        return;
    MUST(size == sizeof(answer) + answer.name_len && strlen(name) == answer.name_len);
    MUST(answer.err ? !name[0] : helper_host_name_valid(name, answer.name_len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *copy = fuzz_copy(data, size, 0);
    enum helper_request_problem problem = helper_request_check(copy, size);
    MUST(helper_request_problem_text(problem)[0]);
    MUST(problem != HELPER_REQUEST_OK || size >= sizeof(struct helper_request));
    if (helper_host_name_valid(copy, size))
        MUST(size >= 1 && size <= HELPER_HOST_NAME_MAX && !memchr(copy, 0, size));
    check_answer(copy, size);
    free(copy);
    check_name(data, size);
    return 0;
}
