/* SPDX-License-Identifier: MIT */
/* landlock.c - see landlock.h. The constants are the kernel's (linux/landlock.h), which the headers
 * of a system that is older than its kernel do not all have. */
#include "helper/net/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The same numbers on every architecture. */
enum { CREATE_RULESET = 444, ADD_RULE = 445, RESTRICT_SELF = 446 };

enum { VERSION_FLAG = 1, RULE_PATH_BENEATH = 1 };

#define FS_WRITE_FILE  (1ull << 1)
#define FS_READ_FILE   (1ull << 2)
#define FS_READ_DIR    (1ull << 3)
#define FS_REMOVE_FILE (1ull << 5)
#define FS_MAKE_REG    (1ull << 8)
#define FS_MAKE_SOCK   (1ull << 9)
#define FS_TRUNCATE    (1ull << 14)

#define NET_BIND_TCP        (1ull << 0)
#define SCOPE_ABSTRACT_UNIX (1ull << 0)
#define SCOPE_SIGNAL        (1ull << 1)

struct ruleset {
    uint64_t fs, net, scoped;
};

struct path_beneath {
    uint64_t allowed;
    int32_t folder;
} __attribute__((packed));

/* All rights that concern files, up to the version of Landlock that brought the last ones. */
static uint64_t all_rights(int abi) {
    static const unsigned char count_by_abi[] = {0, 13, 14, 15, 15, 16};
    const int last = sizeof count_by_abi - 1;
    return (1ull << count_by_abi[abi < last ? abi : last]) - 1;
}

static uint64_t rights_of(const struct landlock_rule *rule, bool is_folder) {
    uint64_t rights = FS_READ_FILE | FS_READ_DIR;
    if (rule->write)
        rights |= FS_WRITE_FILE | FS_TRUNCATE | FS_MAKE_REG | FS_MAKE_SOCK | FS_REMOVE_FILE;
    return is_folder ? rights : rights & (FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE);
}

static int add_rule(int ruleset, const struct landlock_rule *rule, uint64_t handled) {
    struct stat st;
    struct path_beneath beneath = {.folder = open(rule->path, O_PATH | O_CLOEXEC)};
    if (beneath.folder < 0 || fstat(beneath.folder, &st) < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -errno;
    beneath.allowed = rights_of(rule, S_ISDIR(st.st_mode)) & handled;
    int error = syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, &beneath, 0) < 0 ? -errno : 0;
    close(beneath.folder);
    return error;
}

int landlock_restrict(const struct landlock_rule *rules, size_t count) {
    int abi = (int)syscall(CREATE_RULESET, NULL, 0, VERSION_FLAG);
    if (abi < 0)
        return -errno;
    struct ruleset all = {.fs = all_rights(abi)};
    size_t size = sizeof all.fs;
    if (abi >= 4) {
        all.net = NET_BIND_TCP;
        size += sizeof all.net;
    }
    if (abi >= 6) {
        all.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
        size += sizeof all.scoped;
    }
    int ruleset = (int)syscall(CREATE_RULESET, &all, size, 0);
    int error = ruleset < 0 ? -errno : 0;
    for (size_t i = 0; i < count && error == 0; i++)
        error = add_rule(ruleset, &rules[i], all.fs);
    if (error == 0 && syscall(RESTRICT_SELF, ruleset, 0) < 0)
        error = -errno;
    if (ruleset >= 0)
        close(ruleset);
    return error ? error : abi;
}
