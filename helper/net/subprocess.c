/* SPDX-License-Identifier: MIT */
/* subprocess.c - see subprocess.h. */
#include "helper/net/subprocess.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper/net/close_from.h"

enum { SOCKET = STDERR_FILENO + 1 };

static void (*forget)(void);

void subprocess_forgets(void (*what)(void)) {
    forget = what;
}

/* Keeps the socket, as the first descriptor behind 0 to 2, and nothing else. */
static void let_go(int socket) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && null >= 0; fd++)
        if (fd != socket)
            dup2(null, fd);
    if (socket != SOCKET)
        dup3(socket, SOCKET, O_CLOEXEC);
    close_from(SOCKET + 1);
}

int subprocess_start(struct subprocess *child, const char *name,
                     void (*run)(int socket, void *user), void *user) {
    int pair[2];
    pid_t parent = getpid();
    child->socket = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    child->pid = fork();
    if (child->pid == 0) {
        prctl(PR_SET_NAME, name);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (getppid() != parent)
            _exit(0);
        let_go(pair[1]);
        if (forget)
            forget();
        run(SOCKET, user);
        _exit(0);
    }
    int error = child->pid < 0 ? -errno : 0;
    close(pair[1]);
    if (error)
        close(pair[0]);
    else
        child->socket = pair[0];
    return error;
}
