/* SPDX-License-Identifier: MIT */
#include "c_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct sockaddr_in parse_address(const char *text) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    char host[64];
    unsigned port;
    if (sscanf(text, "%63[0-9.]:%u", host, &port) != 2 || port > 65535 ||
        inet_pton(AF_INET, host, &address.sin_addr) != 1)
        usage("expected an IPv4 address and a port, got %s", text);
    address.sin_port = htons((uint16_t)port);
    return address;
}

_Noreturn static void die(const char *what) {
    perror(what);
    exit(1);
}

static int accept_one(const char *text) {
    struct sockaddr_in address = parse_address(text);
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, len) || listen(listener, 1) ||
        getsockname(listener, (struct sockaddr *)&address, &len))
        die("c_peer: listen");
    printf("listening %s:%u\n", inet_ntoa(address.sin_addr), ntohs(address.sin_port));
    int fd = accept(listener, NULL, NULL);
    if (fd < 0)
        die("c_peer: accept");
    close(listener);
    return fd;
}

static int connect_to(const char *text) {
    struct sockaddr_in address = parse_address(text);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address))
        die("c_peer: connect");
    return fd;
}

static smuxb_session *start(const struct options *o) {
    smux_config config;
    options_config(o, &config);
    int fd = o->connect ? connect_to(o->connect) : accept_one(o->listen);
    smuxb_session *session;
    int error = options_role(o) == SMUX_CLIENT ? smuxb_session_client(&session, fd, &config)
                                               : smuxb_session_server(&session, fd, &config);
    if (error) {
        fprintf(stderr, "c_peer: %s\n", smuxb_strerror(error));
        exit(1);
    }
    return session;
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0); /* the test reads a file */
    struct options o;
    options_parse(&o, argc, argv);
    if (o.about) {
        printf("libsmux %s close-write=true\n", smux_library_version());
        return 0;
    }
    smuxb_session *session = start(&o);
    if (o.no_accept) {
        smuxb_session_wait(session, 0);
        smuxb_session_free(session);
        return 0;
    }
    struct responder *responder = responder_new(session);
    int status = 0;
    if (o.run) {
        responder_start(responder);
        status = drive(&o, session);
    } else {
        responder_run(responder);
        smuxb_session_close(session);
        responder_report(responder);
    }
    responder_free(responder);
    smuxb_session_free(session);
    return status;
}
