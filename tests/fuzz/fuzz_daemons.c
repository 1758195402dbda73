/* SPDX-License-Identifier: MIT */
/* Sequences of events in a whole helper and a whole gateway in this process.
 *
 * The first byte chooses the helper's gateway (ours, or one played by the script), its route and
 * the versions. Then each byte is a step, followed by its arguments: programs connect (with good
 * and with mangled requests), talk and end in every way; so do targets; carriers to either daemon
 * send well-formed frames, SOCKS messages or any bytes, and are cut. Checked: no memory error
 * (sanitizers), no leak, no invalid state transition, and that both daemons can be shut down. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/common/helper_protocol.h"
#include "fuzz_check.h"
#include "helper/client/helper.h"
#include "helper/client/name_table.h"
#include "helper/client/shim_listener.h"
#include "helper/gateway/gateway.h"
#include "helper/net/log.h"
#include "helper/net/state_table.h"

#define SLOTS     4
#define STEPS_MAX 300

enum peer { TO_GATEWAY, TO_HELPER, PEERS };

static struct world {
    struct helper helper;
    struct reactor reactor; /* of the gateway */
    struct gateway_config gateway_config;
    struct gateway *gateway;
    int target_listener, peer_listener; /* the latter: a gateway played by the script */
    uint16_t target_port, gateway_port, peer_port;
    int app[SLOTS], target[SLOTS], peer[PEERS];
    uint8_t version; /* of the frames that the script sends */
    bool stopped;
    const uint8_t *input;
    size_t left;
} w;

static char folder[64], socket_path[100];

static uint8_t next(void) {
    if (!w.left)
        return 0;
    w.left--;
    return *w.input++;
}

/* Fewer than `limit` bytes of the script. */
static size_t take_bytes(uint8_t *to, size_t limit) {
    size_t len = next() % limit;
    for (size_t i = 0; i < len; i++)
        to[i] = next();
    return len;
}

/* ---- Sockets of the script ---- */

static int listener(uint16_t *port) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    MUST(fd >= 0 && bind(fd, (struct sockaddr *)&in, len) == 0 && listen(fd, 64) == 0);
    MUST(getsockname(fd, (struct sockaddr *)&in, &len) == 0);
    *port = ntohs(in.sin_port);
    return fd;
}

static void close_slot(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void reset_slot(int *fd) {
    struct linger linger = {.l_onoff = 1};
    if (*fd >= 0)
        setsockopt(*fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close_slot(fd);
}

static void accept_into(int *fd, int from) {
    int fresh = accept4(from, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fresh < 0)
        return;
    close_slot(fd);
    *fd = fresh;
}

static void say(int fd, size_t len) {
    static const uint8_t bytes[300000] = {'a', 'b'};
    if (fd >= 0)
        (void)!send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void hear(int fd, size_t len) {
    static uint8_t bytes[300000];
    if (fd >= 0)
        (void)!recv(fd, bytes, len, MSG_DONTWAIT);
}

static size_t amount(void) {
    static const size_t sizes[] = {1, 2, 20, 1000, 5000, 65536, 200000, 300000};
    return sizes[next() % 8];
}

/* ---- Programs ---- */

/* The request and its gate, with some bytes changed by the script, and the descriptor. */
static void send_request(int fd, const struct helper_request *request, int passed) {
    static uint8_t gate[HELPER_GATE_LEN];
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec iov = {gate, HELPER_GATE_CHUNK};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    memset(gate, 0, sizeof gate);
    memcpy(gate, request, sizeof *request);
    for (uint8_t changes = next() % 8; changes > 5; changes--)
        gate[next() % (sizeof *request + 8)] = next();
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &passed, sizeof passed);
    if (passed < 0)
        msg.msg_control = NULL, msg.msg_controllen = 0;
    uint8_t cut = next();
    if (cut > 250)
        iov.iov_len = cut - 250;
    (void)!sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (cut <= 240)
        (void)!send(fd, gate + HELPER_GATE_CHUNK, HELPER_GATE_CHUNK, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void program_connects(int *slot) {
    static uint64_t id;
    struct sockaddr_un name;
    socklen_t len = helper_path_name(&name, socket_path);
    int sndbuf = HELPER_GATE_SNDBUF, kind = next();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct helper_request request = {.magic = HELPER_PROTOCOL_MAGIC,
                                     .version = HELPER_PROTOCOL_VERSION,
                                     .size = sizeof request,
                                     .id = ++id,
                                     .kind = HELPER_REQUEST_CONNECT,
                                     .flags = kind & 1 ? HELPER_LINGER_RESET : 0,
                                     .family = AF_INET,
                                     .dest = {AF_INET, w.target_port, 0, {127, 0, 0, 1}}};
    MUST(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof sndbuf);
    if (connect(fd, (struct sockaddr *)&name, len) != 0) {
        close(fd);
        return;
    }
    if (kind % 16 == 15)
        request.dest.port = 1; /* refuses */
    if (kind % 16 == 14)
        request.kind = (uint16_t)(next() % 6);
    send_request(fd, &request, kind % 16 == 13 ? -1 : kind % 16 == 12 ? w.target_listener : fd);
    close_slot(slot);
    *slot = fd;
}

static void program_sends_descriptor(int fd) {
    char space[CMSG_SPACE(sizeof(int))] = {0}, byte = 'x';
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (fd < 0)
        return;
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &w.target_listener, sizeof(int));
    (void)!sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* ---- Carriers ---- */

static void peer_connects(void) {
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons(w.gateway_port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    /* A full backlog, which the gateway empties only in its next turn, must not block. */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    MUST(fd >= 0);
    if (connect(fd, (struct sockaddr *)&in, sizeof in) != 0 && errno != EINPROGRESS) {
        close(fd);
        return;
    }
    close_slot(&w.peer[TO_GATEWAY]);
    w.peer[TO_GATEWAY] = fd;
}

static void say_frame(int fd, uint8_t command, uint32_t stream, const void *data, size_t len) {
    uint8_t frame[8 + 65536] = {w.version, command, (uint8_t)len, (uint8_t)(len >> 8)};
    for (int i = 0; i < 4; i++)
        frame[4 + i] = (uint8_t)(stream >> 8 * i);
    if (len)
        memcpy(frame + 8, data, len);
    if (fd >= 0)
        (void)!send(fd, frame, 8 + len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static uint32_t stream_id(void) {
    uint8_t byte = next();
    return byte < 250 ? 3 + 2 * (uint32_t)(byte % 6) : UINT32_MAX - (uint32_t)(byte - 250);
}

static void peer_says_bytes(int fd, uint8_t command) {
    uint8_t data[32];
    uint32_t stream = stream_id();
    size_t len = take_bytes(data, sizeof data);
    say_frame(fd, command, stream, data, len);
}

static void peer_says_much(int fd) {
    static const uint8_t data[65535];
    say_frame(fd, 2, stream_id(), data, amount() % sizeof data);
}

/* Sends the gateway a request for the target, or the helper the answer to one. */
static void peer_says_socks(enum peer peer) {
    uint8_t request[] = {5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, 0, 0};
    uint8_t answer[] = {5, 0, 5, 0, 0, 1, 127, 0, 0, 1, 0, 9, 'x', 'y'};
    uint32_t stream = stream_id();
    request[11] = (uint8_t)(w.target_port >> 8);
    request[12] = (uint8_t)w.target_port;
    answer[3] = next() % 4 ? 0 : next() % 12;
    if (peer == TO_GATEWAY)
        say_frame(w.peer[peer], 0, stream, NULL, 0);
    if (peer == TO_GATEWAY)
        say_frame(w.peer[peer], 2, stream, request, sizeof request);
    else
        say_frame(w.peer[peer], 2, stream, answer, sizeof answer - next() % 4);
}

static void peer_says_raw(int fd) {
    uint8_t data[64];
    size_t len = take_bytes(data, sizeof data);
    if (fd >= 0)
        (void)!send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void peer_updates_window(int fd) {
    uint8_t data[8] = {0, 0, next(), next(), 0, 0, next(), 0};
    say_frame(fd, 4, stream_id(), data, sizeof data);
}

/* ---- Steps ---- */

static void turn(bool helper, bool gateway, int times) {
    for (int i = 0; i < times; i++) {
        if (helper)
            MUST(loop_turn(w.helper.reactor.loop, 0) == 0);
        if (gateway)
            MUST(loop_turn(w.reactor.loop, 0) == 0);
    }
}

/* The steps that programs and targets share; 0 and 5 are specific to each. */
static void socket_step(uint8_t what, int *fd) {
    switch (what % 8) {
    case 1:
        say(*fd, amount());
        break;
    case 2:
        hear(*fd, amount());
        break;
    case 3:
        if (*fd >= 0)
            shutdown(*fd, next() % 3);
        break;
    case 4:
        close_slot(fd);
        break;
    case 6:
        if (*fd >= 0)
            (void)!send(*fd, "!", 1, MSG_OOB | MSG_NOSIGNAL | MSG_DONTWAIT);
        break;
    default:
        turn(true, true, 4);
    }
}

static void program_step(uint8_t what, int *fd) {
    if (what % 8 == 0)
        program_connects(fd);
    else if (what % 8 == 5)
        program_sends_descriptor(*fd);
    else
        socket_step(what, fd);
}

static void target_step(uint8_t what, int *fd) {
    if (what % 8 == 0)
        accept_into(fd, w.target_listener);
    else if (what % 8 == 5)
        reset_slot(fd);
    else
        socket_step(what, fd);
}

static void peer_step(uint8_t what, enum peer peer) {
    int *fd = &w.peer[peer];
    switch (what % 16) {
    case 0:
        if (peer == TO_GATEWAY)
            peer_connects();
        else
            accept_into(fd, w.peer_listener);
        break;
    case 1:
    case 2:
        peer_says_socks(peer);
        break;
    case 3:
    case 4:
        peer_says_bytes(*fd, 2);
        break;
    case 5:
        peer_says_bytes(*fd, next() % 6);
        break;
    case 6:
        say_frame(*fd, 1, stream_id(), NULL, 0);
        break;
    case 7: /* a reset, or something that only looks like one */
        say_frame(*fd, 3, stream_id(), NULL, 0);
        break;
    case 8: /* the hello of PROTOCOL.md */
        say_frame(*fd, 1, UINT32_MAX, NULL, 0);
        break;
    case 9:
        peer_says_much(*fd);
        break;
    case 10:
        peer_updates_window(*fd);
        break;
    case 11:
        peer_says_raw(*fd);
        break;
    case 12:
        hear(*fd, 300000);
        break;
    case 13:
        close_slot(fd);
        break;
    case 14:
        reset_slot(fd);
        break;
    default:
        turn(true, true, 4);
    }
}

static void step(void) {
    uint8_t byte = next();
    switch (byte >> 5) {
    case 0:
        turn(true, false, 1 + byte % 4);
        break;
    case 1:
        turn(false, true, 1 + byte % 4);
        break;
    case 2:
        turn(true, true, 1 + byte % 8);
        break;
    case 3:
    case 4:
        program_step(byte, &w.app[byte >> 3 & 3]);
        break;
    case 5:
        target_step(byte, &w.target[byte >> 3 & 3]);
        break;
    case 6:
        peer_step(byte, TO_GATEWAY);
        break;
    default:
        peer_step(byte, TO_HELPER);
    }
    MUST(state_wrong_moves == 0);
}

/* ---- Life ---- */

static void stop(struct helper *helper) {
    (void)helper;
    w.stopped = true;
}

static void no_way(struct helper *helper) {
    (void)helper;
}

static void begin_gateway(void) {
    struct config_error error;
    const char *why;
    char allow[40];
    gateway_config_init(&w.gateway_config);
    snprintf(allow, sizeof allow, "127.0.0.1:%u", w.target_port);
    MUST(gateway_config_set(&w.gateway_config, "allow", allow, &error));
    MUST(reactor_init(&w.reactor) == 0);
    w.gateway = gateway_new(&w.reactor, &w.gateway_config, &why);
    MUST(w.gateway);
    MUST(gateway_listen(w.gateway, listener(&w.gateway_port), CONFIG_TCP, NULL) == 0);
}

static void begin_helper(uint8_t options) {
    struct config *config = malloc(sizeof *config);
    struct config_error error;
    const char *why;
    char text[600];
    int len =
        snprintf(text, sizeof text,
                 "[gateway main]\naddress = tcp://127.0.0.1:%u\nversion = %d\n"
                 "[route test]\ndestinations = 127.0.0.1:*\ngateway = main\n"
                 "connect = %s\nhandshake = %s\non-failure = %s\n"
                 "[helper]\nsocket = %s\n",
                 options & 1 ? w.peer_port : w.gateway_port, options & 2 ? 1 : 2,
                 options & 4 ? "eager" : "confirm", options & 8 && options & 1 ? "none" : "socks5",
                 options & 16 ? "direct" : "refuse", socket_path);
    MUST(config);
    config_init(config);
    if (!config_parse(config, "fuzz", text, (size_t)len, &error)) {
        fprintf(stderr, "%s\n", error.text);
        abort();
    }
    MUST(helper_init(&w.helper, config, &why));
    w.helper.stop = stop;
    w.helper.give_way = no_way;
    w.helper.admission.own = geteuid();
    w.helper.conns.names = name_table_new(socket_path, &config->names, geteuid());
    w.helper.local =
        shim_listener_new(&w.helper.conns, &w.helper.watches, &w.helper.admission, socket_path);
    MUST(w.helper.local);
    w.version = options & 2 ? 1 : 2;
}

static void remove_folder(void) {
    static const char *const names[] = {"smuxshim-helper.sock", "smuxshim-names",
                                        "smuxshim-names.next"};
    char path[120];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

static void make_folder(void) {
    if (folder[0])
        return;
    snprintf(folder, sizeof folder, "/tmp/smuxshim-fuzz.XXXXXX");
    MUST(mkdtemp(folder));
    atexit(remove_folder);
    snprintf(socket_path, sizeof socket_path, "%s/smuxshim-helper.sock", folder);
    log_set_level(-1);
}

static void end(void) {
    for (int i = 0; i < SLOTS; i++) {
        close_slot(&w.app[i]);
        close_slot(&w.target[i]);
    }
    turn(true, true, 3);
    shim_listener_free(w.helper.local);
    helper_fini(&w.helper);
    for (int i = 0; i < PEERS; i++)
        close_slot(&w.peer[i]);
    turn(false, true, 2);
    gateway_free(w.gateway);
    MUST(w.reactor.pool.used_count == 0);
    reactor_fini(&w.reactor);
    close(w.target_listener);
    close(w.peer_listener);
    MUST(state_wrong_moves == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    make_folder();
    memset(&w, 0, sizeof w);
    memset(w.app, -1, sizeof w.app);
    memset(w.target, -1, sizeof w.target);
    memset(w.peer, -1, sizeof w.peer);
    state_wrong_moves = 0;
    w.input = data;
    w.left = size;
    w.target_listener = listener(&w.target_port);
    w.peer_listener = listener(&w.peer_port);
    uint8_t options = next();
    begin_gateway();
    begin_helper(options);
    for (int i = 0; i < STEPS_MAX && w.left; i++)
        step();
    end();
    return 0;
}
