/* SPDX-License-Identifier: MIT */
/* ctl_client.c - see ctl_client.h. */
#include "helper/ctl/ctl_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/common/helper_protocol.h"
#include "helper/net/pass_descriptor.h"

int ctl_connect_socket(const char *path) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int err = fd >= 0 ? helper_place_connect(fd, path, NULL) : errno;
    if (err == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -err;
}

int ctl_connect_helper(const struct ctl_options *options, bool quiet) {
    int fd = ctl_connect_socket(options->socket);
    if (fd < 0 && !quiet)
        fprintf(stderr, "smuxctl: no helper answers at %s: %s\n", options->socket, strerror(-fd));
    return fd;
}

static bool send_all(int fd, const char *data, size_t len) {
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* Receives the answer, which is one line. Returns NULL if it is not complete. */
static char *receive_line(int helper_fd, size_t *len, int *fd) {
    size_t size = 65536;
    char *line = malloc(size);
    *len = 0;
    *fd = -1;
    while (line) {
        if (*len == size) {
            char *larger = realloc(line, size *= 2);
            if (!larger)
                break;
            line = larger;
        }
        ssize_t n = receive_descriptor(helper_fd, line + *len, size - *len, fd);
        if (n <= 0)
            break;
        *len += (size_t)n;
        if (line[*len - 1] == '\n')
            return line;
    }
    free(line);
    return NULL;
}

bool ctl_send(int helper_fd, json_t *request) {
    char *text = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    size_t len = text ? strlen(text) : 0;
    if (text)
        text[len] = '\n'; /* in place of the terminator: one message, to one read */
    bool sent = text && send_all(helper_fd, text, len + 1);
    free(text);
    return sent;
}

json_t *ctl_exchange(int helper_fd, json_t *request, int *fd) {
    json_t *answer = NULL;
    json_error_t error;
    int passed = -1;
    size_t len;
    if (ctl_send(helper_fd, request)) {
        char *line = receive_line(helper_fd, &len, &passed);
        answer = line ? json_loadb(line, len, 0, &error) : NULL;
        free(line);
    }
    if (fd)
        *fd = passed;
    else if (passed >= 0)
        close(passed);
    return answer;
}

json_t *ctl_ask(int helper_fd, json_t *request, int *fd) {
    json_t *answer = ctl_exchange(helper_fd, request, fd);
    if (json_is_true(json_object_get(answer, "ok")))
        return answer;
    const char *why = json_string_value(json_object_get(answer, "error"));
    fprintf(stderr, "smuxctl: %s\n",
            why ? why : "expected an answer of the helper, but it closed the connection");
    json_decref(answer);
    return NULL;
}

json_t *ctl_ask_helper(const struct ctl_options *options, json_t *request, int *fd) {
    int helper_fd = ctl_connect_helper(options, false);
    if (helper_fd < 0) {
        json_decref(request);
        return NULL;
    }
    json_t *answer = ctl_ask(helper_fd, request, fd);
    close(helper_fd);
    return answer;
}

int ctl_simple(const struct ctl_options *options, const char *command) {
    json_t *answer = ctl_ask_helper(options, json_pack("{s:s}", "command", command), NULL);
    json_decref(answer);
    return answer ? CTL_OK : CTL_FAILED;
}
