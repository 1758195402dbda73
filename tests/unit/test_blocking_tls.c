/* SPDX-License-Identifier: MIT
 *
 * Sessions of the blocking API over TLS: core/smux_tls.h.
 */
#include "support_tls.h"

/* ---- Two sessions --------------------------------------------------------------------------- */

struct side {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
    bool server;
    uint64_t deadline_us;
    smuxb_session *session;
    int error, saved_errno;
};

static struct side side_of(SSL_CTX *ctx, int fd, bool server) {
    struct side s = {.ctx = ctx, .ssl = SSL_new(ctx), .fd = fd, .server = server};
    s.deadline_us = smuxb_after_ms(PATIENCE_MS);
    assert_int_equal(SSL_set_fd(s.ssl, fd), 1);
    if (!server)
        assert_int_equal(SSL_set1_host(s.ssl, "localhost"), 1);
    return s;
}

static void *start_side(void *argument) {
    struct side *s = argument;
    s->error = s->server ? smuxb_session_server_tls(&s->session, s->ssl, s->deadline_us, NULL)
                         : smuxb_session_client_tls(&s->session, s->ssl, s->deadline_us, NULL);
    s->saved_errno = errno;
    return NULL;
}

static void start_both(struct side *client, struct side *server) {
    pthread_t thread = run(start_side, server);
    start_side(client);
    result_of(thread);
}

/* What has no session is still the caller's. */
static void free_side(struct side *s) {
    if (s->error) {
        assert_null(s->session);
        assert_int_equal(fcntl(s->fd, F_GETFL) & O_NONBLOCK, 0); /* it is open */
        SSL_free(s->ssl);
        close(s->fd);
    }
    SSL_CTX_free(s->ctx);
}

struct secure {
    struct identity id;
    struct side client, server;
    struct duo duo;
};

static struct secure *secure_new(bool both) {
    struct secure *x = calloc(1, sizeof *x);
    int fds[2];
    tcp_pair(fds);
    x->id = identity_new();
    x->client = side_of(context_of(&x->id, false, both), fds[0], false);
    x->server = side_of(context_of(&x->id, true, both), fds[1], true);
    return x;
}

static void secure_start(struct secure *x) {
    start_both(&x->client, &x->server);
    assert_int_equal(x->client.error, 0);
    assert_int_equal(x->server.error, 0);
    x->duo.client = x->client.session;
    x->duo.server = x->server.session;
}

static int secure_setup(void **state) {
    struct secure *x = secure_new(false);
    secure_start(x);
    *state = x;
    return 0;
}

static int secure_end(struct secure *x) {
    duo_end(&x->duo);
    free_side(&x->client);
    free_side(&x->server);
    identity_free(&x->id);
    free(x);
    return 0;
}

static int secure_teardown(void **state) {
    return secure_end(*state);
}

/* ---- Tests ---------------------------------------------------------------------------------- */

#define MUCH (8000000u / SLOWNESS)

static void *write_much(void *stream) {
    write_pattern(stream, smuxb_stream_id(stream), MUCH, 50000);
    smuxb_stream_close_write(stream);
    return NULL;
}

/* Both ways at once. */
static void transfer(struct duo *duo) {
    struct ends e = open_ends(duo);
    uint32_t id = smuxb_stream_id(e.near);
    pthread_t near = run(write_much, e.near), far = run(write_much, e.far);
    uint8_t *data = malloc(100000);
    size_t near_done = 0, far_done = 0;
    while (near_done < MUCH || far_done < MUCH) {
        ssize_t n = near_done < MUCH ? smuxb_stream_read(e.near, data, 100000) : 0;
        assert_true(n >= 0 && pattern_ok(data, (size_t)n, id, near_done));
        near_done += (size_t)n;
        n = far_done < MUCH ? smuxb_stream_read(e.far, data, 100000) : 0;
        assert_true(n >= 0 && pattern_ok(data, (size_t)n, id, far_done));
        far_done += (size_t)n;
    }
    free(data);
    expect_eof(e.near);
    expect_eof(e.far);
    result_of(near);
    result_of(far);
    close_ends(&e);
}

static void bytes_and_ends_pass_both_ways_at_once(void **state) {
    struct secure *x = *state;
    transfer(&x->duo);
}

static void many_streams_share_the_connection(void **state) {
    struct secure *x = *state;
    struct ends e[100];
    for (size_t i = 0; i < LENGTH(e); i++) {
        e[i] = open_ends(&x->duo);
        say(e[i].near, "over TLS");
    }
    for (size_t i = LENGTH(e); i-- > 0;) {
        expect_text(e[i].far, "over TLS");
        close_ends(&e[i]);
    }
}

/* The peer is told by TLS's own goodbye, so that a cut connection cannot look like an end. */
static void the_end_of_the_session_is_an_orderly_one_of_tls(void **state) {
    struct secure *x = *state;
    smuxb_session_close(x->duo.client);
    assert_int_equal(smuxb_session_wait(x->duo.server, smuxb_after_ms(PATIENCE_MS)),
                     SMUX_ERR_CARRIER);
    assert_int_equal(smuxb_session_errno(x->duo.server), 0);
}

static void a_connection_cut_without_a_goodbye_is_an_error(void **state) {
    struct secure *x = *state;
    shutdown(x->client.fd, SHUT_RDWR);
    assert_int_equal(smuxb_session_wait(x->duo.server, smuxb_after_ms(PATIENCE_MS)),
                     SMUX_ERR_CARRIER);
    assert_int_equal(smuxb_session_errno(x->duo.server), ECONNRESET);
}

static void bytes_that_are_no_tls_end_the_session(void **state) {
    struct secure *x = *state;
    assert_int_equal(send(x->client.fd, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL), 18);
    assert_int_equal(smuxb_session_wait(x->duo.server, smuxb_after_ms(PATIENCE_MS)),
                     SMUX_ERR_CARRIER);
    assert_int_equal(smuxb_session_errno(x->duo.server), EPROTO);
}

/* A write must not hold up what arrives. */
static void a_peer_that_does_not_read_blocks_writers_alone(void **state) {
    struct secure *x = *state;
    struct ends full = open_ends(&x->duo), e = open_ends(&x->duo);
    static const uint8_t data[20000000];
    smuxb_stream_set_write_deadline(full.near, smuxb_after_ms(100));
    assert_in_range(smuxb_stream_write(full.near, data, sizeof data), 1, sizeof data - 1);
    say(e.far, "still here");
    expect_text(e.near, "still here");
    close_ends(&full);
    close_ends(&e);
}

static void closing_wakes_everyone(void **state) {
    struct secure *x = *state;
    struct ends e = open_ends(&x->duo);
    pthread_t threads[] = {run(read_one, e.near), run(write_on, e.near),
                           run(accept_one, x->duo.client), run(wait_for_end, x->duo.client)};
    settle();
    smuxb_session_close(x->duo.client);
    for (size_t i = 0; i < LENGTH(threads); i++)
        assert_int_equal(result_of(threads[i]), SMUX_ERR_CLOSED);
    close_ends(&e);
}

/* ---- What TLS says between records ---------------------------------------------------------- */

/* As one side does it by itself, but its SSL object stays within reach. */
static void *shake_hands(void *argument) {
    struct side *s = argument;
    smuxb_session *session;
    struct smuxb_tls_ *t = smuxb_tls_new_(s->ssl);
    if (s->server)
        SSL_set_accept_state(s->ssl);
    else
        SSL_set_connect_state(s->ssl);
    THREAD_ASSERT(smuxb_tls_handshake_(t, s->deadline_us) == 0);
    smuxb_transport transport = {smuxb_tls_read_, smuxb_tls_writev_, smuxb_tls_shutdown_,
                                 smuxb_tls_close_, t};
    THREAD_ASSERT(smuxb_session_server_over(&session, &transport, NULL) == 0);
    s->session = session;
    return t;
}

static int renewing;

static void *renew_keys(void *tls) {
    struct smuxb_tls_ *t = tls;
    intptr_t times = 0;
    while (__atomic_load_n(&renewing, __ATOMIC_ACQUIRE)) {
        pthread_mutex_lock(&t->lock);
        times +=
            SSL_key_update(t->ssl, SSL_KEY_UPDATE_REQUESTED); /* not before the last one went */
        pthread_mutex_unlock(&t->lock);
        ERR_clear_error();
        usleep(200);
    }
    return (void *)times;
}

static void a_peer_may_ask_for_new_keys_all_the_time(void **state) {
    struct secure *x = secure_new(false);
    (void)state;
    pthread_t thread = run(shake_hands, &x->server);
    start_side(&x->client);
    assert_int_equal(x->client.error, 0);
    struct smuxb_tls_ *t = (struct smuxb_tls_ *)result_of(thread);
    x->duo.client = x->client.session;
    x->duo.server = x->server.session;
    __atomic_store_n(&renewing, 1, __ATOMIC_RELEASE);
    thread = run(renew_keys, t);
    transfer(&x->duo);
    __atomic_store_n(&renewing, 0, __ATOMIC_RELEASE);
    assert_true(result_of(thread) > 10);
    secure_end(x);
}

/* Tickets that contain the client's certificate, in records of 512 bytes. */
static void tickets_in_pieces_do_not_disturb_writers(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++) {
        struct secure *x = secure_new(true);
        assert_int_equal(SSL_set_max_send_fragment(x->server.ssl, 512), 1);
        assert_int_equal(SSL_set_num_tickets(x->server.ssl, 20), 1);
        secure_start(x);
        struct ends e;
        assert_int_equal(smuxb_stream_open(x->duo.client, &e.near), 0);
        say(e.near, "at once");
        assert_int_equal(smuxb_stream_accept(x->duo.server, &e.far), 0);
        expect_text(e.far, "at once");
        close_ends(&e);
        secure_end(x);
    }
}

/* ---- Handshakes ----------------------------------------------------------------------------- */

static void *connect_only(void *ssl) {
    return (void *)(intptr_t)SSL_connect(ssl);
}

static void *accept_only(void *ssl) {
    return (void *)(intptr_t)SSL_accept(ssl);
}

/* The first bytes of the peer may lie in the SSL object already. */
static void a_handshake_may_be_done_before(void **state) {
    struct secure *x = secure_new(false);
    (void)state;
    pthread_t thread = run(connect_only, x->client.ssl);
    assert_int_equal((intptr_t)accept_only(x->server.ssl), 1);
    assert_int_equal(result_of(thread), 1);
    SSL_set_read_ahead(x->server.ssl, 1);
    start_side(&x->client);
    assert_int_equal(x->client.error, 0);
    start_side(&x->server);
    assert_int_equal(x->server.error, 0);
    x->duo.client = x->client.session;
    x->duo.server = x->server.session;
    transfer(&x->duo);
    secure_end(x);
}

/* That an unknown certificate is refused shows that the sessions really use TLS. */
static void another_certificate_is_refused(void **state) {
    struct identity good = identity_new(), other = identity_new();
    int fds[2];
    (void)state;
    tcp_pair(fds);
    struct side client = side_of(context_of(&good, false, false), fds[0], false);
    struct side server = side_of(context_of(&other, true, false), fds[1], true);
    start_both(&client, &server);
    assert_int_equal(client.error, SMUX_ERR_CARRIER);
    assert_int_equal(client.saved_errno, EPROTO);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_CERTIFICATE_VERIFY_FAILED);
    assert_int_equal(server.error, SMUX_ERR_CARRIER); /* it has got the alert */
    assert_int_equal(server.saved_errno, EPROTO);
    free_side(&client);
    free_side(&server);
    identity_free(&good);
    identity_free(&other);
}

static void a_peer_that_closes_within_the_handshake_is_an_error_without_a_signal(void **state) {
    struct identity id = identity_new();
    int fds[2];
    (void)state;
    tcp_pair(fds);
    struct side client = side_of(context_of(&id, false, false), fds[0], false);
    close(fds[1]);
    start_side(&client);
    assert_int_equal(client.error, SMUX_ERR_CARRIER);
    assert_true(client.saved_errno == ECONNRESET || client.saved_errno == EPIPE);
    free_side(&client);
    identity_free(&id);
}

static void *start_cancelled(void *side) {
    pthread_cancel(pthread_self());
    start_side(side);
    pthread_testcancel();
    return NULL;
}

static void a_silent_peer_times_out_and_cancellation_waits_until_then(void **state) {
    struct identity id = identity_new();
    int fds[2];
    (void)state;
    tcp_pair(fds);
    struct side client = side_of(context_of(&id, false, false), fds[0], false);
    client.deadline_us = smuxb_after_ms(20);
    assert_ptr_equal(result_of(run(start_cancelled, &client)), PTHREAD_CANCELED);
    assert_int_equal(client.error, SMUXB_ERR_TIMEOUT);
    free_side(&client);
    close(fds[1]);
    identity_free(&id);
}

static void what_is_no_connection_is_refused(void **state) {
    struct identity id = identity_new();
    SSL_CTX *ctx = context_of(&id, false, false);
    SSL *ssl = SSL_new(ctx);
    smuxb_session *s;
    int fds[2];
    (void)state;
    assert_int_equal(smuxb_session_client_tls(&s, ssl, 0, NULL), SMUXB_ERR_DESCRIPTOR);
    assert_null(s);
    assert_int_equal(pipe(fds), 0);
    SSL_set_fd(ssl, fds[0]);
    assert_int_equal(smuxb_session_client_tls(&s, ssl, 0, NULL), SMUXB_ERR_DESCRIPTOR);
    close(fds[0]);
    close(fds[1]);
    unix_pair(fds);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    SSL_set_fd(ssl, fds[0]);
    assert_int_equal(SSL_connect(ssl), -1); /* it has begun */
    assert_int_equal(smuxb_session_client_tls(&s, ssl, 0, NULL), SMUX_ERR_ARGUMENT);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fds[0]);
    close(fds[1]);
    identity_free(&id);
}

static void a_bad_configuration_leaves_the_connection_to_the_caller(void **state) {
    struct secure *x = secure_new(false);
    smux_config config;
    (void)state;
    smux_config_init(&config);
    config.version = 7;
    pthread_t thread = run(start_side, &x->server);
    x->client.error =
        smuxb_session_client_tls(&x->client.session, x->client.ssl, x->client.deadline_us, &config);
    assert_int_equal(x->client.error, SMUX_ERR_CONFIG);
    result_of(thread);
    x->duo.server = x->server.session;
    secure_end(x);
}

#define X(test) cmocka_unit_test_setup_teardown(test, secure_setup, secure_teardown)

/* SIGPIPE has its default action: raising it would kill the test. */
int main(void) {
    const struct CMUnitTest tests[] = {
        X(bytes_and_ends_pass_both_ways_at_once),
        X(many_streams_share_the_connection),
        X(the_end_of_the_session_is_an_orderly_one_of_tls),
        X(a_connection_cut_without_a_goodbye_is_an_error),
        X(bytes_that_are_no_tls_end_the_session),
        X(a_peer_that_does_not_read_blocks_writers_alone),
        X(closing_wakes_everyone),
        cmocka_unit_test(a_peer_may_ask_for_new_keys_all_the_time),
        cmocka_unit_test(tickets_in_pieces_do_not_disturb_writers),
        cmocka_unit_test(a_handshake_may_be_done_before),
        cmocka_unit_test(another_certificate_is_refused),
        cmocka_unit_test(a_peer_that_closes_within_the_handshake_is_an_error_without_a_signal),
        cmocka_unit_test(a_silent_peer_times_out_and_cancellation_waits_until_then),
        cmocka_unit_test(what_is_no_connection_is_refused),
        cmocka_unit_test(a_bad_configuration_leaves_the_connection_to_the_caller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
