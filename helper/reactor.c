/* reactor.c - see reactor.h. */
#include "helper/reactor.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static struct receive_buffer *receive_new(struct reactor *reactor) {
    struct receive_buffer *buffer = reactor->receive_free;
    if (buffer) {
        reactor->receive_free = buffer->next;
        reactor->receive_free_count--;
    } else {
        buffer = malloc(sizeof *buffer);
        if (!buffer)
            return NULL;
    }
    buffer->refs = 1;
    return buffer;
}

void reactor_receive_release(struct reactor *reactor, struct receive_buffer *buffer) {
    if (--buffer->refs > 0)
        return;
    if (reactor->receive_free_count >= REACTOR_RECEIVE_KEEP) {
        free(buffer);
        return;
    }
    buffer->next = reactor->receive_free;
    reactor->receive_free = buffer;
    reactor->receive_free_count++;
}

struct receive_buffer *reactor_receive_buffer(struct reactor *reactor) {
    if (reactor->receive->refs == 1)
        return reactor->receive;
    struct receive_buffer *fresh = receive_new(reactor);
    if (!fresh)
        return NULL;
    reactor_receive_release(reactor, reactor->receive);
    reactor->receive = fresh;
    return fresh;
}

struct receive_buffer *reactor_receive_share(struct reactor *reactor, const uint8_t *data,
                                             size_t len) {
    struct receive_buffer *buffer = reactor->receive;
    if (data < buffer->data || data + len > buffer->data + sizeof buffer->data)
        return NULL;
    buffer->refs++;
    return buffer;
}

int reactor_init(struct reactor *reactor) {
    memset(reactor, 0, sizeof *reactor);
#ifdef M_TRIM_THRESHOLD
    /* glibc would give memory back to the kernel, and take it again, at every burst. */
    mallopt(M_TRIM_THRESHOLD, 16 << 20);
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
#endif
    reactor->receive = receive_new(reactor);
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
    reactor_receive_release(reactor, reactor->receive);
    while (reactor->receive_free) {
        struct receive_buffer *buffer = reactor->receive_free;
        reactor->receive_free = buffer->next;
        free(buffer);
    }
    buffer_pool_fini(&reactor->pool);
}
