/* SPDX-License-Identifier: MIT */
/*
 * options.h - socket options: carried over the swap, kept on the socket, and answered as TCP would.
 *
 * An AF_UNIX socket does not have TCP's options, but it has some fields that the kernel stores and
 * never uses. Two of them hold what the application has set, so that any process reads it back:
 *   the mark    SO_MAX_PACING_RATE, 64 bits: the options that real programs set on every connection
 *   the store   a socket filter (never run on a stream socket) whose instructions carry pairs of
 *               option and value: all others; 8 µs to write, so only for what is rare
 */
#ifndef SHIM_SOCKET_OPTIONS_H
#define SHIM_SOCKET_OPTIONS_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/common/helper_protocol.h"
#include "shim/socket/state.h"

/* MARK_FIELD: (shift << 8) | width. A field holds value + 1 for numbers whose default is not 0. */
#define MARK_FIELD(shift, width) ((shift) << 8 | (width))
#define MARK_FAMILY6             MARK_FIELD(0, 1)
#define MARK_NODELAY             MARK_FIELD(1, 1)
#define MARK_CORK                MARK_FIELD(2, 1)
#define MARK_KEEPIDLE            MARK_FIELD(3, 15)
#define MARK_KEEPINTVL           MARK_FIELD(18, 15)
#define MARK_KEEPCNT             MARK_FIELD(33, 7)
#define MARK_SYNCNT              MARK_FIELD(40, 7)
#define MARK_TOS                 MARK_FIELD(47, 8)
#define MARK_PENDING             MARK_FIELD(55, 1) /* connect has not told the outcome (trap) */
#define MARK_UNSAID              MARK_FIELD(56, 1) /* connect has not said EINPROGRESS (trap) */

struct option_row {
    int level, name;
    uint8_t how; /* enum option_how */
    uint16_t field;
    int standard, min, max;
};

enum option_how {
    OPTION_KERNEL,
    OPTION_MARK,
    OPTION_STORE,
    OPTION_EARLY,
    OPTION_LATE,
    OPTION_NAME,
    OPTION_BUFFER,
    OPTION_IGNORE,
    OPTION_ANSWER,
    OPTION_REFUSE,
};

/* The row of an option, or NULL. */
const struct option_row *option_find(int level, int name);

/* Read and write one integer kept on the socket. `get` returns the row's default if none is kept;
 * `put` returns 0 or an errno. 1 or 2 system calls. */
int option_kept_get(int fd, const struct option_row *row);
int option_kept_put(int fd, const struct option_row *row, int value);

#define OPTION_NAME_SIZE 16 /* the kernel's TCP_CA_NAME_MAX */

/* The same for a kept name, which is OPTION_NAME_SIZE bytes, all zero if none was kept. */
void option_name_get(int fd, const struct option_row *row, char name[OPTION_NAME_SIZE]);
int option_name_put(int fd, const struct option_row *row, const char name[OPTION_NAME_SIZE]);

/* Addresses kept on the socket. `get` returns false if there is none; `put` returns 0 or an errno.
 * 1 or 2 system calls. */
enum option_address {
    OPTION_BOUND, /* what the program had bound the TCP socket to */
    OPTION_OWN,   /* what getsockname has answered, if the outcome has no address */
};
bool option_address_get(int fd, enum option_address which, struct endpoint *out);
int option_address_put(int fd, enum option_address which, const struct endpoint *address);

/* The family of the application's socket; needed while no outcome says it. 1 system call. */
uint16_t options_family(int fd);

/* One bit of the mark of `fd`, one of ours: MARK_PENDING or MARK_UNSAID. 1 or 2 system calls. */
bool options_flag(int fd, uint16_t field);
void options_set_flag(int fd, uint16_t field, bool on);

/* After a successful setsockopt on a socket that is not ours: remembers that the option must be
 * carried over. Memory only. */
void options_note(int fd, int level, int name);

/* The name of the device that an option has bound the TCP socket `fd` to; false if none has. No
 * system call if this process made the socket and has set none of the rare options on it. */
bool options_device(int fd, char name[IFNAMSIZ]);

/* Before the swap: takes the options of the TCP socket `from` and the address it is bound to
 * (req->local). Each is set on the unix socket `to`, kept there, or told to the helper in *req. No
 * system call if this process made the socket, it is AF_INET, and no option is set; a socket from
 * another process may have any option set. */
void options_carry(int from, int to, uint16_t family, struct helper_request *req);

/* The reverse: sets the options kept by `from` on the TCP socket `to`. Returns the HINT_OPTIONS
 * bits of what is now set, for the next options_carry. */
uint32_t options_restore(int from, int to);

/* Carries the settings of F_SETOWN and F_SETSIG over; both SIGURG and SIGIO need them. */
void options_carry_owner(int from, int to);

/* getsockopt and setsockopt for a descriptor of ours, for everything that libc's call would answer
 * differently from TCP. Return 0, or -1 with errno, as the real calls do. */
int options_get(int fd, const struct shim_state *state, int level, int name, void *value,
                socklen_t *len);
int options_set(int fd, const struct shim_state *state, int level, int name, const void *value,
                socklen_t len);

/* Would the kernel apply this option to a socket of ours otherwise than to TCP's? */
bool options_set_differs(int level, int name);

/* The same for what it would read; all of TCP's levels. */
bool options_get_differs(int level, int name);

/* Answers an ioctl as an unconnected TCP socket of the family of `fd` would: for requests that do
 * not concern the socket itself, such as the addresses of interfaces. 4 system calls. */
int options_ioctl(int fd, unsigned long request, void *argument);

#endif
