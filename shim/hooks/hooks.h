/* SPDX-License-Identifier: MIT */
/*
 * hooks.h - shim_NAME for every row of libc.def: what the exported function NAME does.
 *
 * Each takes NAME's arguments, and returns and sets errno as NAME does on a TCP socket. The header
 * of each family says more: connect.h, data.h, dup.h, lookup.h, peername.h, socket.h, sockopt.h.
 */
#ifndef SHIM_HOOKS_HOOKS_H
#define SHIM_HOOKS_HOOKS_H

#include "shim/base/libc.h"

#define HOOK(type, name, params, args) type shim_##name params;
#define HOOK_VARIADIC(type, name, params)
#include "shim/base/libc.def"

#endif
