/* SPDX-License-Identifier: MIT
 *
 * Opens streams to an echo server, sends a word on each, and prints what comes back.
 *
 *     echo_client [PORT [WORD...]]
 *
 * One stream for each word, all over one TCP connection.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <smux_blocking.h>

static int connect_to(const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((in_port_t)atoi(port))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    fprintf(stderr, "cannot connect to port %s: %s\n", port, strerror(errno));
    exit(1);
}

/* Sends the word and half-closes, and prints everything up to the server's end of file. Returns 0
 * or an error. */
static int talk(smuxb_stream *stream, const char *word) {
    char buffer[4096];
    size_t len = strlen(word);
    ssize_t n = smuxb_stream_write(stream, word, len);
    if (n < 0)
        return (int)n;
    if ((size_t)n < len) /* what went out before the deadline */
        return SMUXB_ERR_TIMEOUT;
    int error = smuxb_stream_close_write(stream);
    if (error)
        return error;
    printf("stream %u: ", smuxb_stream_id(stream));
    while ((n = smuxb_stream_read(stream, buffer, sizeof buffer)) > 0)
        fwrite(buffer, 1, (size_t)n, stdout);
    printf("\n");
    return (int)n;
}

int main(int argc, char **argv) {
    static const char *const hello[] = {"hello", "from", "libsmux"};
    const char *const *words = argc > 2 ? (const char *const *)argv + 2 : hello;
    int count = argc > 2 ? argc - 2 : 3, error, fd = connect_to(argc > 1 ? argv[1] : "7777");
    smuxb_session *session;

    if ((error = smuxb_session_client(&session, fd, NULL))) {
        fprintf(stderr, "no session: %s\n", smuxb_strerror(error));
        close(fd);
        return 1;
    }
    for (int i = 0; i < count && !error; i++) {
        smuxb_stream *stream;
        if ((error = smuxb_stream_open(session, &stream)))
            break;
        smuxb_stream_set_deadline(stream, smuxb_after_ms(5000));
        error = talk(stream, words[i]);
        smuxb_stream_close(stream);
    }
    if (error)
        fprintf(stderr, "failed: %s\n", smuxb_strerror(error));
    smuxb_session_free(session);
    return error ? 1 : 0;
}
