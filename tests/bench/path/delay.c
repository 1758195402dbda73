/* SPDX-License-Identifier: MIT */
/*
 * delay.c - a delay line: forwards TCP connections over a path of given latency and bandwidth.
 *
 *     delay --to PORT [--port N] [--rtt-ms 50] [--mbit 200] [--queue BYTES] [--window BYTES]
 *
 * Prints the port it listens on. Each direction is a link of --mbit that all connections share,
 * with half of the --rtt-ms; --queue bytes of a connection wait before the link (its socket's
 * receive buffer), and at most --window bytes are on their way to a receiver that does not read.
 *
 * The kernel answers a client's SYN before this program can delay it. So the client's connect
 * returns at once, but what it sends is taken one RTT later, as if it had waited for the
 * handshake; the connection to the server is made when the client's ACK would arrive there. A
 * client that connects and sends a request has the answer after two RTTs, as on a real path. There
 * is no slow start and no loss, which flatters short-lived connections: here, the direct ones.
 *
 * A link is a virtual clock: the connection whose turn it is sends a chunk, which is due at the
 * other side when it has been serialised and the latency has passed. Connections take turns.
 */
#include "tests/bench/path/net.h"

#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/resource.h>

#define CHUNK_MAX   16384
#define AHEAD_NS    300000   /* fewer wake-ups; the times at which chunks are due stay exact */
#define CATCH_UP_NS 20000000 /* how far a link may lag if this program was delayed */

enum kind { KIND_OPEN, KIND_DATA, KIND_EOF };

struct chunk {
    STAILQ_ENTRY(chunk) next;
    struct flow *flow;
    int64_t due_ns;
    uint32_t len, off;
    enum kind kind;
    char data[];
};
STAILQ_HEAD(chunks, chunk);

/* One direction of one connection. */
struct flow {
    struct line *line;
    struct link *link;
    TAILQ_ENTRY(flow) turn;
    struct chunks arrived; /* due, and not yet taken by the receiver */
    size_t on_the_way;     /* bytes read and not yet written */
    int from, to;          /* sockets; -1 while there is none */
    bool readable, waiting /* in its link's turns */, ended, written_eof;
};

/* One connection. */
struct line {
    STAILQ_ENTRY(line) opening;
    struct flow flow[2]; /* [0]: client to server */
    int64_t open_ns;
    size_t references; /* chunks that point here, and callers that still need it */
    bool dead;
};

struct link {
    TAILQ_HEAD(, flow) turns;
    struct chunks air;
    int64_t free_ns; /* when the last chunk has been serialised */
};

static struct {
    uint16_t port, to;
    double rtt_ms, mbit, queue, window;
} config = {.rtt_ms = 50, .mbit = 200, .queue = 524288, .window = 4194304};

static struct link links[2];
static STAILQ_HEAD(, line) opening = STAILQ_HEAD_INITIALIZER(opening);
static int epoll;
static int64_t latency_ns;
static double ns_per_byte;
static size_t chunk_size;

/* ---- Chunks and connections --------------------------------------------------------------------
 * */

static struct chunk *chunk_new(struct flow *flow, enum kind kind, const char *data, size_t len) {
    struct chunk *chunk = malloc(sizeof *chunk + len);
    if (!chunk)
        die("no memory");
    chunk->flow = flow;
    chunk->kind = kind;
    chunk->len = (uint32_t)len;
    chunk->off = 0;
    if (len > 0)
        memcpy(chunk->data, data, len);
    flow->line->references++;
    return chunk;
}

static void line_release(struct line *line) {
    if (--line->references == 0 && line->dead)
        free(line);
}

static void chunk_free(struct chunk *chunk) {
    line_release(chunk->flow->line);
    free(chunk);
}

/* Ends both sides. Chunks still in the air find it dead; the last one frees it. */
static void line_close(struct line *line, bool reset) {
    int fds[2] = {line->flow[0].from, line->flow[0].to};
    line->dead = true;
    line->references++;
    for (int i = 0; i < 2; i++) {
        struct flow *flow = &line->flow[i];
        struct chunk *chunk;
        if (flow->waiting)
            TAILQ_REMOVE(&flow->link->turns, flow, turn);
        while ((chunk = STAILQ_FIRST(&flow->arrived))) {
            STAILQ_REMOVE_HEAD(&flow->arrived, next);
            chunk_free(chunk);
        }
        if (fds[i] >= 0 && reset)
            setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &(struct linger){1, 0},
                       sizeof(struct linger));
        if (fds[i] >= 0)
            close(fds[i]);
    }
    line_release(line);
}

/* Starts an idle link's clock now. A busy link's clock is behind only if this program was not
 * scheduled in time, and may catch up. */
static void link_start(struct link *link, int64_t now) {
    int64_t earliest = TAILQ_EMPTY(&link->turns) ? now : now - CATCH_UP_NS;
    if (link->free_ns < earliest)
        link->free_ns = earliest;
}

/* Queues the flow among those that want to send, if it does. */
static void flow_wait(struct flow *flow) {
    if (flow->waiting || !flow->readable || flow->ended ||
        flow->on_the_way >= (size_t)config.window)
        return;
    flow->waiting = true;
    link_start(flow->link, now_ns());
    TAILQ_INSERT_TAIL(&flow->link->turns, flow, turn);
}

static void watch(struct line *line, int fd) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = line};
    nodelay(fd);
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

/* ---- The links ---------------------------------------------------------------------------------
 * */

/* Puts a chunk into the air: the clock advances by the time that its bytes take. */
static void send_chunk(struct link *link, struct chunk *chunk) {
    link->free_ns += (int64_t)(chunk->len * ns_per_byte);
    chunk->due_ns = link->free_ns + latency_ns;
    STAILQ_INSERT_TAIL(&link->air, chunk, next);
}

/* One turn of a flow. */
static void flow_turn(struct flow *flow) {
    static char data[CHUNK_MAX];
    ssize_t n = recv(flow->from, data, chunk_size, 0);
    if (n > 0) {
        flow->on_the_way += (size_t)n;
        send_chunk(flow->link, chunk_new(flow, KIND_DATA, data, (size_t)n));
    } else if (n == 0) {
        flow->ended = true;
        send_chunk(flow->link, chunk_new(flow, KIND_EOF, NULL, 0));
    } else if (errno == EAGAIN || errno == EINTR) {
        flow->readable = errno == EINTR;
    } else {
        line_close(flow->line, true);
        return;
    }
    flow_wait(flow);
}

static void link_send(struct link *link, int64_t now) {
    struct flow *flow;
    while (link->free_ns <= now + AHEAD_NS && (flow = TAILQ_FIRST(&link->turns))) {
        TAILQ_REMOVE(&link->turns, flow, turn);
        flow->waiting = false;
        flow_turn(flow);
    }
}

/* ---- The far side ------------------------------------------------------------------------------
 * */

static void open_far_side(struct line *line) {
    struct sockaddr_in address = loopback(config.to);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int queue = (int)config.queue;
    if (fd < 0)
        die("socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &queue, sizeof queue);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) {
        close(fd);
        line_close(line, true);
        return;
    }
    line->flow[0].to = line->flow[1].from = fd;
    watch(line, fd);
}

/* Gives the receiver what has arrived for it. */
static void flow_deliver(struct flow *flow) {
    struct chunk *chunk;
    while ((chunk = STAILQ_FIRST(&flow->arrived))) {
        if (chunk->kind == KIND_EOF) {
            shutdown(flow->to, SHUT_WR);
            flow->written_eof = true;
        }
        while (chunk->off < chunk->len) {
            ssize_t n =
                send(flow->to, chunk->data + chunk->off, chunk->len - chunk->off, MSG_NOSIGNAL);
            if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
            if (n < 0) {
                line_close(flow->line, true);
                return;
            }
            chunk->off += (uint32_t)n;
            flow->on_the_way -= (size_t)n;
        }
        STAILQ_REMOVE_HEAD(&flow->arrived, next);
        chunk_free(chunk);
        flow_wait(flow);
    }
    if (flow->line->flow[0].written_eof && flow->line->flow[1].written_eof)
        line_close(flow->line, false);
}

static void link_receive(struct link *link, int64_t now) {
    struct chunk *chunk;
    while ((chunk = STAILQ_FIRST(&link->air)) && chunk->due_ns <= now) {
        struct flow *flow = chunk->flow;
        STAILQ_REMOVE_HEAD(&link->air, next);
        if (flow->line->dead) {
            chunk_free(chunk);
        } else if (chunk->kind == KIND_OPEN) {
            open_far_side(flow->line);
            chunk_free(chunk);
        } else {
            STAILQ_INSERT_TAIL(&flow->arrived, chunk, next);
            flow_deliver(flow);
        }
    }
}

/* ---- The near side -----------------------------------------------------------------------------
 * */

static void accept_all(int listener) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct line *line = calloc(1, sizeof *line);
        if (!line)
            die("no memory");
        for (int i = 0; i < 2; i++) {
            line->flow[i] = (struct flow){.line = line, .link = &links[i], .from = -1, .to = -1};
            STAILQ_INIT(&line->flow[i].arrived);
        }
        line->flow[0].from = line->flow[1].to = fd;
        line->open_ns = now_ns() + 2 * latency_ns;
        STAILQ_INSERT_TAIL(&opening, line, opening);
    }
}

/* One RTT after its SYN: the client's ACK goes out, and what it has sent meanwhile. */
static void open_due(int64_t now) {
    struct line *line;
    while ((line = STAILQ_FIRST(&opening)) && line->open_ns <= now) {
        STAILQ_REMOVE_HEAD(&opening, opening);
        link_start(&links[0], now);
        send_chunk(&links[0], chunk_new(&line->flow[0], KIND_OPEN, NULL, 0));
        watch(line, line->flow[0].from);
    }
}

static void on_event(struct line *line, uint32_t events) {
    for (int i = 0; i < 2; i++) {
        struct flow *flow = &line->flow[i];
        if (flow->from >= 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
            flow->readable = true;
            flow_wait(flow);
        }
    }
    line->references++;
    for (int i = 0; i < 2 && !line->dead; i++)
        if (line->flow[i].to >= 0 && !STAILQ_EMPTY(&line->flow[i].arrived))
            flow_deliver(&line->flow[i]);
    line_release(line);
}

/* ---- The loop ----------------------------------------------------------------------------------
 * */

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* When there is something to do without an event. */
static int64_t next_deadline(void) {
    int64_t at = INT64_MAX;
    if (!STAILQ_EMPTY(&opening))
        at = STAILQ_FIRST(&opening)->open_ns;
    for (int i = 0; i < 2; i++) {
        if (!STAILQ_EMPTY(&links[i].air))
            at = earlier(at, STAILQ_FIRST(&links[i].air)->due_ns);
        if (!TAILQ_EMPTY(&links[i].turns))
            at = earlier(at, links[i].free_ns - AHEAD_NS + 1);
    }
    return at;
}

static int wait_for_events(struct epoll_event *events, int max) {
    int64_t at = next_deadline(), left = at - now_ns();
    if (at == INT64_MAX)
        return epoll_wait(epoll, events, max, -1);
    struct timespec timeout = {left > 0 ? left / NS_PER_S : 0, left > 0 ? left % NS_PER_S : 0};
    return epoll_pwait2(epoll, events, max, &timeout, NULL);
}

static void run(int listener) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[64];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        /* An event may free its connection, so a connection must not have two in one turn. */
        int n = wait_for_events(events, 1);
        for (int i = 0; i < n; i++) {
            if (!events[i].data.ptr)
                accept_all(listener);
            else
                on_event(events[i].data.ptr, events[i].events);
        }
        int64_t now = now_ns();
        open_due(now);
        for (int i = 0; i < 2; i++) {
            link_receive(&links[i], now);
            link_send(&links[i], now);
        }
    }
}

static void parse(int argc, char **argv) {
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"to", required_argument, NULL, 't'},
                                            {"rtt-ms", required_argument, NULL, 'r'},
                                            {"mbit", required_argument, NULL, 'm'},
                                            {"queue", required_argument, NULL, 'q'},
                                            {"window", required_argument, NULL, 'w'},
                                            {0}};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'p':
            config.port = (uint16_t)number("port", optarg, 1);
            break;
        case 't':
            config.to = (uint16_t)number("to", optarg, 1);
            break;
        case 'r':
            config.rtt_ms = number("rtt-ms", optarg, 0);
            break;
        case 'm':
            config.mbit = number("mbit", optarg, 0.001);
            break;
        case 'q':
            config.queue = number("queue", optarg, 4096);
            break;
        case 'w':
            config.window = number("window", optarg, 4096);
            break;
        default:
            exit(2);
        }
    }
    if (!config.to) {
        fprintf(stderr, "delay: expected --to PORT\n");
        exit(2);
    }
}

/* A chunk takes a quarter of a millisecond at most: real links interleave packets. */
static size_t choose_chunk(void) {
    size_t size = (size_t)(250000 / ns_per_byte);
    return size < 1400 ? 1400 : size > CHUNK_MAX ? CHUNK_MAX : size;
}

int main(int argc, char **argv) {
    parse(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1UL);
    /* A real path does not wait for a processor; where allowed, this program does not either. */
    sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1});
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    latency_ns = (int64_t)(config.rtt_ms * 1e6 / 2);
    ns_per_byte = 8e3 / config.mbit;
    chunk_size = choose_chunk();
    for (int i = 0; i < 2; i++) {
        TAILQ_INIT(&links[i].turns);
        STAILQ_INIT(&links[i].air);
    }
    epoll = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_on(config.port, SOCK_NONBLOCK, &config.port), queue = (int)config.queue;
    setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &queue, sizeof queue);
    printf("%u\n", config.port);
    fflush(stdout);
    run(listener);
}
