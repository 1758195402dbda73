/* SPDX-License-Identifier: MIT */
/*
 * ctl_text.h - values of the helper's answers as people read them.
 */
#ifndef HELPER_CTL_CTL_TEXT_H
#define HELPER_CTL_CTL_TEXT_H

#include <jansson.h>
#include <stddef.h>

/* The member's text, or "-" if there is none or it is empty. */
const char *ctl_text(const json_t *object, const char *key);
/* The member's integer, or 0. */
long long ctl_number(const json_t *object, const char *key);

/* Each writes to `out` and returns it. Room for 32 bytes is enough. */

/* Bytes as at most three digits and a unit: "1.5M". */
const char *ctl_bytes(double bytes, char *out, size_t size);
/* Milliseconds as one number and a unit: "1.5s", "3m", "5h", "12d". */
const char *ctl_age(long long ms, char *out, size_t size);
/* A time of the wall clock, in seconds: "2026-11-30 05:57:07", or "-" for 0. */
const char *ctl_since(long long since, char *out, size_t size);
/* A user's name, or the number if there is none. */
const char *ctl_user(long long uid, char *out, size_t size);

#endif
