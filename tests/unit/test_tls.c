/* SPDX-License-Identifier: MIT */
/* TLS carriers: who is let in, what everybody else is told, and that what was cut off never looks
 * complete. That sessions work over them is what the tests over all kinds see. */
#include "support_relay.h"

#include <openssl/err.h>
#include <stdio.h>
#include <sys/stat.h>

#define GOOD   "laptop:000102030405060708090a0b0c0d0e0f\n"
#define OTHER  "laptop:ff0102030405060708090a0b0c0d0e0f\n"
#define DESK   "desk:101112131415161718191a1b1c1d1e1f\n"
#define IS_HEX "000102030405060708090a0b0c0d0e0f"

static struct reactor reactor;

static struct side {
    int ready, failed;
    uint8_t events;
    char why[CARRIER_WHY_SIZE];
} side[2];

static void on_ready(struct carrier *carrier) {
    ((struct side *)carrier->user)->ready++;
}

static void on_failed(struct carrier *carrier, const char *why) {
    struct side *s = carrier->user;
    s->failed++;
    snprintf(s->why, sizeof s->why, "%s", why);
    carrier_close(carrier);
}

static void on_events(struct carrier *carrier, uint8_t events) {
    ((struct side *)carrier->user)->events |= events;
}

static void on_over(struct carrier *carrier) {
    (void)carrier;
}

static const struct carrier_user user = {
    .ready = on_ready, .failed = on_failed, .events = on_events, .ended = on_over};

/* ---- Files and contexts ---- */

static char file_name[] = "/tmp/smux-tls.XXXXXX";

static const char *secret_file(const char *text) {
    int fd = open(file_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    return file_name;
}

static struct tls_context *context_of(bool server, const char *secrets) {
    char why[400];
    struct tls_settings settings = {.server = server, .psk = secret_file(secrets)};
    struct tls_context *context = tls_context_new(&settings, why, sizeof why);
    if (!context)
        fail_msg("%s", why);
    return context;
}

static int setup(void **state) {
    (void)state;
    memset(side, 0, sizeof side);
    assert_int_equal(reactor_init(&reactor), 0);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    assert_int_equal(loop_turn(reactor.loop, 0), 0);
    reactor_fini(&reactor);
    unlink(file_name);
    return 0;
}

#define wait_for(condition)                                                                        \
    do {                                                                                           \
        for (int left = 2000; !(condition); left--) {                                              \
            assert_true(left > 0);                                                                 \
            assert_int_equal(loop_turn(reactor.loop, 1), 0);                                       \
        }                                                                                          \
    } while (0)

/* A TLS carrier on a connected socket; the context is its own afterwards. */
static struct carrier *start_on(int fd, struct tls_context *context, struct side *s) {
    struct carrier *lower = carrier_new_socket(reactor.loop, fd, false, "test");
    struct carrier *carrier = carrier_tls_new(lower, context, "gateway.test");
    tls_context_unref(context);
    assert_non_null(carrier);
    assert_int_equal(carrier_start(carrier, &user, s, 5000000), 0);
    return carrier;
}

static void socket_pair(int fds[2]) {
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

/* ---- Files of secrets ---- */

static void a_file_of_secrets_that_is_no_good_is_refused_with_its_line(void **state) {
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "expected a line IDENTITY:HEX"},
        {"# nothing\n\n", "expected a line IDENTITY:HEX"},
        {"\nlaptop\n", ":2: expected IDENTITY:HEX"},
        {":" IS_HEX "\n", ":1: expected IDENTITY:HEX"},
        {"lap top:" IS_HEX "\n", ":1: expected IDENTITY:HEX"},
        {"laptop:0011\n", ":1: expected a secret of 32 to 128 hexadecimal digits"},
        {"laptop:" IS_HEX "0\n", ":1: expected a secret of 32 to 128 hexadecimal digits"},
        {"laptop:" IS_HEX IS_HEX IS_HEX IS_HEX "00", ":1: expected a secret of 32 to 128"},
        {"laptop:0001020304050607_8090a0b0c0d0e0f\n", ":1: expected hexadecimal digits"},
        {GOOD DESK OTHER, ":3: expected every identity once"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tls_secrets secrets;
        char why[400];
        assert_false(tls_secrets_read(&secrets, secret_file(cases[i].text), why, sizeof why));
        if (!strstr(why, cases[i].why) || strncmp(why, file_name, strlen(file_name)) != 0)
            fail_msg("\"%s\": %s", cases[i].text, why);
        assert_null(strstr(why, "0001"));
    }
}

static void a_file_of_secrets_is_read_with_comments_and_blanks(void **state) {
    struct tls_secrets secrets;
    char why[400];
    (void)state;
    assert_true(tls_secrets_read(&secrets, secret_file("# of the office\n\n \t" GOOD "  " DESK),
                                 why, sizeof why));
    assert_int_equal(secrets.count, 2);
    assert_string_equal(secrets.list[0].identity, "laptop");
    assert_int_equal(tls_secrets_find(&secrets, "desk", 4)->bytes[1], 0x11);
    assert_null(tls_secrets_find(&secrets, "des", 3));
    tls_secrets_free(&secrets);
}

static void a_file_of_secrets_that_others_can_read_is_refused(void **state) {
    struct tls_secrets secrets;
    char why[400];
    (void)state;
    secret_file(GOOD);
    assert_int_equal(chmod(file_name, 0640), 0);
    assert_false(tls_secrets_read(&secrets, file_name, why, sizeof why));
    assert_non_null(strstr(why, "has mode 0640, expected 0600"));
    unlink(file_name);
    assert_false(tls_secrets_read(&secrets, file_name, why, sizeof why));
    assert_non_null(strstr(why, "cannot be read: No such file"));
    assert_false(tls_secrets_read(&secrets, "/tmp", why, sizeof why));
    assert_non_null(strstr(why, "expected a regular file"));
}

/* ---- Two carriers that do not agree ---- */

static void expect_refusal(const char *client, const char *server, const char *client_why,
                           const char *server_why) {
    int fds[2];
    socket_pair(fds);
    start_on(fds[0], context_of(false, client), &side[0]);
    start_on(fds[1], context_of(true, server), &side[1]);
    wait_for(side[0].failed && side[1].failed);
    assert_string_equal(side[0].why, client_why);
    assert_string_equal(side[1].why, server_why);
    assert_int_equal(side[0].ready + side[1].ready, 0);
}

static void a_wrong_secret_is_told_on_both_sides(void **state) {
    (void)state;
    expect_refusal(OTHER, DESK GOOD, "the gateway has another secret for the identity \"laptop\"",
                   "wrong secret for the identity \"laptop\"");
}

static void an_unknown_identity_is_told_on_both_sides(void **state) {
    (void)state;
    expect_refusal(GOOD, DESK, "the gateway does not know the identity \"laptop\"",
                   "the identity \"laptop\" is not known here");
}

/* ---- Peers that are something else ---- */

/* What the carrier says of a peer that has sent `text`; and what that peer gets, in `answer`. */
static void expect_failure(bool server, const void *text, size_t len, const char *why,
                           uint8_t answer[2]) {
    int fds[2];
    uint8_t got[4096];
    ssize_t n = 0;
    setup(NULL);
    socket_pair(fds);
    start_on(fds[0], context_of(server, GOOD), &side[0]);
    assert_int_equal(send(fds[1], text, len, MSG_NOSIGNAL), len);
    if (len == 0)
        shutdown(fds[1], SHUT_WR);
    wait_for(side[0].failed);
    assert_string_equal(side[0].why, why);
    n = recv(fds[1], got, sizeof got, MSG_DONTWAIT);
    memcpy(answer, n >= 2 ? got : (const uint8_t *)"\0", 2);
    close(fds[1]);
    teardown(NULL);
}

static void what_is_no_tls_is_called_by_its_name(void **state) {
    static const char hello_v2[] = {2, 5, 0, 0, 0, 0, 0, 0};
    static const char plain_answer[] = {21, 3, 3, 0, 2, 2, 10},
                      other_alert[] = {21, 3, 3, 0, 2, 2, 80};
    uint8_t answer[2];
    (void)state;
    expect_failure(true, hello_v2, sizeof hello_v2,
                   "the client speaks plain smux to a port of TLS, expected tls:// there", answer);
    assert_memory_equal(answer, ((uint8_t[]){21, 3}), 2); /* an alert */
    expect_failure(true, "GET / HTTP/1.1\r\n", 16, "the client does not speak TLS", answer);
    expect_failure(true, "", 0, "the client has closed before it said anything", answer);
    expect_failure(false, hello_v2, sizeof hello_v2,
                   "the gateway speaks plain smux there, expected tcp:// here or tls:// there",
                   answer);
    expect_failure(false, plain_answer, sizeof plain_answer,
                   "the gateway speaks plain smux there, expected tcp:// here or tls:// there",
                   answer);
    expect_failure(false, other_alert, sizeof other_alert,
                   "the gateway cannot check this side, for a reason of its own that its log has",
                   answer);
    expect_failure(false, "SSH-2.0-x\r\n", 11, "the gateway does not speak TLS there", answer);
    expect_failure(false, "", 0,
                   "the gateway has closed within the TLS handshake, as one at tcp:// does",
                   answer);
}

/* A client of OpenSSL's own that the test makes as it likes. */
static SSL *stranger(SSL_CTX *ctx, int fd) {
    SSL *ssl = SSL_new(ctx);
    assert_non_null(ssl);
    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    SSL_set_connect_state(ssl);
    return ssl;
}

static void expect_stranger_refused(int version, const char *alpn, int alert, const char *why) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    int fds[2];
    setup(NULL);
    socket_pair(fds);
    SSL_CTX_set_max_proto_version(ctx, version);
    SSL_CTX_set_security_level(ctx, 0);
    if (alpn)
        SSL_CTX_set_alpn_protos(ctx, (const uint8_t *)alpn, (unsigned)strlen(alpn));
    SSL *ssl = stranger(ctx, fds[1]);
    start_on(fds[0], context_of(true, GOOD), &side[0]);
    SSL_do_handshake(ssl);
    wait_for(side[0].failed);
    assert_string_equal(side[0].why, why);
    ERR_clear_error();
    SSL_do_handshake(ssl);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_AD_REASON_OFFSET + alert);
    ERR_clear_error();
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fds[1]);
    teardown(NULL);
}

static void strangers_of_tls_get_the_alert_that_says_why(void **state) {
    (void)state;
    expect_stranger_refused(TLS1_2_VERSION, "\4smux", SSL_AD_PROTOCOL_VERSION,
                            "the client speaks an older TLS, expected 1.3");
    expect_stranger_refused(TLS1_3_VERSION, "\2h2", SSL_AD_NO_APPLICATION_PROTOCOL,
                            "the client speaks another protocol over TLS, expected ALPN \"smux\"");
    expect_stranger_refused(TLS1_3_VERSION, NULL, SSL_AD_NO_APPLICATION_PROTOCOL,
                            "the client names no protocol, expected ALPN \"smux\"");
    expect_stranger_refused(TLS1_3_VERSION, "\4smux", SSL_AD_HANDSHAKE_FAILURE,
                            "the client offers no secret, and there is no certificate to show");
}

/* ---- Cuts ---- */

/* The bytes between two carriers, which pass through the test. */
static struct wire {
    int fd[2];
    size_t passed; /* from the first to the second */
} wire;

static void begin_wire(struct carrier *pair[2]) {
    int near[2], distant[2];
    socket_pair(near);
    socket_pair(distant);
    wire = (struct wire){.fd = {near[1], distant[1]}};
    pair[0] = start_on(near[0], context_of(false, GOOD), &side[0]);
    pair[1] = start_on(distant[0], context_of(true, GOOD), &side[1]);
}

/* Passes what is there on, `max` bytes of the first side's at most. */
static void pass_on(size_t max) {
    uint8_t bytes[65536];
    for (int i = 0; i < 2; i++) {
        size_t room = i ? sizeof bytes : max - wire.passed;
        ssize_t n = recv(wire.fd[i], bytes, room < sizeof bytes ? room : sizeof bytes, 0);
        if (n <= 0)
            continue;
        assert_int_equal(send(wire.fd[1 - i], bytes, (size_t)n, MSG_NOSIGNAL), n);
        wire.passed += i ? 0 : (size_t)n;
    }
}

#define SENT 40000u

static void write_all(struct carrier *carrier) {
    static uint8_t bytes[SENT];
    assert_int_equal(carrier_writev(carrier, &(struct iovec){bytes, SENT}, 1), SENT);
}

/* Reads until the end: how many bytes came, and what came then. */
static size_t read_all(struct carrier *carrier, ssize_t *end) {
    static uint8_t bytes[SENT + 1];
    size_t got = 0;
    for (*end = 1; *end > 0; got += *end > 0 ? (size_t)*end : 0) {
        *end = carrier_read(carrier, bytes, sizeof bytes);
        if (*end < 0 && errno == EAGAIN)
            wait_for(side[1].events & EVENT_READ);
        if (*end < 0 && errno == EAGAIN)
            *end = 1, got--, side[1].events = 0;
    }
    return got;
}

/* The first side writes, says its end and closes; the wire is cut behind `max` bytes. Returns how
 * many bytes passed in all. */
static size_t cut_behind(size_t max) {
    struct carrier *pair[2];
    ssize_t end;
    setup(NULL);
    begin_wire(pair);
    wait_for((pass_on(max), carrier_is_ready(pair[0]) && carrier_is_ready(pair[1])));
    write_all(pair[0]);
    carrier_shutdown(pair[0], 1000000);
    carrier_close(pair[0]);
    for (int i = 0; i < 5; i++)
        pass_on(max);
    size_t passed = wire.passed;
    close(wire.fd[1]);
    size_t got = read_all(pair[1], &end);
    if (passed < max) {
        assert_int_equal(end, 0);
        assert_int_equal(got, SENT);
    } else {
        assert_int_equal(end, -1);
        assert_int_equal(errno, ECONNRESET);
        assert_string_equal(pair[1]->why, "cut off: it ended without TLS's close_notify");
        assert_int_equal(carrier_read(pair[1], &(char){0}, 1), -1); /* and ever after */
    }
    carrier_close(pair[1]);
    close(wire.fd[0]);
    teardown(NULL);
    return passed;
}

static void what_was_cut_off_at_any_byte_does_not_look_complete(void **state) {
    (void)state;
    size_t all = cut_behind(SIZE_MAX), handshake = all - SENT - 3 * 22 - 24;
    for (size_t at = handshake + 1; at < all; at += at < all - 60 ? 997 : 1)
        assert_int_equal(cut_behind(at), at);
}

static void a_byte_that_was_changed_ends_the_connection(void **state) {
    struct carrier *pair[2];
    uint8_t bytes[1000];
    (void)state;
    begin_wire(pair);
    wait_for((pass_on(SIZE_MAX), carrier_is_ready(pair[0]) && carrier_is_ready(pair[1])));
    assert_int_equal(carrier_writev(pair[0], &(struct iovec){"word", 4}, 1), 4);
    ssize_t n = recv(wire.fd[0], bytes, sizeof bytes, 0);
    assert_true(n > 10);
    bytes[8] ^= 1;
    assert_int_equal(send(wire.fd[1], bytes, (size_t)n, 0), n);
    wait_for(side[1].events & EVENT_READ);
    assert_int_equal(carrier_read(pair[1], bytes, sizeof bytes), -1);
    assert_string_equal(pair[1]->why, "a record was changed on its way");
    carrier_close(pair[0]);
    carrier_close(pair[1]);
    close(wire.fd[0]);
    close(wire.fd[1]);
}

/* ---- What TLS offers and these carriers do not use ---- */

/* A client that knows the secret, and is driven by the test. */
static struct insider {
    struct tls_context *context;
    struct tls_verdict verdict;
    SSL *ssl;
    int fd, tickets;
} insider;

static int count_ticket(SSL *ssl, SSL_SESSION *session) {
    (void)ssl;
    (void)session;
    insider.tickets++;
    return 0;
}

static struct carrier *begin_insider(void) {
    int fds[2];
    socket_pair(fds);
    insider = (struct insider){.context = context_of(false, GOOD), .fd = fds[1]};
    insider.ssl = tls_context_connection(insider.context, &insider.verdict, "gateway.test");
    assert_non_null(insider.ssl);
    SSL_CTX_set_session_cache_mode(SSL_get_SSL_CTX(insider.ssl), SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(SSL_get_SSL_CTX(insider.ssl), count_ticket);
    assert_int_equal(SSL_set_fd(insider.ssl, fds[1]), 1);
    return start_on(fds[0], context_of(true, GOOD), &side[0]);
}

static void end_insider(struct carrier *carrier) {
    SSL_free(insider.ssl);
    tls_context_unref(insider.context);
    carrier_close(carrier);
    close(insider.fd);
    ERR_clear_error();
}

static void no_ticket_is_given_and_no_session_can_be_resumed(void **state) {
    char byte;
    (void)state;
    struct carrier *carrier = begin_insider();
    wait_for(SSL_do_handshake(insider.ssl) == 1 && side[0].ready);
    assert_int_equal(carrier_writev(carrier, &(struct iovec){"x", 1}, 1), 1);
    wait_for(SSL_read(insider.ssl, &byte, 1) == 1);
    assert_int_equal(insider.tickets, 0);
    end_insider(carrier);
}

/* A secret that may carry early data, as the client says. */
static SSL_SESSION *early_session;

static int offer_early(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *len,
                       SSL_SESSION **session) {
    (void)ssl;
    (void)md;
    *id = (const unsigned char *)"laptop";
    *len = strlen("laptop");
    *session = early_session;
    return SSL_SESSION_up_ref(early_session);
}

static void make_early_session(SSL *ssl) {
    const uint8_t key[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    early_session = SSL_SESSION_new();
    assert_true(SSL_SESSION_set1_master_key(early_session, key, sizeof key));
    assert_true(SSL_SESSION_set_cipher(early_session, SSL_CIPHER_find(ssl, (uint8_t[]){0x13, 1})));
    assert_true(SSL_SESSION_set_protocol_version(early_session, TLS1_3_VERSION));
    assert_true(SSL_SESSION_set1_id_context(early_session, (const uint8_t *)"smux", 4));
    assert_true(SSL_SESSION_set_max_early_data(early_session, 1000));
    assert_true(SSL_SESSION_set1_alpn_selected(early_session, (const uint8_t *)"smux", 4));
}

/* Whoever has recorded early data could send it again. */
static void early_data_is_never_taken(void **state) {
    size_t done;
    char bytes[8];
    (void)state;
    struct carrier *carrier = begin_insider();
    make_early_session(insider.ssl);
    SSL_set_psk_use_session_callback(insider.ssl, offer_early);
    assert_int_equal(SSL_write_early_data(insider.ssl, "early", 5, &done), 1);
    wait_for(SSL_do_handshake(insider.ssl) == 1 && side[0].ready);
    assert_int_equal(SSL_get_early_data_status(insider.ssl), SSL_EARLY_DATA_REJECTED);
    assert_int_equal(SSL_write(insider.ssl, "late", 4), 4);
    wait_for(side[0].events & EVENT_READ);
    assert_int_equal(carrier_read(carrier, bytes, sizeof bytes), 4);
    assert_memory_equal(bytes, "late", 4);
    end_insider(carrier);
    SSL_SESSION_free(early_session);
}

static void change_keys(int times, int kind) {
    while (times-- > 0) {
        assert_int_equal(SSL_key_update(insider.ssl, kind), 1);
        assert_int_equal(SSL_do_handshake(insider.ssl), 1);
    }
}

/* Each change of keys takes microseconds, and 64 KiB hold thousands. */
static void who_changes_keys_without_end_is_told_so(void **state) {
    char byte;
    (void)state;
    struct carrier *carrier = begin_insider();
    wait_for(SSL_do_handshake(insider.ssl) == 1 && side[0].ready);
    change_keys(32, SSL_KEY_UPDATE_REQUESTED);
    assert_int_equal(SSL_write(insider.ssl, "x", 1), 1);
    wait_for(carrier_read(carrier, &byte, 1) == 1); /* so many are nothing */
    side[0].events = 0;
    change_keys(20, SSL_KEY_UPDATE_NOT_REQUESTED);
    wait_for(side[0].events & EVENT_READ);
    assert_int_equal(carrier_read(carrier, &byte, 1), -1);
    assert_int_equal(errno, EPROTO);
    assert_string_equal(carrier->why, "the peer changes its keys, or sends tickets, without end");
    end_insider(carrier);
}

/* ---- Records ---- */

static void small_pieces_share_a_record_and_records_share_a_write(void **state) {
    static uint8_t bytes[60000];
    struct carrier *pair[2], *lower;
    struct iovec iov[60];
    int fds[2];
    (void)state;
    socket_pair(fds);
    lower = carrier_new_socket(reactor.loop, fds[0], false, "test");
    struct tls_context *context = context_of(false, GOOD);
    pair[0] = carrier_tls_new(lower, context, NULL);
    tls_context_unref(context);
    assert_int_equal(carrier_start(pair[0], &user, &side[0], 5000000), 0);
    pair[1] = start_on(fds[1], context_of(true, GOOD), &side[1]);
    wait_for(carrier_is_ready(pair[0]) && carrier_is_ready(pair[1]));
    struct carrier_stats before = lower->stats;
    for (int i = 0; i < 60; i++)
        iov[i] = (struct iovec){bytes + (size_t)i * 1000, i % 2 ? 1000 : 8};
    assert_int_equal(carrier_writev(pair[0], iov, 16), 8 * 1008);
    assert_int_equal(lower->stats.writes - before.writes, 1);
    assert_int_equal(lower->stats.bytes_out - before.bytes_out, 8 * 1008 + 22);
    for (int i = 0; i < 60; i++)
        iov[i].iov_len = 1000;
    before = lower->stats;
    assert_int_equal(carrier_writev(pair[0], iov, 60), 60000);
    assert_int_equal(lower->stats.writes - before.writes, 1);
    assert_int_equal(lower->stats.bytes_out - before.bytes_out, 60000 + 4 * 22);
    carrier_close(pair[0]);
    carrier_close(pair[1]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_of_secrets_that_is_no_good_is_refused_with_its_line),
        cmocka_unit_test(a_file_of_secrets_is_read_with_comments_and_blanks),
        cmocka_unit_test(a_file_of_secrets_that_others_can_read_is_refused),
        TEST(a_wrong_secret_is_told_on_both_sides),
        TEST(an_unknown_identity_is_told_on_both_sides),
        cmocka_unit_test(what_is_no_tls_is_called_by_its_name),
        cmocka_unit_test(strangers_of_tls_get_the_alert_that_says_why),
        cmocka_unit_test(what_was_cut_off_at_any_byte_does_not_look_complete),
        TEST(a_byte_that_was_changed_ends_the_connection),
        TEST(no_ticket_is_given_and_no_session_can_be_resumed),
        TEST(early_data_is_never_taken),
        TEST(who_changes_keys_without_end_is_told_so),
        TEST(small_pieces_share_a_record_and_records_share_a_write),
    };
    close(mkstemp(file_name));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
