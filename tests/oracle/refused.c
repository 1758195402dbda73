/* SPDX-License-Identifier: MIT */
/*
 * refused.c - a socket whose connect was refused: every call on it, after each way in which the
 * program may learn of it: by connect itself, by a second connect, by SO_ERROR. With an address and
 * a port as arguments, the connect goes there.
 */
#include <pthread.h>
#include <sys/sendfile.h>

#include "oracle.h"

static struct server refusing, serving;

enum { BY_CONNECT, BY_SECOND_CONNECT, BY_SO_ERROR, BY_NOTHING, N_WAYS };
static const char *const ways[] = {"connect", "second connect", "SO_ERROR", "nothing yet"};

static volatile sig_atomic_t n_signals;

static void count_signal(int number) {
    (void)number;
    n_signals++;
}

/* A refused, blocking socket, of which the program has learned in this way. */
static int refused(int way) {
    int fd = tcp_socket(way == BY_CONNECT ? 0 : SOCK_NONBLOCK);
    connect_to(fd, &refusing);
    if (way != BY_CONNECT)
        wait_failed(fd, POLLOUT);
    if (way == BY_SECOND_CONNECT)
        connect_to(fd, &refusing);
    if (way == BY_SO_ERROR)
        socket_error(fd);
    fcntl(fd, F_SETFL, 0);
    return fd;
}

/* The sockets of one way are connected at once, because some fail only after seconds. */
#define N_CASES 40
static int made[N_CASES], n_taken, way_to_make;

static void *make_one(void *fd) {
    *(int *)fd = refused(way_to_make);
    return NULL;
}

static void make_all(int way) {
    pthread_t threads[N_CASES];
    way_to_make = way;
    for (int i = 0; i < N_CASES; i++)
        if (pthread_create(&threads[i], NULL, make_one, &made[i]) != 0)
            die("thread");
    for (int i = 0; i < N_CASES; i++)
        pthread_join(threads[i], NULL);
    n_taken = 0;
}

static char bytes[100];
static struct iovec vectors[2] = {{bytes, 10}, {bytes + 10, 10}};

static long receives(int fd, int call) {
    struct msghdr msg = {.msg_iov = vectors, .msg_iovlen = 2};
    struct mmsghdr msgs = {.msg_hdr = msg};
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    switch (call) {
    case 0:
        return read(fd, bytes, sizeof bytes);
    case 1:
        return readv(fd, vectors, 2);
    case 2:
        return recv(fd, bytes, sizeof bytes, 0);
    case 3:
        return recv(fd, bytes, sizeof bytes, MSG_PEEK);
    case 4:
        return recv(fd, bytes, sizeof bytes, MSG_WAITALL);
    case 5:
        return recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    case 6:
        return recv(fd, bytes, sizeof bytes, MSG_TRUNC);
    case 7:
        return recv(fd, bytes, 0, 0);
    case 8:
        return recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &len);
    case 9:
        return recvmsg(fd, &msg, 0);
    case 10:
        return recvmmsg(fd, &msgs, 1, 0, NULL);
    case 11:
        return preadv2(fd, vectors, 2, -1, 0);
    case 12:
        return recv(fd, bytes, 1, MSG_OOB);
    default:
        return -2;
    }
}

static int helper_pipe[2];

static long sends(int fd, int call) {
    struct msghdr msg = {.msg_iov = vectors, .msg_iovlen = 2};
    switch (call) {
    case 0:
        return write(fd, bytes, 10);
    case 1:
        return writev(fd, vectors, 2);
    case 2:
        return send(fd, bytes, 10, 0);
    case 3:
        return send(fd, bytes, 10, MSG_NOSIGNAL);
    case 4:
        return sendmsg(fd, &msg, 0);
    case 5:
        return pwritev2(fd, vectors, 2, -1, 0);
    case 6:
        return splice(helper_pipe[0], NULL, fd, NULL, 5, 0);
    case 7:
        return splice(fd, NULL, helper_pipe[1], NULL, 5, 0);
    default:
        return -2;
    }
}

static bool elsewhere; /* a failure at an address that was given */

static long others(int fd, int call) {
    struct sockaddr_in name;
    struct linger linger;
    struct tcp_info info;
    socklen_t len = sizeof name;
    int n = -1;
    switch (call) {
    case 0:
        return getpeername(fd, (struct sockaddr *)&name, &len);
    case 1:
        return shutdown(fd, SHUT_RD);
    case 2:
        return shutdown(fd, SHUT_WR);
    case 3:
        return shutdown(fd, SHUT_RDWR);
    case 4:
        return ioctl(fd, FIONREAD, &n) == 0 ? n : -1;
    case 5:
        return listen(fd, 1);
    case 6:
        return socket_error(fd);
    case 7:
        len = sizeof info;
        return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 ? info.tcpi_state : -1;
    case 8:
        len = sizeof linger;
        return getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len) == 0 ? linger.l_onoff : -1;
    case 9:
        return getsockname(fd, (struct sockaddr *)&name, &len) == 0 ? (long)name.sin_addr.s_addr
                                                                    : -1;
    case 10:
        return elsewhere ? -2 : connect_to(fd, &serving);
    default:
        return -2;
    }
}

static void each(const char *what, long (*calls)(int, int), int way) {
    for (int call = 0;; call++) {
        char name[80];
        int fd = made[n_taken++];
        n_signals = 0;
        long result = calls(fd, call), again = result == -2 ? -2 : 0;
        if (again != -2) {
            snprintf(name, sizeof name, "told by %s, %s %d", ways[way], what, call);
            observe_result(name, result);
            observe("signals", "%d", (int)n_signals);
            strcat(name, ", again");
            observe_result(name, calls(fd, call));
        }
        close(fd);
        if (again == -2)
            return;
    }
}

/* Arguments: address, port, and the number of ways, because TCP reports an error that it knows at
 * once even from a non-blocking connect. */
int main(int argc, char **argv) {
    int n_ways = argc > 3 ? atoi(argv[3]) : N_WAYS;
    signal(SIGPIPE, count_signal);
    elsewhere = argc > 2;
    if (elsewhere) {
        refusing.addr =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
        inet_pton(AF_INET, argv[1], &refusing.addr.sin_addr);
    } else {
        refusing = refuse();
    }
    serving = serve();
    if (pipe2(helper_pipe, O_NONBLOCK) != 0 || write(helper_pipe[1], bytes, 100) != 100)
        die("pipe");
    for (int way = 0; way < n_ways; way++) {
        make_all(way);
        each("receiving", receives, way);
        each("sending", sends, way);
        each("asking", others, way);
        while (n_taken < N_CASES)
            close(made[n_taken++]);
    }
    return 0;
}
