/* SPDX-License-Identifier: MIT */
/* foreign_data.h - the calls of foreign_calls.c that move data, and their arguments. */
#ifndef FOREIGN_DATA_H
#define FOREIGN_DATA_H

#include "tests/oracle/foreign_subjects.h"

#define N_OF(array) ((int)(sizeof(array) / sizeof *(array)))

/* Where things lie in the arena. */
#define BYTES   (arena.bytes + 256)
#define LENGTH  ((socklen_t *)(void *)(arena.bytes + 768))
#define ADDRESS ((struct sockaddr *)(void *)(arena.bytes + 1024))
#define VECTORS ((struct iovec *)(void *)(arena.bytes + 1536))
#define MESSAGE ((struct mmsghdr *)(void *)(arena.bytes + 1664))
#define CONTROL (arena.bytes + 2048)
#define OTHER   (arena.bytes + 2560)
#define LEFT    (arena.bytes + 3072)

static const int receive_flags[] = {
    0,       MSG_PEEK,     MSG_TRUNC,    MSG_PEEK | MSG_TRUNC, MSG_WAITALL, MSG_WAITALL | MSG_PEEK,
    MSG_OOB, MSG_ERRQUEUE, MSG_DONTWAIT, MSG_WAITFORONE};
static const int send_flags[] = {0,        MSG_NOSIGNAL, MSG_OOB,    MSG_EOR, MSG_DONTROUTE,
                                 MSG_MORE, MSG_ZEROCOPY, MSG_CONFIRM};
static const int sizes[] = {0, 1, 2, 3, 16, 17, 28, 64, 110, 128, 300, -1};

/* A pointer: variant 0 is the good one. */
static void *pointer(int variant, void *good) {
    return variant ? bad_pointer(variant) : good;
}

static void set_length(int size) {
    memcpy(LENGTH, &size, sizeof size);
}

static void set_vectors(int first, int second) {
    VECTORS[0] = (struct iovec){BYTES, (size_t)first};
    VECTORS[1] = (struct iovec){BYTES + 100, (size_t)second};
}

static struct msghdr *set_message(int at, int name, int control, int vectors) {
    struct msghdr *msg = &MESSAGE[at].msg_hdr;
    memset(&MESSAGE[at], 0, sizeof MESSAGE[at]);
    set_vectors(3, 40);
    msg->msg_name = name ? ADDRESS : NULL;
    msg->msg_namelen = (socklen_t)name;
    msg->msg_control = control ? CONTROL : NULL;
    msg->msg_controllen = (socklen_t)control;
    msg->msg_iov = VECTORS;
    msg->msg_iovlen = (size_t)vectors;
    return msg;
}

static socklen_t put_address(int kind) {
    struct sockaddr_in v4 = unrouted(htons(1));
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/nowhere/at/all"};
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    switch (kind) {
    case 0:
        memcpy(ADDRESS, &v4, sizeof v4);
        return sizeof v4;
    case 1:
        memcpy(ADDRESS, &routed_server.addr, sizeof v4);
        return sizeof v4;
    case 2:
        memcpy(ADDRESS, &un, sizeof un);
        return 20;
    default:
        memcpy(ADDRESS, &none, sizeof none);
        return sizeof none;
    }
}

/* ---- The calls: each is one function of a variant, from 0; -2 says that there are no more ---- */

#define NO_MORE (-2)
typedef long call(const struct calls *c, const struct subject *s, int variant);

static long c_read(const struct calls *c, const struct subject *s, int variant) {
    static const size_t lengths[] = {0, 1, 4, 64};
    if (variant >= 4 + N_POINTERS)
        return NO_MORE;
    USE(read);
    before_call();
    return variant < 4 ? c->read(s->fd, BYTES, lengths[variant])
                       : c->read(s->fd, pointer(variant - 4, BYTES), 8);
}

static long c_write(const struct calls *c, const struct subject *s, int variant) {
    static const size_t lengths[] = {0, 1, 8, 64};
    if (variant >= 4 + N_POINTERS)
        return NO_MORE;
    USE(write);
    before_call();
    return variant < 4 ? c->write(s->fd, BYTES, lengths[variant])
                       : c->write(s->fd, pointer(variant - 4, BYTES), 8);
}

/* Vectors of each sort, at no position or another. */
static bool vectors_of(int variant, int *n, const struct iovec **vectors) {
    static const int numbers[] = {0, 1, 2, -1, 1025};
    if (variant >= 2 * N_OF(numbers) + N_POINTERS)
        return false;
    *n = variant < 2 * N_OF(numbers) ? numbers[variant / 2] : 1;
    set_vectors(variant % 2 ? 0 : 3, variant % 2 ? 0 : 40);
    *vectors = pointer(variant < 2 * N_OF(numbers) ? 0 : variant - 2 * N_OF(numbers), VECTORS);
    return true;
}

static long c_readv(const struct calls *c, const struct subject *s, int variant) {
    const struct iovec *vectors;
    int n;
    if (!vectors_of(variant, &n, &vectors))
        return NO_MORE;
    USE(readv);
    before_call();
    return c->readv(s->fd, vectors, n);
}

static long c_writev(const struct calls *c, const struct subject *s, int variant) {
    const struct iovec *vectors;
    int n;
    if (!vectors_of(variant, &n, &vectors))
        return NO_MORE;
    USE(writev);
    before_call();
    return c->writev(s->fd, vectors, n);
}

static long c_positions(const struct calls *c, const struct subject *s, int variant) {
    static const int flags[] = {0, 8 /* RWF_NOWAIT */, 1 << 29};
    const struct iovec *vectors;
    int n, offset = variant % 2 - 1, flag = flags[variant / 2 % 3], which = variant / 6 % 4;
    if (!vectors_of(variant / 24, &n, &vectors))
        return NO_MORE;
    USE(preadv2), USE(pwritev2), USE(preadv64v2), USE(pwritev64v2);
    before_call();
    if (which < 2)
        return (which ? c->pwritev2 : c->preadv2)(s->fd, vectors, n, offset, flag);
    return which == 2 ? c->preadv64v2(s->fd, vectors, n, offset, flag)
                      : c->pwritev64v2(s->fd, vectors, n, offset, flag);
}

static long c_recv(const struct calls *c, const struct subject *s, int variant) {
    static const size_t lengths[] = {0, 1, 64};
    if (variant >= 3 * N_OF(receive_flags) + N_POINTERS)
        return NO_MORE;
    USE(recv);
    before_call();
    if (variant >= 3 * N_OF(receive_flags))
        return c->recv(s->fd, pointer(variant - 3 * N_OF(receive_flags), BYTES), 8, 0);
    return c->recv(s->fd, BYTES, lengths[variant % 3], receive_flags[variant / 3]);
}

static long c_recvfrom(const struct calls *c, const struct subject *s, int variant) {
    int n = N_OF(sizes) * N_OF(receive_flags), pointers = variant - n;
    if (variant >= n + N_POINTERS * N_POINTERS)
        return NO_MORE;
    USE(recvfrom);
    set_length(pointers < 0 ? sizes[variant % N_OF(sizes)] : 64);
    before_call();
    if (pointers < 0)
        return c->recvfrom(s->fd, BYTES, 64, receive_flags[variant / N_OF(sizes)], ADDRESS, LENGTH);
    return c->recvfrom(s->fd, BYTES, 64, 0, pointer(pointers % N_POINTERS, ADDRESS),
                       pointer(pointers / N_POINTERS, LENGTH));
}

static long c_recvmsg(const struct calls *c, const struct subject *s, int variant) {
    static const int controls[] = {0, 1, 64}, numbers[] = {2, 0, 1025};
    int n = N_OF(sizes) * N_OF(receive_flags), more = variant - n;
    if (variant >= n + 9 + N_POINTERS)
        return NO_MORE;
    USE(recvmsg);
    struct msghdr *msg = set_message(0, more < 0 ? sizes[variant % N_OF(sizes)] : 64,
                                     more < 0 ? 64 : controls[more % 3],
                                     more < 0 || more >= 9 ? 2 : numbers[more / 3]);
    before_call();
    return more < 9 ? c->recvmsg(s->fd, msg, more < 0 ? receive_flags[variant / N_OF(sizes)] : 0)
                    : c->recvmsg(s->fd, pointer(more - 9, msg), 0);
}

static long c_recvmmsg(const struct calls *c, const struct subject *s, int variant) {
    static const unsigned numbers[] = {0, 1, 2};
    struct timespec *time = (void *)OTHER;
    int n = 3 * N_OF(receive_flags), more = variant - n;
    /* glibc itself reads the time where it has to widen it. */
    if (variant >= n + (sizeof(long) == 4 ? 1 : 2) * N_POINTERS)
        return NO_MORE;
    USE(recvmmsg);
    set_message(0, 64, 64, 2);
    set_message(1, 2, 0, 1);
    *time = (struct timespec){0, 0};
    before_call();
    if (more < 0)
        return c->recvmmsg(s->fd, MESSAGE, numbers[variant % 3], receive_flags[variant / 3], NULL);
    return more < N_POINTERS ? c->recvmmsg(s->fd, pointer(more, MESSAGE), 2, 0, NULL)
                             : c->recvmmsg(s->fd, MESSAGE, 2, 0, pointer(more - N_POINTERS, time));
}

static long c_send(const struct calls *c, const struct subject *s, int variant) {
    static const size_t lengths[] = {0, 1, 64};
    if (variant >= 3 * N_OF(send_flags) + N_POINTERS)
        return NO_MORE;
    USE(send);
    before_call();
    if (variant >= 3 * N_OF(send_flags))
        return c->send(s->fd, pointer(variant - 3 * N_OF(send_flags), BYTES), 8, 0);
    return c->send(s->fd, BYTES, lengths[variant % 3], send_flags[variant / 3]);
}

/* A fresh TCP socket that connects to a routed destination becomes ours, and is not tested here. */
static bool becomes_ours;

static long c_sendto(const struct calls *c, const struct subject *s, int variant) {
    int flags = variant % 2 ? MSG_FASTOPEN | MSG_NOSIGNAL : MSG_NOSIGNAL, kind = variant / 2 % 4;
    int bad = variant - 8;
    if (variant >= 8 + N_POINTERS)
        return NO_MORE;
    USE(sendto);
    if (kind == 1 && becomes_ours)
        return 0;
    socklen_t len = put_address(bad < 0 ? kind : 0);
    before_call();
    return bad < 0 ? c->sendto(s->fd, BYTES, 8, flags, ADDRESS, len)
                   : c->sendto(s->fd, BYTES, 8, MSG_NOSIGNAL, pointer(bad, ADDRESS), len);
}

static long c_sendmsg(const struct calls *c, const struct subject *s, int variant) {
    int n = 3 * N_OF(send_flags), more = variant - n;
    if (variant >= n + 4 + N_POINTERS)
        return NO_MORE;
    USE(sendmsg);
    struct msghdr *msg = set_message(0, 0, 0, more < 0 ? variant % 3 : 1);
    if (more >= 0 && more < 4 && !(more == 1 && becomes_ours)) {
        msg->msg_name = ADDRESS;
        msg->msg_namelen = put_address(more);
    }
    before_call();
    if (more < 4)
        return c->sendmsg(s->fd, msg, more < 0 ? send_flags[variant / 3] : MSG_NOSIGNAL);
    return c->sendmsg(s->fd, pointer(more - 4, msg), MSG_NOSIGNAL);
}

static long c_sendmmsg(const struct calls *c, const struct subject *s, int variant) {
    if (variant >= N_OF(send_flags) + N_POINTERS)
        return NO_MORE;
    USE(sendmmsg);
    set_message(0, 0, 0, 1);
    set_message(1, 0, 0, 2);
    before_call();
    return variant < N_OF(send_flags)
               ? c->sendmmsg(s->fd, MESSAGE, 2, send_flags[variant])
               : c->sendmmsg(s->fd, pointer(variant - N_OF(send_flags), MESSAGE), 2, MSG_NOSIGNAL);
}

static int helper_pipe[2], helper_file;

static long c_moves(const struct calls *c, const struct subject *s, int variant) {
    off_t *offset = (void *)OTHER;
    *offset = 0;
    USE(sendfile), USE(sendfile64), USE(splice);
    before_call();
    switch (variant) {
    case 0:
        return c->sendfile(s->fd, helper_file, offset, 9);
    case 1:
        return c->sendfile(helper_pipe[1], s->fd, NULL, 9);
    case 2:
        return c->sendfile64(s->fd, helper_file, pointer(POINTER_FORBIDDEN, NULL), 9);
    case 3:
        return c->sendfile64(s->fd, helper_file, pointer(POINTER_ONE, NULL), 9);
    case 4:
        return c->splice(helper_pipe[0], NULL, s->fd, NULL, 4, SPLICE_F_NONBLOCK);
    case 5:
        return c->splice(s->fd, NULL, helper_pipe[1], NULL, 4, SPLICE_F_NONBLOCK);
    case 6:
        return c->splice(s->fd, pointer(POINTER_ONE, NULL), helper_pipe[1], NULL, 4, 0);
    case 7:
        return c->sendfile(s->fd, helper_file, offset, 0);
    default:
        return NO_MORE;
    }
}

#endif
