/* SPDX-License-Identifier: MIT */
/* libc.c - see libc.h. */
#include "shim/base/libc.h"

#include <dlfcn.h>

struct real real;

void real_bind(void) {
#define HOOK(type, name, params, args) real.name = (type(*) params)dlsym(RTLD_NEXT, #name);
#include "shim/base/libc.def"
}
