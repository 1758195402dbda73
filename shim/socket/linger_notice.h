/* SPDX-License-Identifier: MIT */
/*
 * linger_notice.h - telling the helper what AF_UNIX cannot carry. See "Notice" in
 * core/common/CONTROL.md.
 */
#ifndef SHIM_SOCKET_LINGER_NOTICE_H
#define SHIM_SOCKET_LINGER_NOTICE_H

#include <stdbool.h>
#include <stdint.h>

/* Says that a close of connection `fd`, with the id of its outcome, is to be a reset (or no
 * longer). Waits for the helper's answer, at most HELPER_NOTICE_WAIT_MS; a helper that does not
 * answer only costs the reset. Preserves errno. */
void linger_notice_send(int fd, uint64_t id, bool reset);

#endif
