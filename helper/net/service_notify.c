/* SPDX-License-Identifier: MIT */
/* service_notify.c - see service_notify.h. */
#include "helper/net/service_notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "helper/net/number_variable.h"

/* People look at the status now and then. */
#define STATUS_EVERY_US 10000000u

static struct {
    bool open;
    int fd;
    struct sockaddr_un addr;
    socklen_t len;
    uint64_t watchdog_us;
} manager;

static uint64_t watchdog_of_environment(void) {
    unsigned long long us, pid;
    if (!number_variable("WATCHDOG_USEC", ULLONG_MAX - 1, &us))
        return 0;
    bool own = number_variable("WATCHDOG_PID", INT_MAX, &pid) && (pid_t)pid == getpid();
    return own || !getenv("WATCHDOG_PID") ? us : 0;
}

/* A path, or with @ in front an abstract name. False: something else. */
static bool set_address(const char *name) {
    size_t len = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof manager.addr.sun_path)
        return false;
    manager.addr.sun_family = AF_UNIX;
    memcpy(manager.addr.sun_path, name, len);
    if (name[0] == '@')
        manager.addr.sun_path[0] = '\0';
    manager.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    return true;
}

/* Once connected, the socket reaches an abstract name from a sandbox, too (landlock.h). */
static bool reach(void) {
    return connect(manager.fd, (const struct sockaddr *)&manager.addr, manager.len) == 0;
}

static int open_socket(const char *name) {
    const struct timeval wait = {.tv_usec = SERVICE_NOTIFY_WAIT_MS * 1000};
    if (!set_address(name))
        return -EAFNOSUPPORT;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    manager.fd = fd;
    manager.open = true;
    reach();
    manager.watchdog_us = watchdog_of_environment();
    return 0;
}

int service_notify_open(void) {
    const char *name = getenv("NOTIFY_SOCKET");
    int error = name && *name ? open_socket(name) : 0;
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return error;
}

void service_notify_close(void) {
    if (manager.open)
        close(manager.fd);
    manager.open = false;
}

void service_notify_export(void) {
    char name[sizeof manager.addr.sun_path + 1] = "", number[24];
    if (manager.len == 0)
        return;
    memcpy(name, manager.addr.sun_path, manager.len - offsetof(struct sockaddr_un, sun_path));
    if (name[0] == '\0')
        name[0] = '@';
    setenv("NOTIFY_SOCKET", name, 1);
    snprintf(number, sizeof number, "%llu", (unsigned long long)manager.watchdog_us);
    if (manager.watchdog_us > 0)
        setenv("WATCHDOG_USEC", number, 1);
}

uint64_t service_watchdog_us(void) {
    return manager.watchdog_us;
}

/* A service manager that was restarted listens on another socket. A message that gets lost is
 * lost: there is nobody to tell. */
static void say(const char *text, int flags) {
    int saved = errno;
    if (manager.open && send(manager.fd, text, strlen(text), MSG_NOSIGNAL | flags) < 0 &&
        (errno == ECONNREFUSED || errno == ENOTCONN || errno == ECONNRESET) && reach())
        send(manager.fd, text, strlen(text), MSG_NOSIGNAL | flags);
    errno = saved;
}

void service_hand_over(pid_t successor) {
    char text[32];
    snprintf(text, sizeof text, "MAINPID=%d", (int)successor);
    say(text, 0);
    service_notify_close();
}

/* How many bytes of a status are sent: no part of a character. */
static int length_of(const char *status) {
    int len = (int)strnlen(status, SERVICE_STATUS_MAX + 1);
    if (len <= SERVICE_STATUS_MAX)
        return len;
    for (len = SERVICE_STATUS_MAX; len > 0 && ((unsigned char)status[len] & 0xc0) == 0x80;)
        len--;
    return len;
}

void service_ready(const char *status) {
    char text[SERVICE_STATUS_MAX + 32];
    snprintf(text, sizeof text, "READY=1\nSTATUS=%.*s", length_of(status), status);
    say(text, 0);
}

void service_reloading(void) {
    char text[80];
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)loop_clock_us());
    say(text, 0);
}

void service_stopping(const char *status, uint64_t may_take_us) {
    char text[SERVICE_STATUS_MAX + 80];
    snprintf(text, sizeof text, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu\nSTATUS=%.*s",
             (unsigned long long)may_take_us, length_of(status), status);
    say(text, 0);
}

void service_alive(const char *status) {
    char text[SERVICE_STATUS_MAX + 32];
    snprintf(text, sizeof text, "%sSTATUS=%.*s", manager.watchdog_us ? "WATCHDOG=1\n" : "",
             length_of(status), status);
    say(text, MSG_DONTWAIT);
}

/* ---- From the loop ---- */

static uint64_t pause_of(const struct service_pulse *pulse) {
    if (pulse->beat)
        return manager.watchdog_us / 4;
    uint64_t often = manager.watchdog_us / 2;
    return often > 0 && often < STATUS_EVERY_US ? often : STATUS_EVERY_US;
}

static void arm(struct service_pulse *pulse);

static void on_pause_over(struct loop_timer *timer) {
    struct service_pulse *pulse = container_of(timer, struct service_pulse, timer);
    char status[SERVICE_STATUS_MAX + 1] = "";
    if (pulse->beat) {
        __atomic_store_n(pulse->beat, loop_clock_us(), __ATOMIC_RELAXED);
    } else {
        pulse->describe(pulse, status, sizeof status);
        service_alive(status);
    }
    arm(pulse);
}

static void arm(struct service_pulse *pulse) {
    loop_timer_set(pulse->loop, &pulse->timer, loop_now_us(pulse->loop) + pause_of(pulse),
                   on_pause_over);
}

void service_pulse_start(struct service_pulse *pulse, struct loop *loop, uint64_t *beat,
                         void (*describe)(const struct service_pulse *pulse, char *out,
                                          size_t size)) {
    pulse->loop = loop;
    pulse->beat = beat;
    pulse->describe = describe;
    if (beat ? manager.watchdog_us > 0 : manager.open)
        arm(pulse);
}

void service_pulse_stop(struct service_pulse *pulse) {
    if (pulse->loop)
        loop_timer_clear(pulse->loop, &pulse->timer);
}
