/* SPDX-License-Identifier: MIT */
/*
 * linger_notice.h - tells the helper that a close must reset the connection (SO_LINGER with a
 * timeout of 0), which AF_UNIX cannot express. See "Notice" in core/common/CONTROL.md.
 */
#ifndef SHIM_SOCKET_LINGER_NOTICE_H
#define SHIM_SOCKET_LINGER_NOTICE_H

#include <stdbool.h>
#include <stdint.h>

/* Tells the helper whether closing connection `fd`, whose outcome has this id, must reset it. Waits
 * at most HELPER_NOTICE_WAIT_MS for the answer, whatever signals come; if none comes, the close is
 * an orderly one. Preserves errno. */
void linger_notice_send(int fd, uint64_t id, bool reset);

#endif
