/* SPDX-License-Identifier: MIT */
/* shim_log.c - see shim_log.h. */
#include "shim/base/shim_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/common/helper_protocol.h"
#include "shim/base/libc.h"

static const char *log_target(void) {
    const char *target = shim_getenv("SMUXSHIM_LOG");
    return target && *target ? target : NULL;
}

bool shim_log_wanted(void) {
    return log_target() != NULL;
}

static void write_line(int fd, const char *line, size_t len) {
    if (real.syscall(SYS_write, fd, line, len) < 0)
        return; /* there is nowhere to report that the log cannot be written */
}

void shim_log(const char *format, ...) {
    const char *target = log_target();
    char line[512];
    int saved = errno;
    va_list args;
    if (!target)
        return;
    int len = snprintf(line, sizeof line, "smuxshim[%ld]: ", (long)real.syscall(SYS_gettid));
    va_start(args, format);
    len += vsnprintf(line + len, sizeof line - (size_t)len - 1, format, args);
    va_end(args);
    if ((size_t)len > sizeof line - 2)
        len = sizeof line - 2;
    line[len++] = '\n';
    if (strcmp(target, "-") == 0) {
        write_line(STDERR_FILENO, line, (size_t)len);
    } else {
        int fd = (int)real.syscall(SYS_openat, AT_FDCWD, target,
                                   O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
        if (fd >= 0) {
            write_line(fd, line, (size_t)len);
            raw_close(fd);
        }
    }
    errno = saved;
}

void shim_complain(const char *text) {
    char line[700];
    int saved = errno;
    int len = snprintf(line, sizeof line, "smuxshim: %.600s\n", text);
    write_line(STDERR_FILENO, line, (size_t)len);
    errno = saved;
}
