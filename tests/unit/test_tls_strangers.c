/* SPDX-License-Identifier: MIT */
/* TLS carriers of strangers: what they cost in memory, whatever they send; which hellos are taken;
 * and what an idle carrier of a peer that is trusted costs. */
#include "support_carrier.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "helper/carrier/tls_key.h"
#include "helper/carrier/tls_wire.h"
#include "helper/net/log.h"
#include "helper/net/reactor.h"

#ifdef SMUX_SANITIZED
size_t __sanitizer_get_current_allocated_bytes(void); /* not every compiler has the header */
static size_t allocated(void) {
    return __sanitizer_get_current_allocated_bytes();
}
#else
static size_t allocated(void) {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}
#endif

#define MANY 40u

static struct scene {
    struct reactor reactor;
    struct tls_context *context; /* of a server that has a key, and asks for clients' */
    char file[40];
    int fd[MANY];
    struct carrier *carrier[MANY], *other[MANY];
    uint8_t hello[4096]; /* a whole one, of `hello_len` bytes */
    size_t hello_len;
    int failed;
} scene;

static void on_ready(struct carrier *carrier) {
    (void)carrier;
}

static void on_failed(struct carrier *carrier, const char *why) {
    (void)why;
    struct carrier **place = carrier->user;
    scene.failed++;
    carrier_close(carrier);
    *place = NULL;
}

static void on_events(struct carrier *carrier, uint8_t events) {
    uint8_t bytes[30000];
    if (events & EVENT_READ)
        while (carrier_read(carrier, bytes, sizeof bytes) > 0)
            ;
}

static const struct carrier_user user = {
    .ready = on_ready, .failed = on_failed, .events = on_events, .ended = on_ready};

static void turns(int count) {
    for (int i = 0; i < count; i++)
        assert_int_equal(loop_turn(scene.reactor.loop, 0), 0);
}

/* ---- The scene ---- */

/* What an honest client says first. */
static void make_hello(void) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, out);
    SSL_set_alpn_protos(ssl, (const uint8_t *)"\4smux", 5);
    SSL_set_connect_state(ssl);
    SSL_do_handshake(ssl);
    int n = BIO_read(out, scene.hello, sizeof scene.hello);
    assert_true(n > 100);
    scene.hello_len = (size_t)n;
    SSL_free(ssl);
    SSL_CTX_free(ctx);
}

static int setup(void **state) {
    static const char pin[] = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    char why[400], own[TLS_PIN_SIZE];
    (void)state;
    log_set_level(-1);
    memset(&scene, 0, sizeof scene);
    snprintf(scene.file, sizeof scene.file, "/tmp/smux-memory.XXXXXX");
    close(mkstemp(scene.file));
    unlink(scene.file);
    struct tls_settings settings = {.server = true, .key = scene.file, .pins = pin};
    if (!tls_key_create(scene.file, "gateway", own, why, sizeof why))
        fail_msg("%s", why);
    scene.context = tls_context_new(&settings, why, sizeof why);
    unlink(scene.file);
    if (!scene.context)
        fail_msg("%s", why);
    make_hello();
    return reactor_init(&scene.reactor);
}

static void close_all(void) {
    for (unsigned i = 0; i < MANY; i++) {
        carrier_close(scene.carrier[i]);
        carrier_close(scene.other[i]);
        if (scene.fd[i] > 0)
            close(scene.fd[i]);
        scene.carrier[i] = scene.other[i] = NULL;
        scene.fd[i] = 0;
    }
    turns(2);
}

static int teardown(void **state) {
    (void)state;
    close_all();
    tls_context_unref(scene.context);
    reactor_fini(&scene.reactor);
    return 0;
}

static void start(struct carrier **place, int fd, struct tls_context *context) {
    struct carrier *lower = carrier_new_socket(scene.reactor.loop, fd, false, "test");
    *place = carrier_tls_new(lower, context, "gateway.test");
    assert_non_null(*place);
    assert_int_equal(carrier_start(*place, &user, place, 5000000), 0);
}

static void expect_at_most(size_t bound, size_t cost) {
    if (cost > bound)
        fail_msg("%zu bytes each, expected at most %zu", cost, bound);
}

/* ---- Strangers ---- */

/* What each of many strangers costs that have sent this much. */
static size_t cost_of(const uint8_t *data, size_t len) {
    size_t before = 0;
    for (int round = 0; round < 2; round++) { /* the first one makes what is made once */
        before = allocated();
        for (unsigned i = 0; i < MANY; i++) {
            int fds[2];
            assert_int_equal(
                socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
            scene.fd[i] = fds[1];
            start(&scene.carrier[i], fds[0], scene.context);
            assert_int_equal(send(fds[1], data, len, MSG_NOSIGNAL), len);
            turns(1);
        }
        turns(3);
        if (round == 0)
            close_all();
    }
    return (allocated() - before) / MANY;
}

static void a_stranger_that_says_nothing_costs_next_to_nothing(void **state) {
    (void)state;
    size_t cost = cost_of(NULL, 0);
    expect_at_most(TLS_COST_SILENT, cost);
    assert_int_equal(scene.failed, 0);
}

static void a_stranger_within_its_hello_costs_a_small_buffer(void **state) {
    (void)state;
    size_t cost = cost_of(scene.hello, scene.hello_len - 1);
    expect_at_most(TLS_COST_HELLO, cost);
    assert_int_equal(scene.failed, 0);
}

static void a_stranger_that_stops_behind_its_hello_costs_no_more_than_stated(void **state) {
    (void)state;
    size_t cost = cost_of(scene.hello, scene.hello_len);
    expect_at_most(TLS_COST_HANDSHAKE, cost);
    assert_int_equal(scene.failed, 0);
}

static void a_message_that_is_announced_to_be_long_is_refused_before_it_comes(void **state) {
    static const uint8_t claim[] = {22, 3, 1, 0, 4, 1, 2, 0, 0}; /* 128 KiB */
    (void)state;
    cost_of(claim, sizeof claim);
    assert_int_equal(scene.failed, 2 * MANY);
}

static void what_is_announced_behind_a_hello_makes_a_stranger_no_dearer(void **state) {
    static const uint8_t claim[] = {22, 3, 1, 0, 4, 1, 2, 0, 0};
    uint8_t data[sizeof scene.hello + sizeof claim];
    (void)state;
    memcpy(data, scene.hello, scene.hello_len);
    memcpy(data + scene.hello_len, claim, sizeof claim);
    size_t cost = cost_of(data, scene.hello_len + sizeof claim);
    expect_at_most(TLS_COST_HANDSHAKE, cost);
    assert_int_equal(scene.failed, 2 * MANY);
}

/* Puts bytes of the hello's message into a record of their own. Returns the record's length. */
static size_t record_of(uint8_t *record, const uint8_t *message, size_t len) {
    memcpy(record, (uint8_t[]){22, 3, 1, (uint8_t)(len >> 8), (uint8_t)len}, 5);
    memcpy(record + 5, message, len);
    return 5 + len;
}

/* A hello whose records have a byte each is one all the same. With post-quantum keys it would
 * exceed what is kept of a stranger, 8 KiB with all headers: so the rest behind 1,000 bytes comes
 * in one record. */
static void a_hello_in_any_records_and_pieces_is_answered(void **state) {
    uint8_t data[6 * sizeof scene.hello], answer[2];
    size_t len = 0, i = 5;
    int fds[2];
    (void)state;
    for (; i < scene.hello_len && i < 1000; i++)
        len += record_of(data + len, scene.hello + i, 1);
    if (i < scene.hello_len)
        len += record_of(data + len, scene.hello + i, scene.hello_len - i);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    scene.fd[0] = fds[1];
    start(&scene.carrier[0], fds[0], scene.context);
    for (size_t at = 0; at < len; at += 7) {
        assert_int_equal(recv(fds[1], answer, sizeof answer, 0), -1);
        assert_true(send(fds[1], data + at, len - at < 7 ? len - at : 7, MSG_NOSIGNAL) > 0);
        turns(1);
    }
    turns(2);
    assert_int_equal(scene.failed, 0);
    assert_int_equal(recv(fds[1], answer, sizeof answer, 0), 2);
    assert_memory_equal(answer, ((uint8_t[]){22, 3}), 2);
}

static unsigned answers(void) {
    unsigned count = 0;
    uint8_t byte;
    for (unsigned i = 0; i < MANY; i++)
        count += recv(scene.fd[i], &byte, 1, MSG_PEEK) == 1;
    return count;
}

/* However many come at once, those who are there already have their turn in between. */
static void a_turn_answers_only_a_few_hellos_and_all_get_their_answer(void **state) {
    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
                         0);
        scene.fd[i] = fds[1];
        start(&scene.carrier[i], fds[0], scene.context);
    }
    turns(3);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(send(scene.fd[i], scene.hello, scene.hello_len, MSG_NOSIGNAL),
                         scene.hello_len);
    for (unsigned turn = 1; turn <= MANY / TLS_ANSWERS_PER_TURN; turn++) {
        usleep(1); /* the loop's clock tells the turns apart */
        turns(1);
        assert_in_range(answers(), turn, turn * TLS_ANSWERS_PER_TURN);
    }
    turns(MANY);
    assert_int_equal(answers(), MANY);
    assert_int_equal(scene.failed, 0);
}

/* Empty records never make a hello. */
static void a_hello_that_never_begins_is_refused(void **state) {
    static uint8_t data[20000];
    int fds[2];
    (void)state;
    for (size_t i = 0; i < sizeof data; i += 5)
        memcpy(data + i, (uint8_t[]){22, 3, 1, 0, 0}, 5);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    scene.fd[0] = fds[1];
    start(&scene.carrier[0], fds[0], scene.context);
    assert_true(send(fds[1], data, sizeof data, MSG_NOSIGNAL) > 0);
    turns(10);
    assert_int_equal(scene.failed, 1);
}

/* ---- Those who are trusted ---- */

static size_t cost_of_idle_pairs(void) {
    static uint8_t bytes[40000];
    size_t before = allocated();
    for (unsigned i = 0; i < MANY; i++) {
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
                         0);
        start(&scene.carrier[i], fds[0], tls_context_of_test(false));
        start(&scene.other[i], fds[1], tls_context_of_test(true));
        for (int left = 100; !carrier_is_ready(scene.other[i]); left--) {
            assert_true(left > 0);
            turns(1);
        }
        struct iovec iov = {bytes, sizeof bytes};
        assert_int_equal(carrier_writev(scene.carrier[i], &iov, 1), sizeof bytes);
        assert_int_equal(carrier_writev(scene.other[i], &iov, 1), sizeof bytes);
        turns(10);
    }
    return (allocated() - before) / MANY / 2;
}

static void an_idle_carrier_holds_no_buffers(void **state) {
    (void)state;
    cost_of_idle_pairs();
    close_all();
    size_t cost = cost_of_idle_pairs();
    expect_at_most(TLS_COST_IDLE, cost);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_stranger_that_says_nothing_costs_next_to_nothing),
        TEST(a_stranger_within_its_hello_costs_a_small_buffer),
        TEST(a_stranger_that_stops_behind_its_hello_costs_no_more_than_stated),
        TEST(a_message_that_is_announced_to_be_long_is_refused_before_it_comes),
        TEST(what_is_announced_behind_a_hello_makes_a_stranger_no_dearer),
        TEST(a_hello_in_any_records_and_pieces_is_answered),
        TEST(a_turn_answers_only_a_few_hellos_and_all_get_their_answer),
        TEST(a_hello_that_never_begins_is_refused),
        TEST(an_idle_carrier_holds_no_buffers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
