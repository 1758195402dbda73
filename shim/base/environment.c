/* SPDX-License-Identifier: MIT */
/* environment.c - see environment.h. */
#include "shim/base/environment.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "core/common/helper_protocol.h"
#include "shim/base/libc.h"

/* Room for the longest list of routes that route_list_parse accepts, and some paths. */
#define POOL_SIZE (256 * 1024)

static struct {
    const char *name;
    const char *value; /* in the pool, after "NAME=" */
} variables[] = {
    {"SMUXSHIM_ROUTES", NULL},
    {"SMUXSHIM_CONFIG", NULL},
    {"SMUXSHIM_SOCKET", NULL},
    {"SMUXSHIM_LOG", NULL},
    {"SMUXSHIM_STRICT", NULL},
    {"SMUXSHIM_DISABLE", NULL},
    {"SMUXSHIM_GATEWAY", NULL},
    {"SMUXSHIM_NAMES", NULL},
    {"XDG_RUNTIME_DIR", NULL},
    {"XDG_CONFIG_HOME", NULL},
    {"HOME", NULL},
    {"TMPDIR", NULL},
};
#define N_VARIABLES (sizeof variables / sizeof *variables)
_Static_assert(N_VARIABLES <= ENVIRONMENT_MAX, "room for all of them in environment_list");

static char pool[POOL_SIZE]; /* zero pages until used */

/* Makes a relative path of the configuration absolute: it is relative to the working directory of
 * the first process that sees it, wherever that process and its children change to later. No system
 * call if the path is absolute or not set. */
static void make_absolute(size_t *used, const char **value) {
    static const char name[] = "SMUXSHIM_CONFIG=";
    char *at = pool + *used, *path = at + sizeof name - 1;
    size_t room = sizeof pool - *used;
    int saved = errno;
    if (!*value || !**value || **value == '/' || room < 2 * sizeof name)
        return;
    long len = real.syscall(SYS_getcwd, path, room - sizeof name); /* with its terminator */
    errno = saved;
    if (len < 1 || *path != '/' || (size_t)len + strlen(*value) + 1 > room - sizeof name)
        return;
    memcpy(at, name, sizeof name - 1);
    path[len - 1] = '/';
    strcpy(path + len, *value);
    for (char **entry = environ; entry && *entry; entry++)
        if (*entry + sizeof name - 1 == *value)
            *entry = at;
    *value = path;
    *used += sizeof name + (size_t)len + strlen(path + len);
}

/* With AT_SECURE, an unprivileged caller may have chosen the environment, so it is ignored. */
void environment_capture(void) {
    size_t used = 0;
    shim_getenv = environment_get;
    if (getauxval(AT_SECURE))
        return;
    for (size_t i = 0; i < N_VARIABLES; i++) {
        const char *value = getenv(variables[i].name);
        if (strcmp(variables[i].name, "SMUXSHIM_CONFIG") == 0)
            make_absolute(&used, &value);
        size_t name_len = strlen(variables[i].name), len = value ? strlen(value) + 1 : 0;
        if (len == 0 || name_len + 1 + len > sizeof pool - used)
            continue;
        memcpy(pool + used, variables[i].name, name_len);
        pool[used + name_len] = '=';
        variables[i].value = memcpy(pool + used + name_len + 1, value, len);
        used += name_len + 1 + len;
    }
}

const char *environment_get(const char *name) {
    for (size_t i = 0; i < N_VARIABLES; i++)
        if (strcmp(variables[i].name, name) == 0)
            return variables[i].value;
    return NULL;
}

size_t environment_list(char **list, const char *without) {
    size_t n = 0;
    for (size_t i = 0; i < N_VARIABLES; i++)
        if (variables[i].value && strcmp(variables[i].name, without) != 0)
            list[n++] = (char *)(uintptr_t)(variables[i].value - strlen(variables[i].name) - 1);
    list[n] = NULL;
    return n;
}
