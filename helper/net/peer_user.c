/* SPDX-License-Identifier: MIT */
/* peer_user.c - see peer_user.h. */
#include "helper/net/peer_user.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

struct question {
    struct nlmsghdr header;
    struct inet_diag_req_v2 request;
};

int peer_user_open(void) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
    return fd < 0 ? -errno : fd;
}

static void ask_for(struct question *question, const struct endpoint *peer,
                    const struct endpoint *own) {
    static uint32_t sequence;
    struct inet_diag_req_v2 *request = &question->request;
    memset(question, 0, sizeof *question);
    question->header = (struct nlmsghdr){.nlmsg_len = sizeof *question,
                                         .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                                         .nlmsg_flags = NLM_F_REQUEST,
                                         .nlmsg_seq = ++sequence};
    request->sdiag_family = (uint8_t)peer->family;
    request->sdiag_protocol = IPPROTO_TCP;
    request->idiag_states = UINT32_MAX;
    request->id.idiag_sport = htons(peer->port);
    request->id.idiag_dport = htons(own->port);
    memcpy(request->id.idiag_src, peer->addr, sizeof request->id.idiag_src);
    memcpy(request->id.idiag_dst, own->addr, sizeof request->id.idiag_dst);
    request->id.idiag_cookie[0] = request->id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
}

/* A socket that no process has open any more has no inode, and root for its user. */
static bool read_answer(const struct nlmsghdr *header, size_t len, uid_t *uid) {
    const struct inet_diag_msg *answer = NLMSG_DATA(header);
    if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY || len < NLMSG_LENGTH(sizeof *answer) ||
        answer->idiag_inode == 0)
        return false;
    *uid = answer->idiag_uid;
    return true;
}

/* The kernel answers while it is asked. What is left of a question that was given up is skipped. */
bool peer_user_find(int fd, const struct endpoint *peer, const struct endpoint *own, uid_t *uid) {
    struct question question;
    struct endpoint from = endpoint_unmapped(peer), to = endpoint_unmapped(own);
    union {
        struct nlmsghdr header;
        char space[1024];
    } answer;
    if (fd < 0 || from.family == 0 || from.family != to.family)
        return false;
    ask_for(&question, &from, &to);
    if (send(fd, &question, sizeof question, MSG_DONTWAIT) != (ssize_t)sizeof question)
        return false;
    for (;;) {
        ssize_t n = recv(fd, &answer, sizeof answer, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < (ssize_t)sizeof answer.header)
            return false;
        if (answer.header.nlmsg_seq == question.header.nlmsg_seq)
            return read_answer(&answer.header, (size_t)n, uid);
    }
}
