/* SPDX-License-Identifier: MIT */
/* launch_library.c - finds and exports the library to preload. See launch.h. */
#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/launcher/launch.h"

#define LIBRARY "libsmuxshim.so"

/* What the loader may put in place of $LIB, for either word size: on Debian, Fedora and others. */
static const char *const lib_folders[] = {"lib/x86_64-linux-gnu",
                                          "lib/i386-linux-gnu",
                                          "lib/aarch64-linux-gnu",
                                          "lib/arm-linux-gnueabihf",
                                          "lib64",
                                          "lib32",
                                          "lib"};

/* The parent of the launcher's folder: PREFIX of an installation. */
static bool prefix_of_own(char *prefix, size_t size) {
    char *slash = launch_own_dir(prefix, size) ? strrchr(prefix, '/') : NULL;
    if (slash)
        *slash = '\0';
    return slash != NULL;
}

/* Only the loader knows what $LIB stands for, so the library is loaded for a moment to find out. */
static bool loads(const char *library) {
    void *handle = dlopen(library, RTLD_LAZY | RTLD_LOCAL);
    if (handle)
        dlclose(handle);
    return handle != NULL;
}

bool launch_find_library(char *library, size_t size) {
    char prefix[PATH_MAX];
    if (launch_find_beside(LIBRARY, library, size))
        return true;
    if (prefix_of_own(prefix, sizeof prefix) &&
        (size_t)snprintf(library, size, "%s/$LIB/" LIBRARY, prefix) < size && loads(library))
        return true;
    return launch_find_own(LIBRARY, false, library, size);
}

bool launch_library_file(const char *library, char *path, size_t size) {
    struct link_map *map = NULL;
    if (!strchr(library, '$'))
        return (size_t)snprintf(path, size, "%s", library) < size;
    void *handle = dlopen(library, RTLD_LAZY | RTLD_LOCAL);
    bool found = handle && dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && map &&
                 (size_t)snprintf(path, size, "%s", map->l_name) < size;
    if (handle)
        dlclose(handle);
    return found;
}

bool launch_library_is_for(const char *library, bool (*fits)(const char *path, const void *what),
                           const void *what) {
    const char *token = strstr(library, "$LIB/");
    char path[PATH_MAX];
    for (size_t i = 0; token && i < sizeof lib_folders / sizeof *lib_folders; i++)
        if ((size_t)snprintf(path, sizeof path, "%.*s%s%s", (int)(token - library), library,
                             lib_folders[i], token + strlen("$LIB")) < sizeof path &&
            fits(path, what))
            return true;
    return false;
}

/* Finds it as an element of a list separated by colons and blanks, as the loader splits LD_PRELOAD.
 * NULL: it is not there. */
static const char *find_listed(const char *list, const char *library) {
    static const char separators[] = ": \t\n";
    size_t len = strlen(library);
    for (list += strspn(list, separators); *list; list += strspn(list, separators)) {
        size_t element = strcspn(list, separators);
        if (element == len && memcmp(list, library, len) == 0)
            return list;
        list += element;
    }
    return NULL;
}

bool launch_export_preload(const char *library) {
    const char *existing = getenv("LD_PRELOAD");
    char value[2 * PATH_MAX];
    /* Ours comes last: a sanitizer's runtime insists on being first, and for an allocator the order
     * does not matter. */
    if (existing && *existing) {
        if (find_listed(existing, library))
            return true;
        if ((size_t)snprintf(value, sizeof value, "%s:%s", existing, library) >= sizeof value)
            return false;
        library = value;
    }
    return setenv("LD_PRELOAD", library, 1) == 0;
}

bool launch_remove_preload(const char *library) {
    const char *existing = getenv("LD_PRELOAD");
    char value[2 * PATH_MAX];
    const char *at = existing ? find_listed(existing, library) : NULL;
    if (!at)
        return true;
    const char *after = at + strlen(library);
    int before = (int)(at - existing);
    if (after[strspn(after, ": \t\n")] == '\0' && strspn(existing, ": \t\n") == (size_t)before)
        return unsetenv("LD_PRELOAD") == 0;
    return (size_t)snprintf(value, sizeof value, "%.*s%s", before, existing, after) <
               sizeof value &&
           setenv("LD_PRELOAD", value, 1) == 0;
}
