/* SPDX-License-Identifier: MIT */
/* metrics_table.c - see metrics_table.h. */
#include "helper/metrics/metrics_table.h"

#define BOTH    (METRICS_GATEWAY | METRICS_HELPER)
#define COUNTER METRICS_COUNTER, false
#define GAUGE   METRICS_GAUGE, false

#define STRANGER(reason)                                                                           \
    {                                                                                              \
        METRICS_GATEWAY, COUNTER, "handshake_failures_total", "reason=\"" reason "\"",             \
            "Carriers that ended before their peers had shown who they are, by reason."            \
    }

const struct metrics_row metrics_worker_rows[WORKER_VALUES] = {
    [WORKER_OPEN_DESCRIPTORS] = {BOTH, GAUGE, "open_descriptors", NULL,
                                 "File descriptors that are open."},
    [WORKER_DESCRIPTORS_LIMIT] = {BOTH, GAUGE, "descriptors_limit", NULL,
                                  "File descriptors that may be open."},
    [WORKER_RESIDENT_BYTES] = {BOTH, GAUGE, "resident_memory_bytes", NULL,
                               "Memory of the process that is in use."},
    [WORKER_CPU_US] = {BOTH, METRICS_COUNTER, true, "cpu_seconds_total", NULL,
                       "Processor time, of the process and in the kernel for it."},
    [WORKER_KEPT_BYTES] = {BOTH, GAUGE, "kept_bytes", NULL,
                           "Memory for data that has arrived and that its reader does not take."},
    [WORKER_KEPT_LIMIT_BYTES] = {BOTH, GAUGE, "kept_limit_bytes", NULL,
                                 "How much memory that may be (half of max-memory)."},
    [WORKER_LENT_BYTES] = {BOTH, GAUGE, "lent_bytes", NULL,
                           "Memory for data that was read and that no carrier has taken yet."},
    [WORKER_SPARE_BYTES] = {BOTH, GAUGE, "spare_bytes", NULL,
                            "Memory of buffers that wait to be used again."},
    [WORKER_QUEUED_NAMES] = {BOTH, GAUGE, "names_waiting", NULL,
                             "Look-ups of names that wait for their turn."},
    [WORKER_NAMES_UNDER_WAY] = {BOTH, GAUGE, "names_under_way", NULL,
                                "Look-ups of names that name servers have been asked for."},
    [WORKER_HANDSHAKES] = {METRICS_GATEWAY, GAUGE, "handshakes", NULL,
                           "Carriers whose peers have not shown yet who they are."},
    [WORKER_CARRIERS] = {METRICS_GATEWAY, COUNTER, "carriers_accepted_total", NULL,
                         "Carriers that were accepted."},
    [WORKER_CARRIERS_REFUSED] = {METRICS_GATEWAY, COUNTER, "carriers_refused_total", NULL,
                                 "Carriers that there was no place for (max-sessions)."},
    [WORKER_SUPPRESSED_LINES] = {BOTH, COUNTER, "log_lines_suppressed_total", NULL,
                                 "Lines that the log does not have, because there were too many."},
    [WORKER_LOST_LINES] = {METRICS_GATEWAY, COUNTER, "access_log_lines_lost_total", NULL,
                           "Lines that the access log does not have, because they could not be "
                           "written."},
    [WORKER_STRANGERS + STRANGER_SILENT] = STRANGER("silent"),
    [WORKER_STRANGERS + STRANGER_GAVE_WAY] = STRANGER("gave-way"),
    [WORKER_STRANGERS + STRANGER_CLOSED] = STRANGER("closed"),
    [WORKER_STRANGERS + STRANGER_NOT_TLS] = STRANGER("not-tls"),
    [WORKER_STRANGERS + STRANGER_VERSION] = STRANGER("version"),
    [WORKER_STRANGERS + STRANGER_PROTOCOL] = STRANGER("protocol"),
    [WORKER_STRANGERS + STRANGER_SECRET] = STRANGER("secret"),
    [WORKER_STRANGERS + STRANGER_CERTIFICATE] = STRANGER("certificate"),
    [WORKER_STRANGERS + STRANGER_REFUSES] = STRANGER("refused-by-client"),
    [WORKER_STRANGERS + STRANGER_NO_CLIENT] = STRANGER("no-client"),
    [WORKER_STRANGERS + STRANGER_OTHER] = STRANGER("other"),
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
    [FLOW_REFUSED + REFUSED_NAME] = REFUSAL(BOTH, "name"),
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
    [PEER_CONNECT_FAILURES] =
        {METRICS_HELPER, COUNTER, "gateway_connect_failures_total", NULL,
         "Times that no address of the gateway answered, or its session was lost."},
    [PEER_SESSIONS] = {BOTH, GAUGE, "sessions", NULL, "Sessions there are."},
    [PEER_OUTPUT_BYTES] = {BOTH, GAUGE, "carrier_output_bytes", NULL,
                           "Bytes that wait to be sent on the sessions' carriers."},
    [PEER_WAITING] = {METRICS_HELPER, GAUGE, "streams_waiting", NULL,
                      "Connections that wait for a session to open their streams on."},
    [PEER_UNREACHABLE] = {METRICS_HELPER, GAUGE, "gateway_unreachable", NULL,
                          "1 if the last attempts to reach the gateway have failed."},
};

const struct metrics_row metrics_peer_time = {
    BOTH, GAUGE, "round_trip_seconds", NULL,
    "Round-trip time of the sessions, smoothed, looked at when a ping was answered."};

const char *const metrics_flow_labels[METRICS_HELPER + 1][3] = {
    [METRICS_GATEWAY] = {"client"}, [METRICS_HELPER] = {"route", "gateway"}};
const char *const metrics_peer_labels[METRICS_HELPER + 1][3] = {
    [METRICS_GATEWAY] = {"client"}, [METRICS_HELPER] = {"gateway"}};
