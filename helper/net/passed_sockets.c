/* SPDX-License-Identifier: MIT */
/* passed_sockets.c - see passed_sockets.h. */
#include "helper/net/passed_sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/common/endpoint.h"
#include "helper/net/number_variable.h"

#define FIRST_PASSED 3
#define NAME_MAX_LEN 63

static struct {
    int count;
    bool own; /* they are this process's now */
    bool handed_over;
    bool taken[PASSED_SOCKETS_MAX];
    char name[PASSED_SOCKETS_MAX][NAME_MAX_LEN + 1];
} passed;

/* ---- Finding them ---- */

static int variable(const char *name) {
    unsigned long long value;
    return number_variable(name, INT32_MAX, &value) ? (int)value : -1;
}

/* They are separated by colons. */
static void take_names(const char *names) {
    for (int i = 0; names && i < passed.count; i++) {
        size_t len = strcspn(names, ":");
        snprintf(passed.name[i], sizeof passed.name[i], "%.*s", (int)len, names);
        names = names[len] ? names + len + 1 : NULL;
    }
}

static int prepare(int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
        fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return 0;
}

static int find(int count) {
    if (count > PASSED_SOCKETS_MAX)
        return -E2BIG;
    for (int i = 0; i < count; i++) {
        int error = prepare(FIRST_PASSED + i);
        if (error)
            return error;
    }
    passed.count = count > 0 ? count : 0;
    take_names(getenv("LISTEN_FDNAMES"));
    return passed.count;
}

int passed_sockets_find(void) {
    int found = variable("LISTEN_PID") == getpid() ? find(variable("LISTEN_FDS")) : 0;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return found;
}

/* ---- Which of them ---- */

static bool is_listening(int fd) {
    int listening = 0;
    socklen_t len = sizeof listening;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 && listening;
}

/* The name of an abstract socket ends with its length, a path with a zero. */
static bool same_unix(const struct sockaddr_un *one, socklen_t one_len,
                      const struct sockaddr_un *other, socklen_t other_len) {
    if (one->sun_path[0])
        return strncmp(one->sun_path, other->sun_path, sizeof one->sun_path) == 0;
    return one_len == other_len && memcmp(one, other, one_len) == 0;
}

static bool is_at(int fd, const struct sockaddr *addr, socklen_t len) {
    struct sockaddr_storage name = {0};
    socklen_t name_len = sizeof name;
    struct endpoint here, there;
    if (getsockname(fd, (struct sockaddr *)&name, &name_len) < 0 ||
        name.ss_family != addr->sa_family)
        return false;
    if (addr->sa_family == AF_UNIX)
        return same_unix((const struct sockaddr_un *)&name, name_len,
                         (const struct sockaddr_un *)addr, len);
    return endpoint_from_sockaddr(&here, (struct sockaddr *)&name, name_len) &&
           endpoint_from_sockaddr(&there, addr, len) && memcmp(&here, &there, sizeof here) == 0;
}

static int index_of(const struct sockaddr *addr, socklen_t len) {
    for (int i = 0; i < passed.count; i++)
        if (!passed.taken[i] && is_listening(FIRST_PASSED + i) &&
            is_at(FIRST_PASSED + i, addr, len))
            return i;
    return -1;
}

int passed_sockets_take(const struct sockaddr *addr, socklen_t len) {
    int i = index_of(addr, len);
    if (i < 0)
        return -1;
    passed.taken[i] = true;
    return FIRST_PASSED + i;
}

bool passed_sockets_have(const struct sockaddr *addr, socklen_t len) {
    return index_of(addr, len) >= 0;
}

bool passed_sockets_was(int fd) {
    return fd >= FIRST_PASSED && fd < FIRST_PASSED + passed.count;
}

bool passed_sockets_was_lent(int fd) {
    return passed.handed_over || (!passed.own && passed_sockets_was(fd));
}

bool passed_sockets_are_own(void) {
    return passed.own;
}

void passed_sockets_hand_over(bool handed_over) {
    passed.handed_over = handed_over;
}

void passed_sockets_become_own(bool own) {
    passed.own = own;
}

/* ---- What nobody takes ---- */

static void describe(int fd, char *out, size_t size) {
    struct sockaddr_storage addr = {0};
    const struct sockaddr_un *un = (const struct sockaddr_un *)&addr;
    socklen_t len = sizeof addr;
    struct endpoint endpoint;
    if (!is_listening(fd) || getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
        snprintf(out, size, "descriptor %d, which does not listen", fd);
    else if (endpoint_from_sockaddr(&endpoint, (struct sockaddr *)&addr, len))
        endpoint_text(&endpoint, out, size);
    else
        snprintf(out, size, "%s%s", un->sun_path[0] ? "" : "@",
                 un->sun_path + (un->sun_path[0] ? 0 : 1));
}

/* Its index, or -1. */
static int next_left(void) {
    for (int i = 0; i < passed.count; i++)
        if (!passed.taken[i])
            return i;
    return -1;
}

bool passed_sockets_left(char *out, size_t size) {
    char where[sizeof(struct sockaddr_un) + 1];
    int i = next_left();
    if (i < 0)
        return false;
    describe(FIRST_PASSED + i, where, sizeof where);
    snprintf(out, size, "%s%s%s%s", where, passed.name[i][0] ? " (" : "", passed.name[i],
             passed.name[i][0] ? ")" : "");
    return true;
}

bool passed_sockets_drop(char *out, size_t size) {
    int i = next_left();
    if (!passed_sockets_left(out, size))
        return false;
    passed.taken[i] = true;
    close(FIRST_PASSED + i);
    return true;
}
