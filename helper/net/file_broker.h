/* SPDX-License-Identifier: MIT */
/*
 * file_broker.h - opens files for a process that may not open any itself.
 *
 * A process that is about to give up its privileges, and the right to open files (sandbox.h), forks
 * a broker first: a child that keeps the privileges, reads only the process's requests for files,
 * and answers with a descriptor if the rule that it was started with allows that. So a reload can
 * read what only root may read, and a log file can be opened again after it was rotated away; and
 * an attacker who has taken over the process gets only these files, which the process has read
 * anyway. The broker ends with its process.
 *
 * For the main thread only.
 */
#ifndef HELPER_NET_FILE_BROKER_H
#define HELPER_NET_FILE_BROKER_H

#include <stdbool.h>

#include "core/common/config.h"

enum file_use {
    FILE_READ,  /* for reading */
    FILE_APPEND /* for appending, created with mode 0640 if need be; without waiting, if a pipe */
};

/* Opens a file, close-on-exec: by the broker if there is one, else in this process. Returns the
 * descriptor or a negative errno: -EACCES if the rule does not allow it, -EPIPE if the broker has
 * gone. */
int file_open(const char *path, enum file_use use);

/* Forks the broker; from now on file_open asks it. `may` is called in the broker, for each
 * request. `mode`: its own sandbox. The process has no other threads yet. 0 or a negative errno. */
int file_broker_start(enum config_sandbox mode,
                      bool (*may)(void *user, const char *path, enum file_use use), void *user);

/* To be called after SIGCHLD. True, once, if the broker has ended; file_open fails from then on. */
bool file_broker_has_ended(void);

#endif
