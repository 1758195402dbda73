/* SPDX-License-Identifier: MIT */
/* A sandboxed child: sandbox ERRNO PORT.  Forbids itself AF_UNIX sockets (they fail with that
 * errno), connects to 127.0.0.1:PORT in three ways, and prints the errnos. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FIELD(name) (uint32_t) offsetof(struct seccomp_data, name)

static void forbid(uint32_t err) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, FIELD(nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, FIELD(args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        perror("seccomp");
        exit(3);
    }
}

static const char *connect_once(const struct sockaddr_in *to, int flags) {
    int fd = socket(AF_INET, SOCK_STREAM | flags, 0), err = 0;
    socklen_t len = sizeof err;
    if (connect(fd, (const struct sockaddr *)to, sizeof *to) != 0)
        err = errno;
    if (err == EINPROGRESS) {
        struct pollfd pfd = {.fd = fd, .events = POLLOUT};
        poll(&pfd, 1, 60000);
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
    }
    close(fd);
    return err ? strerrorname_np(err) : "connected";
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    forbid((uint32_t)atoi(argv[1]));
    printf("%s\n", connect_once(&to, 0));
    printf("%s\n", connect_once(&to, SOCK_NONBLOCK));
    printf("%s\n", connect_once(&to, 0));
    return 0;
}
