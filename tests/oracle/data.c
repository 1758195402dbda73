/* SPDX-License-Identifier: MIT */
/* data.c - moving data: flags, addresses, vectors, files, pipes. */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "oracle.h"

static void send_there(const struct pair *pair, const char *text) {
    int before = 0, now = 0, len = (int)strlen(text);
    ioctl(pair->client, FIONREAD, &before);
    (void)!write(pair->accepted, text, (size_t)len);
    /* poll would not do: with SO_RCVLOWAT it reports nothing below that. */
    for (int ms = 0; ms < WAIT_MS && now < before + len; ms++) {
        ioctl(pair->client, FIONREAD, &now);
        if (now < before + len)
            usleep(1000);
    }
}

static void receive_flags(const struct pair *pair) {
    char buf[32] = {0};
    send_there(pair, "0123456789");
    observe_result("MSG_PEEK", recv(pair->client, buf, 4, MSG_PEEK));
    observe_result("MSG_PEEK more", recv(pair->client, buf, sizeof buf, MSG_PEEK));
    observe_result("MSG_TRUNC takes", recv(pair->client, NULL, 3, MSG_TRUNC));
    observe_result("MSG_TRUNC with a buffer", recv(pair->client, buf, 2, MSG_TRUNC));
    observe_result("the rest", recv(pair->client, buf, sizeof buf, 0));
    observe("which is", "%.5s", buf);
    observe_result("MSG_DONTWAIT", recv(pair->client, buf, 1, MSG_DONTWAIT));
    observe_result("MSG_TRUNC|MSG_DONTWAIT", recv(pair->client, NULL, 9, MSG_TRUNC | MSG_DONTWAIT));
    observe_result("MSG_ERRQUEUE", recv(pair->client, buf, 1, MSG_ERRQUEUE));
    observe_result("length 0", recv(pair->client, buf, 0, MSG_DONTWAIT));
    observe_result("bad buffer, no data", recv(pair->client, (void *)1, 1, MSG_DONTWAIT));
    send_there(pair, "abc");
    observe_result("MSG_WAITALL with what is there", recv(pair->client, buf, 3, MSG_WAITALL));
    send_there(pair, "abc");
    observe_result("bad buffer", recv(pair->client, (void *)1, 1, 0));
    observe_result("data is still there", recv(pair->client, buf, 9, 0));
}

static void source_addresses(const struct pair *pair) {
    char buf[32], control[256];
    struct sockaddr_storage addr;
    struct iovec iov[2] = {{buf, 2}, {buf + 2, 20}};
    struct msghdr msg = {.msg_name = &addr,
                         .msg_namelen = sizeof addr,
                         .msg_iov = iov,
                         .msg_iovlen = 2,
                         .msg_control = control,
                         .msg_controllen = sizeof control};
    socklen_t len = sizeof addr;
    memset(&addr, 0x5a, sizeof addr);
    send_there(pair, "hello");
    observe_result("recvfrom", recvfrom(pair->client, buf, 2, 0, (struct sockaddr *)&addr, &len));
    observe("address length", "%d", (int)len);
    observe("address untouched", "%d", ((unsigned char *)&addr)[0] == 0x5a);
    len = 3;
    observe_result("recvfrom, little room",
                   recvfrom(pair->client, buf, 1, 0, (struct sockaddr *)&addr, &len));
    observe("address length then", "%d", (int)len);
    observe_result("recvmsg", recvmsg(pair->client, &msg, 0));
    observe("name length", "%d", (int)msg.msg_namelen);
    observe("control length", "%d", (int)msg.msg_controllen);
    observe("flags", "%d", msg.msg_flags);
    struct mmsghdr msgs[2] = {{.msg_hdr = {.msg_iov = iov, .msg_iovlen = 1}},
                              {.msg_hdr = {.msg_iov = iov + 1, .msg_iovlen = 1}}};
    send_there(pair, "xyz");
    observe_result("recvmmsg", recvmmsg(pair->client, msgs, 2, MSG_DONTWAIT, NULL));
    observe("first message", "%u", msgs[0].msg_len);
}

static void sends(const struct pair *pair) {
    static struct iovec many[2000];
    /* Volatile, so that the compiler does not warn. */
    volatile int minus_one = -1;
    void *volatile bad = (void *)1;
    char buf[64];
    struct sockaddr_in elsewhere = {.sin_family = AF_INET, .sin_port = htons(9)};
    struct iovec iov[3] = {{"ab", 2}, {NULL, 0}, {"cd", 2}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 3};
    struct mmsghdr msgs[2] = {{.msg_hdr = msg}, {.msg_hdr = msg}};
    observe_result("write", write(pair->client, "x", 1));
    observe_result("write of nothing", write(pair->client, "", 0));
    observe_result("send of nothing", send(pair->client, "", 0, 0));
    observe_result(
        "sendto somewhere else",
        sendto(pair->client, "y", 1, 0, (struct sockaddr *)&elsewhere, sizeof elsewhere));
    observe_result("send MSG_MORE", send(pair->client, "z", 1, MSG_MORE));
    observe_result("writev", writev(pair->client, iov, 3));
    observe_result("writev of -1 vectors", writev(pair->client, iov, minus_one));
    observe_result("writev of 2000 vectors", writev(pair->client, many, 2000));
    observe_result("sendmsg", sendmsg(pair->client, &msg, 0));
    msg.msg_name = &elsewhere;
    msg.msg_namelen = sizeof elsewhere;
    observe_result("sendmsg somewhere else", sendmsg(pair->client, &msg, 0));
    observe_result("sendmmsg", sendmmsg(pair->client, msgs, 2, 0));
    observe_result("bad buffer", write(pair->client, bad, 1));
    ssize_t n = receive_all(pair->accepted, buf, 23);
    observe_result("all of it arrives", n);
    observe("in order", "%.*s", (int)n, buf);
}

static void rights_are_no_tcp(const struct pair *pair) {
    char byte;
    observe_result("SCM_RIGHTS over it", send_descriptor(pair->client, pair->client, "r", 1));
    observe_result("the byte arrives", receive_all(pair->accepted, &byte, 1));
}

static void queues(const struct pair *pair) {
    int number = -1;
    char buf[8];
    send_there(pair, "12345");
    observe_result("FIONREAD", ioctl(pair->client, FIONREAD, &number));
    observe("FIONREAD says", "%d", number);
    (void)!read(pair->client, buf, 5);
    (void)!write(pair->client, "123", 3);
    receive_all(pair->accepted, buf, 3);
    for (int i = 0; i < 1000 && (ioctl(pair->client, TIOCOUTQ, &number) || number); i++)
        poll(NULL, 0, 1);
    observe("SIOCOUTQ comes down to", "%d", number);
    observe_result("SIOCATMARK", ioctl(pair->client, SIOCATMARK, &number));
    observe("SIOCATMARK says", "%d", number);
}

static void files_and_pipes(const struct pair *pair) {
    char buf[64];
    int pipes[2], file = memfd_create("oracle", MFD_CLOEXEC);
    off_t offset = 0;
    (void)!write(file, "from a file", 11);
    observe_result("sendfile", sendfile(pair->client, file, &offset, 11));
    observe_result("arrives", receive_all(pair->accepted, buf, 11));
    observe_result("pipe", pipe(pipes));
    (void)!write(pipes[1], "from a pipe", 11);
    observe_result("splice out", splice(pipes[0], NULL, pair->client, NULL, 11, 0));
    observe_result("arrives too", receive_all(pair->accepted, buf, 11));
    send_there(pair, "into a pipe");
    observe_result("splice in", splice(pair->client, NULL, pipes[1], NULL, 11, 0));
    observe_result("is in the pipe", read(pipes[0], buf, sizeof buf));
    observe_result("lseek", lseek(pair->client, 0, SEEK_CUR));
    observe_result("pread", pread(pair->client, buf, 1, 0));
    observe_result("ftruncate", ftruncate(pair->client, 0));
    close(pipes[0]);
    close(pipes[1]);
    close(file);
}

static void stdio(const struct pair *pair) {
    char line[32];
    FILE *stream = fdopen(dup(pair->client), "r+");
    fputs("hello, world\n", stream);
    fflush(stream);
    observe_result("stdio out", receive_all(pair->accepted, line, 13));
    send_there(pair, "and back\n");
    observe("stdio in", "%s", fgets(line, sizeof line, stream) ? "a line" : "nothing");
    fclose(stream);
}

static void low_water(const struct pair *pair) {
    int five = 5;
    char buf[8];
    setsockopt(pair->client, SOL_SOCKET, SO_RCVLOWAT, &five, sizeof five);
    send_there(pair, "ab");
    observe_result("SO_RCVLOWAT: recv does not wait with MSG_DONTWAIT",
                   recv(pair->client, buf, 8, MSG_DONTWAIT));
    five = 1;
    setsockopt(pair->client, SOL_SOCKET, SO_RCVLOWAT, &five, sizeof five);
}

/* MSG_PEEK with MSG_TRUNC counts and writes nothing; with MSG_WAITALL it waits. */
static void peeks(const struct pair *pair) {
    char buf[32] = "untouched";
    struct iovec iov = {buf, sizeof buf};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    send_there(pair, "hello");
    observe_result("MSG_PEEK|MSG_TRUNC of 3", recv(pair->client, NULL, 3, MSG_PEEK | MSG_TRUNC));
    observe_result("MSG_PEEK|MSG_TRUNC of 100",
                   recv(pair->client, NULL, 100, MSG_PEEK | MSG_TRUNC));
    observe_result("... with a buffer", recv(pair->client, buf, 3, MSG_PEEK | MSG_TRUNC));
    observe_result("... by recvmsg", recvmsg(pair->client, &msg, MSG_PEEK | MSG_TRUNC));
    observe("... its flags", "%d", msg.msg_flags);
    observe("the buffer", "%s", buf);
    observe_result("MSG_PEEK|MSG_WAITALL|MSG_DONTWAIT",
                   recv(pair->client, buf, 10, MSG_PEEK | MSG_WAITALL | MSG_DONTWAIT));
    observe_result("MSG_PEEK|MSG_WAITALL with what is there",
                   recv(pair->client, buf, 5, MSG_PEEK | MSG_WAITALL));
    observe_result("all is still there", recv(pair->client, buf, sizeof buf, 0));
    observe_result("MSG_PEEK|MSG_TRUNC of nothing",
                   recv(pair->client, NULL, 3, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT));
}

struct late {
    const struct pair *pair;
    pthread_t receiver;
    volatile bool over;
};

/* The second half, after the receiver has had time to find only the first. */
static void *send_late(void *argument) {
    const struct late *late = argument;
    usleep(20000);
    (void)!write(late->pair->accepted, "world", 5);
    return NULL;
}

static void *signal_often(void *argument) {
    const struct late *late = argument;
    while (!late->over) {
        pthread_kill(late->receiver, SIGUSR2);
        usleep(1000);
    }
    return NULL;
}

static void do_nothing(int signal) {
    (void)signal;
}

static void receives_in_two(const struct pair *pair, const char *name, int flags, int low_water) {
    struct late late = {.pair = pair};
    char buf[32] = {0}, title[80];
    pthread_t sender;
    int one = 1;
    send_there(pair, "hey, ");
    observe_result("the first byte", recv(pair->client, buf, 1, 0));
    setsockopt(pair->client, SOL_SOCKET, SO_RCVLOWAT, &low_water, sizeof low_water);
    pthread_create(&sender, NULL, send_late, &late);
    observe_result(name, recv(pair->client, buf, 9, flags));
    pthread_join(sender, NULL);
    snprintf(title, sizeof title, "... %s", flags & MSG_TRUNC ? "is gone" : buf);
    observe_result(title, recv(pair->client, buf, sizeof buf, MSG_DONTWAIT));
    setsockopt(pair->client, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one);
}

/* Receives that want more than is available: what makes them wait, and what ends the wait. */
static void waits_for_all(const struct pair *pair) {
    struct late late = {.pair = pair, .receiver = pthread_self()};
    struct sigaction restarts = {.sa_handler = do_nothing, .sa_flags = SA_RESTART};
    struct timeval limit = {.tv_usec = 50000}, none = {0};
    char buf[64] = {0}, parts[40];
    struct iovec iov[40];
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 40};
    pthread_t thread;
    receives_in_two(pair, "MSG_WAITALL", MSG_WAITALL, 1);
    receives_in_two(pair, "MSG_WAITALL|MSG_TRUNC", MSG_WAITALL | MSG_TRUNC, 1);
    receives_in_two(pair, "MSG_WAITALL|MSG_PEEK", MSG_WAITALL | MSG_PEEK, 1);
    receives_in_two(pair, "MSG_WAITALL|MSG_PEEK|MSG_TRUNC", MSG_WAITALL | MSG_PEEK | MSG_TRUNC, 1);
    /* TCP wakes no reader below SO_RCVLOWAT, so the second half alone must be that large. */
    receives_in_two(pair, "SO_RCVLOWAT", 0, 5);
    receives_in_two(pair, "SO_RCVLOWAT and MSG_WAITALL", MSG_WAITALL, 5);

    for (int i = 0; i < 40; i++)
        iov[i] = (struct iovec){parts + i, 1};
    send_there(pair, "twenty-five bytes and so ");
    pthread_create(&thread, NULL, send_late, &late);
    msg.msg_iovlen = 30;
    observe_result("MSG_WAITALL into thirty vectors", recvmsg(pair->client, &msg, MSG_WAITALL));
    pthread_join(thread, NULL);
    observe("... in order", "%.30s", parts);

    setsockopt(pair->client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    send_there(pair, "hello");
    observe_result("MSG_WAITALL until SO_RCVTIMEO", recv(pair->client, buf, 10, MSG_WAITALL));
    observe_result("MSG_WAITALL with nothing", recv(pair->client, buf, 10, MSG_WAITALL));
    send_there(pair, "hello");
    observe_result("MSG_WAITALL|MSG_PEEK until SO_RCVTIMEO",
                   recv(pair->client, buf, 10, MSG_WAITALL | MSG_PEEK));
    setsockopt(pair->client, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof none);

    sigaction(SIGUSR2, &restarts, NULL);
    pthread_create(&thread, NULL, signal_often, &late);
    observe_result("MSG_WAITALL until a signal", recv(pair->client, buf, 10, MSG_WAITALL));
    late.over = true;
    pthread_join(thread, NULL);

    fcntl(pair->client, F_SETFL, O_NONBLOCK);
    send_there(pair, "hello");
    observe_result("MSG_WAITALL, non-blocking", recv(pair->client, buf, 10, MSG_WAITALL));
    fcntl(pair->client, F_SETFL, 0);
}

/* More than all buffers hold: a non-blocking writer stops, and continues when the reader reads. */
static void back_pressure(const struct pair *pair) {
    static char chunk[65536];
    size_t sent = 0, got = 0;
    ssize_t n;
    fcntl(pair->client, F_SETFL, O_NONBLOCK);
    for (int quiet = 0, here = 0, there = 0; quiet < 20;) { /* full: nothing moves for 2 s */
        int was_here = here, was_there = there;
        n = write(pair->client, chunk, sizeof chunk);
        if (n > 0)
            sent += (size_t)n;
        ioctl(pair->client, TIOCOUTQ, &here);
        ioctl(pair->accepted, FIONREAD, &there);
        quiet = n > 0 || here != was_here || there != was_there ? 0 : quiet + 1;
        if (n < 0)
            poll(NULL, 0, 100);
    }
    observe("a full socket says", "%s", n < 0 ? error_name(errno) : "?");
    observe("poll", "%s", events_text((unsigned)poll_now(pair->client, POLLOUT)));
    while (got < sent) {
        n = recv(pair->accepted, chunk, sizeof chunk, 0);
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    observe("everything arrived", "%d", got == sent);
    observe("poll then", "%s", events_text((unsigned)wait_for(pair->client, POLLOUT)));
    fcntl(pair->client, F_SETFL, 0);
}

/* By number it works whatever functions libc has, and also on descriptors that are no sockets. */
static void vectors_by_number(void) {
    const int64_t far = 3LL << 32 | 5;
    char text[8] = "far off", buf[8] = {0};
    struct iovec out = {text, sizeof text}, in = {buf, sizeof buf};
    int file = memfd_create("oracle", MFD_CLOEXEC);
    observe_result("pwritev2 by number to a file",
                   syscall(SYS_pwritev2, file, &out, 1L, (long)far, (long)(far >> 32), 0));
    observe_result("preadv2 by number",
                   syscall(SYS_preadv2, file, &in, 1L, (long)far, (long)(far >> 32), 0));
    observe("... text", "%s", buf);
    observe_result("... of the beginning", syscall(SYS_preadv2, file, &in, 1L, 0L, 0L, 0));
    observe("... text", "%s", buf);
    close(file);
}

int main(void) {
    struct server server = serve();
    struct pair pair = connected_pair(&server, 0);
    receive_flags(&pair);
    source_addresses(&pair);
    sends(&pair);
    rights_are_no_tcp(&pair);
    queues(&pair);
    files_and_pipes(&pair);
    stdio(&pair);
    low_water(&pair);
    peeks(&pair);
    waits_for_all(&pair);
    back_pressure(&pair);
    vectors_by_number();
    close_pair(&pair);
    return 0;
}
