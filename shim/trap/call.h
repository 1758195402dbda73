/* SPDX-License-Identifier: MIT */
/*
 * call.h - one system call of a program that waits for the supervisor's answer.
 *
 * The program may be killed, or leave the call for a signal handler, at any moment: the call has
 * then vanished, and its process id may mean another process. So whatever was learned by that id is
 * only used after the kernel has said that the call is still there; the functions below see to it.
 * Not blocking; for the supervisor's one thread.
 */
#ifndef SHIM_TRAP_CALL_H
#define SHIM_TRAP_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct trap_call {
    int listener;
    uint64_t id;
    pid_t thread;
    int nr;
    uint64_t args[6];
};

/* Takes the next call from the listener. Returns false if there is none. */
bool call_receive(struct trap_call *call, int listener);

bool call_is_there(const struct trap_call *call);

/* Returns a copy of the program's descriptor (close-on-exec), or the negative of an errno: EBADF,
 * EPERM (the program may not be inspected), ENOENT (the call has vanished), EMFILE, .... */
int call_copy_descriptor(const struct trap_call *call, int number);

/* Puts the file of `fd` at the program's descriptor `number`, with the close-on-exec flag that was
 * there. Returns 0 or an errno, ENOENT if the call has vanished. */
int call_put_descriptor(const struct trap_call *call, int fd, int number);

/* Read and write the program's memory; false if that is impossible. */
bool call_read(const struct trap_call *call, uint64_t address, void *out, size_t len);
bool call_write(const struct trap_call *call, uint64_t address, const void *value, size_t len);

/* Ends the call: with a result (0 or the negative of an errno), or by letting the kernel run it.
 * False if it had vanished. */
bool call_answer(const struct trap_call *call, int result);
bool call_let_go(const struct trap_call *call);

#endif
