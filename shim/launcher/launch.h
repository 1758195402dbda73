/* SPDX-License-Identifier: MIT */
/*
 * launch.h - the parts of the launcher `smuxshim`.
 *
 * Single-threaded program code: it may allocate memory, print to stderr and read the environment.
 * None of it is part of the library.
 */
#ifndef SHIM_LAUNCHER_LAUNCH_H
#define SHIM_LAUNCHER_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>

#include "core/common/version_note.h"

/* Can the dynamic linker load the shim into a program? */
enum launch_preload {
    LAUNCH_PRELOADABLE,
    LAUNCH_GO,          /* a Go program makes its system calls itself, linked to a libc or not */
    LAUNCH_STATIC,      /* no program interpreter */
    LAUNCH_NO_LIBC,     /* dynamic, but not linked to a libc */
    LAUNCH_OTHER_CLASS, /* another word size or machine than the library's */
    LAUNCH_OTHER_LIBC,  /* it uses musl and the library glibc, or the reverse */
    LAUNCH_SECURE,      /* setuid, setgid or file capabilities that raise privileges */
    LAUNCH_UNKNOWN,     /* neither ELF file nor script: left for exec to judge */
};

/* The verdict, and the file it is about (for a script, that may be its interpreter). */
struct launch_check {
    enum launch_preload verdict;
    char file[4096];
};

/* Looks `program` up as execvp does and writes its path. False if it is not found. */
bool launch_find_program(const char *program, char *path, size_t size);

/* Can `library`, as launch_find_library returns it, be loaded into the program at `path`? Follows
 * "#!" lines. Never fails: a file that cannot be read is LAUNCH_UNKNOWN. */
struct launch_check launch_check_program(const char *path, const char *library);

/* Can the program not be preloaded, but run under the trap? */
bool launch_check_is_for_trap(enum launch_preload verdict);

/* The warning for a verdict: what the problem is, and what to do instead. Static text; NULL for
 * LAUNCH_PRELOADABLE and LAUNCH_UNKNOWN. */
const char *launch_check_advice(enum launch_preload verdict);

/* Finds a file that belongs to the launcher: beside its own executable (a build folder); in ../lib,
 * ../libexec, ../lib/smuxshim or ../libexec/smuxshim from there; in SMUXSHIM_LIBDIR; and, with
 * `in_path`, in PATH. Writes an absolute path. */
bool launch_find_own(const char *name, bool in_path, char *path, size_t size);

/* The folder of the launcher's own executable. */
bool launch_own_dir(char *dir, size_t size);

/* Finds a file in that folder. */
bool launch_find_beside(const char *name, char *path, size_t size);

/* Finds libsmuxshim.so: beside the launcher, in ../$LIB from there, or as launch_find_own does. In
 * the second case the path keeps the token "$LIB", for which the loader of each program puts the
 * folder of its word size. */
bool launch_find_library(char *library, size_t size);

/* The file that the loader of this process finds for `library`, with "$LIB" replaced. */
bool launch_library_file(const char *library, char *path, size_t size);

/* Reads the version from the library's file. False if it says none, or cannot be read. */
bool launch_library_version(const char *path, char version[VERSION_NOTE_TEXT_SIZE]);

/* If `library` contains "$LIB": does `fits` accept any of the paths that it may stand for? */
bool launch_library_is_for(const char *library, bool (*fits)(const char *path, const void *what),
                           const void *what);

/* How to start a helper. NULL members are not passed. */
struct launch_helper {
    const char *socket_path;
    const char *config_file;      /* -c; routes and gateway are then removed from the environment */
    const char *gateway, *routes; /* for the environment, if there is no file */
    bool verbose;
};

/* Starts smux-helper in a session of its own and waits until its socket answers. On failure returns
 * false and has written the reason to stderr. The helper inherits none of this process's
 * descriptors, terminal and signal settings. */
bool launch_start_helper(const struct launch_helper *helper);

/* Appends the library to LD_PRELOAD, unless it is listed already. Its path must not contain blanks
 * or colons. */
bool launch_export_preload(const char *library);

/* Removes it from there. */
bool launch_remove_preload(const char *library);

#endif
