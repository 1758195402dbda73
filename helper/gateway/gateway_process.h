/* SPDX-License-Identifier: MIT */
/*
 * gateway_process.h - smux-gateway as a process: command line, listening sockets, workers, signals.
 *
 * SIGTERM and SIGINT drain (a second one ends at once), SIGHUP reads the configuration and opens
 * the log file again. With workers = N, N processes each have a socket of their own on the same
 * ports (SO_REUSEPORT); a supervisor opens all of them first, so that mistakes are reported before
 * anything starts, and keeps them, so that a worker that died is replaced without losing its
 * backlog.
 */
#ifndef HELPER_GATEWAY_GATEWAY_PROCESS_H
#define HELPER_GATEWAY_GATEWAY_PROCESS_H

/* Returns the exit status: 0, 1 when something failed, 2 for a mistake in the command line or the
 * configuration (nothing was started then). */
int gateway_process(int argc, char **argv);

#endif
