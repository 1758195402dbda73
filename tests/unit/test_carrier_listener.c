/* SPDX-License-Identifier: MIT */
/* Accepting carriers: each has the layer of its listener's scheme, and knows its peer. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "helper/carrier/carrier_listener.h"
#include "helper/net/listen.h"
#include "helper/net/log.h"
#include "helper/net/reactor.h"
#include "support_carrier.h"
#include "support_descriptors.h"

static struct scene {
    struct reactor reactor;
    struct carrier_listener *listener;
    struct config_address address;
    int client;
    struct carrier *carrier;
    struct carrier_peer peer;
    int descriptors; /* before all */
} scene;

static void on_accepted(void *user, struct carrier *carrier, const struct carrier_peer *peer) {
    assert_ptr_equal(user, &scene);
    assert_null(scene.carrier);
    assert_int_equal(carrier->state, CARRIER_NEW);
    scene.carrier = carrier;
    scene.peer = *peer;
}

static int setup(void **state) {
    (void)state;
    memset(&scene, 0, sizeof scene);
    log_set_level(-1);
    scene.client = -1;
    scene.descriptors = open_descriptors();
    assert_int_equal(reactor_init(&scene.reactor), 0);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    carrier_close(scene.carrier);
    if (scene.listener)
        carrier_listener_close(scene.listener);
    if (scene.client >= 0)
        close(scene.client);
    loop_turn(scene.reactor.loop, 0);
    reactor_fini(&scene.reactor);
    assert_int_equal(carriers_alive, 0);
    assert_int_equal(open_descriptors(), scene.descriptors);
    return 0;
}

static int open_socket(enum config_scheme scheme) {
    const char *why;
    scene.address = (struct config_address){.scheme = scheme, .host = "127.0.0.1"};
    if (scheme == CONFIG_UNIX)
        snprintf(scene.address.host, sizeof scene.address.host, "/tmp/test_carrier_listener.%d",
                 (int)getpid());
    int fd = listen_open(&scene.address, false, 0600, &why);
    assert_true(fd >= 0);
    return fd;
}

/* Listens, and connects to that. */
static void connect_by(enum config_scheme scheme, const struct carrier_layer *layer) {
    struct sockaddr_storage name;
    socklen_t len = sizeof name;
    int fd = open_socket(scheme);
    scene.listener =
        carrier_listener_new(scene.reactor.loop, fd, scheme, layer, on_accepted, &scene);
    assert_non_null(scene.listener);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
    scene.client = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(scene.client, (struct sockaddr *)&name, len), 0);
    if (scheme == CONFIG_UNIX)
        unlink(scene.address.host);
    for (int i = 0; i < 10; i++)
        loop_turn(scene.reactor.loop, 1);
}

static struct carrier *lay_of_test(const struct carrier_layer *layer, struct carrier *lower,
                                   const char *server_name) {
    assert_non_null(layer);
    assert_null(server_name);
    return new_layer(lower);
}

static struct carrier *no_layer(const struct carrier_layer *layer, struct carrier *lower,
                                const char *server_name) {
    (void)layer;
    (void)lower;
    (void)server_name;
    errno = EKEYREJECTED;
    return NULL;
}

/* ---- Tests ---- */

static void a_tcp_listener_hands_out_plain_carriers(void **state) {
    const struct carrier_layer layer = {.lay = lay_of_test};
    (void)state;
    connect_by(CONFIG_TCP, &layer);
    assert_non_null(scene.carrier);
    assert_int_equal(strncmp(scene.carrier->peer, "127.0.0.1:", 10), 0);
    assert_int_equal(scene.peer.addr.ss_family, AF_INET);
    assert_int_equal(scene.peer.uid, (uid_t)-1);
    assert_string_equal(carrier_identity(scene.carrier), "");
}

static void a_unix_listener_knows_the_user(void **state) {
    char identity[40];
    (void)state;
    connect_by(CONFIG_UNIX, NULL);
    assert_non_null(scene.carrier);
    assert_int_equal(scene.peer.uid, getuid());
    snprintf(identity, sizeof identity, "uid:%u", (unsigned)getuid());
    assert_string_equal(carrier_identity(scene.carrier), identity);
}

static void a_tls_listener_hands_out_carriers_with_its_layer(void **state) {
    const struct carrier_layer layer = {.lay = lay_of_test};
    (void)state;
    connect_by(CONFIG_TLS, &layer);
    assert_non_null(scene.carrier);
    assert_string_equal(scene.carrier->peer, "layer");
}

static void a_layer_that_cannot_be_made_closes_the_connection(void **state) {
    const struct carrier_layer layer = {.lay = no_layer};
    char byte;
    (void)state;
    connect_by(CONFIG_TLS, &layer);
    assert_null(scene.carrier);
    assert_int_equal(recv(scene.client, &byte, 1, MSG_DONTWAIT), 0);
}

static void a_tls_listener_without_a_layer_is_refused(void **state) {
    int fd = open_socket(CONFIG_TLS);
    (void)state;
    assert_null(
        carrier_listener_new(scene.reactor.loop, fd, CONFIG_TLS, NULL, on_accepted, &scene));
    assert_int_equal(errno, EPROTONOSUPPORT);
    assert_int_equal(close(fd), 0); /* it is the caller's */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_tcp_listener_hands_out_plain_carriers),
        TEST(a_unix_listener_knows_the_user),
        TEST(a_tls_listener_hands_out_carriers_with_its_layer),
        TEST(a_layer_that_cannot_be_made_closes_the_connection),
        TEST(a_tls_listener_without_a_layer_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
