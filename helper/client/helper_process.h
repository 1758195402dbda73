/* SPDX-License-Identifier: MIT */
/*
 * helper_process.h - the process of smux-helper: command line, configuration, single instance,
 * signals.
 *
 * SIGTERM and SIGINT stop (applications see ECONNRESET), SIGHUP reads the configuration and opens
 * the log file again. Exit status 0: ended when told to, or another instance runs already; 1: could
 * not start; 2: a mistake in the command line or the configuration, nothing was started.
 */
#ifndef HELPER_CLIENT_HELPER_PROCESS_H
#define HELPER_CLIENT_HELPER_PROCESS_H

int helper_process(int argc, char **argv);

#endif
