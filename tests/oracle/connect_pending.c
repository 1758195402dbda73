/* SPDX-License-Identifier: MIT */
/* connect_pending.c - what a program can see and do while a connect is in progress. */
#include <sys/select.h>

#include "asleep.h"
#include "oracle.h"

static volatile sig_atomic_t alarms;

static void on_alarm(int signal) {
    (void)signal;
    alarms++;
}

static void accept_all(struct full_server *full) {
    fcntl(full->server.fd, F_SETFL, O_NONBLOCK);
    for (int fd; (fd = accept(full->server.fd, NULL, NULL)) >= 0;)
        close(fd);
    fcntl(full->server.fd, F_SETFL, 0);
}

static pid_t alarm_child;

/* Arranges a signal for the next blocking call: a child sends it when this process is asleep in
 * that call. Once the call has been restarted, the child makes `full`, if given, accept
 * connections. */
static void catch_alarm(int flags, struct full_server *full) {
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = flags};
    pid_t self = getpid();
    alarms = 0;
    sigaction(SIGALRM, &action, NULL);
    alarm_child = fork();
    if (alarm_child != 0)
        return;
    await_sleep(self);
    kill(self, SIGALRM);
    await_sleep(self);
    if (!full)
        _exit(0);
    for (;;) {
        accept_all(full); /* those who waited longer come first */
        usleep(100000);
    }
}

/* After the call. */
static void end_alarm(void) {
    kill(alarm_child, SIGKILL);
    waitpid(alarm_child, NULL, 0);
}

static void names_and_options(int fd) {
    struct sockaddr_in name = {0};
    socklen_t len = sizeof name;
    int number = 0;
    observe_result("getpeername", getpeername(fd, (struct sockaddr *)&name, &len));
    len = sizeof name;
    observe_result("getsockname", getsockname(fd, (struct sockaddr *)&name, &len));
    observe("getsockname's family", "%d", name.sin_family);
    observe("getsockname's length", "%d", (int)len);
    len = sizeof number;
    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &number, &len);
    observe("SO_DOMAIN", "%d", number);
    getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &number, &len);
    observe("SO_PROTOCOL", "%d", number);
    getsockopt(fd, SOL_SOCKET, SO_TYPE, &number, &len);
    observe("SO_TYPE", "%d", number);
    observe("SO_ERROR", "%s", error_name(socket_error(fd)));
    struct tcp_info info = {0};
    len = sizeof info;
    observe_result("TCP_INFO", getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
    observe("TCP_INFO's state", "%d", info.tcpi_state);
    number = 1;
    observe_result("set TCP_NODELAY",
                   setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &number, sizeof number));
    number = 0;
    len = sizeof number;
    getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &number, &len);
    observe("TCP_NODELAY", "%d", number);
    number = 300000;
    observe_result("set SO_SNDBUF", setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &number, sizeof number));
}

/* The local address while not yet connected: with an address and a port bound, one of them, or
 * none. */
static void own_name(const struct server *server, const char *what, in_addr_t address, bool port) {
    int fd = tcp_socket(SOCK_NONBLOCK);
    struct sockaddr_in bound = {.sin_family = AF_INET, .sin_addr = {htonl(address)}}, name = {0};
    socklen_t len = sizeof bound;
    char title[100];
    if ((address || port) && bind(fd, (struct sockaddr *)&bound, sizeof bound) != 0)
        die("bind");
    getsockname(fd, (struct sockaddr *)&bound, &len);
    snprintf(title, sizeof title, "%s: connect", what);
    observe_result(title, connect_to(fd, server));
    snprintf(title, sizeof title, "%s: getsockname", what);
    observe_result(title, getsockname(fd, (struct sockaddr *)&name, &len));
    snprintf(title, sizeof title, "%s: address", what);
    observe(title, "%s", inet_ntoa(name.sin_addr));
    snprintf(title, sizeof title, "%s: has a port, the one bound, the same again", what);
    in_port_t first = name.sin_port;
    getsockname(fd, (struct sockaddr *)&name, &len);
    observe(title, "%d %d %d", first != 0, first == bound.sin_port, name.sin_port == first);
    close(fd);
}

static void data_calls(int fd) {
    char byte = 'x';
    int pending = -1;
    struct iovec no_bytes = {&byte, 0};
    struct msghdr nothing = {.msg_iov = &no_bytes, .msg_iovlen = 1};
    observe_result("write", write(fd, &byte, 1));
    observe_result("send", send(fd, &byte, 1, 0));
    observe_result("write of nothing", write(fd, &byte, 0));
    observe_result("send of nothing", send(fd, &byte, 0, 0));
    observe_result("sendto of nothing", sendto(fd, &byte, 0, MSG_DONTWAIT, NULL, 0));
    observe_result("sendmsg of nothing", sendmsg(fd, &nothing, 0));
    observe_result("writev of nothing", writev(fd, &no_bytes, 1));
    observe_result("writev of no vectors", writev(fd, NULL, 0));
    observe_result("read", read(fd, &byte, 1));
    observe_result("recv MSG_PEEK", recv(fd, &byte, 1, MSG_PEEK));
    observe_result("FIONREAD", ioctl(fd, FIONREAD, &pending));
    observe("FIONREAD's answer", "%d", pending);
    observe("poll", "%s",
            events_text((unsigned)poll_now(fd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI)));
}

static void while_pending(const struct server *server) {
    int fd = tcp_socket(SOCK_NONBLOCK);
    observe_result("connect", connect_to(fd, server));
    observe_result("connect again", connect_to(fd, server));
    observe("poll at once", "%s",
            events_text((unsigned)poll_now(fd, POLLIN | POLLOUT | POLLRDHUP)));
    names_and_options(fd);
    data_calls(fd);
    observe("poll after all that", "%s", events_text((unsigned)poll_now(fd, POLLOUT)));
    fcntl(fd, F_SETFL, 0);
    catch_alarm(0, NULL);
    observe_result("blocking connect on it, and a signal", connect_to(fd, server));
    end_alarm();
    observe("signals", "%d", (int)alarms);
    observe_result("close", close(fd));
}

static void interrupted(const struct server *server) {
    int fd = tcp_socket(0);
    catch_alarm(0, NULL);
    observe_result("blocking connect and a signal", connect_to(fd, server));
    end_alarm();
    observe("still pending", "%s", events_text((unsigned)poll_now(fd, POLLOUT)));
    fcntl(fd, F_SETFL, O_NONBLOCK);
    observe_result("connect after the signal", connect_to(fd, server));
    close(fd);
}

static void timed(const struct server *server) {
    int fd = tcp_socket(0);
    struct timeval timeout = {.tv_usec = 100000};
    char byte;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    observe_result("SO_SNDTIMEO", connect_to(fd, server));
    observe("pending after SO_SNDTIMEO", "%s", events_text((unsigned)poll_now(fd, POLLOUT)));
    observe_result("send of nothing until SO_SNDTIMEO", send(fd, &byte, 0, 0));
    observe_result("SO_SNDTIMEO again", connect_to(fd, server));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    observe_result("read with SO_RCVTIMEO", read(fd, &byte, 1));
    close(fd);
}

/* A restarted connect: the signal comes first, and then the server makes room. */
static void restarted(struct full_server *full) {
    int fd = tcp_socket(0);
    catch_alarm(SA_RESTART, full);
    observe_result("SA_RESTART", connect_to(fd, &full->server));
    observe("signals before it was there", "%d", (int)alarms);
    observe_result("and it is connected", write(fd, "x", 1));
    end_alarm();
    close(fd);
}

/* The usual loop around connect: success is reported once. */
static void interrupted_and_called_again(struct full_server *full) {
    int fd = tcp_socket(0);
    catch_alarm(0, NULL);
    observe_result("interrupted", connect_to(fd, &full->server));
    end_alarm();
    for (int i = 0; i < 100 && !poll_now(fd, POLLOUT); i++) {
        accept_all(full);
        poll(NULL, 0, 100);
    }
    observe_result("called again when it is there", connect_to(fd, &full->server));
    observe_result("and once more", connect_to(fd, &full->server));
    close(fd);
}

static void completes_later(struct full_server *full) {
    int fd = tcp_socket(SOCK_NONBLOCK), copy;
    connect_to(fd, &full->server);
    copy = dup(fd);
    observe("a copy is pending too", "%s", events_text((unsigned)poll_now(copy, POLLOUT)));
    struct sockaddr_in own[2] = {{0}, {0}};
    socklen_t len = sizeof own[0];
    observe_result("its own name", getsockname(copy, (struct sockaddr *)&own[0], &len));
    getsockname(fd, (struct sockaddr *)&own[1], &len);
    observe("is", "%s, and the original's %d", inet_ntoa(own[0].sin_addr),
            own[0].sin_port && memcmp(&own[0], &own[1], 8) == 0);
    for (int i = 0; i < 100 && !poll_now(copy, POLLOUT); i++) {
        accept_all(full);
        poll(NULL, 0, 100);
    }
    observe("the copy becomes writable", "%s", events_text((unsigned)wait_for(copy, POLLOUT)));
    observe("SO_ERROR of the original", "%s", error_name(socket_error(fd)));
    observe_result("write to the original", write(fd, "x", 1));
    close(fd);
    close(copy);
}

int main(void) {
    struct full_server full = serve_full();
    while_pending(&full.server);
    own_name(&full.server, "not bound", INADDR_ANY, false);
    own_name(&full.server, "bound to any port", INADDR_ANY, true);
    own_name(&full.server, "bound to an address", INADDR_LOOPBACK + 6, true);
    interrupted(&full.server);
    timed(&full.server);
    /* A fresh one, because connects aborted above may still be in the backlog. */
    end_full(&full);
    full = serve_full();
    restarted(&full);
    end_full(&full);
    full = serve_full();
    completes_later(&full);
    end_full(&full);
    full = serve_full();
    interrupted_and_called_again(&full);
    end_full(&full);
    return 0;
}
