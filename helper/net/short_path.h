/* SPDX-License-Identifier: MIT */
/*
 * short_path.h - adjusts to network paths so short that the programs at their ends take longer than
 * the path does: within a machine or a rack.
 */
#ifndef HELPER_NET_SHORT_PATH_H
#define HELPER_NET_SHORT_PATH_H

#include <stdint.h>

/* Paths with shorter round trips are near. */
#define SHORT_PATH_RTT_US 1000u

/* The shortest round trip that a connected TCP socket has measured lately; UINT32_MAX if that is
 * not known. */
uint32_t short_path_rtt_us(int fd);

/* If the path of a connected TCP socket is near and its congestion control is of the BBR family,
 * another one replaces it (cubic, or reno where that is not permitted): BBR sends by a timer, and
 * on such a path the timer costs more than sending. Errors are ignored. 1 to 4 system calls. */
void short_path_stop_pacing(int fd);

#endif
