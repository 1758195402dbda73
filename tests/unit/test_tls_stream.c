/* SPDX-License-Identifier: MIT */
/* The records of established TLS connections: against OpenSSL's own, and against peers that send
 * what they must not. */
#include "support_relay.h"

#include <openssl/err.h>

#include "helper/carrier/tls_alert.h"
#include "helper/carrier/tls_context.h"
#include "helper/carrier/tls_key.h"
#include "helper/carrier/tls_stream.h"

#define ROOM 100000u

static struct reactor reactor;

/* One side of a connection: the stream, and what it works on. */
static struct side {
    struct carrier *lower;
    struct tls_wire wire;
    struct tls_stream stream;
} client, server;

static uint8_t sent[ROOM], got[ROOM];

static void on_nothing(struct carrier *carrier) {
    (void)carrier;
}

static void on_events(struct carrier *carrier, uint8_t events) {
    (void)carrier;
    (void)events;
}

static void on_failed(struct carrier *carrier, const char *why) {
    (void)carrier;
    fail_msg("%s", why);
}

static const struct carrier_user user = {
    .ready = on_nothing, .failed = on_failed, .events = on_events, .ended = on_nothing};

/* ---- Connections ---- */

static void begin_wire(struct side *s, int fd, bool is_server) {
    memset(s, 0, sizeof *s);
    s->lower = carrier_new_socket(reactor.loop, fd, false, "test");
    assert_non_null(s->lower);
    assert_int_equal(carrier_start(s->lower, &user, s, 1000000), 0);
    tls_wire_init(&s->wire, s->lower, is_server);
    tls_wire_events(&s->wire, EVENT_READ | EVENT_WRITE);
    s->wire.trusted = true;
}

static void end_side(struct side *s) {
    tls_stream_free(&s->stream);
    tls_wire_fini(&s->wire);
    carrier_close(s->lower);
}

static void socket_pair(int fds[2]) {
    int size = 4000000;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    for (int i = 0; i < 2; i++)
        setsockopt(fds[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
}

static const SSL_CIPHER *suite_of(uint8_t number) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    SSL *ssl = SSL_new(ctx);
    const SSL_CIPHER *suite = SSL_CIPHER_find(ssl, (uint8_t[]){0x13, number});
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return suite;
}

/* Both sides are ours, with secrets out of thin air. */
static void begin_pair(void) {
    struct tls_traffic traffic = {.client = {1, 2, 3}, .server = {4, 5}, 32, 32};
    const SSL_CIPHER *suite = suite_of(1);
    int fds[2];
    socket_pair(fds);
    begin_wire(&client, fds[0], false);
    begin_wire(&server, fds[1], true);
    assert_true(tls_stream_begin(&client.stream, &client.wire, suite, &traffic));
    assert_true(tls_stream_begin(&server.stream, &server.wire, suite, &traffic));
}

static void end_pair(void) {
    end_side(&client);
    end_side(&server);
    ERR_clear_error();
}

static int setup(void **state) {
    (void)state;
    for (size_t i = 0; i < ROOM; i++)
        sent[i] = (uint8_t)(i * 7 + i / 251);
    return reactor_init(&reactor);
}

static int teardown(void **state) {
    (void)state;
    assert_int_equal(loop_turn(reactor.loop, 0), 0);
    reactor_fini(&reactor);
    return 0;
}

/* ---- Sending and receiving ---- */

/* A record of this type and these bytes, however wrong it may be. */
static void say_record(struct side *s, uint8_t type, const void *data, size_t len) {
    struct iovec iov = {(void *)data, len};
    uint8_t *out = tls_wire_extend(&s->wire, len + TLS_RECORD_COST);
    assert_non_null(out);
    assert_true(tls_record_seal(&s->stream.out, type, &(struct iov_cursor){&iov, 0}, len, out));
    assert_true(tls_wire_flush(&s->wire));
}

static void write_pieces(struct side *s, size_t piece, size_t total) {
    for (size_t off = 0; off < total;) {
        struct iovec iov[TLS_RECORD_MAX];
        size_t len = 0;
        int n = 0;
        for (; len < TLS_RECORD_MAX && off < total; n++, len += iov[n - 1].iov_len) {
            size_t want = piece < total - off ? piece : total - off;
            iov[n] = (struct iovec){sent + off,
                                    want < TLS_RECORD_MAX - len ? want : TLS_RECORD_MAX - len};
            off += iov[n].iov_len;
        }
        assert_true(tls_stream_write(&s->stream, &(struct iov_cursor){iov, 0}, len));
        assert_true(tls_wire_flush(&s->wire));
    }
}

static size_t read_some(struct side *s, uint8_t *data, size_t len) {
    tls_wire_events(&s->wire, EVENT_READ);
    s->wire.reads_left = 100;
    return tls_stream_read(&s->stream, data, len);
}

/* Reads `total` bytes, at most `step` at a time, and compares them. */
static void expect_sent(struct side *s, size_t step, size_t total) {
    memset(got, 0, sizeof got);
    for (size_t n = 0, more; n < total; n += more) {
        more = read_some(s, got + n, step < total - n ? step : total - n);
        assert_true(more > 0);
    }
    assert_memory_equal(got, sent, total);
    assert_int_equal(read_some(s, got, 1), 0);
    assert_false(s->stream.failed || s->stream.ended);
}

/* ---- Beside OpenSSL ---- */

static struct tls_context *context_with(bool is_server, const char *psk, const char *key,
                                        const char *pins) {
    char why[400];
    struct tls_settings settings = {
        .server = is_server, .psk = psk, .key = key, .pins = pins, .anyone = is_server};
    struct tls_context *context = tls_context_new(&settings, why, sizeof why);
    if (!context)
        fail_msg("%s", why);
    return context;
}

/* Our side uses `ours`, OpenSSL's the returned SSL, after a handshake with the suite `name`. */
static SSL *beside_openssl(struct side *ours, bool is_server, const char *name,
                           struct tls_context *context[2]) {
    static struct tls_verdict verdict[2];
    SSL *ssl[2];
    int fds[2], done[2] = {0, 0};
    socket_pair(fds);
    begin_wire(ours, fds[0], is_server);
    memset(verdict, 0, sizeof verdict);
    for (int i = 0; i < 2; i++) {
        ssl[i] = tls_context_connection(context[i], &verdict[i], NULL);
        assert_non_null(ssl[i]);
    }
    assert_int_equal(SSL_set_ciphersuites(ssl[1], name), 1);
    BIO *bio = tls_wire_bio(&ours->wire);
    SSL_set_bio(ssl[0], bio, bio);
    assert_int_equal(SSL_set_fd(ssl[1], fds[1]), 1);
    for (int turn = 0; turn < 20 && !(done[0] && done[1]); turn++)
        for (int i = 0; i < 2; i++) {
            ours->wire.reads_left = 10;
            tls_wire_events(&ours->wire, EVENT_READ);
            done[i] = SSL_do_handshake(ssl[i]) == 1;
            tls_wire_flush(&ours->wire);
        }
    assert_true(done[0] && done[1]);
    assert_string_equal(SSL_CIPHER_get_name(SSL_get_current_cipher(ssl[0])), name);
    assert_true(tls_stream_begin(&ours->stream, &ours->wire, SSL_get_current_cipher(ssl[0]),
                                 &verdict[0].traffic));
    SSL_free(ssl[0]);
    return ssl[1];
}

static char psk_file[64], key_file[64];

static void write_psk(void) {
    static const char text[] = "desk:101112131415161718191a1b1c1d1e1f\n";
    int fd = open(psk_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
}

/* A client and a server; the first is ours. */
static void make_contexts(struct tls_context *context[2], bool is_server, bool with_key) {
    char pin[TLS_PIN_SIZE] = "", why[400];
    unlink(key_file);
    if (with_key)
        assert_true(tls_key_create(key_file, "test", pin, why, sizeof why));
    write_psk();
    const char *psk = with_key ? NULL : psk_file;
    for (int i = 0; i < 2; i++) {
        bool serves = (i == 0) == is_server;
        context[i] = context_with(serves, psk, with_key && serves ? key_file : NULL,
                                  with_key && !serves ? pin : NULL);
    }
    unlink(psk_file);
    unlink(key_file);
}

static void openssl_writes(SSL *ssl, size_t total) {
    for (size_t off = 0, n; off < total; off += n)
        assert_int_equal(SSL_write_ex(ssl, sent + off, total - off, &n), 1);
}

static void openssl_expects(SSL *ssl, size_t total) {
    memset(got, 0, sizeof got);
    for (size_t n = 0, more; n < total; n += more)
        assert_int_equal(SSL_read_ex(ssl, got + n, total - n, &more), 1);
    assert_memory_equal(got, sent, total);
}

/* Sizes around what fits into a record, in pieces around what is copied. */
static void talk(struct side *ours, SSL *ssl) {
    static const size_t totals[] = {1, 2000, 16383, 16384, 16385, 40000},
                        pieces[] = {8, 1023, 1024, 5000, 40000};
    for (size_t i = 0; i < sizeof totals / sizeof *totals; i++) {
        openssl_writes(ssl, totals[i]);
        expect_sent(ours, i % 2 ? 1000 : ROOM, totals[i]);
        for (size_t j = 0; j < sizeof pieces / sizeof *pieces; j++) {
            write_pieces(ours, pieces[j], totals[i]);
            openssl_expects(ssl, totals[i]);
        }
    }
}

static void with_openssl(bool is_server, const char *suite, bool with_key,
                         void (*run)(struct side *ours, SSL *ssl)) {
    struct tls_context *context[2];
    make_contexts(context, is_server, with_key);
    SSL *ssl = beside_openssl(&client, is_server, suite, context);
    run(&client, ssl);
    int fd = SSL_get_fd(ssl);
    SSL_free(ssl);
    close(fd);
    end_side(&client);
    tls_context_unref(context[0]);
    tls_context_unref(context[1]);
    ERR_clear_error();
}

static void openssl_reads_our_records_and_we_read_its_with_every_suite(void **state) {
    (void)state;
    for (int is_server = 0; is_server < 2; is_server++) {
        with_openssl(is_server, "TLS_AES_128_GCM_SHA256", false, talk);
        with_openssl(is_server, "TLS_CHACHA20_POLY1305_SHA256", false, talk);
        with_openssl(is_server, "TLS_AES_256_GCM_SHA384", true, talk);
    }
}

static void change_keys(struct side *ours, SSL *ssl) {
    for (int i = 0; i < 5; i++) {
        assert_int_equal(
            SSL_key_update(ssl, i % 2 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED),
            1);
        openssl_writes(ssl, 20000);
        expect_sent(ours, ROOM, 20000);
        assert_int_equal(ours->stream.owes_update, i % 2);
        write_pieces(ours, 20000, 20000);
        assert_false(ours->stream.owes_update);
        openssl_expects(ssl, 20000);
    }
    ours->stream.key_records = 3;
    for (int i = 0; i < 10; i++) {
        write_pieces(ours, 20000, 20000);
        openssl_expects(ssl, 20000);
    }
    assert_true(ours->stream.out.count <= 4);
}

static void
keys_change_when_the_peer_says_so_and_before_they_have_protected_too_much(void **state) {
    (void)state;
    with_openssl(false, "TLS_AES_128_GCM_SHA256", false, change_keys);
    with_openssl(true, "TLS_AES_256_GCM_SHA384", true, change_keys);
}

static void say_goodbye(struct side *ours, SSL *ssl) {
    size_t n;
    tls_stream_close(&ours->stream);
    assert_true(tls_wire_flush(&ours->wire));
    assert_int_equal(SSL_read_ex(ssl, got, 1, &n), 0);
    assert_int_equal(SSL_get_error(ssl, 0), SSL_ERROR_ZERO_RETURN);
    openssl_writes(ssl, 3);
    SSL_shutdown(ssl);
    assert_int_equal(read_some(ours, got, ROOM), 3);
    assert_true(ours->stream.ended && !ours->stream.failed);
}

static void close_notify_is_understood_both_ways(void **state) {
    (void)state;
    with_openssl(false, "TLS_AES_128_GCM_SHA256", false, say_goodbye);
    with_openssl(true, "TLS_AES_128_GCM_SHA256", false, say_goodbye);
}

/* ---- What may come besides data ---- */

static void padding_goes_and_empty_records_are_nothing(void **state) {
    (void)state;
    begin_pair();
    say_record(&client, TLS_RECORD_DATA, "", 0);
    say_record(&client, 0, "word\27\0\0", 7);
    assert_int_equal(read_some(&server, got, ROOM), 4);
    assert_memory_equal(got, "word", 4);
    for (unsigned i = 0; i < 3 * TLS_BARREN_MAX; i++) {
        say_record(&client, TLS_RECORD_DATA, "", 0);
        if (i % 20 == 0)
            say_record(&client, TLS_RECORD_DATA, "x", 1);
    }
    assert_int_equal(read_some(&server, got, ROOM), 5);
    assert_false(server.stream.failed);
    end_pair();
}

static void messages_may_be_spread_over_records_and_tickets_are_ignored(void **state) {
    static const uint8_t ticket[] = {4, 0, 0, 3, 1, 2, 3, 4, 0, 0, 0, 24, 0, 0, 1, 0};
    (void)state;
    begin_pair();
    for (size_t i = 0; i < sizeof ticket; i++)
        say_record(&server, TLS_RECORD_HANDSHAKE, ticket + i, 1);
    assert_true(tls_keys_next(&server.stream.out));
    say_record(&server, TLS_RECORD_HANDSHAKE, ticket, sizeof ticket);
    assert_true(tls_keys_next(&server.stream.out));
    say_record(&server, TLS_RECORD_DATA, "word", 4);
    assert_int_equal(read_some(&client, got, ROOM), 4);
    assert_memory_equal(got, "word", 4);
    assert_false(client.stream.failed);
    end_pair();
}

static void a_look_leaves_what_it_finds(void **state) {
    (void)state;
    begin_pair();
    say_record(&client, TLS_RECORD_DATA, "", 0);
    say_record(&client, TLS_RECORD_DATA, "word", 4);
    tls_wire_events(&server.wire, EVENT_READ);
    server.wire.reads_left = 10;
    tls_stream_look(&server.stream);
    tls_stream_look(&server.stream);
    assert_int_equal(server.stream.left_len, 4);
    assert_int_equal(read_some(&server, got, 2), 2);
    assert_int_equal(read_some(&server, got + 2, ROOM - 2), 2);
    assert_memory_equal(got, "word", 4);
    end_pair();
}

/* ---- What must not come ---- */

/* The server has found this wrong, and says so. */
static void expect_refusal(int alert, int reason) {
    while (read_some(&server, got, 1000) > 0)
        continue;
    assert_true(server.stream.failed);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), reason);
    assert_int_equal(read_some(&server, got, 1000), 0); /* and ever after */
    assert_true(tls_wire_flush(&server.wire));
    assert_int_equal(read_some(&client, got, 1), 0);
    assert_true(client.stream.failed);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_AD_REASON_OFFSET + alert);
    end_pair();
}

static void what_is_wrong_inside_a_record_ends_the_connection(void **state) {
    static const struct {
        uint8_t type;
        uint8_t len;
        uint8_t bytes[8];
        int alert, reason;
    } wrong[] = {
        {TLS_RECORD_HANDSHAKE,
         4,
         {4, 0, 0, 9},
         SSL_AD_UNEXPECTED_MESSAGE,
         SSL_R_UNEXPECTED_MESSAGE},
        {TLS_RECORD_HANDSHAKE,
         4,
         {1, 0, 0, 9},
         SSL_AD_UNEXPECTED_MESSAGE,
         SSL_R_UNEXPECTED_MESSAGE},
        {TLS_RECORD_HANDSHAKE, 5, {24, 0, 0, 1, 2}, SSL_AD_ILLEGAL_PARAMETER, SSL_R_BAD_KEY_UPDATE},
        {TLS_RECORD_HANDSHAKE, 4, {24, 0, 0, 0}, SSL_AD_DECODE_ERROR, SSL_R_BAD_LENGTH},
        {TLS_RECORD_HANDSHAKE, 6, {24, 0, 0, 2, 0, 0}, SSL_AD_DECODE_ERROR, SSL_R_BAD_LENGTH},
        {TLS_RECORD_HANDSHAKE,
         6,
         {24, 0, 0, 1, 0, 24},
         SSL_AD_UNEXPECTED_MESSAGE,
         SSL_R_UNEXPECTED_MESSAGE},
        {TLS_RECORD_ALERT, 1, {1}, SSL_AD_DECODE_ERROR, SSL_R_BAD_LENGTH},
        {TLS_RECORD_ALERT, 3, {1, 0, 0}, SSL_AD_DECODE_ERROR, SSL_R_BAD_LENGTH},
        {20, 1, {1}, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_UNEXPECTED_MESSAGE},
        {99, 1, {1}, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_UNEXPECTED_MESSAGE},
        {0, 2, {0, 0}, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_UNEXPECTED_MESSAGE},
        {TLS_RECORD_HANDSHAKE, 0, {0}, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_UNEXPECTED_MESSAGE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        begin_pair();
        say_record(&client, TLS_RECORD_DATA, "fine", 4);
        say_record(&client, wrong[i].type, wrong[i].bytes, wrong[i].len);
        say_record(&client, TLS_RECORD_DATA, "never seen", 10);
        assert_int_equal(read_some(&server, got, ROOM), 4);
        expect_refusal(wrong[i].alert, wrong[i].reason);
    }
}

static void data_within_a_message_ends_the_connection(void **state) {
    static const uint8_t types[] = {TLS_RECORD_DATA, TLS_RECORD_ALERT};
    (void)state;
    for (size_t i = 0; i < sizeof types; i++) {
        begin_pair();
        say_record(&client, TLS_RECORD_HANDSHAKE, "\30\0", 2);
        say_record(&client, types[i], "\1", 2);
        expect_refusal(SSL_AD_UNEXPECTED_MESSAGE, SSL_R_UNEXPECTED_MESSAGE);
    }
}

static void too_many_records_that_bring_nothing_end_the_connection(void **state) {
    static const uint8_t update[] = {24, 0, 0, 1, 1};
    (void)state;
    begin_pair();
    for (unsigned i = 0; i <= TLS_BARREN_MAX; i++)
        say_record(&client, TLS_RECORD_DATA, "", 0);
    expect_refusal(SSL_AD_UNEXPECTED_MESSAGE, SSL_R_UNEXPECTED_MESSAGE);
    begin_pair();
    for (unsigned i = 0; i <= TLS_BARREN_MAX; i++) {
        say_record(&client, TLS_RECORD_HANDSHAKE, update, sizeof update);
        assert_true(tls_keys_next(&client.stream.out));
    }
    expect_refusal(SSL_AD_UNEXPECTED_MESSAGE, SSL_R_UNEXPECTED_MESSAGE);
}

static void what_is_no_record_ends_the_connection(void **state) {
    static const struct {
        uint8_t header[TLS_RECORD_HEADER];
        int alert, reason;
    } wrong[] = {
        {{TLS_RECORD_HANDSHAKE, 3, 3, 0, 40}, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_BAD_RECORD_TYPE},
        {{TLS_RECORD_ALERT, 3, 3, 0, 2}, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_BAD_RECORD_TYPE},
        {{20, 3, 3, 0, 1}, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_BAD_RECORD_TYPE},
        {{1, 3, 0, 0, 0}, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_BAD_RECORD_TYPE},
        {{TLS_RECORD_DATA, 3, 3, 0x41, 1}, SSL_AD_RECORD_OVERFLOW, SSL_R_DATA_LENGTH_TOO_LONG},
        {{TLS_RECORD_DATA, 3, 3, 0, 16}, SSL_AD_DECODE_ERROR, SSL_R_BAD_LENGTH},
        {{TLS_RECORD_DATA, 3, 3, 0, 17},
         SSL_AD_BAD_RECORD_MAC,
         SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        begin_pair();
        say_record(&client, TLS_RECORD_DATA, "fine", 4);
        tls_wire_put(&client.wire, wrong[i].header, TLS_RECORD_HEADER);
        tls_wire_put(&client.wire, sent, 17);
        assert_true(tls_wire_flush(&client.wire));
        assert_int_equal(read_some(&server, got, ROOM), 4);
        expect_refusal(wrong[i].alert, wrong[i].reason);
    }
}

static void a_record_of_which_any_byte_was_changed_ends_the_connection(void **state) {
    (void)state;
    for (size_t at = 1; at < 4 + TLS_RECORD_COST; at += at == 2 ? 3 : 1) { /* not the length */
        uint8_t record[4 + TLS_RECORD_COST];
        struct iovec iov = {sent, 4};
        begin_pair();
        assert_true(tls_record_seal(&client.stream.out, TLS_RECORD_DATA,
                                    &(struct iov_cursor){&iov, 0}, 4, record));
        record[at] ^= 1;
        tls_wire_put(&client.wire, record, sizeof record);
        assert_true(tls_wire_flush(&client.wire));
        expect_refusal(SSL_AD_BAD_RECORD_MAC, SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC);
    }
}

static void a_record_that_is_repeated_or_missing_ends_the_connection(void **state) {
    (void)state;
    for (int step = -1; step <= 1; step += 2) {
        begin_pair();
        say_record(&client, TLS_RECORD_DATA, "fine", 4);
        client.stream.out.count += (uint64_t)step;
        say_record(&client, TLS_RECORD_DATA, "fine", 4);
        assert_int_equal(read_some(&server, got, ROOM), 4);
        expect_refusal(SSL_AD_BAD_RECORD_MAC, SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC);
    }
}

/* ---- Keys ---- */

/* The example of RFC 8448, section 3. */
static void keys_are_those_of_the_published_example(void **state) {
    static const char line[] = "SERVER_TRAFFIC_SECRET_0 "
                               "cb34ecb1e78163bad3f8b6d1bc8a2d9ac9c9b6c9b2b7b9b1a4d4b6b8d5b1f0aa "
                               "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643";
    static const uint8_t iv[] = {0xcf, 0x78, 0x2b, 0x88, 0xdd, 0x83,
                                 0x54, 0x9a, 0xad, 0xf1, 0xe9, 0x84};
    struct tls_traffic traffic = {.server_len = 0};
    struct tls_keys keys = {.aead = NULL};
    (void)state;
    tls_traffic_note(&traffic, line);
    assert_int_equal(traffic.server_len, 32);
    assert_int_equal(traffic.client_len, 0);
    assert_true(tls_keys_init(&keys, suite_of(1), traffic.server, 32, false));
    assert_memory_equal(keys.iv, iv, sizeof iv);
    tls_keys_free(&keys);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(openssl_reads_our_records_and_we_read_its_with_every_suite),
        TEST(keys_change_when_the_peer_says_so_and_before_they_have_protected_too_much),
        TEST(close_notify_is_understood_both_ways),
        TEST(padding_goes_and_empty_records_are_nothing),
        TEST(messages_may_be_spread_over_records_and_tickets_are_ignored),
        TEST(a_look_leaves_what_it_finds),
        TEST(what_is_wrong_inside_a_record_ends_the_connection),
        TEST(data_within_a_message_ends_the_connection),
        TEST(too_many_records_that_bring_nothing_end_the_connection),
        TEST(what_is_no_record_ends_the_connection),
        TEST(a_record_of_which_any_byte_was_changed_ends_the_connection),
        TEST(a_record_that_is_repeated_or_missing_ends_the_connection),
        TEST(keys_are_those_of_the_published_example),
    };
    snprintf(psk_file, sizeof psk_file, "/tmp/smux-tls-stream.%d.psk", getpid());
    snprintf(key_file, sizeof key_file, "/tmp/smux-tls-stream.%d.key", getpid());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
