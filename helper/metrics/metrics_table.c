/* SPDX-License-Identifier: MIT */
/* metrics_table.c - see metrics_table.h. */
#include "helper/metrics/metrics_table.h"

#define BOTH    (METRICS_GATEWAY | METRICS_HELPER)
#define COUNTER METRICS_COUNTER, false
#define GAUGE   METRICS_GAUGE, false

const struct metrics_row metrics_worker_rows[WORKER_VALUES] = {
    [WORKER_OPEN_DESCRIPTORS] = {BOTH, GAUGE, "open_descriptors", NULL,
                                 "File descriptors that are open."},
    [WORKER_DESCRIPTORS_LIMIT] = {BOTH, GAUGE, "descriptors_limit", NULL,
                                  "File descriptors that may be open."},
    [WORKER_RESIDENT_BYTES] = {BOTH, GAUGE, "resident_memory_bytes", NULL,
                               "Memory of the process that is in use."},
    [WORKER_CPU_US] = {BOTH, METRICS_COUNTER, true, "cpu_seconds_total", NULL,
                       "Processor time, of the process and in the kernel for it."},
};

#define REFUSED_NAMES "connections_refused_total"
#define REFUSED_HELP  "Connections that were not opened, by reason."
#define REFUSAL(programs, reason)                                                                  \
    { programs, COUNTER, REFUSED_NAMES, "reason=\"" reason "\"", REFUSED_HELP }
#define END(programs, how)                                                                         \
    {                                                                                              \
        programs, COUNTER, "connections_ended_total", "end=\"" how "\"",                           \
            "Connections that have ended, by how; resets by the side that sent them."              \
    }
#define BYTES(direction)                                                                           \
    {                                                                                              \
        BOTH, COUNTER, "bytes_total", "direction=\"" direction "\"",                               \
            "Bytes of connections that have passed on, by direction."                              \
    }

const struct metrics_row metrics_flow_rows[FLOW_VALUES] = {
    [FLOW_OPENED] = {BOTH, COUNTER, "connections_opened_total", NULL,
                     "Connections that were opened."},
    [FLOW_REFUSED + REFUSED_DENIED] = REFUSAL(BOTH, "denied"),
    [FLOW_REFUSED + REFUSED_LIMITED] = REFUSAL(BOTH, "limited"),
    [FLOW_REFUSED + REFUSED_NO_ROUTE] = REFUSAL(METRICS_HELPER, "no-route"),
    [FLOW_REFUSED + REFUSED_NO_GATEWAY] = REFUSAL(METRICS_HELPER, "no-gateway"),
    [FLOW_REFUSED + REFUSED_BAD_REQUEST] = REFUSAL(METRICS_GATEWAY, "bad-request"),
    [FLOW_REFUSED + REFUSED_NAME] = REFUSAL(METRICS_GATEWAY, "name"),
    [FLOW_REFUSED + REFUSED_REFUSED] = REFUSAL(BOTH, "refused"),
    [FLOW_REFUSED + REFUSED_TIMEOUT] = REFUSAL(BOTH, "timeout"),
    [FLOW_REFUSED + REFUSED_UNREACHABLE] = REFUSAL(BOTH, "unreachable"),
    [FLOW_REFUSED + REFUSED_ABANDONED] = REFUSAL(BOTH, "abandoned"),
    [FLOW_REFUSED + REFUSED_OTHER] = REFUSAL(BOTH, "other"),
    [FLOW_ENDED + ENDED_CLOSED] = END(BOTH, "closed"),
    [FLOW_ENDED + ENDED_CLIENT_RESET] = END(BOTH, "client-reset"),
    [FLOW_ENDED + ENDED_TARGET_RESET] = END(BOTH, "target-reset"),
    [FLOW_ENDED + ENDED_GIVEN_UP] = END(BOTH, "given-up"),
    [FLOW_ENDED + ENDED_WITH_ITS_WORKER] = END(METRICS_GATEWAY, "worker-died"),
    [FLOW_TO_TARGET] = BYTES("to-target"),
    [FLOW_FROM_TARGET] = BYTES("from-target"),
    [FLOW_OPENING] = {BOTH, GAUGE, "connections_opening", NULL,
                      "Connections that are being opened."},
    [FLOW_ACTIVE] = {BOTH, GAUGE, "connections_active", NULL, "Connections that are open."},
};

const struct metrics_row metrics_flow_time = {
    BOTH, GAUGE, "connect_seconds", NULL,
    "How long it took to open a connection, of those that were opened."};

const struct metrics_row metrics_peer_rows[PEER_VALUES] = {
    [PEER_BEGUN] = {BOTH, COUNTER, "sessions_begun_total", NULL, "Sessions that have begun."},
    [PEER_ENDED] = {BOTH, COUNTER, "sessions_ended_total", NULL, "Sessions that have ended."},
    [PEER_SESSIONS] = {BOTH, GAUGE, "sessions", NULL, "Sessions there are."},
};

const struct metrics_row metrics_peer_time = {
    BOTH, GAUGE, "round_trip_seconds", NULL,
    "Round-trip time of the sessions, smoothed, looked at when a ping was answered."};

const char *const metrics_flow_labels[METRICS_HELPER + 1][3] = {
    [METRICS_GATEWAY] = {"client"}, [METRICS_HELPER] = {"route", "gateway"}};
const char *const metrics_peer_labels[METRICS_HELPER + 1][3] = {
    [METRICS_GATEWAY] = {"client"}, [METRICS_HELPER] = {"gateway"}};
