/* reactor.c - see reactor.h. */
#include "helper/reactor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int reactor_init(struct reactor *reactor) {
    memset(reactor, 0, sizeof *reactor);
    reactor->receive = malloc(REACTOR_RECEIVE_SIZE);
    if (!reactor->receive)
        return -ENOMEM;
    reactor->loop = loop_new();
    if (reactor->loop)
        return 0;
    int saved = errno;
    free(reactor->receive);
    return -saved;
}

void reactor_fini(struct reactor *reactor) {
    loop_free(reactor->loop);
    free(reactor->receive);
    buffer_pool_fini(&reactor->pool);
}
