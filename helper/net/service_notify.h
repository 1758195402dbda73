/* SPDX-License-Identifier: MIT */
/*
 * service_notify.h - tells the service manager (systemd) that started this daemon how it is doing.
 *
 * The protocol is that of sd_notify(3): a datagram for each message, sent to the unix socket that
 * NOTIFY_SOCKET names. libsystemd is not used for it, because it makes a new socket for each
 * message, which a gateway's filter of system calls forbids: the one here is made at the start.
 *
 * Everything does nothing if no service manager waits for messages. One per process, for the main
 * thread; errno survives every call. Children that are forked later must not send.
 */
#ifndef HELPER_NET_SERVICE_NOTIFY_H
#define HELPER_NET_SERVICE_NOTIFY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "helper/net/loop.h"

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and removes them from the environment. Only
 * for a daemon that stays in the foreground: one that a program has started in the background has
 * the program's variables, and must not speak for its service. 0, or a negative errno if the socket
 * cannot be used. */
int service_notify_open(void);

/* In a child of the process that reports: sends nothing from now on. */
void service_notify_close(void);

/* In a child that is about to start another program: that program may call service_notify_open. */
void service_notify_export(void);

/* The main process of the service is that one from now on, and this one says no more. */
void service_hand_over(pid_t successor);

/* How often the watchdog has to hear of this process, in microseconds; 0: there is none. */
uint64_t service_watchdog_us(void);

/* What follows is sent with `status`, one line for people. A message that the service manager waits
 * for may block for SERVICE_NOTIFY_WAIT_MS if its queue is full. */
void service_ready(const char *status);
/* A reload begins; service_ready tells its end. */
void service_reloading(void);
/* The end begins, and may take this long. */
void service_stopping(const char *status, uint64_t may_take_us);
/* Nothing new. Also tells the watchdog that the process is alive. Never blocks. */
void service_alive(const char *status);

#define SERVICE_NOTIFY_WAIT_MS 250
#define SERVICE_STATUS_MAX     200

/* Tells from the loop that it turns: to the service manager with a status or, in a worker, to its
 * supervisor. Embedded in the caller's structure, zeroed before first use. */
struct service_pulse {
    struct loop *loop;
    struct loop_timer timer;
    uint64_t *beat; /* where a supervisor looks: loop_clock_us of the last time; or NULL */
    void (*describe)(const struct service_pulse *pulse, char *out, size_t size);
};

/* Begins, if somebody wants to know. `describe` writes the status, and is NULL where there is a
 * `beat`. */
void service_pulse_start(struct service_pulse *pulse, struct loop *loop, uint64_t *beat,
                         void (*describe)(const struct service_pulse *pulse, char *out,
                                          size_t size));
void service_pulse_stop(struct service_pulse *pulse);

#endif
