/* environment.c - see environment.h. */
#include "environment.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"

/* Room for the longest list of routes that route_list_parse takes, and some paths. */
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

void environment_capture(void) {
    size_t used = 0;
    for (size_t i = 0; i < N_VARIABLES; i++) {
        const char *value = getenv(variables[i].name);
        size_t name_len = strlen(variables[i].name), len = value ? strlen(value) + 1 : 0;
        if (len == 0 || name_len + 1 + len > sizeof pool - used)
            continue;
        memcpy(pool + used, variables[i].name, name_len);
        pool[used + name_len] = '=';
        variables[i].value = memcpy(pool + used + name_len + 1, value, len);
        used += name_len + 1 + len;
    }
    shim_getenv = environment_get;
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
