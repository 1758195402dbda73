/* SPDX-License-Identifier: MIT
 *
 * Headers of the PROXY protocol: any split gives the same result, no byte after a header is
 * examined, and a header written from the result parses to the same.
 */
#include "fuzz_check.h"
#include "helper/net/proxy_protocol.h"

static enum proxy_progress read_copy(const uint8_t *data, size_t len, struct proxy_header *header,
                                     size_t *used) {
    const char *why = NULL;
    char *copy = fuzz_copy(data, len, 0);
    enum proxy_progress progress =
        proxy_header_read((const uint8_t *)copy, len, header, used, &why);
    MUST((progress == PROXY_BROKEN) == (why != NULL));
    if (progress == PROXY_DONE)
        MUST(*used > 0 && *used <= len && *used <= PROXY_HEADER_MAX);
    free(copy);
    return progress;
}

static void write_anew(const struct proxy_header *header) {
    for (int version = PROXY_V1; version <= PROXY_V2; version++) {
        uint8_t out[PROXY_HEADER_MAX];
        struct proxy_header again;
        size_t used, len = proxy_header_write(out, (enum proxy_version)version, header);
        MUST(len > 0 && len <= PROXY_HEADER_MAX);
        MUST(read_copy(out, len, &again, &used) == PROXY_DONE && used == len);
        MUST(memcmp(&again.source, &header->source, sizeof again.source) == 0);
        MUST(memcmp(&again.destination, &header->destination, sizeof again.destination) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct proxy_header header, part_header;
    size_t used = 0, part_used;
    if (size > 2 * PROXY_HEADER_MAX)
        return 0;
    enum proxy_progress progress = read_copy(data, size, &header, &used);
    MUST(progress != PROXY_MORE || size < PROXY_HEADER_MAX);
    for (size_t part = 0; part < size; part++) {
        enum proxy_progress early = read_copy(data, part, &part_header, &part_used);
        if (progress == PROXY_MORE || (progress == PROXY_DONE && part < used))
            MUST(early == PROXY_MORE);
        else if (progress == PROXY_DONE)
            MUST(early == PROXY_DONE && part_used == used);
        else
            MUST(early != PROXY_DONE);
    }
    if (progress == PROXY_DONE)
        write_anew(&header);
    return 0;
}
