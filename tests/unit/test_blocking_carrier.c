/* SPDX-License-Identifier: MIT
 *
 * The blocking API against a carrier that misbehaves, and against the process around it.
 * The peer is a bare socket here.
 */
#include "support_bare.h"
#include "support_descriptors.h"

#include <dirent.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/resource.h>

/* ---- The end of the carrier ----------------------------------------------------------------- */

static void a_carrier_cut_within_a_frame_is_an_error_not_an_end_of_file(void **state) {
    (void)state;
    struct bare b;
    char byte;
    bare_start(&b, tcp_pair, NULL);
    peer_sends(&b, WIRE_SYN, 3, 0);
    peer_sends(&b, WIRE_PSH, 3, 100);
    peer_says(&b, "fifty bytes and not one more, then the cable is cut", 50);
    smuxb_stream *st = accepted(&b);
    close(b.peer);
    b.peer = -1;
    expect_text(st, "fifty bytes and not one more, then the cable is cu");
    assert_int_equal(smuxb_stream_read(st, &byte, 1), SMUX_ERR_CARRIER);
    assert_int_equal(smuxb_stream_read(st, &byte, 1), SMUX_ERR_CARRIER);
    assert_int_equal(smuxb_session_wait(b.session, 0), SMUX_ERR_CARRIER);
    smuxb_stream_close(st);
    bare_end(&b);
}

static void streams_that_ended_before_the_carrier_are_complete(void **state) {
    (void)state;
    struct bare b;
    bare_start(&b, tcp_pair, NULL);
    peer_sends(&b, WIRE_SYN, 3, 0);
    peer_sends(&b, WIRE_PSH, 3, 4);
    peer_says(&b, "done", 4);
    peer_sends(&b, WIRE_FIN, 3, 0);
    close(b.peer);
    b.peer = -1;
    assert_int_equal(smuxb_session_wait(b.session, 0), SMUX_ERR_CARRIER);
    smuxb_stream *st = accepted(&b);
    expect_text(st, "done");
    expect_eof(st);
    smuxb_stream_close(st);
    bare_end(&b);
}

static void a_reset_carrier_reports_its_errno(void **state) {
    (void)state;
    struct bare b;
    struct linger now = {1, 0};
    bare_start(&b, tcp_pair, NULL);
    setsockopt(b.peer, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(b.peer);
    b.peer = -1;
    assert_int_equal(smuxb_session_wait(b.session, 0), SMUX_ERR_CARRIER);
    assert_int_equal(smuxb_session_errno(b.session), ECONNRESET);
    assert_string_equal(smuxb_session_error_text(b.session),
                        "carrier lost: Connection reset by peer");
    bare_end(&b);
}

/* SIGPIPE has its default action here, so that raising it would kill the test. */
static void writing_to_a_dead_carrier_is_an_error_without_a_signal(void **state) {
    static void (*const pairs[])(int fds[2]) = {tcp_pair, unix_pair};
    (void)state;
    signal(SIGPIPE, SIG_DFL);
    for (size_t i = 0; i < LENGTH(pairs); i++) {
        struct bare b;
        bare_start(&b, pairs[i], NULL);
        peer_sends(&b, WIRE_SYN, 3, 0);
        smuxb_stream *st = accepted(&b);
        close(b.peer);
        b.peer = -1;
        assert_int_equal((intptr_t)write_on(st), SMUX_ERR_CARRIER);
        assert_int_equal(smuxb_stream_close_write(st), SMUX_ERR_CARRIER);
        smuxb_stream_close(st);
        bare_end(&b);
    }
}

/* The peer answers and closes while we still write; the answer must not be lost. */
static void an_answer_is_read_though_writing_has_failed(void **state) {
    (void)state;
    struct bare b;
    bare_start(&b, tcp_pair, NULL);
    peer_sends(&b, WIRE_SYN, 3, 0);
    smuxb_stream *st = accepted(&b);
    uint8_t answer[60000];
    pattern_fill(answer, sizeof answer, 6, 0);
    for (int i = 0; i < 10; i++) {
        peer_sends(&b, WIRE_PSH, 3, sizeof answer / 10);
        peer_says(&b, answer + i * (sizeof answer / 10), sizeof answer / 10);
    }
    peer_sends(&b, WIRE_FIN, 3, 0);
    close(b.peer);
    b.peer = -1;
    assert_int_equal((intptr_t)write_on(st), SMUX_ERR_CARRIER);
    read_pattern(st, 6, sizeof answer, 1000);
    expect_eof(st);
    smuxb_stream_close(st);
    bare_end(&b);
}

static void a_protocol_error_ends_the_session_and_is_reported(void **state) {
    (void)state;
    struct bare b;
    char byte;
    bare_start(&b, tcp_pair, NULL);
    peer_sends(&b, WIRE_SYN, 3, 0);
    smuxb_stream *st = accepted(&b);
    peer_says(&b, "HTTP/1.1 400 Bad Request\r\n", 26);
    assert_int_equal(smuxb_stream_read(st, &byte, 1), SMUX_ERR_VERSION);
    assert_int_equal(smuxb_stream_write(st, "x", 1), SMUX_ERR_VERSION);
    assert_non_null(strstr(smuxb_session_error_text(b.session), "72")); /* 'H' */
    assert_int_equal(smuxb_session_errno(b.session), 0);
    /* The peer is told at once. */
    while (recv(b.peer, &byte, 1, 0) > 0)
        ;
    smuxb_stream_close(st);
    bare_end(&b);
}

static void a_session_with_a_silent_peer_ends(void **state) {
    (void)state;
    struct bare b;
    smux_config config;
    smux_config_init(&config);
    config.keepalive_interval_us = 10000;
    config.keepalive_timeout_us = 30000;
    bare_start(&b, unix_pair, &config);
    peer_sends(&b, WIRE_NOP, 0, 0);
    assert_int_equal(smuxb_session_wait(b.session, smuxb_after_ms(PATIENCE_MS)),
                     SMUX_ERR_KEEPALIVE);
    uint8_t header[WIRE_HEADER_LEN];
    assert_int_equal(recv(b.peer, header, sizeof header, MSG_WAITALL), sizeof header);
    assert_int_equal(wire_unpack_header(header).command, WIRE_NOP);
    bare_end(&b);
}

/* ---- The backlog ---------------------------------------------------------------------------- */

static void a_burst_beyond_the_backlog_waits_for_the_accepting_thread(void **state) {
    (void)state;
    enum { STREAMS = 1000 };
    static uint8_t burst[STREAMS * WIRE_HEADER_LEN];
    struct bare b;
    smux_config config;
    smux_session_info info;
    smux_config_init(&config);
    config.accept_backlog = 4;
    bare_start(&b, unix_pair, &config);
    for (uint32_t i = 0; i < STREAMS; i++)
        wire_pack_header(burst + i * WIRE_HEADER_LEN,
                         (struct wire_header){1, WIRE_SYN, 0, 3 + 2 * i});
    peer_says(&b, burst, sizeof burst);
    for (uint32_t i = 0; i < STREAMS; i++) {
        smuxb_stream *st = accepted(&b);
        assert_int_equal(smuxb_stream_id(st), 3 + 2 * i);
        smuxb_stream_close(st);
    }
    smuxb_session_get_info(b.session, &info);
    assert_int_equal(info.refused, 0);
    bare_end(&b);
}

static void streams_beyond_the_backlog_are_refused_and_others_continue(void **state) {
    (void)state;
    struct bare b;
    smux_config config;
    smux_session_info info;
    smux_config_init(&config);
    config.accept_backlog = 4;
    bare_start(&b, unix_pair, &config);
    peer_sends(&b, WIRE_SYN, 3, 0);
    smuxb_stream *st = accepted(&b);
    for (uint32_t i = 1; i <= 10; i++)
        peer_sends(&b, WIRE_SYN, 3 + 2 * i, 0);
    peer_sends(&b, WIRE_PSH, 3, 5);
    peer_says(&b, "flows", 5);
    expect_text(st, "flows");
    smuxb_session_get_info(b.session, &info);
    assert_int_equal(info.refused, 6);
    smuxb_stream_close(st);
    bare_end(&b);
}

/* ---- What a session cannot be started with -------------------------------------------------- */

static void a_wrong_descriptor_is_refused_and_stays_open(void **state) {
    (void)state;
    smuxb_session *s;
    int fds[4], pipes[2], before = open_descriptors();
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
    fds[2] = socket(AF_INET, SOCK_STREAM, 0); /* not connected */
    fds[3] = pipes[0];
    for (size_t i = 0; i < LENGTH(fds); i++) {
        assert_int_equal(smuxb_session_client(&s, fds[i], NULL), SMUXB_ERR_DESCRIPTOR);
        assert_null(s);
        assert_int_equal(close(fds[i]), 0);
    }
    assert_int_equal(smuxb_session_client(&s, -1, NULL), SMUXB_ERR_DESCRIPTOR);
    close(pipes[1]);
    assert_int_equal(open_descriptors(), before);
}

static void a_wrong_configuration_is_refused(void **state) {
    (void)state;
    smuxb_session *s;
    smux_config config;
    int fds[2];
    unix_pair(fds);
    smux_config_init(&config);
    config.version = 3;
    assert_int_equal(smuxb_session_client(&s, fds[0], &config), SMUX_ERR_CONFIG);
    assert_int_equal(smuxb_session_server(&s, fds[0], &config), SMUX_ERR_CONFIG);
    assert_int_equal(close(fds[0]), 0);
    assert_int_equal(close(fds[1]), 0);
}

static void without_free_descriptors_the_start_fails_cleanly(void **state) {
    (void)state;
    smuxb_session *s;
    struct rlimit before, low;
    int fds[2];
    unix_pair(fds);
    getrlimit(RLIMIT_NOFILE, &before);
    for (int spare = 1; spare < 3; spare++) { /* the first, or only the second, is missing */
        low = before;
        low.rlim_cur = (rlim_t)fds[1] + (rlim_t)spare;
        setrlimit(RLIMIT_NOFILE, &low);
        int error = smuxb_session_client(&s, fds[0], NULL);
        setrlimit(RLIMIT_NOFILE, &before);
        assert_int_equal(error, SMUXB_ERR_SYSTEM);
    }
    close(fds[0]);
    close(fds[1]);
}

static void no_descriptor_is_left_open(void **state) {
    (void)state;
    int before = open_descriptors();
    struct duo d;
    for (size_t i = 0; i < LENGTH(variants); i++) {
        duo_prepare(&d, &variants[i]);
        duo_start(&d);
        struct ends e = open_ends(&d);
        close_ends(&e);
        duo_end(&d);
    }
    assert_int_equal(open_descriptors(), before);
}

/* ---- The descriptor and its addresses ------------------------------------------------------- */

static void the_descriptors_flags_are_not_changed(void **state) {
    static const int flags[] = {0, O_NONBLOCK};
    (void)state;
    for (size_t i = 0; i < LENGTH(flags); i++) {
        int fds[2], value = 0;
        socklen_t len = sizeof value;
        struct duo d = {0};
        tcp_pair(fds);
        fcntl(fds[0], F_SETFL, flags[i]);
        int before = fcntl(fds[0], F_GETFL);
        assert_int_equal(smuxb_session_client(&d.client, fds[0], NULL), 0);
        assert_int_equal(smuxb_session_server(&d.server, fds[1], NULL), 0);
        struct ends e = open_ends(&d);
        say(e.near, "hello");
        expect_text(e.far, "hello");
        assert_int_equal(fcntl(fds[0], F_GETFL), before);
        getsockopt(fds[0], IPPROTO_TCP, TCP_NODELAY, &value, &len);
        assert_true(value);
        close_ends(&e);
        duo_end(&d);
    }
}

static void addresses_are_those_of_the_socket(void **state) {
    (void)state;
    struct sockaddr_in local, remote;
    struct sockaddr_storage got;
    socklen_t len = sizeof local, short_len = 2;
    int fds[2];
    struct duo d = {0};
    tcp_pair(fds);
    getsockname(fds[0], (struct sockaddr *)&local, &len);
    getpeername(fds[0], (struct sockaddr *)&remote, &len);
    assert_int_equal(smuxb_session_client(&d.client, fds[0], NULL), 0);
    assert_int_equal(smuxb_session_server(&d.server, fds[1], NULL), 0);
    smuxb_session_close(d.client);
    len = sizeof got;
    assert_int_equal(smuxb_session_local_addr(d.client, (struct sockaddr *)&got, &len), 0);
    assert_int_equal(len, sizeof local);
    assert_memory_equal(&got, &local, sizeof local);
    len = sizeof got;
    assert_int_equal(smuxb_session_remote_addr(d.client, (struct sockaddr *)&got, &len), 0);
    assert_memory_equal(&got, &remote, sizeof remote);
    assert_int_equal(smuxb_session_remote_addr(d.server, (struct sockaddr *)&got, &short_len), 0);
    assert_int_equal(short_len, sizeof local);
    duo_end(&d);
}

/* ---- Signals -------------------------------------------------------------------------------- */

static int caught;

static void count_signal(int number) {
    (void)number;
    __atomic_fetch_add(&caught, 1, __ATOMIC_RELAXED);
}

static void signals_do_not_interrupt_calls(void **state) {
    (void)state;
    struct sigaction action = {.sa_handler = count_signal}; /* without SA_RESTART */
    struct duo d;
    sigaction(SIGUSR1, &action, NULL);
    duo_prepare(&d, &variants[2]);
    duo_start(&d);
    struct ends e = open_ends(&d);
    pthread_t reader = run(read_one, e.far), acceptor = run(accept_one, d.server);
    while (__atomic_load_n(&caught, __ATOMIC_RELAXED) < 20) {
        pthread_kill(reader, SIGUSR1);
        pthread_kill(acceptor, SIGUSR1);
        usleep(500);
    }
    say(e.near, "x");
    assert_int_equal(result_of(reader), 1);
    smuxb_stream *st;
    assert_int_equal(smuxb_stream_open(d.client, &st), 0);
    assert_int_equal(result_of(acceptor), 0);
    smuxb_stream_close(st);
    close_ends(&e);
    duo_end(&d);
}

/* The threads of this process that do not block SIGUSR1. */
static int threads_open_to_signals(void) {
    int count = 0;
    DIR *dir = opendir("/proc/self/task");
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[300], line[256];
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
        while (file && fgets(line, sizeof line, file)) {
            unsigned long long blocked;
            if (sscanf(line, "SigBlk: %llx", &blocked) == 1)
                count += !(blocked & 1ull << (SIGUSR1 - 1));
        }
        if (file)
            fclose(file);
    }
    closedir(dir);
    return count;
}

static void the_sessions_threads_block_all_signals(void **state) {
    (void)state;
    int before = threads_open_to_signals();
    struct duo d;
    duo_prepare(&d, &variants[0]);
    duo_start(&d);
    struct ends e = open_ends(&d);
    assert_int_equal(threads_open_to_signals(), before);
    close_ends(&e);
    duo_end(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_carrier_cut_within_a_frame_is_an_error_not_an_end_of_file),
        cmocka_unit_test(streams_that_ended_before_the_carrier_are_complete),
        cmocka_unit_test(a_reset_carrier_reports_its_errno),
        cmocka_unit_test(writing_to_a_dead_carrier_is_an_error_without_a_signal),
        cmocka_unit_test(an_answer_is_read_though_writing_has_failed),
        cmocka_unit_test(a_protocol_error_ends_the_session_and_is_reported),
        cmocka_unit_test(a_session_with_a_silent_peer_ends),
        cmocka_unit_test(a_burst_beyond_the_backlog_waits_for_the_accepting_thread),
        cmocka_unit_test(streams_beyond_the_backlog_are_refused_and_others_continue),
        cmocka_unit_test(a_wrong_descriptor_is_refused_and_stays_open),
        cmocka_unit_test(a_wrong_configuration_is_refused),
        cmocka_unit_test(without_free_descriptors_the_start_fails_cleanly),
        cmocka_unit_test(no_descriptor_is_left_open),
        cmocka_unit_test(the_descriptors_flags_are_not_changed),
        cmocka_unit_test(addresses_are_those_of_the_socket),
        cmocka_unit_test(signals_do_not_interrupt_calls),
        cmocka_unit_test(the_sessions_threads_block_all_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
