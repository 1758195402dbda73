/* SPDX-License-Identifier: MIT */
/* config_internal.h - shared by config*.c only. */
#ifndef CORE_COMMON_CONFIG_INTERNAL_H
#define CORE_COMMON_CONFIG_INTERNAL_H

#include "core/common/config.h"

/* config_parse for text that may be modified and has room for a terminator at text[len]. */
bool config_parse_text(struct config *config, const char *file, char *text, size_t len,
                       struct config_error *error);

/* Gives the gateway "main" (added if missing) the addresses of `text`. The error names no source:
 * the caller adds where the text came from. */
bool config_set_gateway_text(struct config *config, const char *text, struct config_error *error);

/* Adds a section with its defaults. On a mistake sets the error, without a line, and returns
 * NULL. */
struct config_listener *config_listener_add(struct config *config, enum config_listener_kind kind,
                                            const char *name, struct ini_error *error);

/* Checks a complete section, and that no section before it has one of its addresses. */
bool config_listener_check(const struct config *config, const struct config_listener *listener,
                           struct ini_error *error);

#endif
