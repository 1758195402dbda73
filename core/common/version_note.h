/* SPDX-License-Identifier: MIT */
/*
 * version_note.h - how the library's file says which version it is.
 */
#ifndef CORE_COMMON_VERSION_NOTE_H
#define CORE_COMMON_VERSION_NOTE_H

#define VERSION_NOTE_TYPE      1
#define VERSION_NOTE_NAME      "smuxshim"
#define VERSION_NOTE_ROOM      12 /* the name's size with padding: a multiple of four */
#define VERSION_NOTE_TEXT_SIZE 24

#endif
