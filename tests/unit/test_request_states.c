/* SPDX-License-Identifier: MIT */
/* Every event in every state of a program's request (helper/client/shim_request.h), in a whole
 * helper, over every kind of route, with a simulated gateway and program. */
#include "support_helper.h"

#include "helper/client/shim_request.h"

/* A user to whom limits apply, and whose sockets' locks must not block the loop. */
enum { ANOTHER_USER = 8, KINDS = 16 };

static struct subject {
    struct shim_request *request;  /* NULL once its memory is gone */
    uint8_t gate[HELPER_GATE_LEN]; /* header and all, as the program sends it */
    size_t sent;
    int app; /* the program's end, or -1 */
} subject;

/* ---- The program ---- */

/* Up to `until` bytes of the gate, with as many copies of the descriptor as told. */
static void send_gate(size_t until_byte, int fd, size_t copies) {
    union {
        char space[CMSG_SPACE(2 * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    int fds[2] = {fd, fd};
    if (subject.app < 0 || subject.sent >= until_byte)
        return;
    struct iovec iov = {subject.gate + subject.sent, until_byte - subject.sent};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (copies > 0) {
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(copies * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(copies * sizeof(int));
        memcpy(CMSG_DATA(c), fds, copies * sizeof(int));
    }
    ssize_t n = sendmsg(subject.app, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    subject.sent += n > 0 ? (size_t)n : 0;
}

static void request(void) {
    send_gate(HELPER_GATE_CHUNK, subject.app, 1);
}

static void half_a_request(void) {
    send_gate(20, subject.app, 1);
}

static void request_without_descriptor(void) {
    send_gate(HELPER_GATE_CHUNK, -1, 0);
}

static void request_with_two(void) {
    send_gate(HELPER_GATE_CHUNK, subject.app, 2);
}

static void request_with_tcp_socket(void) {
    send_gate(HELPER_GATE_CHUNK, played.target, 1);
}

static void request_with_another_end(void) {
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    send_gate(HELPER_GATE_CHUNK, pair[0], 1);
    close(pair[0]);
    close(pair[1]);
}

static void rest_of_gate(void) {
    send_gate(HELPER_GATE_LEN, -1, 0);
}

static struct helper_request *header(void) {
    return (struct helper_request *)subject.gate;
}

static void has_another_version(void) {
    header()->version++;
}

static void has_no_route(void) {
    header()->dest.port ^= 1;
}

static void is_a_notice(void) {
    header()->kind = HELPER_NOTICE_LINGER;
}

static void is_nonsense(void) {
    header()->magic ^= 1;
}

static void asks_for_reset(void) {
    header()->flags = HELPER_LINGER_RESET;
}

static void program_reads(void) {
    char bytes[1000];
    if (subject.app >= 0)
        (void)!recv(subject.app, bytes, sizeof bytes, MSG_DONTWAIT);
}

static void program_shuts_writing(void) {
    if (subject.app >= 0)
        shutdown(subject.app, SHUT_WR);
}

static void program_shuts_both(void) {
    if (subject.app >= 0)
        shutdown(subject.app, SHUT_RDWR);
}

static void program_closes(void) {
    if (subject.app >= 0)
        close_now(&subject.app);
}

/* ---- Other steps ---- */

static void note_end(void) {
    if (!conns_first(&helper.conns))
        subject.request = NULL;
}

static void some_turns(void) {
    turns(8);
    note_end();
}

static void request_times_out(void) {
    if (subject.request && subject.request->opening)
        fire(&subject.request->opening->timer);
}

static void connect_times_out(void) {
    if (subject.request && subject.request->conn.opening)
        fire(&subject.request->conn.opening->timer);
}

static void helper_ends_it(void) {
    if (subject.request)
        conn_end(&subject.request->conn, -ECANCELED);
}

static void stream_eof(void) {
    if (subject.request && subject.request->conn.relay.stream)
        relay_eof(&subject.request->conn.relay);
}

static void stream_reset(void) {
    if (subject.request && subject.request->conn.relay.stream)
        relay_stream_reset(&subject.request->conn.relay, SMUX_ERR_PEER_RESET);
}

static const struct step steps[] = {STEP(some_turns),
                                    STEP(request),
                                    STEP(half_a_request),
                                    STEP(request_without_descriptor),
                                    STEP(request_with_two),
                                    STEP(request_with_tcp_socket),
                                    STEP(request_with_another_end),
                                    STEP(rest_of_gate),
                                    STEP(has_another_version),
                                    STEP(has_no_route),
                                    STEP(is_a_notice),
                                    STEP(is_nonsense),
                                    STEP(asks_for_reset),
                                    STEP(program_reads),
                                    STEP(program_shuts_writing),
                                    STEP(program_shuts_both),
                                    STEP(program_closes),
                                    STEP(request_times_out),
                                    STEP(connect_times_out),
                                    STEP(helper_ends_it),
                                    STEP(stream_eof),
                                    STEP(stream_reset),
                                    GATEWAY_STEPS};

/* ---- What must hold after each ---- */

static void check(void) {
#define CONN(state) 1u << CONN_##state
    static const struct {
        bool opening, timer, pending;
        unsigned conn; /* the states it may have */
    } has[] = {
        [REQUEST_READING] = {true, true, false, CONN(NEW)},
        [REQUEST_OPENING] = {true, false, true, CONN(OPENING)},
        [REQUEST_TELLING] = {true, true, false, CONN(EAGER) | CONN(SUCCEEDED) | CONN(FAILED)},
        [REQUEST_OPENED] = {true, true, false, CONN(EAGER) | CONN(SUCCEEDED)},
        [REQUEST_OPEN] = {false, false, false, CONN(STARTED) | CONN(OPEN)}};
    const struct shim_request *request = subject.request;
    assert_int_equal(state_wrong_moves, 0);
    if (!request) {
        assert_null(conns_first(&helper.conns));
        return;
    }
    const struct request_opening *opening = request->opening;
    assert_in_range(request->state, REQUEST_READING, REQUEST_OVER);
    assert_int_equal(request->state == REQUEST_OVER, conn_is_over(&request->conn));
    assert_int_equal(request->state == REQUEST_OVER, conns_first(&helper.conns) == NULL);
    if (request->state == REQUEST_OVER) {
        assert_true(!opening || (opening->app_fd < 0 && !opening->timer.armed));
        assert_true(!opening || !opening->pending.conn);
        return;
    }
    assert_int_equal(opening != NULL, has[request->state].opening);
    assert_true(has[request->state].conn >> request->conn.state & 1);
    if (!opening)
        return;
    assert_int_equal(opening->timer.armed, has[request->state].timer);
    assert_int_equal(opening->pending.conn != NULL, has[request->state].pending);
    if (request->state != REQUEST_READING)
        assert_int_equal(opening->app_fd >= 0, request->state != REQUEST_OPENED);
    assert_int_equal(opening->opened.open, request->state == REQUEST_OPENED);
}

/* ---- Into each state ---- */

static void begin(unsigned kind) {
    int pair[2];
    const struct ucred own = {.pid = getpid(), .uid = geteuid()};
    begin_helper(kind & ~(unsigned)ANOTHER_USER);
    memset(&subject, 0, sizeof subject);
    *header() = (struct helper_request){.magic = HELPER_PROTOCOL_MAGIC,
                                        .version = HELPER_PROTOCOL_VERSION,
                                        .size = sizeof(struct helper_request),
                                        .id = 4711,
                                        .kind = HELPER_REQUEST_CONNECT,
                                        .family = AF_INET,
                                        .dest = destination()};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    subject.app = pair[0];
    struct account *account =
        kind & ANOTHER_USER ? account_get(&helper.upstreams.accounts, geteuid()) : NULL;
    assert_true(shim_request_new(&helper.conns, &helper.watches, pair[1], &own, account));
    subject.request = container_of(conns_first(&helper.conns), struct shim_request, conn);
}

static bool enter(unsigned state) {
    struct loop_watch *watch = &subject.request->conn.relay.watch;
    if (state == REQUEST_OVER)
        helper_ends_it();
    if (state == REQUEST_READING || state == REQUEST_OVER)
        return true;
    request();
    if (state != REQUEST_TELLING)
        rest_of_gate();
    watch->fn(watch, EPOLLIN);
    if (subject.request->state == REQUEST_OPENING && state != REQUEST_OPENING) {
        turns(3);
        gateway_serves();
        turns(10);
        gateway_accepts();
        turns(5);
    }
    if (subject.request->state == REQUEST_OPENED && state == REQUEST_OPEN)
        until(subject.request->state != REQUEST_OPENED);
    note_end();
    return subject.request && subject.request->state == state;
}

static void finish(void) {
    helper_ends_it();
    some_turns();
    assert_null(subject.request);
    program_closes();
    finish_helper();
}

static struct loop_watch *watch(void) {
    return subject.request ? &subject.request->conn.relay.watch : NULL;
}

static int state(void) {
    return subject.request ? subject.request->state : -1;
}

/* For example, a second outcome of an open connection. */
static void a_wrong_move_ends_its_request_alone(void **unused) {
    (void)unused;
    begin_one(ROUTE_OF_TEST_EAGER);
    assert_true(enter_one(REQUEST_OPEN));
    subject.request->conn.ops->outcome(&subject.request->conn, -ECONNREFUSED, NULL);
    assert_int_equal(state_wrong_moves, 1);
    assert_int_equal(subject.request->state, REQUEST_OVER);
    state_wrong_moves = 0;
    finish();
    passed = true;
}

#define TESTS(X) X(a_wrong_move_ends_its_request_alone)

STATES_MAIN(KINDS, REQUEST_OVER, TESTS)
