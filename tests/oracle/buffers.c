/* SPDX-License-Identifier: MIT */
/* buffers.c - writers of every kind with buffers of every size: nothing stalls, nothing is lost. */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

#include "oracle.h"

#define TOTAL (3 * 1024 * 1024 + 17)

static char pattern[TOTAL];

struct reader {
    int fd;
    size_t got;
    bool good;
};

/* Reads in pieces of changing size until the end, and compares. */
static void *read_all(void *argument) {
    struct reader *reader = argument;
    static __thread char buf[70000];
    reader->good = true;
    for (size_t turn = 1;; turn = turn * 7 % 65537) {
        ssize_t n = read(reader->fd, buf, turn);
        if (n <= 0)
            break;
        if (reader->got + (size_t)n > TOTAL || memcmp(buf, pattern + reader->got, (size_t)n) != 0)
            reader->good = false;
        reader->got += (size_t)n;
    }
    return NULL;
}

typedef ssize_t send_some(int fd, size_t at, size_t len);

static int pipes[2], file;

static ssize_t by_write(int fd, size_t at, size_t len) {
    return write(fd, pattern + at, len);
}

static ssize_t by_small_writes(int fd, size_t at, size_t len) {
    return write(fd, pattern + at, len < 1500 ? len : 1500);
}

static ssize_t by_sendfile(int fd, size_t at, size_t len) {
    off_t offset = (off_t)at;
    return sendfile(fd, file, &offset, len);
}

static ssize_t by_splice(int fd, size_t at, size_t len) {
    static size_t in_pipe;
    if (in_pipe == 0) {
        ssize_t n = write(pipes[1], pattern + at, len < 60000 ? len : 60000);
        if (n <= 0)
            return n;
        in_pipe = (size_t)n;
    }
    ssize_t n = splice(pipes[0], NULL, fd, NULL, in_pipe, 0);
    if (n > 0)
        in_pipe -= (size_t)n;
    return n;
}

/* Sends everything; waits with poll if the socket is non-blocking. */
static size_t send_all(int fd, send_some *some) {
    size_t sent = 0;
    while (sent < TOTAL) {
        ssize_t n = some(fd, sent, TOTAL - sent);
        if (n > 0)
            sent += (size_t)n;
        else if (n < 0 && errno == EAGAIN && wait_for(fd, POLLOUT))
            continue;
        else
            break;
    }
    return sent;
}

static void transfer(const char *how, send_some *some, int flags, int option, int size,
                     const struct server *server) {
    int fd = tcp_socket(0);
    if (size)
        setsockopt(fd, SOL_SOCKET, option, &size, sizeof size);
    if (connect_to(fd, server) != 0)
        die("connect");
    struct reader reader = {.fd = accept(server->fd, NULL, NULL)};
    pthread_t thread;
    char name[100];
    pthread_create(&thread, NULL, read_all, &reader);
    fcntl(fd, F_SETFL, flags);
    size_t sent = send_all(fd, some);
    close(fd);
    pthread_join(thread, NULL);
    close(reader.fd);
    snprintf(name, sizeof name, "%s, %s, %s of %d", how, flags ? "non-blocking" : "blocking",
             option == SO_SNDBUF ? "SO_SNDBUF" : "SO_RCVBUF", size);
    observe(name, "sent %d arrived %d good %d", sent == TOTAL, reader.got == TOTAL, reader.good);
}

/* The other direction: the target sends, and we read with a small receive buffer. */
static void receive(int size, const struct server *server) {
    int fd = tcp_socket(0);
    char name[60];
    if (size)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    connect_to(fd, server);
    int accepted = accept(server->fd, NULL, NULL);
    struct reader reader = {.fd = fd};
    pthread_t thread;
    pthread_create(&thread, NULL, read_all, &reader);
    size_t sent = send_all(accepted, by_write);
    close(accepted);
    pthread_join(thread, NULL);
    close(fd);
    snprintf(name, sizeof name, "receiving with SO_RCVBUF of %d", size);
    observe(name, "sent %d arrived %d good %d", sent == TOTAL, reader.got == TOTAL, reader.good);
}

/* Very many very small pieces, each charged far more than its size; with or without poll before
 * each. */
static void transfer_small(const char *how, send_some *some, size_t piece, bool polls, int size,
                           const struct server *server) {
    const size_t total = 30000 * piece;
    struct pair pair = connected_pair(server, 0);
    struct reader reader = {.fd = pair.accepted};
    pthread_t thread;
    char name[100];
    size_t sent = 0;
    if (size)
        setsockopt(pair.client, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    pthread_create(&thread, NULL, read_all, &reader);
    while (sent < total && (!polls || wait_for(pair.client, POLLOUT))) {
        ssize_t n = some(pair.client, sent, piece);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    close(pair.client);
    pthread_join(thread, NULL);
    close(reader.fd);
    snprintf(name, sizeof name, "%s of %zu bytes%s, SO_SNDBUF of %d", how, piece,
             polls ? ", poll before each" : "", size);
    observe(name, "sent %d arrived %d good %d", sent == total, reader.got == total, reader.good);
}

static void transfer_all_small(const struct server *server) {
    static const size_t pieces[] = {1, 8, 12, 20};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        for (int polls = 0; polls < 2; polls++) {
            transfer_small("write", by_write, pieces[i], polls, 0, server);
            transfer_small("write", by_write, pieces[i], polls, 4000, server);
            transfer_small("sendfile", by_sendfile, pieces[i], polls, 0, server);
        }
}

int main(void) {
    static const struct {
        const char *name;
        send_some *some;
    } kinds[] = {{"write", by_write},
                 {"small writes", by_small_writes},
                 {"sendfile", by_sendfile},
                 {"splice", by_splice}};
    static const int sizes[] = {0, 1, 5000, 40000, 600000};
    struct server server = serve();
    for (size_t i = 0; i < TOTAL; i++)
        pattern[i] = (char)(i * 2654435761u >> 13);
    file = memfd_create("oracle", MFD_CLOEXEC);
    if (pipe(pipes) != 0 || write(file, pattern, TOTAL) != TOTAL)
        die("preparation");
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++)
        for (size_t size = 0; size < sizeof sizes / sizeof *sizes; size++)
            for (int flags = 0; flags <= O_NONBLOCK; flags += O_NONBLOCK)
                transfer(kinds[kind].name, kinds[kind].some, flags, SO_SNDBUF, sizes[size],
                         &server);
    for (size_t size = 0; size < sizeof sizes / sizeof *sizes; size++)
        receive(sizes[size], &server);
    transfer_all_small(&server);
    return 0;
}
