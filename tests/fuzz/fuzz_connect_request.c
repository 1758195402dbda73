/* SPDX-License-Identifier: MIT
 *
 * Requests of proxy clients (SOCKS 5, 4 and 4a, HTTP CONNECT): any split gives the same result and
 * the same answers, no byte behind a request is taken, and a password decides.
 */
#include "fuzz_check.h"
#include "helper/relay/connect_request.h"

static bool admits(const struct socks5_login *login, const char *name, size_t name_len,
                   const char *password, size_t password_len) {
    (void)login;
    return name_len == password_len && (name_len == 0 || memcmp(name, password, name_len) == 0);
}

static const struct socks5_login login = {admits};

/* All that the client would read. */
struct said {
    size_t len;
    uint8_t text[2 * CONNECT_ANSWER_MAX];
};

static enum socks5_progress run(struct connect_request *request, const uint8_t *data, size_t size,
                                size_t piece, size_t *total, struct said *said) {
    enum socks5_progress progress = SOCKS5_MORE;
    *total = said->len = 0;
    while (progress == SOCKS5_MORE && *total < size) {
        size_t len = size - *total < piece ? size - *total : piece, taken = SIZE_MAX;
        char *copy = fuzz_copy(data + *total, len, 0);
        progress = connect_request_feed(request, (uint8_t *)copy, len, &taken);
        free(copy);
        MUST(taken <= len && (progress != SOCKS5_MORE || taken == len));
        MUST(request->answer_len <= CONNECT_ANSWER_MAX);
        MUST(said->len + request->answer_len <= sizeof said->text);
        memcpy(said->text + said->len, request->answer, request->answer_len);
        said->len += request->answer_len;
        *total += taken;
    }
    return progress;
}

static void check(const uint8_t *data, size_t size, size_t piece, const struct socks5_login *who) {
    struct connect_request whole, cut;
    struct said said, said_cut;
    size_t total, total_cut;
    connect_request_init(&whole, who);
    connect_request_init(&cut, who);
    enum socks5_progress progress = run(&whole, data, size, SIZE_MAX, &total, &said);
    MUST(progress == run(&cut, data, size, piece, &total_cut, &said_cut));
    MUST(said.len == said_cut.len && memcmp(said.text, said_cut.text, said.len) == 0);
    MUST(total == total_cut);
    if (progress == SOCKS5_BROKEN)
        fuzz_check_message(whole.why, SIZE_MAX / 2);
    if (progress != SOCKS5_DONE)
        return;
    const struct socks5_destination *d = &whole.destination;
    MUST(memcmp(d, &cut.destination, sizeof *d) == 0);
    MUST(d->address.port != 0 && (d->name_len == 0) == (d->address.family != 0));
    MUST(strlen(d->name) >= d->name_len);
    MUST(!who || whole.protocol != CONNECT_SOCKS4);
    uint8_t answer[CONNECT_ANSWER_MAX];
    for (int error = 0; error > -140; error--) {
        size_t len =
            connect_answer_write((enum connect_protocol)whole.protocol, answer, error, &d->address);
        MUST(len > 0 && len <= sizeof answer);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1)
        return 0;
    size_t piece = 1 + data[0] % 16;
    check(data + 1, size - 1, piece, NULL);
    check(data + 1, size - 1, piece, &login);
    return 0;
}
