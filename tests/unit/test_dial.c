/* SPDX-License-Identifier: MIT */
/* Dialling several addresses, some of which are silent, refuse or are unreachable (RFC 8305). */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "helper/net/dial.h"
#include "support_descriptors.h"

/* No test waits this long: a dial that divided it among its addresses would hang. */
#define HOURS_US (3600u * 1000000ull)
#define GUARD_US 60000000u /* against hangs */

static int epoll_calls;

int epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event) {
    epoll_calls++;
    return (int)syscall(SYS_epoll_ctl, epoll_fd, op, fd, event);
}

/* ---- Listeners on loopback ---- */

static int listener(int family, int backlog, struct dial_address *out) {
    int fd = socket(family, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&out->addr;
    struct sockaddr_in *four = (struct sockaddr_in *)&out->addr;
    memset(out, 0, sizeof *out);
    out->addr.ss_family = (sa_family_t)family;
    out->len = family == AF_INET ? sizeof *four : sizeof *six;
    if (family == AF_INET)
        four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        six->sin6_addr = in6addr_loopback;
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    assert_int_equal(bind(fd, (struct sockaddr *)&out->addr, out->len), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&out->addr, &out->len), 0);
    return fd;
}

/* A listener that no longer answers, because its backlog is full. */
struct silent {
    struct dial_address address;
    int fd[3];
};

static void silent_open(struct silent *silent) {
    silent->fd[0] = listener(AF_INET, 0, &silent->address);
    for (int i = 1; i < 3; i++) {
        silent->fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(silent->fd[i], (struct sockaddr *)&silent->address.addr, silent->address.len);
    }
}

static void silent_close(struct silent *silent) {
    for (int i = 0; i < 3; i++)
        close(silent->fd[i]);
}

static struct dial_address refusing(void) {
    struct dial_address address;
    close(listener(AF_INET, 1, &address));
    return address;
}

/* ---- A dial that is watched ---- */

struct scene {
    struct loop *loop;
    struct dial dial;
    struct loop_watch watch;
    int before; /* descriptors */
    int most;   /* of them beyond those, while dialling */
    int done, error;
};

static void on_fd(struct loop_watch *watch, uint32_t events) {
    dial_event(&container_of(watch, struct scene, watch)->dial, events);
}

static void on_done(struct dial *dial, int error, uint32_t events) {
    struct scene *scene = container_of(dial, struct scene, dial);
    (void)events;
    scene->done++;
    scene->error = error;
}

static int setup(void **state) {
    static struct scene scene;
    memset(&scene, 0, sizeof scene);
    scene.loop = loop_new();
    scene.dial.loop = scene.loop;
    scene.dial.watch = &scene.watch;
    scene.dial.on_fd = on_fd;
    scene.dial.done = on_done;
    *state = &scene;
    return 0;
}

static int teardown(void **state) {
    struct scene *scene = *state;
    dial_cancel(&scene->dial);
    loop_watch_close(&scene->watch);
    loop_free(scene->loop);
    return 0;
}

static void add(struct scene *scene, struct dial_address address) {
    scene->dial.addresses[scene->dial.count++] = address;
}

static void run(struct scene *scene, uint64_t timeout_us) {
    uint64_t end_us = loop_clock_us() + GUARD_US;
    scene->before = open_descriptors();
    loop_turn(scene->loop, 0);
    epoll_calls = 0;
    dial_start(&scene->dial, timeout_us);
    assert_int_equal(scene->done, 0); /* never from within dial_start */
    while (!scene->done && loop_clock_us() < end_us) {
        int more = open_descriptors() - scene->before;
        if (more > scene->most)
            scene->most = more;
        loop_turn(scene->loop, 100);
    }
    assert_int_equal(scene->done, 1);
}

static void assert_connected_to(struct scene *scene, const struct dial_address *address) {
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof peer;
    assert_int_equal(scene->error, 0);
    assert_true(scene->watch.open);
    assert_int_equal(getpeername(scene->watch.fd, (struct sockaddr *)&peer, &len), 0);
    assert_int_equal(len, address->len);
    assert_memory_equal(&peer, &address->addr, len);
    assert_int_equal(open_descriptors(), scene->before + 1); /* the losers are closed */
    loop_turn(scene->loop, 0);                               /* the handed over one has events */
    assert_int_equal(scene->done, 1);
}

/* ---- Tests ---- */

static void one_address_costs_one_registration(void **state) {
    struct scene *scene = *state;
    struct dial_address address;
    int fd = listener(AF_INET, 1, &address);
    add(scene, address);
    run(scene, HOURS_US);
    assert_int_equal(epoll_calls, 1);
    assert_connected_to(scene, &address);
    close(fd);
}

static void a_silent_address_does_not_delay_the_next(void **state) {
    struct scene *scene = *state;
    struct silent silent;
    struct dial_address address;
    int fd = listener(AF_INET, 1, &address);
    silent_open(&silent);
    add(scene, silent.address);
    add(scene, address);
    run(scene, HOURS_US);
    assert_connected_to(scene, &address);
    silent_close(&silent);
    close(fd);
}

static void a_refusal_is_followed_at_once_beside_a_silent_one(void **state) {
    struct scene *scene = *state;
    struct silent silent;
    struct dial_address address;
    int fd = listener(AF_INET6, 1, &address);
    silent_open(&silent);
    add(scene, silent.address);
    for (int i = 0; i < 10; i++)
        add(scene, refusing());
    add(scene, address);
    run(scene, HOURS_US);
    assert_connected_to(scene, &address);
    silent_close(&silent);
    close(fd);
}

static void a_bounded_number_is_tried_at_once_and_each_gets_its_turn(void **state) {
    struct scene *scene = *state;
    struct silent silent[DIAL_AT_ONCE + 2];
    struct dial_address address;
    int fd = listener(AF_INET, 1, &address);
    for (int i = 0; i < DIAL_AT_ONCE + 2; i++) {
        silent_open(&silent[i]);
        add(scene, silent[i].address);
    }
    add(scene, address);
    run(scene, 4000000);
    assert_int_equal(scene->most, DIAL_AT_ONCE);
    assert_connected_to(scene, &address);
    for (int i = 0; i < DIAL_AT_ONCE + 2; i++)
        silent_close(&silent[i]);
    close(fd);
}

static void assert_error(struct scene *scene, int error) {
    assert_int_equal(scene->error, error);
    assert_false(scene->watch.open);
    assert_int_equal(open_descriptors(), scene->before);
}

static void the_most_informative_of_all_errors_is_reported(void **state) {
    struct scene *scene = *state;
    struct silent silent;
    struct dial_address unreachable = {.len = sizeof(struct sockaddr_in)};
    silent_open(&silent);
    add(scene, silent.address);
    add(scene, refusing());
    /* No connection can be made to the broadcast address: ENETUNREACH, without a packet. */
    ((struct sockaddr_in *)&unreachable.addr)->sin_family = AF_INET;
    ((struct sockaddr_in *)&unreachable.addr)->sin_addr.s_addr = INADDR_BROADCAST;
    ((struct sockaddr_in *)&unreachable.addr)->sin_port = htons(9);
    add(scene, unreachable);
    run(scene, 1000000);
    assert_error(scene, -ECONNREFUSED);
    silent_close(&silent);
}

static void a_silent_dial_ends_with_its_timeout(void **state) {
    struct scene *scene = *state;
    struct silent silent;
    silent_open(&silent);
    for (int i = 0; i < DIAL_ADDRESSES_MAX; i++)
        add(scene, silent.address);
    run(scene, 500000);
    assert_error(scene, -ETIMEDOUT);
    assert_true(scene->most <= DIAL_AT_ONCE);
    silent_close(&silent);
}

static void a_cancelled_dial_leaves_nothing(void **state) {
    struct scene *scene = *state;
    struct silent silent[2];
    int before;
    for (int i = 0; i < 2; i++) {
        silent_open(&silent[i]);
        add(scene, silent[i].address);
    }
    before = open_descriptors();
    loop_turn(scene->loop, 0);
    dial_start(&scene->dial, HOURS_US);
    uint64_t end_us = loop_clock_us() + GUARD_US;
    while (open_descriptors() < before + 2 && loop_clock_us() < end_us)
        loop_turn(scene->loop, 100);
    assert_int_equal(open_descriptors(), before + 2);
    dial_cancel(&scene->dial);
    assert_int_equal(open_descriptors(), before);
    loop_turn(scene->loop, 0);
    assert_int_equal(scene->done, 0);
    for (int i = 0; i < 2; i++)
        silent_close(&silent[i]);
}

/* The order as digits, the last of each address; 1 to 4 are IPv4 and 5 to 9 IPv6. */
static void assert_order(struct dial *dial, const char *given, int preferred,
                         const char *expected) {
    char order[DIAL_ADDRESSES_MAX + 1] = "";
    struct dial_address wanted = {0};
    dial->count = 0;
    for (const char *c = given; *c || c == given + strlen(given); c++) {
        int digit = *c ? *c - '0' : preferred;
        struct dial_address *to = *c ? &dial->addresses[dial->count++] : &wanted;
        memset(to, 0, sizeof *to);
        to->addr.ss_family = digit < 5 ? AF_INET : AF_INET6;
        to->len = digit < 5 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
        ((struct sockaddr_in *)&to->addr)->sin_port = (in_port_t)digit;
        if (!*c)
            break;
    }
    dial_order(dial, preferred ? &wanted : NULL);
    for (int i = 0; i < dial->count; i++)
        order[i] = (char)('0' + ((struct sockaddr_in *)&dial->addresses[i].addr)->sin_port);
    assert_string_equal(order, expected);
    dial->count = 0;
}

static void families_alternate_and_the_preferred_address_is_first(void **state) {
    struct scene *scene = *state;
    assert_order(&scene->dial, "1", 0, "1");
    assert_order(&scene->dial, "1234", 0, "1234");
    assert_order(&scene->dial, "1256", 0, "1526");
    assert_order(&scene->dial, "56789123", 0, "51627389");
    assert_order(&scene->dial, "561", 0, "516");
    assert_order(&scene->dial, "5612", 2, "2516");
    assert_order(&scene->dial, "5612", 6, "6152");
    assert_order(&scene->dial, "5612", 3, "5162");
    assert_order(&scene->dial, "1234", 3, "3124");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_address_costs_one_registration, setup, teardown),
        cmocka_unit_test_setup_teardown(a_silent_address_does_not_delay_the_next, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refusal_is_followed_at_once_beside_a_silent_one, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_bounded_number_is_tried_at_once_and_each_gets_its_turn,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(the_most_informative_of_all_errors_is_reported, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_silent_dial_ends_with_its_timeout, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cancelled_dial_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(families_alternate_and_the_preferred_address_is_first,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
