/* SPDX-License-Identifier: MIT */
/* urgent.c - urgent data in both directions: MSG_OOB, the mark, SO_OOBINLINE, SIGURG, poll, select,
 * epoll; and how programs like ftp and telnet use it. */
#include <sys/select.h>

#include "oracle.h"

static volatile sig_atomic_t urgent_signals;

static void on_urgent(int signal) {
    (void)signal;
    urgent_signals++;
}

static int at_mark(int fd) {
    int mark = -1;
    return ioctl(fd, SIOCATMARK, &mark) == 0 ? mark : -1;
}

static void observe_bytes(const char *name, int fd, size_t len, int flags) {
    char buf[64];
    ssize_t n = recv(fd, buf, len, flags | MSG_DONTWAIT);
    if (n < 0)
        observe(name, "%s", error_name(errno));
    else
        observe(name, "%zd \"%.*s\"", n, (int)n, buf);
}

/* The client sends, and the TCP end receives: the direction to the target. */
static void sending(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    char buf[16];
    struct iovec iov[3] = {{"ve", 2}, {"c", 1}, {"t!", 2}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 3};
    observe_result("send MSG_OOB", send(pair.client, "abc!", 4, MSG_OOB));
    observe("the target sees urgent data", "%d", (wait_for(pair.accepted, POLLPRI) & POLLPRI) != 0);
    observe_result("before it", receive_all(pair.accepted, buf, 3));
    observe("the mark is there", "%d", at_mark(pair.accepted));
    observe_bytes("out of band", pair.accepted, 8, MSG_OOB);
    observe_result("send more", send(pair.client, "de", 2, 0));
    observe_result("behind it", receive_all(pair.accepted, buf, 2));
    observe("is", "%.2s", buf);
    observe_result("one urgent byte", send(pair.client, "?", 1, MSG_OOB));
    wait_for(pair.accepted, POLLPRI);
    observe_bytes("arrives alone", pair.accepted, 8, MSG_OOB);
    observe_result("sendmsg MSG_OOB", sendmsg(pair.client, &msg, MSG_OOB));
    wait_for(pair.accepted, POLLPRI);
    observe_result("sendmsg: before it", receive_all(pair.accepted, buf, 4));
    observe_bytes("sendmsg: out of band", pair.accepted, 8, MSG_OOB);
    observe_result("nothing, urgently", send(pair.client, "", 0, MSG_OOB));
    observe_result("sendto MSG_OOB", sendto(pair.client, "x", 1, MSG_OOB, NULL, 0));
    wait_for(pair.accepted, POLLPRI);
    observe_bytes("sendto: out of band", pair.accepted, 8, MSG_OOB);
    close_pair(&pair);
}

static void sending_inline(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    char buf[16];
    int on = 1;
    setsockopt(pair.accepted, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
    send(pair.client, "ab", 2, MSG_OOB);
    wait_for(pair.accepted, POLLPRI);
    send(pair.client, "cd", 2, 0);
    observe_result("inline: up to the mark", receive_all(pair.accepted, buf, 1));
    observe("inline: at the mark", "%d", at_mark(pair.accepted));
    observe_result("inline: from the mark", receive_all(pair.accepted, buf, 3));
    observe("inline: is", "%.3s", buf);
    close_pair(&pair);
}

/* Much data before it, and a late receiver: the mark keeps its place. */
static void sending_behind_much(const struct server *server) {
    static char bulk[3 * 1024 * 1024];
    struct pair pair = connected_pair(server, 0);
    pid_t child = fork();
    if (child == 0) {
        for (size_t sent = 0; sent < sizeof bulk;)
            sent += (size_t)send(pair.client, bulk + sent, sizeof bulk - sent, 0);
        send(pair.client, "!", 1, MSG_OOB);
        send(pair.client, "after", 5, 0);
        _exit(0);
    }
    usleep(100000);
    size_t before = 0;
    char buf[65536];
    while (!at_mark(pair.accepted) && wait_for(pair.accepted, POLLIN | POLLPRI)) {
        ssize_t n = recv(pair.accepted, buf, sizeof buf, MSG_DONTWAIT);
        before += n > 0 ? (size_t)n : 0;
    }
    observe("much: before the mark", "%zu", before);
    observe_bytes("much: out of band", pair.accepted, 8, MSG_OOB);
    observe_result("much: behind", receive_all(pair.accepted, buf, 5));
    waitpid(child, NULL, 0);
    close_pair(&pair);
}

/* The TCP end sends, the client receives. */
static void receiving(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    char buf[16];
    fd_set exceptional;
    struct timeval timeout = {10, 0};
    struct epoll_event event = {.events = EPOLLPRI};
    int epoll = epoll_create1(0);
    observe_bytes("MSG_OOB when there is none", pair.client, 8, MSG_OOB);
    observe("no mark", "%d", at_mark(pair.client));
    epoll_ctl(epoll, EPOLL_CTL_ADD, pair.client, &event);
    signal(SIGURG, on_urgent);
    urgent_signals = 0;
    observe_result("F_SETOWN", fcntl(pair.client, F_SETOWN, getpid()));
    send(pair.accepted, "abc!", 4, MSG_OOB);
    observe("poll", "%s", events_text((unsigned)wait_for(pair.client, POLLPRI)));
    observe_result("epoll", epoll_wait(epoll, &event, 1, WAIT_MS));
    observe("epoll's events", "%s", events_text(event.events));
    FD_ZERO(&exceptional);
    FD_SET(pair.client, &exceptional);
    observe_result("select", select(pair.client + 1, NULL, NULL, &exceptional, &timeout));
    observe("SIGURG", "%d", urgent_signals);
    observe_bytes("peeked", pair.client, 8, MSG_OOB | MSG_PEEK);
    observe_result("up to the mark", receive_all(pair.client, buf, 3));
    observe("at the mark", "%d", at_mark(pair.client));
    observe_bytes("the urgent byte", pair.client, 8, MSG_OOB);
    observe("poll when it is taken", "%s",
            events_text((unsigned)poll_now(pair.client, POLLIN | POLLPRI)));
    observe_bytes("the urgent byte again", pair.client, 8, MSG_OOB);
    send(pair.accepted, "de", 2, 0);
    observe_result("behind the mark", receive_all(pair.client, buf, 2));
    observe("no mark any more", "%d", at_mark(pair.client));
    send(pair.accepted, "?", 1, MSG_OOB);
    wait_for(pair.client, POLLPRI);
    observe_bytes("a read skips it", pair.client, 8, 0);
    observe_bytes("and it is gone", pair.client, 8, MSG_OOB);
    close(epoll);
    close_pair(&pair);
}

static void receiving_inline(const struct server *server) {
    struct pair pair = {.client = tcp_socket(0)};
    int on = 1;
    char buf[16];
    setsockopt(pair.client, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
    fcntl(pair.client, F_SETOWN, getpid());
    connect_to(pair.client, server);
    pair.accepted = accept(server->fd, NULL, NULL);
    signal(SIGURG, on_urgent);
    urgent_signals = 0;
    send(pair.accepted, "ab", 2, MSG_OOB);
    wait_for(pair.client, POLLPRI);
    send(pair.accepted, "cd", 2, 0);
    observe("owner set before connect, SIGURG", "%d", urgent_signals);
    observe_bytes("inline: no byte out of band", pair.client, 8, MSG_OOB);
    observe_result("inline: read to the mark", receive_all(pair.client, buf, 1));
    observe("inline: mark", "%d", at_mark(pair.client));
    observe("inline: poll", "%s", events_text((unsigned)poll_now(pair.client, POLLIN | POLLPRI)));
    observe_result("inline: read on", receive_all(pair.client, buf, 3));
    observe("inline: read", "%.3s", buf);
    observe("inline: mark passed", "%d", at_mark(pair.client));
    close_pair(&pair);
}

/* telnet's Synch: data to be discarded, up to the Data Mark, which is urgent. */
static void synch(const struct server *server, bool to_target) {
    struct pair pair = connected_pair(server, 0);
    int from = to_target ? pair.client : pair.accepted;
    int to = to_target ? pair.accepted : pair.client, on = 1;
    char byte, last = 0;
    size_t discarded = 0;
    setsockopt(to, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
    send(from, "garbage garbage \xff", 17, 0);
    send(from, "\xf2", 1, MSG_OOB);
    send(from, "prompt", 6, 0);
    wait_for(to, POLLPRI);
    while (!at_mark(to) && wait_for(to, POLLIN) && recv(to, &byte, 1, 0) == 1)
        discarded++;
    observe(to_target ? "synch to the target" : "synch to the client", "%zu thrown away",
            discarded);
    recv(to, &last, 1, 0);
    observe("the mark is the data mark", "%d", last == '\xf2');
    char buf[8] = "";
    receive_all(to, buf, 6);
    observe("what counts", "%.6s", buf);
    close_pair(&pair);
}

/* ftp's ABOR: IP, Synch, and the reply while data is in flight. */
static void ftp_abort(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    char line[16] = "";
    send(pair.client, "\xff\xf4\xff", 3, MSG_OOB);
    send(pair.client, "\xf2", 1, 0);
    send(pair.client, "ABOR\r\n", 6, 0);
    wait_for(pair.accepted, POLLPRI);
    observe_bytes("abort: urgent byte is IAC", pair.accepted, 1, MSG_OOB);
    observe_result("abort: the rest", receive_all(pair.accepted, line, 9));
    observe("abort: command", "%.4s", line + 3);
    send(pair.accepted, "426 ", 4, 0);
    observe_result("abort: answer", receive_all(pair.client, line, 4));
    close_pair(&pair);
}

/* End of file and a reset after urgent data. */
static void ends(const struct server *server) {
    struct pair pair = connected_pair(server, 0);
    char buf[8];
    send(pair.client, "ab", 2, MSG_OOB);
    close(pair.client);
    wait_for(pair.accepted, POLLPRI);
    observe_result("close behind it: data", recv(pair.accepted, buf, 8, 0));
    observe_result("close behind it: end", recv(pair.accepted, buf, 8, 0));
    close(pair.accepted);
    pair = connected_pair(server, 0);
    send(pair.accepted, "ab", 2, MSG_OOB);
    wait_for(pair.client, POLLPRI);
    reset_close(pair.accepted);
    wait_for(pair.client, POLLHUP);
    observe_result("reset: first write", send(pair.client, "x", 1, MSG_OOB | MSG_NOSIGNAL));
    observe_result("reset: second write", send(pair.client, "x", 1, MSG_OOB | MSG_NOSIGNAL));
    close(pair.client);
}

/* A receive that waits for more bytes stops at the mark. */
static void receiving_all(const struct server *server, int in_line) {
    static const int flags[] = {MSG_WAITALL, MSG_WAITALL | MSG_PEEK, MSG_WAITALL | MSG_TRUNC};
    static const char *const names[] = {"MSG_WAITALL", "MSG_WAITALL|MSG_PEEK",
                                        "MSG_WAITALL|MSG_TRUNC"};
    char buf[16], title[80];
    for (int i = 0; i < 3; i++) {
        struct pair pair = connected_pair(server, 0);
        setsockopt(pair.client, SOL_SOCKET, SO_OOBINLINE, &in_line, sizeof in_line);
        (void)!write(pair.accepted, "abc", 3);
        send(pair.accepted, "!", 1, MSG_OOB);
        wait_for(pair.client, POLLPRI);
        (void)!write(pair.accepted, "def", 3);
        snprintf(title, sizeof title, "%s%s", names[i], in_line ? ", in line" : "");
        observe_result(title, recv(pair.client, buf, 10, flags[i]));
        if (flags[i] & MSG_PEEK)
            (void)!read(pair.client, buf, 3);
        observe_result("... from the mark", recv(pair.client, buf, 3, flags[i]));
        close_pair(&pair);
    }
}

int main(void) {
    struct server server = serve();
    sending(&server);
    sending_inline(&server);
    sending_behind_much(&server);
    receiving(&server);
    receiving_inline(&server);
    receiving_all(&server, 0);
    receiving_all(&server, 1);
    synch(&server, true);
    synch(&server, false);
    ftp_abort(&server);
    ends(&server);
    return 0;
}
