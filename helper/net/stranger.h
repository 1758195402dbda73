/* SPDX-License-Identifier: MIT */
/*
 * stranger.h - closes descriptors that came from local users, outside the event loop.
 *
 * close() may block for as long as a user likes: a TCP socket with SO_LINGER and unsent data, a
 * file of a file system in user space. Such a descriptor can also be part of the unread data of a
 * unix socket (SCM_RIGHTS), and is then closed with the socket. So a small pool of threads closes
 * whatever is not known to be harmless. A close that lingers is interrupted after some
 * milliseconds; one that cannot be interrupted delays only closes of the same user, because each
 * user has a share of the threads. Users who are not admitted have a pool of their own.
 */
#ifndef HELPER_NET_STRANGER_H
#define HELPER_NET_STRANGER_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Closes fd, which came from this user, soon. Never blocks. -1 is fine. */
void stranger_close(int fd, uid_t uid);

/* Sets SO_SNDBUF of a user's socket, then closes it and `done`, in a thread as stranger_close does:
 * whoever has the socket can hold its lock for any time (SO_ATTACH_FILTER, whose memory faults).
 * False if memory is short: both then stay the caller's. */
bool stranger_set_sndbuf(int fd, uid_t uid, int sndbuf, int done);

/* True if so many closes of this user are waiting that no more descriptors should be accepted from
 * that user: accepted ones are never dropped, so they would fill the descriptor table. */
bool stranger_is_jammed(uid_t uid);

/* As stranger_close, for a user who is not admitted: closes the helper's end with all unread data
 * in it. */
void stranger_refuse(int fd, uid_t uid);

/* How many of those closes are waiting. At STRANGER_REFUSED_MAX, no connection should be accepted
 * for a while. */
unsigned stranger_refused_waiting(void);

/* While the descriptor table is nearly full, the kernel closes received descriptors for which there
 * is no room, in the thread that receives. With the guard on (for the calling thread) such closes
 * do not linger either. */
void stranger_guard(bool on);

/* Receives from a user's unix socket, as recvmsg with MSG_DONTWAIT does. Descriptors that come with
 * the data are closed, and *descriptors says whether there were any; they came with the last byte
 * received, because the kernel stops there. Returns the number of bytes, 0 at the end, or a
 * negative errno: -ECONNABORTED if the user is jammed. */
ssize_t stranger_receive(int fd, uid_t uid, struct iovec *iov, int count, bool *descriptors);

/* The same with MSG_PEEK. *cut: descriptors came with the data and the kernel stopped there, so
 * there may be more to read although there was room for it. */
ssize_t stranger_peek(int fd, uid_t uid, void *data, size_t len, bool *cut);

/* Room for all descriptors that one message can hold (SCM_MAX_FD): the kernel closes those that
 * find no room, in the receiver's thread. */
#define STRANGER_FDS_MAX 253

/* The most threads, and how many of them one user may occupy. */
#define STRANGER_THREADS_MAX      64
#define STRANGER_THREADS_PER_USER 8
/* The same for users who are not admitted. */
#define STRANGER_REFUSED_THREADS_MAX      8
#define STRANGER_REFUSED_THREADS_PER_USER 4

#define STRANGER_JAMMED      256
#define STRANGER_REFUSED_MAX 256

/* How long a close may linger. */
#define STRANGER_LINGER_US 2000

#endif
