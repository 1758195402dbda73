/* SPDX-License-Identifier: MIT */
/* sandbox.c - see sandbox.h. */
#include "helper/net/sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "helper/net/log.h"

const char *sandbox_is_off(enum config_sandbox mode) {
    if (mode == CONFIG_SANDBOX_NO)
        return "sandbox = no";
#ifdef SMUX_SANITIZED
    return "a build with sanitizers";
#else
    const char *preloaded = getenv("LD_PRELOAD");
    return preloaded && strstr(preloaded, "/vgpreload_") ? "under valgrind" : NULL;
#endif
}

/* What libraries read once, and then keep. */
static void read_beforehand(void) {
    struct tm tm;
    localtime_r(&(time_t){0}, &tm);
}

static void restrict_files(const struct sandbox *sandbox, char *out, size_t size) {
    int abi = landlock_restrict(sandbox->files, sandbox->file_count);
    if (abi > 0)
        snprintf(out, size, "files restricted (Landlock %d)", abi);
    else
        snprintf(out, size, "files not restricted: no Landlock (%s)", strerror(-abi));
}

static void restrict_calls(const struct sandbox *sandbox, char *out, size_t size) {
    bool only_log = sandbox->mode == CONFIG_SANDBOX_LOG;
    int error = system_calls_restrict(sandbox->role, only_log, sandbox->syslog);
    if (error)
        snprintf(out, size, "system calls not filtered: %s",
                 error == -ENOTSUP ? "built without libseccomp" : strerror(-error));
    else
        snprintf(out, size, "system calls %s",
                 only_log ? "not filtered, but logged by the kernel (sandbox = log)" : "filtered");
}

void sandbox_enter(const struct sandbox *sandbox) {
    char files[80] = "files not restricted (sandbox = log)", calls[100];
    const char *off = sandbox_is_off(sandbox->mode);
    if (off) {
        log_at(sandbox->mode == CONFIG_SANDBOX_NO ? LOG_INFO : LOG_WARNING, "no sandbox: %s", off);
        return;
    }
    read_beforehand();
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (sandbox->mode == CONFIG_SANDBOX_YES)
        restrict_files(sandbox, files, sizeof files);
    restrict_calls(sandbox, calls, sizeof calls);
    log_at(strstr(files, "not ") || strstr(calls, "not ") ? LOG_WARNING : LOG_INFO,
           "sandbox: %s, %s", calls, files);
}
