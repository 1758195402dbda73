/* SPDX-License-Identifier: MIT
 *
 * Both SOCKS5 parsers: any split gives the same result, nothing past the message is consumed,
 * and what the server has read, written by the client's writer, is read the same again.
 */
#include "fuzz_check.h"
#include "helper/relay/socks5.h"

typedef enum socks5_progress (*feeder)(void *parser, const uint8_t *data, size_t len,
                                       size_t *taken);

static enum socks5_progress feed_server(void *parser, const uint8_t *data, size_t len,
                                        size_t *taken) {
    return socks5_server_feed(parser, data, len, taken);
}

static enum socks5_progress feed_client(void *parser, const uint8_t *data, size_t len,
                                        size_t *taken) {
    return socks5_client_feed(parser, data, len, taken);
}

/* Feeds in pieces; returns the last result and the total of bytes consumed. */
static enum socks5_progress run(feeder feed, void *parser, const uint8_t *data, size_t size,
                                size_t piece, size_t *total) {
    enum socks5_progress p = SOCKS5_MORE;
    *total = 0;
    while (p == SOCKS5_MORE && *total < size) {
        size_t len = size - *total < piece ? size - *total : piece, taken = SIZE_MAX;
        char *copy = fuzz_copy(data + *total, len, 0);
        p = feed(parser, (uint8_t *)copy, len, &taken);
        free(copy);
        MUST(taken <= len && (p != SOCKS5_MORE || taken == len));
        *total += taken;
    }
    return p;
}

static void check_server(const uint8_t *data, size_t size, size_t piece) {
    struct socks5_server whole, cut, again;
    size_t total, total_cut, total_again;
    socks5_server_init(&whole);
    socks5_server_init(&cut);
    enum socks5_progress p = run(feed_server, &whole, data, size, SIZE_MAX, &total);
    MUST(p == run(feed_server, &cut, data, size, piece, &total_cut));
    MUST(whole.greeted == cut.greeted);
    if (p == SOCKS5_BROKEN)
        fuzz_check_message(whole.why, SIZE_MAX / 2);
    if (p != SOCKS5_DONE)
        return;
    MUST(total == total_cut);
    const struct socks5_destination *d = &whole.destination, *e = &again.destination;
    MUST(d->name_len == cut.destination.name_len);
    uint8_t request[SOCKS5_REQUEST_MAX];
    size_t len = socks5_request_write(request, d);
    MUST(len <= sizeof(request));
    socks5_server_init(&again);
    MUST(run(feed_server, &again, request, len, SIZE_MAX, &total_again) == SOCKS5_DONE);
    MUST(total_again == len && d->name_len == e->name_len);
    MUST(memcmp(d->name, e->name, d->name_len) == 0);
    MUST(memcmp(&d->address, &e->address, sizeof(d->address)) == 0);
}

static void check_client(const uint8_t *data, size_t size, size_t piece) {
    struct socks5_client whole, cut;
    size_t total, total_cut;
    socks5_client_init(&whole);
    socks5_client_init(&cut);
    enum socks5_progress p = run(feed_client, &whole, data, size, SIZE_MAX, &total);
    MUST(p == run(feed_client, &cut, data, size, piece, &total_cut));
    if (p == SOCKS5_DONE)
        MUST(total == total_cut && whole.error == cut.error && whole.error <= 0);
    if (p == SOCKS5_BROKEN)
        fuzz_check_message(whole.why, SIZE_MAX / 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1)
        return 0;
    size_t piece = 1 + data[0] % 16;
    check_server(data + 1, size - 1, piece);
    check_client(data + 1, size - 1, piece);
    return 0;
}
