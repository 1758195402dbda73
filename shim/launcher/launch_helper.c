/* SPDX-License-Identifier: MIT */
/* launch_helper.c - finds files and starts the helper. See launch.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/common/helper_protocol.h"
#include "shim/launcher/launch.h"

#define START_STEP_NS   1000000
#define START_STEPS_MAX 10000 /* 10 s in total */

static bool is_program(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

bool launch_find_program(const char *program, char *path, size_t size) {
    const char *dirs = getenv("PATH");
    if (strchr(program, '/'))
        return (size_t)snprintf(path, size, "%s", program) < size && access(path, F_OK) == 0;
    if (!dirs || !*dirs)
        dirs = "/usr/local/bin:/usr/bin:/bin";
    while (*dirs) {
        size_t len = strcspn(dirs, ":");
        int written = len ? snprintf(path, size, "%.*s/%s", (int)len, dirs, program)
                          : snprintf(path, size, "%s", program);
        if ((size_t)written < size && is_program(path))
            return true;
        dirs += len + (dirs[len] == ':');
    }
    return false;
}

bool launch_own_dir(char *dir, size_t size) {
    ssize_t len = readlink("/proc/self/exe", dir, size - 1);
    if (len <= 0)
        return false;
    dir[len] = '\0';
    char *slash = strrchr(dir, '/');
    if (slash)
        *slash = '\0';
    return slash != NULL;
}

bool launch_find_beside(const char *name, char *path, size_t size) {
    char dir[PATH_MAX];
    return launch_own_dir(dir, sizeof dir) &&
           (size_t)snprintf(path, size, "%s/%s", dir, name) < size && access(path, R_OK) == 0;
}

bool launch_find_own(const char *name, bool in_path, char *path, size_t size) {
    static const char *const beside[] = {"", "/../lib", "/../libexec", "/../lib/smuxshim",
                                         "/../libexec/smuxshim"};
    char dir[PATH_MAX], candidate[2 * PATH_MAX], absolute[PATH_MAX];
    bool found = false;
    if (launch_own_dir(dir, sizeof dir))
        for (size_t i = 0; i < sizeof beside / sizeof *beside && !found; i++) {
            snprintf(candidate, sizeof candidate, "%s%s/%s", dir, beside[i], name);
            found = access(candidate, R_OK) == 0;
        }
    if (!found) {
        snprintf(candidate, sizeof candidate, "%s/%s", SMUXSHIM_LIBDIR, name);
        found = access(candidate, R_OK) == 0;
    }
    if (!found && in_path)
        found = launch_find_program(name, candidate, sizeof candidate);
    return found && realpath(candidate, absolute) && strlen(absolute) < size &&
           strcpy(path, absolute);
}

static void export_or_unset(const char *name, const char *value) {
    if (value)
        setenv(name, value, 1);
    else
        unsetenv(name);
}

/* Runs in the child. The helper must inherit nothing from this process. What it writes to stderr
 * before it detaches goes to `messages`. */
static void become_helper(const char *file, const struct launch_helper *helper, int messages) {
    char *arguments[] = {(char *)(uintptr_t)file, (char *)(uintptr_t) "--on-demand",
                         (char *)(uintptr_t)(helper->config_file ? "-c" : NULL),
                         (char *)(uintptr_t)helper->config_file, NULL};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    setsid();
    int null = open("/dev/null", O_RDWR);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
    }
    if (messages >= 0)
        dup2(messages, STDERR_FILENO);
    if (syscall(SYS_close_range, 3, ~0U, 0) != 0) /* before Linux 5.9 */
        for (int fd = 3, end = (int)sysconf(_SC_OPEN_MAX); fd < end && fd < 65536; fd++)
            close(fd);
    unsetenv("LD_PRELOAD");
    setenv("SMUXSHIM_DISABLE", "1", 1);
    setenv("SMUXSHIM_SOCKET", helper->socket_path, 1);
    if (helper->config_file) {
        unsetenv("SMUXSHIM_ROUTES");
        unsetenv("SMUXSHIM_GATEWAY");
    } else {
        export_or_unset("SMUXSHIM_ROUTES", helper->routes);
        export_or_unset("SMUXSHIM_GATEWAY", helper->gateway);
    }
    execv(file, arguments);
    fprintf(stderr, "smuxshim: %s: %s\n", file, strerror(errno));
    _exit(127);
}

/* Waits until the socket answers and the helper's first process has exited. If that process were
 * left behind, the program would get a SIGCHLD and find an unknown child in wait(2). */
static bool wait_for_helper(pid_t pid, const struct launch_helper *helper) {
    struct timespec step = {.tv_nsec = START_STEP_NS};
    bool running = true, answers = false;
    int status;
    for (int i = 0; i < START_STEPS_MAX; i++) {
        if (running && waitpid(pid, &status, WNOHANG) == pid) {
            running = false;
            if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                return false; /* its message says why */
        }
        answers = answers || helper_place_answers(helper->socket_path);
        if (answers && !running)
            return true;
        nanosleep(&step, NULL);
    }
    if (answers)
        return true;
    fprintf(stderr,
            "smuxshim: smux-helper was started, but does not answer at %s after 10 seconds\n",
            helper->socket_path);
    return false;
}

/* Passes on the helper's messages. Only after a failure, because a helper that ends since another
 * launcher has started one at the same time is no problem. */
static void show_messages(int messages) {
    char text[4096];
    ssize_t len = messages >= 0 ? pread(messages, text, sizeof text, 0) : 0;
    if (len > 0)
        fwrite(text, 1, (size_t)len, stderr);
}

bool launch_start_helper(const struct launch_helper *helper) {
    char file[PATH_MAX];
    if (!launch_find_own("smux-helper", true, file, sizeof file)) {
        fprintf(stderr,
                "smuxshim: no helper answers at %s, and smux-helper is neither beside "
                "smuxshim nor in PATH\n",
                helper->socket_path);
        return false;
    }
    if (helper->verbose)
        fprintf(stderr, "smuxshim: starting %s\n", file);
    int messages = memfd_create("smux-helper", MFD_CLOEXEC);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        become_helper(file, helper, messages);
    if (pid < 0)
        perror("smuxshim: fork");
    bool ok = pid > 0 && wait_for_helper(pid, helper);
    if (!ok)
        show_messages(messages);
    if (messages >= 0)
        close(messages);
    return ok;
}
