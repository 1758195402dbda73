/* SPDX-License-Identifier: MIT */
/* The queue of bytes that wait for a socket: in order, the urgent byte alone, and every byte of
 * memory on the right account. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "helper/relay/kept_queue.h"

#define MIB(n) ((size_t)(n) << 20)

/* The memory that all sessions may keep. */
#define PLENTIFUL MIB(256)
#define SHORT     ((size_t)0)

static struct reactor reactor;
static struct keeper keeper;
static struct kept_queue queue;

/* The model: what is in the queue, and where its urgent byte is. */
static struct model {
    uint8_t bytes[MIB(2)];
    size_t len, urgent_at;
} model;

static int begin(void **state) {
    (void)state;
    memset(&keeper, 0, sizeof keeper);
    model.len = model.urgent_at = 0;
    if (reactor_init(&reactor) != 0)
        return -1;
    reactor.kept.max = PLENTIFUL;
    kept_queue_init(&queue, &reactor);
    queue.keeper = &keeper;
    return 0;
}

static int end(void **state) {
    (void)state;
    kept_queue_drop(&queue);
    assert_int_equal(reactor.kept.bytes, 0);
    assert_int_equal(reactor.kept.orphaned, 0);
    assert_int_equal(keeper.bytes, 0);
    reactor_fini(&reactor);
    return 0;
}

/* ---- Operations on both ---- */

/* Appends `len` bytes from the receive buffer, as if they had just arrived. */
static void append(size_t len) {
    struct receive_buffer *buffer = reactor_receive_buffer(&reactor);
    assert_non_null(buffer);
    size_t at = (size_t)rand() % (REACTOR_RECEIVE_SIZE - len + 1);
    for (size_t i = 0; i < len; i++)
        model.bytes[model.len + i] = buffer->data[at + i] = (uint8_t)rand();
    assert_int_equal(kept_queue_append(&queue, buffer->data + at, len), 0);
    model.len += len;
}

static void mark_urgent(void) {
    kept_queue_mark_urgent(&queue);
    model.urgent_at = model.len;
}

static void drop(void) {
    kept_queue_drop(&queue);
    model.len = model.urgent_at = 0;
}

/* Does what a write does that takes `taken` bytes of those gathered, or all if there are fewer. */
static void write_some(int iov_max, size_t taken) {
    struct iovec iov[16];
    size_t total, at = 0;
    int count = kept_queue_gather(&queue, iov, iov_max, &total);
    assert_in_range(count, 1, iov_max);
    for (int i = 0; i < count; i++) {
        assert_true(iov[i].iov_len > 0 && at + iov[i].iov_len <= model.len);
        assert_memory_equal(iov[i].iov_base, model.bytes + at, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    assert_int_equal(at, total);
    if (model.urgent_at)
        assert_true(kept_queue_is_urgent(&queue) ? total == 1 : total < model.urgent_at);
    taken = taken < total ? taken : total;
    kept_queue_advance(&queue, taken);
    memmove(model.bytes, model.bytes + taken, model.len - taken);
    model.len -= taken;
    model.urgent_at -= model.urgent_at ? taken : 0;
}

static void compare(void) {
    assert_int_equal(queue.len, model.len);
    assert_int_equal(kept_queue_is_empty(&queue), model.len == 0);
    assert_int_equal(kept_queue_is_urgent(&queue), model.urgent_at == 1);
    assert_int_equal(keeper.bytes + reactor.kept.orphaned, reactor.kept.bytes);
    assert_int_equal(queue.keeper ? reactor.kept.orphaned : keeper.bytes, 0);
    assert_true(reactor.kept.bytes >= model.len);
    assert_true(model.len > 0 || reactor.kept.bytes == 0);
}

/* ---- Tests ---- */

static size_t random_len(void) {
    static const size_t below[] = {2, 300, 5000, REACTOR_RECEIVE_SIZE / 8, REACTOR_RECEIVE_SIZE};
    size_t len = 1 + (size_t)rand() % below[(size_t)rand() % (sizeof below / sizeof *below)];
    return len < MIB(2) - model.len ? len : MIB(2) - model.len;
}

static void step(void) {
    switch (rand() % 12) {
    case 0:
        reactor.kept.max = rand() % 2 ? PLENTIFUL : SHORT;
        break;
    case 1:
        if (model.len > 0)
            mark_urgent();
        break;
    case 2:
        if (rand() % 20 == 0)
            drop();
        break;
    case 3:
    case 4:
    case 5:
    case 6:
        if (model.len < MIB(2))
            append(random_len());
        break;
    default:
        if (model.len > 0)
            write_some(1 + rand() % 16, (size_t)rand() % 3 ? SIZE_MAX : random_len() - 1);
    }
    compare();
}

static void whatever_is_done_it_holds_what_the_model_holds(void **state) {
    (void)state;
    for (unsigned seed = 1; seed <= 40; seed++) {
        srand(seed);
        for (int i = 0; i < 200; i++)
            step();
        drop();
        compare();
    }
}

static void small_pieces_share_memory(void **state) {
    (void)state;
    append(1);
    size_t one = reactor.kept.bytes;
    for (int i = 0; i < 1000; i++)
        append(1);
    assert_int_equal(reactor.kept.bytes, one);
    compare();
}

static void a_single_byte_takes_less_when_memory_is_short(void **state) {
    (void)state;
    append(1);
    size_t plentiful = reactor.kept.bytes;
    drop();
    reactor.kept.max = SHORT;
    append(1);
    assert_true(reactor.kept.bytes * 4 < plentiful);
}

/* Not a copy, and charged for all of the receive buffer. */
static void a_large_piece_is_a_reference_while_memory_is_plentiful(void **state) {
    (void)state;
    append(REACTOR_RECEIVE_SIZE / 2);
    assert_int_equal(reactor.receive->refs, 2);
    assert_true(reactor.kept.bytes > REACTOR_RECEIVE_SIZE);
    drop();
    assert_int_equal(reactor.receive->refs, 1);
}

static void a_large_piece_is_a_copy_when_memory_is_short(void **state) {
    (void)state;
    reactor.kept.max = SHORT;
    append(REACTOR_RECEIVE_SIZE / 2);
    assert_int_equal(reactor.receive->refs, 1);
    assert_in_range(reactor.kept.bytes, REACTOR_RECEIVE_SIZE / 2, REACTOR_RECEIVE_SIZE / 2 + 500);
}

/* The copy before the reference has room, but it is not the last any more. */
static void a_small_piece_behind_a_large_one_keeps_its_place(void **state) {
    (void)state;
    append(10);
    append(REACTOR_RECEIVE_SIZE / 2);
    append(10);
    while (model.len > 0)
        write_some(1, SIZE_MAX);
    compare();
}

static void a_later_urgent_byte_replaces_the_earlier(void **state) {
    (void)state;
    append(5);
    mark_urgent();
    append(5);
    mark_urgent();
    write_some(16, SIZE_MAX);
    assert_int_equal(queue.len, 1);
    assert_true(kept_queue_is_urgent(&queue));
    append(3);
    write_some(16, SIZE_MAX);
    assert_false(kept_queue_is_urgent(&queue));
    assert_int_equal(queue.len, 3);
    write_some(16, SIZE_MAX);
    compare();
}

static void an_orphaned_queue_leaves_the_sessions_account(void **state) {
    (void)state;
    append(REACTOR_RECEIVE_SIZE / 2);
    append(100);
    size_t bytes = reactor.kept.bytes;
    kept_queue_orphan(&queue);
    assert_null(queue.keeper);
    assert_int_equal(keeper.bytes, 0);
    assert_int_equal(reactor.kept.orphaned, bytes);
    while (model.len > 0) {
        write_some(2, 5000);
        compare();
    }
    assert_int_equal(reactor.kept.orphaned, 0);
}

static void an_orphaned_queue_that_has_no_room_is_dropped(void **state) {
    (void)state;
    append(100);
    reactor.kept.max = SHORT;
    kept_queue_orphan(&queue);
    assert_true(kept_queue_is_empty(&queue));
    assert_int_equal(queue.len, 0);
    assert_int_equal(reactor.kept.bytes, 0);
    assert_int_equal(keeper.bytes, 0);
}

static void an_empty_queue_is_orphaned_without_a_trace(void **state) {
    (void)state;
    kept_queue_orphan(&queue);
    compare();
}

#define KEPT_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        KEPT_TEST(whatever_is_done_it_holds_what_the_model_holds),
        KEPT_TEST(small_pieces_share_memory),
        KEPT_TEST(a_single_byte_takes_less_when_memory_is_short),
        KEPT_TEST(a_large_piece_is_a_reference_while_memory_is_plentiful),
        KEPT_TEST(a_large_piece_is_a_copy_when_memory_is_short),
        KEPT_TEST(a_small_piece_behind_a_large_one_keeps_its_place),
        KEPT_TEST(a_later_urgent_byte_replaces_the_earlier),
        KEPT_TEST(an_orphaned_queue_leaves_the_sessions_account),
        KEPT_TEST(an_orphaned_queue_that_has_no_room_is_dropped),
        KEPT_TEST(an_empty_queue_is_orphaned_without_a_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
