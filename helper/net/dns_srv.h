/* SPDX-License-Identifier: MIT */
/*
 * dns_srv.h - the SRV records (RFC 2782) in a name server's answer.
 *
 * The answer comes from the network, and nothing of it is believed: every length is checked, and
 * compressed names are unfolded by c-ares, which refuses those that lead in a circle.
 */
#ifndef HELPER_NET_DNS_SRV_H
#define HELPER_NET_DNS_SRV_H

#include <stddef.h>
#include <stdint.h>

/* The most records of one name that are used: those with the lowest priorities. */
#define DNS_SRV_MAX 16

struct dns_srv {
    uint16_t priority; /* the lowest is tried first */
    uint16_t weight;   /* the share among those with the same priority */
    uint16_t port;
    char target[256]; /* a host name */
};

/* Reads the records of the answer section into `records`, in the order of their priorities. Returns
 * how many there are, which is 0 also if the service is said not to exist (a target of "."), or
 * -EBADMSG. *ttl_s: the shortest time, in seconds, that a record of the section may be used. */
int dns_srv_parse(const uint8_t *message, size_t len, struct dns_srv records[DNS_SRV_MAX],
                  uint32_t *ttl_s);

#endif
