/* SPDX-License-Identifier: MIT */
/* microhttpd.c - see microhttpd.h. */
#include "helper/metrics/microhttpd.h"

#include <dlfcn.h>
#include <stdio.h>

#ifndef SMUX_MICROHTTPD

bool microhttpd_load(char *why, size_t size) {
    snprintf(why, size, "built without libmicrohttpd");
    return false;
}

#else

#define LIBRARY "libmicrohttpd.so.12"

struct microhttpd microhttpd;

static bool failed(char *why, size_t size) {
    const char *text = dlerror();
    snprintf(why, size, "expected " LIBRARY " (Debian's libmicrohttpd12): %s",
             text ? text : "it lacks a function");
    return false;
}

bool microhttpd_load(char *why, size_t size) {
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return failed(why, size);
#define MICROHTTPD_FIND(name)                                                                      \
    microhttpd.name##_ = (__typeof__(&name))dlsym(library, #name);                                 \
    if (!microhttpd.name##_)                                                                       \
        return failed(why, size);
    MICROHTTPD_FUNCTIONS(MICROHTTPD_FIND)
    return true;
}

#endif
