/* SPDX-License-Identifier: MIT */
/* carrier_scheme.c - see carrier_scheme.h. */
#include "helper/carrier/carrier_scheme.h"

#include <errno.h>
#include <unistd.h>

#include "helper/carrier/carrier_socket.h"

static const struct scheme {
    bool is_tcp;
    bool has_layer;
    bool is_private;
} schemes[] = {
    [CONFIG_TCP] = {.is_tcp = true},
    [CONFIG_TLS] = {.is_tcp = true, .has_layer = true, .is_private = true},
    [CONFIG_UNIX] = {.is_private = true},
};

bool carrier_scheme_has_layer(enum config_scheme scheme) {
    return schemes[scheme].has_layer;
}

bool carrier_scheme_is_private(enum config_scheme scheme) {
    return schemes[scheme].is_private;
}

/* Takes `lower` over, whether it succeeds or not. */
static struct carrier *lay(const struct carrier_layer *layer, struct carrier *lower,
                           const char *server_name) {
    struct carrier *upper = NULL;
    errno = EPROTONOSUPPORT;
    if (layer)
        upper = layer->lay(layer, lower, server_name);
    if (!upper) {
        int error = errno;
        carrier_close(lower);
        errno = error;
    }
    return upper;
}

struct carrier *carrier_scheme_make(enum config_scheme scheme, struct loop *loop, int fd,
                                    const char *peer, const struct carrier_layer *layer,
                                    const char *server_name) {
    const struct scheme *s = &schemes[scheme];
    struct carrier *carrier = carrier_new_socket(loop, fd, s->is_tcp, peer);
    if (!carrier) {
        int error = errno;
        close(fd);
        errno = error;
        return NULL;
    }
    return s->has_layer ? lay(layer, carrier, server_name) : carrier;
}
