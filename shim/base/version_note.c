/* SPDX-License-Identifier: MIT */
/* version_note.c - an ELF note with the library's version, which the launcher reads from the file
 * (launch_library_version). It needs no symbol, and no code is run to find it. */
#include "core/common/version_note.h"

#include <elf.h>

static const struct {
    Elf64_Nhdr head; /* the same in both classes */
    char name[VERSION_NOTE_ROOM];
    char version[VERSION_NOTE_TEXT_SIZE];
} note __attribute__((used, aligned(4), section(".note.smuxshim"))) = {
    {sizeof VERSION_NOTE_NAME, VERSION_NOTE_TEXT_SIZE, VERSION_NOTE_TYPE},
    VERSION_NOTE_NAME,
    SMUXSHIM_VERSION};
