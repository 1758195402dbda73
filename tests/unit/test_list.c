/* SPDX-License-Identifier: MIT */
/* The list that engine, blocking API and daemons share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/common/list.h"

struct item {
    char name;
    struct list_link link;
    struct list_link other;
};

enum { ITEMS = 4 };

static struct item items[ITEMS];
static struct list list;

static struct list_link *link_of(char name) {
    return &items[name - 'a'].link;
}

/* An empty list, and the items `a`, `b`, `c` and `d`, which are in none. */
static int setup(void **state) {
    (void)state;
    memset(&list, 0xA5, sizeof list);
    memset(items, 0, sizeof items);
    for (int i = 0; i < ITEMS; i++)
        items[i].name = (char)('a' + i);
    list_init(&list);
    return 0;
}

static void append_all(const char *names) {
    for (; *names; names++)
        list_append(&list, link_of(*names));
}

/* The members are these, in this order, from either end. */
static void assert_members(const char *names) {
    char forward[ITEMS + 1] = "", backward[ITEMS + 1] = "";
    size_t len = 0, at = strlen(names);
    list_for_each(link, &list) {
        assert_true(len < ITEMS);
        forward[len++] = container_of(link, struct item, link)->name;
    }
    assert_string_equal(forward, names);
    for (const char *name = names; *name; name++)
        assert_ptr_equal(list_next(&list, link_of(*name)), name[1] ? link_of(name[1]) : NULL);
    for (struct list_link *link = list.ends.prev; link != &list.ends; link = link->prev) {
        assert_true(at > 0);
        backward[--at] = container_of(link, struct item, link)->name;
    }
    assert_int_equal(at, 0);
    assert_string_equal(backward, names);
    assert_int_equal(list_is_empty(&list), !*names);
    assert_ptr_equal(list_first(&list), *names ? link_of(names[0]) : NULL);
    assert_ptr_equal(list_last(&list), *names ? link_of(names[strlen(names) - 1]) : NULL);
}

static void a_new_list_has_no_members(void **state) {
    (void)state;
    assert_members("");
}

static void a_list_may_be_initialised_statically(void **state) {
    (void)state;
    static struct {
        int before;
        struct list members;
    } holder = {.members = LIST_INITIALIZER(holder.members)};
    assert_true(list_is_empty(&holder.members));
    list_append(&holder.members, link_of('a'));
    assert_ptr_equal(list_first(&holder.members), link_of('a'));
}

static void append_adds_at_the_end(void **state) {
    (void)state;
    append_all("a");
    assert_members("a");
    append_all("bc");
    assert_members("abc");
}

static void prepend_adds_at_the_beginning(void **state) {
    (void)state;
    list_prepend(&list, link_of('a'));
    assert_members("a");
    list_prepend(&list, link_of('b'));
    list_prepend(&list, link_of('c'));
    assert_members("cba");
}

static void insert_before_adds_in_front_of_a_member(void **state) {
    (void)state;
    append_all("ab");
    list_insert_before(link_of('b'), link_of('c'));
    assert_members("acb");
    list_insert_before(link_of('a'), link_of('d'));
    assert_members("dacb");
}

static void remove_takes_out_first_middle_last_and_only_member(void **state) {
    (void)state;
    append_all("abcd");
    list_remove(link_of('b'));
    assert_members("acd");
    list_remove(link_of('a'));
    assert_members("cd");
    list_remove(link_of('d'));
    assert_members("c");
    list_remove(link_of('c'));
    assert_members("");
}

static void a_removed_member_is_linked_no_longer_and_may_come_back(void **state) {
    (void)state;
    assert_false(list_is_linked(link_of('a')));
    append_all("ab");
    assert_true(list_is_linked(link_of('a')));
    assert_true(list_is_linked(link_of('b')));
    list_remove(link_of('a'));
    assert_false(list_is_linked(link_of('a')));
    append_all("a");
    assert_members("ba");
}

static void removing_what_is_in_no_list_does_nothing(void **state) {
    (void)state;
    append_all("a");
    list_remove(link_of('b'));
    list_remove(link_of('a'));
    list_remove(link_of('a'));
    assert_members("");
}

/* Each is freed within the loop, so that a sanitizer sees any later look at it. */
static void for_each_lets_the_body_free_the_present_member(void **state) {
    (void)state;
    char seen[ITEMS + 1] = "";
    size_t len = 0;
    for (int i = 0; i < ITEMS; i++) {
        struct item *item = calloc(1, sizeof *item);
        assert_non_null(item);
        item->name = (char)('a' + i);
        list_append(&list, &item->link);
    }
    list_for_each(link, &list) {
        struct item *item = container_of(link, struct item, link);
        seen[len++] = item->name;
        list_remove(&item->link);
        memset(item, 0xA5, sizeof *item);
        free(item);
    }
    assert_string_equal(seen, "abcd");
    assert_members("");
}

static void for_each_may_be_left_and_nested(void **state) {
    (void)state;
    unsigned rounds = 0;
    append_all("abc");
    list_for_each(outer, &list) {
        if (outer == link_of('c'))
            break;
        list_for_each(inner, &list)
            rounds++;
    }
    assert_int_equal(rounds, 2 * 3);
}

static void for_each_lets_the_body_move_the_present_member_to_another_list(void **state) {
    (void)state;
    struct list others;
    list_init(&others);
    append_all("abcd");
    list_for_each(link, &list) {
        struct item *item = container_of(link, struct item, link);
        if (item->name % 2 == 0)
            continue;
        list_remove(&item->link);
        list_append(&others, &item->link);
    }
    assert_members("bd");
    assert_ptr_equal(list_first(&others), link_of('a'));
    assert_ptr_equal(list_last(&others), link_of('c'));
}

static void a_struct_may_be_in_two_lists_by_two_links(void **state) {
    (void)state;
    struct list others;
    list_init(&others);
    append_all("ab");
    list_append(&others, &items[1].other);
    list_remove(&items[1].link);
    assert_members("a");
    assert_ptr_equal(container_of(list_first(&others), struct item, other), &items[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_new_list_has_no_members, setup),
        cmocka_unit_test_setup(a_list_may_be_initialised_statically, setup),
        cmocka_unit_test_setup(append_adds_at_the_end, setup),
        cmocka_unit_test_setup(prepend_adds_at_the_beginning, setup),
        cmocka_unit_test_setup(insert_before_adds_in_front_of_a_member, setup),
        cmocka_unit_test_setup(remove_takes_out_first_middle_last_and_only_member, setup),
        cmocka_unit_test_setup(a_removed_member_is_linked_no_longer_and_may_come_back, setup),
        cmocka_unit_test_setup(removing_what_is_in_no_list_does_nothing, setup),
        cmocka_unit_test_setup(for_each_lets_the_body_free_the_present_member, setup),
        cmocka_unit_test_setup(for_each_may_be_left_and_nested, setup),
        cmocka_unit_test_setup(for_each_lets_the_body_move_the_present_member_to_another_list,
                               setup),
        cmocka_unit_test_setup(a_struct_may_be_in_two_lists_by_two_links, setup),
    };
    return cmocka_run_group_tests_name("list", tests, NULL, NULL);
}
