/* SPDX-License-Identifier: MIT */
/* trapped_waits.c - a client that is linked statically: how a blocking connect ends that has no
 * outcome. trapped_waits PORT, on which nothing answers yet. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static struct sockaddr_in target = {.sin_family = AF_INET};

static void say_connect(const char *what, int fd) {
    int result = connect(fd, (struct sockaddr *)&target, sizeof target);
    printf("%s: %d %s\n", what, result, result < 0 ? strerror(errno) : "");
}

static void nothing(int signal) {
    (void)signal;
}

/* The signal comes again and again, so that one of them finds the call waiting. */
static void interrupted(void) {
    const struct itimerval often = {{0, 50000}, {0, 50000}}, never = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = nothing};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    say_connect("interrupted", fd);
    setitimer(ITIMER_REAL, &never, NULL);
    /* The signal may have come before the connect began: then it begins now. */
    fcntl(fd, F_SETFL, O_NONBLOCK);
    int result = connect(fd, (struct sockaddr *)&target, sizeof target);
    printf("it goes on: %d\n", result < 0 && (errno == EALREADY || errno == EINPROGRESS));
    close(fd);
}

static void limited(void) {
    const struct timeval limit = {0, 100000};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    say_connect("limited", fd);
    say_connect("and again", fd);
    close(fd);
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IONBF, 0);
    if (argc != 2)
        return 2;
    target.sin_port = htons((uint16_t)atoi(argv[1]));
    target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    interrupted();
    limited();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    say_connect("not blocking", fd);
    say_connect("nor again", fd);
    return 0;
}
