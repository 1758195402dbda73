/* SPDX-License-Identifier: MIT */
/* Ends within microseconds of the connect: one side sends something, or nothing, and closes or
 * resets at once; the other reads until the end. Eight connections at a time, some hundred of each
 * kind (or as many as the argument says); all connections of a kind must end alike. */
#include <pthread.h>

#include "oracle.h"

#define CLIENTS 8

static const size_t lengths[] = {0, 5, 12, 30000};

/* One kind of end, and the outcomes of its connections. */
struct kind {
    int family;
    bool by_server, reset;
    size_t length;
    int total, begun, complete, cut, no_end, failed;
    struct sockaddr_storage addr;
    socklen_t addr_len;
    int listener;
    pthread_mutex_t lock;
};

/* Listens with a backlog for all: a connection that is reset before it is queued is never
 * accepted. */
static void listen_at(struct kind *kind) {
    struct sockaddr_in *in = (struct sockaddr_in *)&kind->addr;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&kind->addr;
    kind->addr.ss_family = (sa_family_t)kind->family;
    if (kind->family == AF_INET)
        in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        in6->sin6_addr = in6addr_loopback;
    kind->addr_len = kind->family == AF_INET ? sizeof *in : sizeof *in6;
    kind->listener = socket(kind->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(kind->listener, (struct sockaddr *)&kind->addr, kind->addr_len) != 0 ||
        listen(kind->listener, kind->total) != 0 ||
        getsockname(kind->listener, (struct sockaddr *)&kind->addr, &kind->addr_len) != 0)
        die("server");
}

static void speak_and_end(const struct kind *kind, int fd) {
    static const char bytes[65536];
    if (kind->length && send(fd, bytes, kind->length, MSG_NOSIGNAL) != (ssize_t)kind->length)
        perror("send");
    if (kind->reset)
        reset_close(fd);
    else
        close(fd);
}

/* Reads to the end and counts what kind it was. `was_reset`: connect has already reported a
 * reset. */
static void listen_to_end(struct kind *kind, int fd, bool was_reset) {
    char buf[4096];
    size_t got = 0;
    ssize_t n = 0;
    int waited;
    while ((waited = wait_for(fd, POLLIN)) && (n = recv(fd, buf, sizeof buf, 0)) > 0)
        got += (size_t)n;
    was_reset |= n < 0 && errno == ECONNRESET;
    close(fd);
    pthread_mutex_lock(&kind->lock);
    if (!waited)
        kind->no_end++;
    else if (was_reset != kind->reset)
        kind->failed++;
    else if (got == kind->length)
        kind->complete++;
    else
        kind->cut++;
    pthread_mutex_unlock(&kind->lock);
}

static void *server(void *arg) {
    struct kind *kind = arg;
    for (int i = 0; i < kind->total; i++) {
        int fd = accept4(kind->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            die("accept");
        if (kind->by_server)
            speak_and_end(kind, fd);
        else
            listen_to_end(kind, fd, false);
    }
    return NULL;
}

/* A connect that waits, or one that is polled for. Returns its error. */
static int connect_somehow(const struct kind *kind, int fd, bool wait) {
    if (wait)
        return connect(fd, (const struct sockaddr *)&kind->addr, kind->addr_len) == 0 ? 0 : errno;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    if (connect(fd, (const struct sockaddr *)&kind->addr, kind->addr_len) != 0 &&
        errno != EINPROGRESS)
        return errno;
    wait_for(fd, POLLOUT);
    fcntl(fd, F_SETFL, 0);
    return 0; /* the error is left for whoever reads */
}

static void *client(void *arg) {
    struct kind *kind = arg;
    for (;;) {
        pthread_mutex_lock(&kind->lock);
        int number = kind->begun < kind->total ? kind->begun++ : -1;
        pthread_mutex_unlock(&kind->lock);
        if (number < 0)
            return NULL;
        int fd = socket(kind->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int error = connect_somehow(kind, fd, number % 2);
        if (error && error != ECONNRESET)
            fprintf(stderr, "connect: %s\n", strerror(error));
        if (kind->by_server)
            listen_to_end(kind, fd, error == ECONNRESET);
        else
            speak_and_end(kind, fd);
    }
}

static void run(struct kind *kind) {
    pthread_t thread[CLIENTS + 1];
    char name[100];
    pthread_mutex_init(&kind->lock, NULL);
    listen_at(kind);
    for (int i = 0; i <= CLIENTS; i++)
        if (pthread_create(&thread[i], NULL, i ? client : server, kind) != 0)
            die("pthread_create");
    for (int i = 0; i <= CLIENTS; i++)
        pthread_join(thread[i], NULL);
    close(kind->listener);
    snprintf(name, sizeof name, "the %s says %zu bytes and %s at once, IPv%d",
             kind->by_server ? "server" : "client", kind->length, kind->reset ? "resets" : "closes",
             kind->family == AF_INET ? 4 : 6);
    observe(name, "%d complete, %d cut short, %d without an end, %d with another end",
            kind->complete, kind->cut, kind->no_end, kind->failed);
}

int main(int argc, char **argv) {
    int total = argc > 1 ? atoi(argv[1]) : 100;
    for (unsigned i = 0; i < 32; i++) {
        struct kind kind = {.family = i & 1 ? AF_INET6 : AF_INET,
                            .by_server = i & 2,
                            .reset = i & 4,
                            .length = lengths[i >> 3],
                            .total = total};
        run(&kind);
    }
    return 0;
}
