/* SPDX-License-Identifier: MIT */
/* ctl_doctor_here.c - smuxctl doctor: what it checks of this machine (ctl_doctor.h). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/common/helper_protocol.h"
#include "core/common/read_whole.h"
#include "core/smux.h"
#include "helper/ctl/ctl_doctor.h"

/* ---- The folder ---- */

static bool is_own_or_root(const struct doctor *doctor, uid_t uid) {
    return uid == 0 || uid == geteuid() ||
           (doctor->status && uid == (uid_t)ctl_number(doctor->status, "uid"));
}

static bool admits_others(const struct config_helper *helper) {
    return helper->allow_users[0] || helper->allow_groups[0] || helper->socket_mode & 0077;
}

void doctor_folder(struct doctor *doctor) {
    struct findings *findings = &doctor->findings;
    char folder[256];
    struct stat st;
    snprintf(folder, sizeof folder, "%s", doctor->options->socket);
    *strrchr(folder, '/') = '\0';
    if (lstat(folder, &st) < 0)
        findings_add(findings, errno == ENOENT ? FINDING_OK : FINDING_FAIL, "folder",
                     errno == ENOENT ? NULL : "let this user search the folders above it", "%s: %s",
                     folder,
                     errno == ENOENT ? "a helper makes it when it starts" : strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        findings_add(findings, FINDING_FAIL, "folder", "remove what is there",
                     "%s: expected a folder", folder);
    else if (!is_own_or_root(doctor, st.st_uid) || st.st_mode & 0022)
        findings_add(findings, FINDING_FAIL, "folder",
                     "chmod 0711, and chown to the helper's user or root",
                     "%s: others could put a socket there (uid %u, mode %04o)", folder,
                     (unsigned)st.st_uid, st.st_mode & 07777);
    else if (admits_others(&doctor->config.helper) && !(st.st_mode & 0001))
        findings_add(findings, FINDING_WARN, "folder", "chmod 0711",
                     "%s: other users are admitted to the helper, but not to the folder (mode "
                     "%04o)",
                     folder, st.st_mode & 07777);
    else
        findings_add(findings, FINDING_OK, "folder", NULL, "%s: mode %04o", folder,
                     st.st_mode & 07777);
}

/* ---- Descriptors ---- */

/* With fewer, ordinary programs run into the limit. */
#define PROGRAM_DESCRIPTORS_LOW 256
#define HELPER_DESCRIPTORS_LOW  1024

static void helper_descriptors(struct doctor *doctor) {
    const json_t *limits = json_object_get(doctor->status, "limits");
    long long count = ctl_number(limits, "descriptors"),
              used = ctl_number(doctor->status, "connections");
    bool low = count < HELPER_DESCRIPTORS_LOW || used > count / 10 * 8;
    if (limits)
        findings_add(&doctor->findings, low ? FINDING_WARN : FINDING_OK, "descriptors",
                     low ? "raise the hard limit (ulimit -Hn, LimitNOFILE=) and restart the helper"
                         : NULL,
                     "helper: at most %lld, one for each connection (now %lld); max-streams is "
                     "%lld, and another user may have %lld",
                     count, used, ctl_number(limits, "max_streams"),
                     ctl_number(limits, "max_streams_per_user"));
}

void doctor_descriptors(struct doctor *doctor) {
    struct rlimit limit;
    helper_descriptors(doctor);
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    bool low = limit.rlim_cur < PROGRAM_DESCRIPTORS_LOW;
    findings_add(&doctor->findings, low ? FINDING_WARN : FINDING_OK, "descriptors",
                 low ? "raise it: ulimit -n" : NULL,
                 "programs started here: at most %llu (ulimit -n), up to %llu if they ask",
                 (unsigned long long)limit.rlim_cur, (unsigned long long)limit.rlim_max);
}

/* ---- The launcher, which knows the library and judges programs ---- */

/* The launcher beside this program, else the one in PATH. */
static bool find_launcher(char *path, size_t size) {
    ssize_t len = readlink("/proc/self/exe", path, size - 1);
    if (len <= 0)
        return false;
    path[len] = '\0';
    char *slash = strrchr(path, '/');
    if (slash && (size_t)(slash - path) + sizeof "/smuxshim" <= size)
        strcpy(slash, "/smuxshim");
    if (access(path, X_OK) == 0)
        return true;
    snprintf(path, size, "smuxshim");
    return true;
}

/* Runs `smuxshim --check [PROGRAM]` and returns what it prints, which the caller frees. */
static char *ask_launcher(struct doctor *doctor, const char *program) {
    static char check[] = "--check", ends[] = "--";
    char *arguments[] = {doctor->launcher, check, ends, (char *)(uintptr_t)program, NULL};
    char *text = calloc(1, 3 * PATH_MAX);
    posix_spawn_file_actions_t actions;
    int out[2], status;
    pid_t pid = -1;
    if (!text || !find_launcher(doctor->launcher, sizeof doctor->launcher) ||
        pipe2(out, O_CLOEXEC) < 0) {
        free(text);
        return NULL;
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    int error = posix_spawnp(&pid, doctor->launcher, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    if (error == 0) {
        read_whole(out[0], text, 3 * PATH_MAX - 1);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            continue;
    }
    close(out[0]);
    return text;
}

/* The rest of the line that begins with `key`, copied; empty if there is none. */
static const char *line_of(const char *text, const char *key, char *out, size_t size) {
    const char *at = text ? strstr(text, key) : NULL;
    out[0] = '\0';
    if (!at || (at != text && at[-1] != '\n'))
        return out;
    at += strlen(key);
    snprintf(out, size, "%.*s", (int)strcspn(at, "\n"), at);
    return out;
}

/* ---- Versions ---- */

/* `said`: a version and a path, or nothing. */
static void compare(struct doctor *doctor, const char *what, const char *said, const char *advice) {
    const char *blank = strchrnul(said, ' ');
    size_t len = (size_t)(blank - said);
    bool same =
        len == strlen(SMUX_LIBRARY_VERSION) && strncmp(said, SMUX_LIBRARY_VERSION, len) == 0;
    const char *path = *blank ? blank + 1 : "";
    if (said[0])
        findings_add(&doctor->findings, same ? FINDING_OK : FINDING_WARN, "version",
                     same ? NULL : advice, "%s: %.*s%s%s%s", what, (int)len, said,
                     same ? "" : ", smuxctl: " SMUX_LIBRARY_VERSION, *path ? ", " : "", path);
}

void doctor_versions(struct doctor *doctor) {
    static const char install[] = "install all programs and the library of one version";
    char line[PATH_MAX + 40] = "";
    char *text = ask_launcher(doctor, NULL);
    if (doctor->status) {
        const char *version = json_string_value(json_object_get(doctor->status, "version"));
        doctor->same_version = version && strcmp(version, SMUX_LIBRARY_VERSION) == 0;
        compare(doctor, "helper", version ? version : "",
                "smuxctl drain: the next routed connect starts one of the new version");
    }
    compare(doctor, "launcher", line_of(text, "launcher: ", line, sizeof line), install);
    if (!line[0])
        findings_add(&doctor->findings, FINDING_FAIL, "version", install,
                     "launcher: smuxshim is neither beside smuxctl nor in PATH");
    else if (!line_of(text, "library: ", line, sizeof line)[0])
        findings_add(&doctor->findings, FINDING_FAIL, "version", install,
                     "library: the launcher does not find libsmuxshim.so");
    else
        compare(doctor, "library", line, install);
    free(text);
}

/* ---- A program ---- */

void doctor_program(struct doctor *doctor, const char *program) {
    struct findings *findings = &doctor->findings;
    char line[PATH_MAX + 400];
    char *text = ask_launcher(doctor, program);
    line_of(text, "program: ", line, sizeof line);
    char *rest = line + strcspn(line, " ");
    if (*rest)
        *rest++ = '\0';
    if (strcmp(line, "yes") == 0)
        findings_add(findings, FINDING_OK, "program", NULL, "%s can be preloaded%s%s", rest,
                     strcmp(rest, program) ? ", for " : "", strcmp(rest, program) ? program : "");
    else if (strcmp(line, "unknown") == 0)
        findings_add(findings, FINDING_WARN, "program", NULL,
                     "%s: neither an ELF file that can be judged nor a script", rest);
    else if (strcmp(line, "no") == 0)
        findings_add(findings, FINDING_FAIL, "program", NULL, "%s", rest);
    else if (strcmp(line, "missing") == 0)
        findings_add(findings, FINDING_FAIL, "program", "give a path, or correct PATH",
                     "%s: no such program", program);
    else
        findings_add(findings, FINDING_FAIL, "program", NULL,
                     "%s: there is no launcher that could judge it", program);
    free(text);
}
