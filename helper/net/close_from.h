/* SPDX-License-Identifier: MIT */
/* close_from.h - closing all descriptors from a number on. */
#ifndef HELPER_NET_CLOSE_FROM_H
#define HELPER_NET_CLOSE_FROM_H

void close_from(int first);

#endif
