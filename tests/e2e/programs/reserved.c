/* SPDX-License-Identifier: MIT */
/* reserved PROGRAM ARG...: runs it with the signals ignored that glibc keeps for itself, 32 and 33,
 * as runtimes that know nothing of glibc do when they ignore all signals. */
#include <err.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct {
        void (*handler)(int);
        unsigned long rest[8];
    } ignored = {.handler = SIG_IGN};
    if (argc < 2)
        errx(2, "usage: reserved PROGRAM [ARG...]");
    for (int i = 32; i < SIGRTMIN; i++)
        if (syscall(SYS_rt_sigaction, i, &ignored, NULL, _NSIG / 8) < 0)
            err(2, "signal %d", i);
    execvp(argv[1], argv + 1);
    err(2, "%s", argv[1]);
}
