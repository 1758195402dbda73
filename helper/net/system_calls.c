/* SPDX-License-Identifier: MIT */
/* system_calls.c - see system_calls.h. */
#include "helper/net/system_calls.h"

#include <errno.h>

#ifndef SMUX_SECCOMP

int system_calls_restrict(enum sandbox_role role, bool only_log, bool syslog) {
    (void)role;
    (void)only_log;
    (void)syslog;
    return -ENOTSUP;
}

#else

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <seccomp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/sockios.h>

/* Names and not numbers: not every architecture, nor every libseccomp, has all of them. What
 * follows is allowed whatever its arguments are. */

/* A broker's too. */
static const char *const of_all[] = {
    "read", "write", "recvfrom", "recvmsg", "sendto", "sendmsg",
    /* Descriptors that are there. newfstatat is libc's fstat; with a path it tells what lies there,
     * and opens nothing. */
    "close", "fcntl", "fstat", "newfstatat", "stat", "statx", "lseek", "pread64", "poll", "ppoll",
    /* Memory; mmap and mprotect are below. */
    "brk", "madvise", "mremap", "munmap",
    /* The process. */
    "clock_gettime", "exit", "exit_group", "futex", "getegid", "geteuid", "getgid", "getpid",
    "getppid", "getrandom", "gettid", "getuid", "restart_syscall", "rt_sigaction", "rt_sigprocmask",
    "rt_sigreturn", "sched_getaffinity", "sigaltstack"};

/* A gateway's and a helper's. */
static const char *const of_relays[] = {
    "readv", "writev", "epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl", "epoll_create1",
    "eventfd2", "signalfd4", "close_range", "dup", "recvmmsg", "sendmmsg",
    /* Sockets. c-ares and libc's list of interfaces bind; without listen that opens no port. */
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt",
    "setsockopt", "shutdown",
    /* Time, threads. */
    "clock_getres", "clock_nanosleep", "gettimeofday", "nanosleep", "time", "getcpu", "getrusage",
    "membarrier", "rseq", "sched_yield", "set_robust_list", "sysinfo", "uname", "wait4", "waitid"};

/* A broker's and a helper's. */
static const char *const of_openers[] = {"open", "openat"};

/* Of a helper and of who looks at other processes for it. */
static const char *const of_lookers[] = {"getdents64", "kcmp", "readlink", "readlinkat", "fstatfs"};

/* Of who answers on a socket that was opened for it. */
static const char *const of_metrics[] = {
    "accept",      "accept4",     "epoll_ctl",  "epoll_pwait",  "epoll_wait",
    "getpeername", "getsockname", "getsockopt", "gettimeofday", "setsockopt",
    "shutdown",    "time",        "writev"};

/* A helper's alone: its folder, its sockets and threads, its looks at other processes. */
static const char *const of_helper[] = {"access",
                                        "chmod",
                                        "faccessat",
                                        "faccessat2",
                                        "fchmod",
                                        "fchmodat",
                                        "fdatasync",
                                        "flock",
                                        "fstatfs",
                                        "fsync",
                                        "ftruncate",
                                        "getcwd",
                                        "lstat",
                                        "pwrite64",
                                        "rename",
                                        "renameat",
                                        "renameat2",
                                        "statfs",
                                        "umask",
                                        "unlink",
                                        "unlinkat",
                                        "dup2",
                                        "dup3",
                                        "getgroups",
                                        "ioctl",
                                        "listen",
                                        "pipe2",
                                        "sched_getparam",
                                        "sched_getscheduler",
                                        "socketpair",
                                        "timer_create",
                                        "timer_delete",
                                        "timer_settime"};

#define RELAYS   (SANDBOX_GATEWAY | SANDBOX_HELPER)
#define SERVANTS (SANDBOX_BROKER | SANDBOX_LOOKER | SANDBOX_METRICS)

static const struct list {
    unsigned roles;
    const char *const *names;
    size_t count;
} allowed[] = {
    {RELAYS | SERVANTS, of_all, sizeof of_all / sizeof *of_all},
    {RELAYS, of_relays, sizeof of_relays / sizeof *of_relays},
    {SANDBOX_BROKER | SANDBOX_HELPER, of_openers, sizeof of_openers / sizeof *of_openers},
    {SANDBOX_LOOKER | SANDBOX_HELPER, of_lookers, sizeof of_lookers / sizeof *of_lookers},
    {SANDBOX_METRICS, of_metrics, sizeof of_metrics / sizeof *of_metrics},
    {SANDBOX_HELPER, of_helper, sizeof of_helper / sizeof *of_helper},
};

/* What libraries try, and can do without. */
static const struct {
    const char *name;
    unsigned roles;
    int error;
} refused[] = {
    {"access", SANDBOX_GATEWAY, EACCES},
    {"faccessat", SANDBOX_GATEWAY, EACCES},
    {"faccessat2", SANDBOX_GATEWAY, EACCES},
    {"readlink", SANDBOX_GATEWAY, EACCES},
    {"readlinkat", SANDBOX_GATEWAY, EACCES},
    {"openat2", RELAYS | SERVANTS, ENOSYS},
    {"clone3", RELAYS, ENOSYS}, /* libc falls back to clone, whose flags can be looked at */
};

/* What kills a helper as well, in which other calls only fail. */
static const char *const deadly[] = {
    "execve",
    "execveat",
    "fork",
    "vfork",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "setuid",
    "setgid",
    "setreuid",
    "setregid",
    "setresuid",
    "setresgid",
    "setfsuid",
    "setfsgid",
    "setgroups",
    "capset",
    "mount",
    "umount2",
    "pivot_root",
    "chroot",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsmount",
    "unshare",
    "setns",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "io_uring_setup",
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "kexec_file_load",
    "reboot",
    "swapon",
    "swapoff",
    "acct",
    "add_key",
    "request_key",
    "keyctl",
    "mknod",
    "mknodat",
    "memfd_create",
    "memfd_secret",
    "open_by_handle_at",
    "pidfd_getfd",
    "process_madvise",
    "quotactl",
    "sethostname",
    "setdomainname",
    "settimeofday",
    "clock_settime",
    "adjtimex",
    "clock_adjtime",
    "syslog",
    "personality",
    "iopl",
    "ioperm",
    "modify_ldt",
    "vhangup",
};

/* The first error of a list of rules; a name that is unknown here is none. */
struct rules {
    scmp_filter_ctx filter;
    uint32_t otherwise; /* the filter's default, which no rule may repeat */
    int error;
};

static void add(struct rules *rules, uint32_t action, const char *name, unsigned count,
                const struct scmp_arg_cmp *arguments) {
    int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR || rules->error || action == rules->otherwise)
        return;
    rules->error = seccomp_rule_add_array(rules->filter, action, number, count, arguments);
}

/* With one argument that has this value in the bits of the mask. */
static void add_if(struct rules *rules, uint32_t action, const char *name, unsigned argument,
                   uint64_t mask, uint64_t value) {
    struct scmp_arg_cmp compare = {argument, SCMP_CMP_MASKED_EQ, mask, value};
    add(rules, action, name, 1, &compare);
}

#define INT_BITS UINT32_MAX /* the kernel looks at these of an int */

/* ---- Calls whose arguments matter ---- */

static void add_sockets(struct rules *rules, enum sandbox_role role, bool syslog, uint32_t refuse) {
    static const int families[] = {AF_INET, AF_INET6}, types[] = {SOCK_STREAM, SOCK_DGRAM};
    enum { TYPE_BITS = 0xf, NETLINK_ROUTE_PROTOCOL = 0 };
    for (int i = 0; i < 4; i++) {
        struct scmp_arg_cmp internet[] = {
            {0, SCMP_CMP_MASKED_EQ, INT_BITS, (uint64_t)families[i / 2]},
            {1, SCMP_CMP_MASKED_EQ, TYPE_BITS, (uint64_t)types[i % 2]}};
        add(rules, SCMP_ACT_ALLOW, "socket", 2, internet);
    }
    struct scmp_arg_cmp interfaces[] = {{0, SCMP_CMP_MASKED_EQ, INT_BITS, AF_NETLINK},
                                        {2, SCMP_CMP_MASKED_EQ, INT_BITS, NETLINK_ROUTE_PROTOCOL}};
    add(rules, SCMP_ACT_ALLOW, "socket", 2, interfaces);
    if (role == SANDBOX_HELPER) {
        add_if(rules, SCMP_ACT_ALLOW, "socket", 0, INT_BITS, AF_UNIX);
        return;
    }
    /* A local daemon that takes orders listens for connections; syslog takes datagrams. */
    for (int i = 0; i < 2; i++) {
        struct scmp_arg_cmp local[] = {{0, SCMP_CMP_MASKED_EQ, INT_BITS, AF_UNIX},
                                       {1, SCMP_CMP_MASKED_EQ, TYPE_BITS, (uint64_t)types[i]}};
        add(rules, syslog && types[i] == SOCK_DGRAM ? SCMP_ACT_ALLOW : refuse, "socket", 2, local);
    }
}

static void add_memory(struct rules *rules, enum sandbox_role role) {
    static const char *const calls[] = {"mmap", "mmap2", "mprotect"};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (role == SANDBOX_HELPER) /* loads a user directory's library when it is first asked */
            add(rules, SCMP_ACT_ALLOW, calls[i], 0, NULL);
        else
            add_if(rules, SCMP_ACT_ALLOW, calls[i], 2, PROT_EXEC, 0);
}

static void add_process(struct rules *rules) {
    static const uint64_t names[] = {PR_SET_NAME, PR_GET_NAME, 0x53564d41 /* PR_SET_VMA */};
    struct scmp_arg_cmp own_limits[] = {{0, SCMP_CMP_MASKED_EQ, INT_BITS, 0},
                                        {2, SCMP_CMP_EQ, 0, 0}};
    add_if(rules, SCMP_ACT_ALLOW, "clone", 0, CLONE_THREAD, CLONE_THREAD);
    add(rules, SCMP_ACT_ALLOW, "prlimit64", 2, own_limits);
    add_if(rules, SCMP_ACT_ALLOW, "tgkill", 0, INT_BITS, (uint64_t)getpid());
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        add_if(rules, SCMP_ACT_ALLOW, "prctl", 0, INT_BITS, names[i]);
}

static void add_gateway(struct rules *rules, uint32_t no_terminal, uint32_t no_file) {
    static const uint64_t requests[] = {FIONREAD, FIONBIO,     SIOCATMARK,
                                        SIOCOUTQ, SIOCGIFNAME, SIOCGIFINDEX};
    const uint64_t changes = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        add_if(rules, SCMP_ACT_ALLOW, "ioctl", 1, INT_BITS, requests[i]);
    add_if(rules, no_terminal, "ioctl", 1, INT_BITS, TCGETS);
    add_if(rules, no_file, "open", 1, changes, O_RDONLY);
    add_if(rules, no_file, "openat", 2, changes, O_RDONLY);
}

/* Reads, opens folders, and asks whether there is still such a process. */
static void add_looker(struct rules *rules) {
    const uint64_t changes = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND;
    add_if(rules, SCMP_ACT_ALLOW, "open", 1, changes, O_RDONLY);
    add_if(rules, SCMP_ACT_ALLOW, "openat", 2, changes, O_RDONLY);
    add_if(rules, SCMP_ACT_ALLOW, "kill", 1, INT_BITS, 0);
}

static void add_helper(struct rules *rules, uint32_t deadly_action) {
    add_if(rules, SCMP_ACT_ALLOW, "kill", 1, INT_BITS, 0);
    add_if(rules, deadly_action, "clone", 0, CLONE_THREAD, 0);
    for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++)
        add(rules, deadly_action, deadly[i], 0, NULL);
}

/* ---- The filter ---- */

static void add_lists(struct rules *rules, enum sandbox_role role, bool only_log) {
    const struct list *end = allowed + sizeof allowed / sizeof *allowed;
    for (const struct list *list = allowed; list < end; list++)
        for (size_t i = 0; i < list->count && list->roles & (unsigned)role; i++)
            add(rules, SCMP_ACT_ALLOW, list->names[i], 0, NULL);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (refused[i].roles & (unsigned)role)
            add(rules, only_log ? SCMP_ACT_LOG : SCMP_ACT_ERRNO((uint32_t)refused[i].error),
                refused[i].name, 0, NULL);
}

/* The attributes that an older libseccomp or kernel does not know do without. */
static void set_attributes(scmp_filter_ctx filter) {
    seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    /* Nobody's code runs here that could watch what the processor speculates. */
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
}

int system_calls_restrict(enum sandbox_role role, bool only_log, bool syslog) {
    bool lenient = role == SANDBOX_HELPER || role == SANDBOX_METRICS;
    uint32_t otherwise = only_log  ? SCMP_ACT_LOG
                         : lenient ? SCMP_ACT_ERRNO(EPERM)
                                   : SCMP_ACT_KILL_PROCESS;
    uint32_t kill = only_log ? SCMP_ACT_LOG : SCMP_ACT_KILL_PROCESS;
    struct rules rules = {seccomp_init(otherwise), otherwise, 0};
    if (!rules.filter)
        return -ENOMEM;
    set_attributes(rules.filter);
    add_lists(&rules, role, only_log);
    add_memory(&rules, role);
    add_process(&rules);
    if ((unsigned)role & RELAYS)
        add_sockets(&rules, role, syslog, only_log ? SCMP_ACT_LOG : SCMP_ACT_ERRNO(EACCES));
    if (role == SANDBOX_GATEWAY)
        add_gateway(&rules, only_log ? SCMP_ACT_LOG : SCMP_ACT_ERRNO(ENOTTY),
                    only_log ? SCMP_ACT_LOG : SCMP_ACT_ERRNO(EACCES));
    if (role == SANDBOX_LOOKER)
        add_looker(&rules);
    if (role == SANDBOX_HELPER)
        add_helper(&rules, kill);
    int error = rules.error ? rules.error : seccomp_load(rules.filter);
    seccomp_release(rules.filter);
    return error;
}

#endif
