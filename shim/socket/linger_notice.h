/* SPDX-License-Identifier: MIT */
/*
 * linger_notice.h - tells the helper that a close is to be a reset, which AF_UNIX cannot express.
 * See "Notice" in core/common/CONTROL.md.
 */
#ifndef SHIM_SOCKET_LINGER_NOTICE_H
#define SHIM_SOCKET_LINGER_NOTICE_H

#include <stdbool.h>
#include <stdint.h>

/* Says whether a close of connection `fd`, which has this outcome id, is to be a reset. Waits for
 * the helper's answer, at most HELPER_NOTICE_WAIT_MS; if none comes, only the reset is lost.
 * Preserves errno. */
void linger_notice_send(int fd, uint64_t id, bool reset);

#endif
