/* SPDX-License-Identifier: MIT */
#include "c_peer.h"

#include <stdio.h>

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0); /* the test reads a file */
    struct options o;
    options_parse(&o, argc, argv);
    if (o.about) {
        printf("libsmux %s close-write=true\n", smux_library_version());
        return 0;
    }
    smuxb_session *session = start_session(&o);
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
