/* SPDX-License-Identifier: MIT */
/* The session of c_peer, over one TCP connection.  plain_peer has plain/connections.c instead. */
#include "c_peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

_Noreturn static void die(const char *what) {
    perror(what);
    exit(1);
}

static int accept_one(const char *text) {
    int listener = listen_at(text, 1);
    int fd = listener < 0 ? -1 : accept(listener, NULL, NULL);
    if (fd < 0)
        die("c_peer: listen");
    close(listener);
    return fd;
}

static int connect_or_die(const char *text) {
    int fd = connect_to(text);
    if (fd < 0)
        die("c_peer: connect");
    return fd;
}

smuxb_session *start_session(const struct options *o) {
    smux_config config;
    options_config(o, &config);
    int fd = o->connect ? connect_or_die(o->connect) : accept_one(o->listen);
    smuxb_session *session;
    int error = options_role(o) == SMUX_CLIENT ? smuxb_session_client(&session, fd, &config)
                                               : smuxb_session_server(&session, fd, &config);
    if (error) {
        fprintf(stderr, "c_peer: %s\n", smuxb_strerror(error));
        exit(1);
    }
    return session;
}
