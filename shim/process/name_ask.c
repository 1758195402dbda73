/* SPDX-License-Identifier: MIT */
/* name_ask.c - see name_ask.h. */
#include "shim/process/name_ask.h"

#include <errno.h>
#include <string.h>

#include "shim/base/libc.h"
#include "shim/base/shim_log.h"
#include "shim/process/autostart.h"
#include "shim/process/helper_socket.h"

#define NO_HELPER (-1) /* in place of an errno: no helper listens */

static bool is_whole(const char *bytes, size_t len) {
    struct helper_name_answer answer;
    if (len < sizeof answer)
        return false;
    memcpy(&answer, bytes, sizeof answer);
    return len >= sizeof answer + answer.name_len;
}

/* Receives the answer, which may come in several pieces. */
static size_t receive(int fd, char *out, size_t size, int64_t until_ms) {
    size_t have = 0;
    while (have < size && !is_whole(out, have)) {
        ssize_t n = helper_exchange_receive(fd, out + have, size - have, until_ms);
        if (n <= 0)
            break;
        have += (size_t)n;
    }
    return have;
}

/* The errno of an exchange that ended before the question was sent or the answer was complete. */
static int broken_off(int fd) {
    int err = helper_socket_refusal(fd);
    return err ? err : EAGAIN;
}

static int exchange(int fd, const struct helper_request *req, const char *host,
                    struct helper_name_answer *answer, char *name, int64_t until_ms) {
    struct iovec iov[2] = {{(void *)(uintptr_t)req, sizeof *req},
                           {(void *)(uintptr_t)host, req->name_len}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    char bytes[sizeof *answer + HELPER_HOST_NAME_MAX + 1];
    if (!helper_exchange_send(fd, &msg, sizeof *req + req->name_len))
        return broken_off(fd);
    size_t len = receive(fd, bytes, sizeof bytes, until_ms);
    return helper_name_answer_check(bytes, len, answer, name) ? answer->err : broken_off(fd);
}

/* Asks once. No fork guard is needed: a fork may copy this descriptor, because nothing depends on
 * its being closed. */
static int ask_once(const struct settings *settings, const struct helper_request *req,
                    const char *host, struct helper_name_answer *answer, char *name) {
    int64_t until_ms = helper_exchange_until(HELPER_NAME_WAIT_MS);
    int fd = raw_socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int err = helper_exchange_connect(fd, settings->socket_path, until_ms);
    if (err == 0)
        err = exchange(fd, req, host, answer, name, until_ms);
    else if (err != ENOENT && err != ECONNREFUSED)
        err = EAGAIN;
    else
        err = NO_HELPER;
    raw_close(fd);
    return err;
}

static int ask(const struct settings *settings, struct helper_request *req, const char *host,
               struct helper_name_answer *answer, char *name) {
    int saved = errno;
    req->magic = HELPER_PROTOCOL_MAGIC;
    req->version = HELPER_PROTOCOL_VERSION;
    req->size = sizeof *req;
    req->family = req->dest.family;
    req->name_len = (uint16_t)strlen(host);
    int err = ask_once(settings, req, host, answer, name);
    if (err == NO_HELPER && autostart_helper(settings->socket_path, AUTOSTART_LIMIT_MS))
        err = ask_once(settings, req, host, answer, name);
    errno = saved;
    return err == NO_HELPER ? EAGAIN : err;
}

int name_ask_address(const struct settings *settings, const char *name, int family,
                     struct endpoint *address, char kept[HELPER_HOST_NAME_MAX + 1]) {
    struct helper_request req = {.kind = HELPER_REQUEST_ADDRESS,
                                 .dest = {.family = (uint16_t)family}};
    struct helper_name_answer answer;
    char text[ENDPOINT_TEXT_SIZE];
    int err = ask(settings, &req, name, &answer, kept);
    if (err)
        return err;
    *address = answer.address;
    if (address->family == family && name_ranges_hold(&settings->names, address))
        return 0;
    shim_log("the helper gives %s the address %s, outside this program's range: expected "
             "both to have the same [names]",
             name, endpoint_text(address, text, sizeof text));
    return EPROTO;
}

int name_ask_name(const struct settings *settings, const struct endpoint *address,
                  char name[HELPER_HOST_NAME_MAX + 1]) {
    struct helper_request req = {.kind = HELPER_REQUEST_NAME, .dest = *address};
    struct helper_name_answer answer;
    return ask(settings, &req, "", &answer, name);
}
