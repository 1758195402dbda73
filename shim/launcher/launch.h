/* SPDX-License-Identifier: MIT */
/*
 * launch.h - the parts of the launcher `smuxshim`.
 *
 * Single-threaded program code: may allocate, print to stderr and look at the environment. Nothing
 * of it is in the library.
 */
#ifndef SHIM_LAUNCHER_LAUNCH_H
#define SHIM_LAUNCHER_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>

/* Can the dynamic linker load the shim into a program? */
enum launch_preload {
    LAUNCH_PRELOADABLE,
    LAUNCH_GO,          /* Go makes its system calls itself, linked to a libc or not */
    LAUNCH_STATIC,      /* no program interpreter */
    LAUNCH_NO_LIBC,     /* dynamic, but not linked to a libc */
    LAUNCH_OTHER_CLASS, /* 32 against 64 bits, or another machine */
    LAUNCH_OTHER_LIBC,  /* musl's loader where the library is glibc's, or the other way round */
    LAUNCH_SECURE,      /* setuid, setgid or file capabilities, and not ours already */
    LAUNCH_UNKNOWN,     /* not an ELF file and no script: left to exec to judge */
};

/* What was found, about which file (a script's interpreter may be the culprit). */
struct launch_check {
    enum launch_preload verdict;
    char file[4096];
};

/* Looks `program` up as execvp does and writes its path. False if it is nowhere. */
bool launch_find_program(const char *program, char *path, size_t size);

/* Examines the file at `path`, through "#!" lines, for `library` as launch_find_library gives it.
 * Never fails: what cannot be read is LAUNCH_UNKNOWN. */
struct launch_check launch_check_program(const char *path, const char *library);

/* The warning for a verdict other than LAUNCH_PRELOADABLE and LAUNCH_UNKNOWN: what is the matter,
 * and what to do instead. Static text. */
const char *launch_check_advice(enum launch_preload verdict);

/* Finds a file that belongs to the launcher: beside its own executable (a build folder), in ../lib,
 * ../libexec or ../lib/smuxshim from there, in SMUXSHIM_LIBDIR, and with `in_path` in PATH. Writes
 * an absolute path. */
bool launch_find_own(const char *name, bool in_path, char *path, size_t size);

/* The folder of the launcher's own executable. */
bool launch_own_dir(char *dir, size_t size);

/* Finds a file there. */
bool launch_find_beside(const char *name, char *path, size_t size);

/* Finds libsmuxshim.so: beside the launcher, in ../$LIB from there, or as launch_find_own does. Of
 * the second the loader of each program makes the folder of its word size, so the path is written
 * with "$LIB". */
bool launch_find_library(char *library, size_t size);

/* Is there a library among those that `library` stands for, if it has "$LIB" in it, that `fits`? */
bool launch_library_is_for(const char *library, bool (*fits)(const char *path, const void *what),
                           const void *what);

/* How a helper is started. NULL members are left out. */
struct launch_helper {
    const char *socket_path;
    const char *config_file;      /* -c; then the environment says nothing of routes and gateways */
    const char *gateway, *routes; /* texts for the environment, if there is no file */
    bool verbose;
};

/* Starts smux-helper in a session of its own and waits until its socket answers. Returns false
 * after one line on stderr. The running program's descriptors, terminal and signals are not passed
 * on. */
bool launch_start_helper(const struct launch_helper *helper);

/* Writes LD_PRELOAD: what it was, and then the library (unless it is in it already). The library's
 * path has no blanks and colons. */
bool launch_export_preload(const char *library);

#endif
