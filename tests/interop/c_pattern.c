/* SPDX-License-Identifier: MIT */
#include "c_peer.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static uint64_t pattern_word(uint64_t seed, uint64_t i) {
    uint64_t z = seed + (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* offset is a multiple of 8. */
void pattern_fill(uint8_t *data, size_t len, uint64_t seed, uint64_t offset) {
    for (uint64_t i = offset / 8; len > 0; i++) {
        uint64_t word = htole64(pattern_word(seed, i));
        size_t n = len < sizeof word ? len : sizeof word;
        memcpy(data, &word, n);
        data += n;
        len -= n;
    }
}

uint8_t *pattern_new(size_t len, uint64_t seed) {
    uint8_t *data = must_alloc(len);
    pattern_fill(data, len, seed, 0);
    return data;
}

static void add_word(struct checksum *sum, const uint8_t *data) {
    uint64_t word;
    memcpy(&word, data, sizeof word);
    sum->a += le64toh(word);
    sum->b += sum->a;
}

void checksum_add(struct checksum *sum, const uint8_t *data, size_t len) {
    while (len > 0 && sum->held > 0) {
        sum->partial[sum->held++] = *data++;
        len--;
        if (sum->held == sizeof sum->partial) {
            add_word(sum, sum->partial);
            sum->held = 0;
        }
    }
    for (; len >= 8; data += 8, len -= 8)
        add_word(sum, data);
    if (len > 0) {
        memcpy(sum->partial, data, len);
        sum->held = len;
    }
}

/* A partial last word counts as if padded with zeros. */
void checksum_text(struct checksum sum, char text[SUM_LEN]) {
    if (sum.held > 0) {
        memset(sum.partial + sum.held, 0, sizeof sum.partial - sum.held);
        add_word(&sum, sum.partial);
    }
    snprintf(text, SUM_LEN, "%016" PRIx64 "%016" PRIx64, sum.a, sum.b);
}

void checksum_of(const uint8_t *data, size_t len, char text[SUM_LEN]) {
    struct checksum sum = {0};
    checksum_add(&sum, data, len);
    checksum_text(sum, text);
}
