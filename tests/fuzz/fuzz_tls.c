/* SPDX-License-Identifier: MIT
 *
 * TLS carriers and what strangers send: a server that trusts by secrets, by pins or by
 * certificates, and a client of each kind with a gateway that lies.
 *
 * The first byte of the input chooses the kind, the side and whether bytes are a stranger's own or
 * those of an honest peer with changes on the way; the second one, in what pieces they arrive. Who
 * lacks the key never gets through; whatever is changed, what can be read is a beginning of what
 * was said, and a cut never looks like an end. Keys and randomness are the same in each run.
 */
#include <errno.h>
#include <openssl/rand.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz_check.h"
#include "helper/carrier/carrier_tls.h"
#include "helper/carrier/tls_key.h"
#include "helper/net/log.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* a generator of one's own */

#define ROOM (1u << 17)
#define SAID 20000u
#define NAME "gateway.test"

/* ---- The same randomness each time ---- */

static uint64_t random_state;

static int random_bytes(unsigned char *out, int len) {
    for (int i = 0; i < len; i++) {
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        out[i] = (unsigned char)(random_state >> 24);
    }
    return 1;
}

static int random_status(void) {
    return 1;
}

static void same_randomness(void) {
    static const RAND_METHOD method = {
        .bytes = random_bytes, .pseudorand = random_bytes, .status = random_status};
    random_state = UINT64_C(0x9e3779b97f4a7c15);
    RAND_set_rand_method(&method);
}

/* ---- Below: bytes that the fuzzer passes on ---- */

struct lower {
    struct carrier carrier;
    size_t in_off, in_len, out_len;
    bool ended; /* nothing comes behind what is in `in` */
    uint8_t in[ROOM], out[ROOM];
};

static struct lower *lower_of(struct carrier *carrier) {
    return container_of(carrier, struct lower, carrier);
}

static int lower_start(struct carrier *carrier) {
    carrier_has_started(carrier);
    return 0;
}

static ssize_t lower_read(struct carrier *carrier, void *data, size_t len) {
    struct lower *l = lower_of(carrier);
    size_t n = l->in_len - l->in_off < len ? l->in_len - l->in_off : len;
    if (n == 0 && l->ended)
        return 0;
    memcpy(data, l->in + l->in_off, n);
    l->in_off += n;
    errno = EAGAIN;
    return n ? (ssize_t)n : -1;
}

static ssize_t lower_writev(struct carrier *carrier, const struct iovec *iov, int iovcnt) {
    struct lower *l = lower_of(carrier);
    size_t done = 0;
    for (int i = 0; i < iovcnt; i++) {
        size_t n = ROOM - l->out_len < iov[i].iov_len ? ROOM - l->out_len : iov[i].iov_len;
        memcpy(l->out + l->out_len, iov[i].iov_base, n);
        l->out_len += n;
        done += n;
    }
    errno = EAGAIN;
    return done ? (ssize_t)done : -1;
}

static uint32_t lower_keep_short(struct carrier *carrier, bool on) {
    (void)carrier;
    return on ? 65536 : UINT32_MAX;
}

static void lower_close(struct carrier *carrier) {
    (void)carrier;
}

static void lower_free(struct carrier *carrier) {
    free(lower_of(carrier));
}

static const struct carrier_ops lower_ops = {.start = lower_start,
                                             .read = lower_read,
                                             .writev = lower_writev,
                                             .short_read_drains = true,
                                             .keep_short = lower_keep_short,
                                             .close = lower_close,
                                             .free = lower_free};

/* ---- One side ---- */

static struct loop *loop;

struct side {
    struct lower *lower;
    struct carrier *carrier;
    bool failed, heard_end;
    size_t got; /* bytes of what the other one said */
};

static uint8_t said_at(size_t i) {
    return (uint8_t)(i * 2654435761u >> 16);
}

/* Whatever has come, in order, from the beginning. */
static void read_all(struct side *side) {
    uint8_t bytes[5000];
    ssize_t n = 0;
    while (!side->failed && carrier_is_ready(side->carrier) &&
           (n = carrier_read(side->carrier, bytes, sizeof bytes)) > 0)
        for (ssize_t i = 0; i < n; i++)
            MUST(bytes[i] == said_at(side->got++));
    side->heard_end |= n == 0 && !side->failed && carrier_is_ready(side->carrier);
}

static void on_ready(struct carrier *carrier) {
    (void)carrier;
}

static void on_failed(struct carrier *carrier, const char *why) {
    struct side *side = carrier->user;
    fuzz_check_message(why, strlen(why) + 1);
    MUST(strlen(why) < CARRIER_WHY_SIZE && !side->failed);
    side->failed = true;
}

static void on_events(struct carrier *carrier, uint8_t events) {
    if (events & (EVENT_READ | EVENT_EOF))
        read_all(carrier->user);
}

static const struct carrier_user user = {
    .ready = on_ready, .failed = on_failed, .events = on_events, .ended = on_ready};

static void turns(int count) {
    while (count-- > 0)
        MUST(loop_turn(loop, 0) == 0);
}

static void start(struct side *side, struct tls_context *context) {
    memset(side, 0, sizeof *side);
    side->lower = calloc(1, sizeof *side->lower);
    MUST(side->lower);
    carrier_init(&side->lower->carrier, &lower_ops, loop, "fuzz");
    side->carrier = carrier_tls_new(&side->lower->carrier, context,
                                    tls_context_is_server(context) ? NULL : NAME);
    MUST(side->carrier);
    MUST(carrier_start(side->carrier, &user, side, 3600000000u) == 0);
    turns(1);
}

/* Bytes arrive. Those that the carrier has read make room. */
static void arrive(struct side *side, const uint8_t *data, size_t len) {
    struct lower *l = side->lower;
    memmove(l->in, l->in + l->in_off, l->in_len - l->in_off);
    l->in_len -= l->in_off;
    l->in_off = 0;
    len = len < ROOM - l->in_len ? len : ROOM - l->in_len;
    memcpy(l->in + l->in_len, data, len);
    l->in_len += len;
    if (!side->failed)
        carrier_tell(&l->carrier, EVENT_READ | EVENT_WRITE);
    turns(1);
}

/* Nothing more arrives: it must have been noticed. */
static void cut(struct side *side) {
    side->lower->ended = true;
    if (!side->failed)
        carrier_tell(&side->lower->carrier, EVENT_READ | EVENT_EOF);
    turns(10);
    read_all(side);
    MUST(side->failed || carrier_is_ready(side->carrier));
    if (!side->failed && !side->heard_end) {
        char byte;
        MUST(carrier_read(side->carrier, &byte, 1) < 0 && errno != EAGAIN);
    }
}

static void finish(struct side *side) {
    carrier_close(side->carrier);
    turns(2);
}

/* ---- Who trusts by what ---- */

enum kind { BY_SECRET, BY_PIN, BY_CERTIFICATE, KINDS };

static struct tls_context *contexts[KINDS][2]; /* of the client, of the server */

static void write_secret(const char *file) {
    static const char line[] = "laptop:000102030405060708090a0b0c0d0e0f\n";
    FILE *out = fopen(file, "w");
    MUST(out && fputs(line, out) >= 0 && fclose(out) == 0);
}

static struct tls_context *make(enum kind kind, bool server, const char *secret,
                                const char *const key[2], const char *const pin[2]) {
    char why[400];
    struct tls_settings settings = {.server = server};
    if (kind == BY_SECRET)
        settings.psk = secret;
    else
        settings.key = key[server];
    if (kind == BY_PIN)
        settings.pins = pin[!server];
    if (kind == BY_CERTIFICATE)
        settings.ca = key[!server];
    struct tls_context *context = tls_context_new(&settings, why, sizeof why);
    if (!context)
        fprintf(stderr, "%s\n", why);
    MUST(context);
    return context;
}

static void make_all(void) {
    char folder[] = "/tmp/smux-fuzz.XXXXXX", secret[60], file[2][60], why[400];
    char pin[2][TLS_PIN_SIZE];
    const char *const files[2] = {file[0], file[1]}, *const pins[2] = {pin[0], pin[1]};
    MUST(mkdtemp(folder));
    umask(077);
    log_set_level(-1);
    snprintf(secret, sizeof secret, "%s/secret", folder);
    write_secret(secret);
    for (int i = 0; i < 2; i++) {
        snprintf(file[i], sizeof file[i], "%s/key%d", folder, i);
        MUST(tls_key_create(file[i], NAME, pin[i], why, sizeof why));
    }
    for (int kind = 0; kind < KINDS; kind++)
        for (int server = 0; server < 2; server++)
            contexts[kind][server] = make((enum kind)kind, server, secret, files, pins);
    unlink(secret);
    unlink(file[0]);
    unlink(file[1]);
    rmdir(folder);
    loop = loop_new();
    MUST(loop);
}

/* ---- The input ---- */

struct input {
    const uint8_t *data;
    size_t len;
    uint64_t pieces; /* decides how long the next one is */
    unsigned count;  /* of pieces so far */
};

static unsigned take(struct input *input, int bytes) {
    unsigned value = 0;
    for (; bytes > 0; bytes--) {
        value = value << 8 | (input->len ? *input->data : 0);
        input->data += input->len ? 1 : 0;
        input->len -= input->len ? 1 : 0;
    }
    return value;
}

/* At most `len`, as the input wants; once there have been many, all of it. */
static size_t next_piece(struct input *input, size_t len) {
    static const size_t sizes[] = {1, 3, 5, 100, 1000, 4096, SIZE_MAX, SIZE_MAX};
    size_t n = input->count++ < 300 ? sizes[input->pieces & 7] : len;
    input->pieces = input->pieces >> 3 | input->pieces << 61;
    return n < len ? n : len;
}

static void arrive_in_pieces(struct input *input, struct side *side, const uint8_t *data,
                             size_t len) {
    for (size_t n; len > 0; data += n, len -= n) {
        n = next_piece(input, len);
        arrive(side, data, n);
    }
}

/* ---- A stranger's own bytes ---- */

static void run_stranger(struct input *input, struct tls_context *context) {
    struct side side;
    start(&side, context);
    arrive_in_pieces(input, &side, input->data, input->len);
    MUST(!carrier_is_ready(side.carrier));
    cut(&side);
    MUST(side.failed);
    MUST(!*carrier_identity(side.carrier));
    finish(&side);
}

/* ---- An honest peer's, changed on the way ---- */

static uint8_t on_the_way[ROOM];

/* Changes of one flight of bytes: each is a position, what is done there, and a value. */
static size_t change(struct input *input, size_t len, bool *changed) {
    unsigned count = take(input, 1) % 4;
    for (unsigned i = 0; i < count && len > 0; i++) {
        size_t at = take(input, 2) % len, n = take(input, 1), what = n & 3;
        uint8_t value = (uint8_t)take(input, 1);
        uint8_t *byte = on_the_way + at;
        n = (n >> 2) + 1;
        if (what == 0) { /* another byte */
            *changed |= *byte != value;
            *byte = value;
        } else if (what == 1) { /* some are missing */
            n = n < len - at ? n : len - at;
            memmove(byte, byte + n, len - at - n);
            len -= n;
            *changed = true;
        } else if (what == 2 && len + n <= ROOM) { /* some are between */
            memmove(byte + n, byte, len - at);
            memset(byte, value, n);
            len += n;
            *changed = true;
        } else if (2 * len <= ROOM) { /* all of it comes twice */
            memcpy(on_the_way + len, on_the_way, len);
            len *= 2;
            *changed = true;
        }
    }
    return len;
}

/* What the first one has written arrives at the other, with changes if `input` has any. */
static bool pass_on(struct input *input, struct side *from, struct side *to, bool *changed) {
    size_t len = from->lower->out_len;
    if (len == 0)
        return false;
    memcpy(on_the_way, from->lower->out, len);
    from->lower->out_len = 0;
    if (changed)
        len = change(input, len, changed);
    arrive_in_pieces(input, to, on_the_way, len);
    return true;
}

/* False: this side has heard already that the other one refuses it. */
static bool say_all(struct side *side) {
    static uint8_t bytes[SAID];
    for (size_t i = 0; i < SAID; i++)
        bytes[i] = said_at(i);
    if (side->failed || !carrier_is_ready(side->carrier))
        return false;
    if (carrier_writev(side->carrier, &(struct iovec){bytes, SAID}, 1) != SAID)
        return false;
    carrier_shutdown(side->carrier, 1000000);
    return true;
}

static void expect_identity(const struct side *side, enum kind kind) {
    static const char *const names[] = {
        [BY_SECRET] = "psk:laptop", [BY_PIN] = "pin:sha256//", [BY_CERTIFICATE] = "cert:CN="};
    const char *name = names[kind];
    MUST(strncmp(carrier_identity(side->carrier), name, strlen(name)) == 0);
}

static void run_altered(struct input *input, enum kind kind, bool server) {
    struct side peer, side;
    bool changed = false;
    start(&peer, contexts[kind][!server]);
    start(&side, contexts[kind][server]);
    for (int i = 0; i < 6; i++) {
        pass_on(input, &peer, &side, &changed);
        pass_on(input, &side, &peer, NULL);
    }
    if (!changed)
        MUST(carrier_is_ready(side.carrier) && carrier_is_ready(peer.carrier));
    if (!side.failed && carrier_is_ready(side.carrier))
        expect_identity(&side, kind);
    MUST(say_all(&peer) || changed);
    while (pass_on(input, &peer, &side, &changed))
        ;
    cut(&side);
    if (side.heard_end)
        MUST(side.got == SAID);
    if (!changed)
        MUST(side.heard_end);
    finish(&side);
    finish(&peer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size, 0, 0};
    same_randomness();
    if (!loop)
        make_all();
    unsigned how = take(&input, 1);
    enum kind kind = (enum kind)(how % KINDS);
    bool server = !(how / 4 & 1), own = how / 8 & 1;
    input.pieces = (uint64_t)take(&input, 2) * UINT64_C(0x1000100010001);
    if (own)
        run_stranger(&input, contexts[kind][server]);
    else
        run_altered(&input, kind, server);
    return 0;
}
