/* SPDX-License-Identifier: MIT */
/*
 * opener.c - the cost of connections.
 *
 *     opener --port N... --count N [--hold]
 *
 * Without --hold: connects and closes, one after the other; prints "connects us_per_connect".
 * With --hold: keeps all open, each after one byte back and forth; prints "opened first_us last_us"
 * (medians of the first and the last hundred), and ends with its standard input.
 *
 * Several ports are used in turn. With a single one, the result would be dominated by the kernel's
 * search for a free local port, which takes a millisecond with more than 14,000 connections to one
 * address.
 */
#include "tests/bench/path/net.h"

#include <getopt.h>
#include <sys/resource.h>

#define PORTS_MAX 16
#define EDGE      100 /* how many connections at the start and at the end are compared */

static void open_and_close(const uint16_t *ports, int n, long count) {
    int64_t start = now_ns();
    for (long i = 0; i < count; i++)
        close(dial(ports[i % n]));
    printf("%ld %.3f\n", count, (double)(now_ns() - start) / 1e3 / (double)(count ? count : 1));
}

static void open_and_hold(const uint16_t *ports, int n, long count) {
    int64_t *took = calloc((size_t)count, sizeof *took);
    char end;
    if (!took)
        die("no memory");
    for (long i = 0; i < count; i++) {
        int64_t start = now_ns();
        int fd = dial(ports[i % n]);
        took[i] = now_ns() - start;
        /* Wait until it has arrived, so that the server's backlog is not measured. */
        if (!write_all(fd, "i", 1) || !read_all(fd, &end, 1))
            die("connection %ld: the peer does not answer", i + 1);
    }
    size_t edge = count < EDGE ? (size_t)count : EDGE;
    qsort(took, edge, sizeof *took, compare_ns);
    qsort(took + count - edge, edge, sizeof *took, compare_ns);
    printf("%ld %.2f %.2f\n", count, (double)quantile(took, edge, 0.5) / 1e3,
           (double)quantile(took + count - edge, edge, 0.5) / 1e3);
    fflush(stdout);
    free(took);
    while (read(0, &end, 1) > 0)
        ;
}

int main(int argc, char **argv) {
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"count", required_argument, NULL, 'n'},
                                            {"hold", no_argument, NULL, 'h'},
                                            {0}};
    uint16_t ports[PORTS_MAX];
    int n = 0;
    long count = -1;
    bool hold = false;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'p':
            if (n < PORTS_MAX)
                ports[n++] = (uint16_t)number("port", optarg, 1);
            break;
        case 'n':
            count = (long)number("count", optarg, 0);
            break;
        case 'h':
            hold = true;
            break;
        default:
            return 2;
        }
    }
    if (n == 0 || count < (hold ? 1 : 0)) {
        fprintf(stderr, "opener: expected --port and --count\n");
        return 2;
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    (hold ? open_and_hold : open_and_close)(ports, n, count);
    return 0;
}
