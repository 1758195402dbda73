/*
 * closer.h - closing descriptors that came from strangers, off the event loop.
 *
 * close() may block for as long as a stranger likes: a TCP socket with SO_LINGER and unsent data, a
 * file of a file system in user space. Such a descriptor can also hide, by SCM_RIGHTS, in what was
 * not read of a unix socket, and is then closed with it. So whatever is not known to be harmless is
 * closed by a thread of this small pool. Blocked ones do not hold up the others.
 */
#ifndef HELPER_CLOSER_H
#define HELPER_CLOSER_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Closes fd soon. Never blocks. -1 is fine. */
void closer_close(int fd);

/* Receives from a stranger's unix socket, as recvmsg with MSG_DONTWAIT does; descriptors that come along
 * are closed, and *descriptors says that there were some: with the last byte received, as the kernel
 * stops there. Returns the number of bytes, 0 at the end, or a negative errno. */
ssize_t closer_receive(int fd, struct iovec *iov, int count, bool *descriptors);

/* The same with MSG_PEEK. *cut: descriptors came along, at which the kernel stops, so that there may be
 * more to read although there was room for it. */
ssize_t closer_peek(int fd, void *data, size_t len, bool *cut);

/* Room for all descriptors that one message can hold (SCM_MAX_FD): what finds no room is closed by the
 * kernel in the receiver's thread. */
#define CLOSER_FDS_MAX 253

/* Threads at most; with as many closes blocked, further ones wait in a queue. */
#define CLOSER_THREADS_MAX 64
/* Longest queue. Beyond it descriptors stay open: better a leak that a limit stops than a standstill. */
#define CLOSER_QUEUE_MAX 4096

#endif
