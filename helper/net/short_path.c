/* SPDX-License-Identifier: MIT */
/* short_path.c - see short_path.h. */
#include "helper/net/short_path.h"

#include <linux/tcp.h> /* not netinet/tcp.h, whose tcp_info is older */
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

uint32_t short_path_rtt_us(int fd) {
    struct tcp_info info;
    socklen_t len = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ||
        len < offsetof(struct tcp_info, tcpi_min_rtt) + sizeof info.tcpi_min_rtt)
        return UINT32_MAX;
    return info.tcpi_min_rtt;
}

void short_path_stop_pacing(int fd) {
    static const char *const unpaced[] = {"cubic", "reno"};
    char name[16] = "";
    socklen_t len = sizeof name - 1;
    if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len) < 0 ||
        strncmp(name, "bbr", 3) != 0 || short_path_rtt_us(fd) >= SHORT_PATH_RTT_US)
        return;
    for (size_t i = 0; i < sizeof unpaced / sizeof *unpaced; i++)
        if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, unpaced[i],
                       (socklen_t)strlen(unpaced[i])) == 0)
            return;
}
