/* SPDX-License-Identifier: MIT */
/* A process that has been taken over: what the sandbox keeps it from, and what it leaves. Each
 * probe is a process of its own that enters the sandbox as a daemon does, and tries one thing. */
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "helper/net/file_broker.h"
#include "helper/net/log.h"
#include "helper/net/pass_descriptor.h"
#include "helper/net/sandbox.h"

/* What a probe has opened before it enters the sandbox. */
static struct {
    int pipe[2], pair[2], listener;
    struct sockaddr_in where; /* of the listener */
    char folder[40];
} before;

static void open_before(void) {
    socklen_t len = sizeof before.where;
    before.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    before.where = (struct sockaddr_in){.sin_family = AF_INET};
    before.where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (pipe(before.pipe) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, before.pair) < 0 ||
        bind(before.listener, (struct sockaddr *)&before.where, sizeof before.where) < 0 ||
        listen(before.listener, 8) < 0 ||
        getsockname(before.listener, (struct sockaddr *)&before.where, &len) < 0)
        _exit(255);
}

/* ---- What an intruder would like to do: each returns what the system call does ---- */

static long opens_for_reading(void) {
    return open("/etc/passwd", O_RDONLY);
}
static long opens_for_writing(void) {
    return open("/dev/null", O_WRONLY);
}
static long creates(void) {
    return open("/tmp/smuxshim-probe", O_RDONLY | O_CREAT, 0600);
}
static long opens_by_openat2(void) {
    uint64_t how[3] = {O_RDONLY};
    return syscall(437, AT_FDCWD, "/etc/passwd", how, sizeof how);
}
static long unlinks(void) {
    return unlink("/nowhere/smuxshim-probe");
}
static long renames(void) {
    return rename("/nowhere/smuxshim-probe", "/nowhere/other");
}
static long makes_a_folder(void) {
    return mkdir("/nowhere/smuxshim-probe", 0700);
}
static long links(void) {
    return link("/nowhere/smuxshim-probe", "/nowhere/other");
}
static long links_by_name(void) {
    return symlink("/etc/passwd", "/nowhere/other");
}
static long changes_a_mode(void) {
    return chmod("/nowhere/smuxshim-probe", 0600);
}
static long changes_an_owner(void) {
    return chown("/nowhere/smuxshim-probe", 0, 0);
}
static long truncates(void) {
    return truncate("/nowhere/smuxshim-probe", 0);
}

static long executes(void) {
    return execl("/bin/true", "true", (char *)NULL);
}
static long executes_a_descriptor(void) {
    char *none[] = {NULL};
    return syscall(SYS_execveat, before.pipe[0], "", none, none, AT_EMPTY_PATH);
}
static long forks(void) {
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid;
}
static long maps_code(void) {
    void *at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? -1 : 0;
}
static long makes_code(void) {
    void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? -1 : mprotect(at, 4096, PROT_READ | PROT_EXEC);
}

static long becomes_root(void) {
    return setuid(0);
}
static long changes_ids(void) {
    return setresuid(0, 0, 0);
}
static long changes_groups(void) {
    return (long)syscall(SYS_setgroups, 0, NULL);
}
static long takes_capabilities(void) {
    return syscall(SYS_capset, NULL, NULL);
}
static long mounts(void) {
    return mount("none", "/nowhere", "tmpfs", 0, NULL);
}
static long unshares(void) {
    return unshare(CLONE_NEWUSER);
}
static long changes_root(void) {
    return chroot("/");
}
static long traces(void) {
    return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}
static long reads_memory(void) {
    char byte;
    struct iovec iov = {&byte, 1};
    return process_vm_readv(getppid(), &iov, 1, &iov, 1, 0);
}
static long kills(void) {
    return kill(getppid(), SIGURG);
}
static long kills_a_thread(void) {
    return syscall(SYS_tgkill, getppid(), getppid(), SIGURG);
}
static long becomes_dumpable(void) {
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}
static long raises_a_limit(void) {
    struct rlimit limit = {1, 1};
    return setrlimit(RLIMIT_CORE, &limit);
}

static long loads_bpf(void) {
    return syscall(SYS_bpf, 0, NULL, 0);
}
static long uses_a_ring(void) {
    return syscall(425, 1, NULL);
}
static long uses_keys(void) {
    return syscall(SYS_keyctl, 0, 0, 0, 0, 0);
}
static long counts_events(void) {
    return syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0);
}
static long makes_memory_files(void) {
    return syscall(SYS_memfd_create, "probe", 0);
}
static long handles_faults(void) {
    return syscall(SYS_userfaultfd, 0);
}

static long speaks_to_local_daemons(void) {
    return socket(AF_UNIX, SOCK_STREAM, 0);
}
static long speaks_to_syslog(void) {
    return socket(AF_UNIX, SOCK_DGRAM, 0);
}
static long reads_the_wire(void) {
    return socket(AF_PACKET, SOCK_RAW, 0);
}
static long makes_packets(void) {
    return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}
static long hears_devices(void) {
    return socket(AF_NETLINK, SOCK_RAW, 15 /* KOBJECT_UEVENT */);
}
static long listens(void) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return fd < 0 ? -1 : listen(fd, 1);
}

/* ---- What a daemon does ---- */

static long moves_bytes(void) {
    char byte = 'x';
    return write(before.pipe[1], &byte, 1) == 1 && read(before.pipe[0], &byte, 1) == 1 ? 0 : -1;
}
static long connects_and_accepts(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0 || (connect(fd, (struct sockaddr *)&before.where, sizeof before.where) < 0 &&
                   errno != EINPROGRESS))
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    return accept4(before.listener, NULL, NULL, SOCK_CLOEXEC);
}
static long asks_name_servers(void) {
    return socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}
static long lists_interfaces(void) {
    struct ifaddrs *list = NULL;
    int result = getifaddrs(&list);
    freeifaddrs(list);
    return result;
}
static long takes_memory(void) {
    char *large = malloc(300u << 20);
    if (!large)
        return -1;
    memset(large, 1, 1u << 20);
    large = realloc(large, 400u << 20);
    free(large);
    return large ? 0 : -1;
}
static void *thread(void *arg) {
    struct timespec moment = {.tv_nsec = 1000};
    nanosleep(&moment, NULL);
    free(malloc(100));
    return arg;
}
static long starts_a_thread(void) {
    pthread_t id;
    errno = pthread_create(&id, NULL, thread, NULL);
    return errno || pthread_join(id, NULL) ? -1 : 0;
}
static long logs(void) {
    log_error("a line of the log");
    return 0;
}
static long looks_at_files(void) {
    struct stat st;
    return stat("/etc/passwd", &st) < 0 ? -1 : fstat(before.pipe[0], &st);
}
static long aborts(void) {
    abort();
}

/* A broker, and a helper. */
static long opens_its_file(void) {
    char path[60];
    snprintf(path, sizeof path, "%s/own", before.folder);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    return fd < 0 || write(fd, "x", 1) != 1 ? -1 : unlink(path);
}
static long receives_a_descriptor(void) {
    char byte, control[64];
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    if (!pass_descriptor(before.pair[0], "x", 1, before.pipe[0], 0))
        return -1;
    return recvmsg(before.pair[1], &msg, 0) == 1 && msg.msg_controllen > 0 ? 0 : -1;
}
static long connects_locally(void) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un {
        sa_family_t family;
        char path[108];
    } name = {AF_UNIX, ""};
    snprintf(name.path, sizeof name.path, "%s/socket", before.folder);
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof name) < 0 || listen(fd, 1) < 0)
        return -1;
    int client = socket(AF_UNIX, SOCK_STREAM, 0);
    return connect(client, (struct sockaddr *)&name, sizeof name) < 0 ? -1 : unlink(name.path);
}
static long asks_for_a_process(void) {
    return kill(getppid(), 0);
}

/* ---- The probes ---- */

enum { WORKS = 0, DIES = 1000, CRASHES = 2000 /* by its own will: SIGABRT */ };

struct probe {
    const char *what;
    long (*try)(void);
    int gateway, helper; /* WORKS, DIES, or the errno that it fails with; -1: whatever */
};

#define PROBE(function, gateway, helper)                                                           \
    { #function, function, gateway, helper }

static const struct probe probes[] = {
    PROBE(opens_for_reading, EACCES, EACCES),
    PROBE(opens_for_writing, DIES, EACCES),
    PROBE(creates, DIES, EACCES),
    PROBE(opens_by_openat2, ENOSYS, ENOSYS),
    PROBE(unlinks, DIES, -1),
    PROBE(renames, DIES, -1),
    PROBE(makes_a_folder, DIES, EPERM),
    PROBE(links, DIES, EPERM),
    PROBE(links_by_name, DIES, EPERM),
    PROBE(changes_a_mode, DIES, -1),
    PROBE(changes_an_owner, DIES, EPERM),
    PROBE(truncates, DIES, EPERM),
    PROBE(executes, DIES, DIES),
    PROBE(executes_a_descriptor, DIES, DIES),
    PROBE(forks, DIES, DIES),
    PROBE(maps_code, DIES, -1),
    PROBE(makes_code, DIES, -1),
    PROBE(becomes_root, DIES, DIES),
    PROBE(changes_ids, DIES, DIES),
    PROBE(changes_groups, DIES, DIES),
    PROBE(takes_capabilities, DIES, DIES),
    PROBE(mounts, DIES, DIES),
    PROBE(unshares, DIES, DIES),
    PROBE(changes_root, DIES, DIES),
    PROBE(traces, DIES, DIES),
    PROBE(reads_memory, DIES, DIES),
    PROBE(kills, DIES, EPERM),
    PROBE(kills_a_thread, DIES, EPERM),
    PROBE(becomes_dumpable, DIES, EPERM),
    PROBE(raises_a_limit, DIES, EPERM),
    PROBE(loads_bpf, DIES, DIES),
    PROBE(uses_a_ring, DIES, DIES),
    PROBE(uses_keys, DIES, DIES),
    PROBE(counts_events, DIES, DIES),
    PROBE(makes_memory_files, DIES, DIES),
    PROBE(handles_faults, DIES, DIES),
    PROBE(speaks_to_local_daemons, EACCES, WORKS),
    PROBE(speaks_to_syslog, EACCES, WORKS),
    PROBE(reads_the_wire, DIES, EPERM),
    PROBE(makes_packets, DIES, EPERM),
    PROBE(hears_devices, DIES, EPERM),
    PROBE(listens, DIES, WORKS),
    PROBE(moves_bytes, WORKS, WORKS),
    PROBE(connects_and_accepts, WORKS, WORKS),
    PROBE(asks_name_servers, WORKS, WORKS),
    PROBE(lists_interfaces, WORKS, WORKS),
    PROBE(takes_memory, WORKS, WORKS),
    PROBE(starts_a_thread, WORKS, WORKS),
    PROBE(logs, WORKS, WORKS),
    PROBE(looks_at_files, WORKS, WORKS),
    PROBE(receives_a_descriptor, WORKS, WORKS),
    PROBE(aborts, CRASHES, CRASHES),
    PROBE(opens_its_file, DIES, WORKS),
    PROBE(connects_locally, EACCES, WORKS),
    PROBE(asks_for_a_process, DIES, -1),
};

/* What became of it: WORKS, DIES, or the errno. */
static int outcome(const struct probe *probe, const struct sandbox *sandbox) {
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        static const struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        open_before();
        struct landlock_rule own = {before.folder, true};
        struct sandbox its = *sandbox;
        if (its.role == SANDBOX_HELPER) {
            its.files = &own;
            its.file_count = 1;
        }
        sandbox_enter(&its);
        errno = 0;
        _exit(probe->try() < 0 ? errno : WORKS);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGSYS ? DIES : WTERMSIG(status) == SIGABRT ? CRASHES : -1;
    return WEXITSTATUS(status);
}

static void check(const struct probe *probe, const struct sandbox *sandbox, int expected) {
    int found = outcome(probe, sandbox);
    if (expected >= 0 && found != expected)
        fail_msg("%s: found %d (%s), expected %d", probe->what, found,
                 found == DIES ? "it dies" : strerror(found), expected);
}

#define EACH(probe)                                                                                \
    for (const struct probe *probe = probes; probe < probes + sizeof probes / sizeof *probes;      \
         probe++)

#if defined(SMUX_SANITIZED)

static void a_build_with_sanitizers_says_that_it_has_no_sandbox(void **state) {
    static const struct probe opens = PROBE(opens_for_reading, WORKS, 0);
    const struct sandbox gateway = {.role = SANDBOX_GATEWAY, .mode = CONFIG_SANDBOX_YES};
    (void)state;
    assert_non_null(strstr(sandbox_is_off(CONFIG_SANDBOX_YES), "sanitizer"));
    check(&opens, &gateway, WORKS);
    (void)probes;
}

#else

/* Without what the kernel must have for it there is nothing to test. */
static void need_sandbox(void) {
    const struct sandbox gateway = {.role = SANDBOX_GATEWAY, .mode = CONFIG_SANDBOX_YES};
    static const struct probe opens = PROBE(opens_for_reading, 0, 0);
    assert_null(sandbox_is_off(CONFIG_SANDBOX_YES));
    if (outcome(&opens, &gateway) == WORKS) {
        print_message("neither a filter of system calls nor Landlock here\n");
        skip();
    }
}

static void a_gateway_that_is_taken_over(void **state) {
    const struct sandbox gateway = {.role = SANDBOX_GATEWAY, .mode = CONFIG_SANDBOX_YES};
    (void)state;
    need_sandbox();
    EACH(probe)
    check(probe, &gateway, probe->gateway);
}

/* What a gateway must not do it must not either, nor have connections of its own. */
static void who_answers_for_metrics_and_is_taken_over(void **state) {
    const struct sandbox metrics = {.role = SANDBOX_METRICS, .mode = CONFIG_SANDBOX_YES};
    static const struct probe own[] = {PROBE(connects_and_accepts, 0, 0),
                                       PROBE(asks_name_servers, 0, 0),
                                       PROBE(lists_interfaces, 0, 0)};
    static const struct probe needed[] = {PROBE(moves_bytes, 0, 0), PROBE(takes_memory, 0, 0),
                                          PROBE(receives_a_descriptor, 0, 0)};
    (void)state;
    need_sandbox();
    EACH(probe)
    if (probe->gateway != WORKS && probe->gateway != CRASHES && outcome(probe, &metrics) == WORKS)
        fail_msg("%s: it works", probe->what);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        check(&own[i], &metrics, EPERM);
        check(&needed[i], &metrics, WORKS);
    }
}

static void a_helper_that_is_taken_over(void **state) {
    const struct sandbox helper = {.role = SANDBOX_HELPER, .mode = CONFIG_SANDBOX_YES};
    (void)state;
    need_sandbox();
    EACH(probe)
    check(probe, &helper, probe->helper);
}

static void a_gateway_that_logs_to_syslog_sends_it_datagrams(void **state) {
    const struct sandbox gateway = {
        .role = SANDBOX_GATEWAY, .mode = CONFIG_SANDBOX_YES, .syslog = true};
    static const struct probe datagrams = PROBE(speaks_to_syslog, WORKS, 0);
    static const struct probe orders = PROBE(speaks_to_local_daemons, EACCES, 0);
    (void)state;
    need_sandbox();
    check(&datagrams, &gateway, WORKS);
    check(&orders, &gateway, EACCES);
}

#endif

static void without_a_sandbox_and_in_its_log_mode_all_goes_on(void **state) {
    static const struct probe opens = PROBE(opens_for_reading, WORKS, 0);
    static const struct probe writes = PROBE(opens_for_writing, WORKS, 0);
    static const struct probe starts = PROBE(forks, WORKS, 0);
    (void)state;
    for (int mode = CONFIG_SANDBOX_NO; mode <= CONFIG_SANDBOX_LOG; mode += 2) {
        const struct sandbox gateway = {.role = SANDBOX_GATEWAY, .mode = mode};
        check(&opens, &gateway, WORKS);
        check(&writes, &gateway, WORKS);
        check(&starts, &gateway, WORKS);
    }
}

/* ---- Landlock alone ---- */

static int with_landlock(long (*try)(void), int *abi) {
    int status, tell[2];
    assert_int_equal(pipe(tell), 0);
    pid_t pid = fork();
    if (pid == 0) {
        open_before();
        struct landlock_rule own = {before.folder, true};
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        int version = landlock_restrict(&own, 1);
        ssize_t n = write(tell[1], &version, sizeof version);
        errno = 0;
        _exit(n > 0 && try() < 0 ? errno : WORKS);
    }
    assert_int_equal(read(tell[0], abi, sizeof *abi), sizeof *abi);
    close(tell[0]);
    close(tell[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static long binds_a_port(void) {
    struct sockaddr_in any = {.sin_family = AF_INET};
    return bind(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&any, sizeof any);
}

static void landlock_leaves_the_folder_that_it_is_given(void **state) {
    int abi;
    (void)state;
    int denied = with_landlock(opens_for_reading, &abi);
    if (abi < 0) {
        print_message("no Landlock here: %s\n", strerror(-abi));
        skip();
    }
    assert_int_equal(denied, EACCES);
    assert_int_equal(with_landlock(opens_for_writing, &abi), EACCES);
    assert_int_equal(with_landlock(executes, &abi), EACCES);
    assert_int_equal(with_landlock(opens_its_file, &abi), WORKS);
    assert_int_equal(with_landlock(connects_locally, &abi), WORKS);
    assert_int_equal(with_landlock(binds_a_port, &abi), abi >= 4 ? EACCES : WORKS);
    assert_int_equal(with_landlock(kills, &abi), abi >= 6 ? EPERM : WORKS);
}

/* ---- The broker ---- */

static bool only_passwd(void *user, const char *path, enum file_use use) {
    return use == FILE_READ ? strcmp(path, "/etc/passwd") == 0 : strcmp(path, user) == 0;
}

/* In the sandbox of a gateway; the errors are told by the number of the check. */
static int broker_opens(char *log) {
    const struct sandbox gateway = {.role = SANDBOX_GATEWAY, .mode = CONFIG_SANDBOX_YES};
    char bytes[8];
    if (file_broker_start(CONFIG_SANDBOX_YES, only_passwd, log) != 0)
        return 1;
    sandbox_enter(&gateway);
    int fd = file_open("/etc/passwd", FILE_READ);
    if (fd < 0 || read(fd, bytes, sizeof bytes) <= 0)
        return 2;
    if (file_open("/etc/group", FILE_READ) != -EACCES ||
        file_open("/etc/passwd", FILE_APPEND) != -EACCES)
        return 3;
    fd = file_open(log, FILE_APPEND);
    if (fd < 0 || write(fd, "line\n", 5) != 5)
        return 4;
    return fcntl(fd, F_GETFD) & FD_CLOEXEC ? 0 : 5;
}

static void a_broker_opens_what_its_rule_names_and_nothing_else(void **state) {
    char log[] = "/tmp/smuxshim-broker.XXXXXX";
    int status, fd = mkstemp(log);
    struct stat st;
    (void)state;
    assert_true(fd >= 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(broker_opens(log));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 5);
    unlink(log);
    close(fd);
}

static void a_broker_that_has_ended_is_noticed(void **state) {
    int status;
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        char log[] = "/nowhere";
        char path[60];
        if (file_broker_start(CONFIG_SANDBOX_YES, only_passwd, log) != 0 || file_broker_has_ended())
            _exit(1);
        /* Its only child. */
        snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
        FILE *children = fopen(path, "re");
        int broker;
        if (!children || fscanf(children, "%d", &broker) != 1 || kill(broker, SIGKILL) < 0)
            _exit(2);
        while (!file_broker_has_ended())
            usleep(1000);
        int error = file_open("/etc/passwd", FILE_READ);
        _exit(error == -EPIPE && !file_broker_has_ended() ? 0 : 3);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int make_folder(void **state) {
    (void)state;
    strcpy(before.folder, "/tmp/smuxshim-sandbox.XXXXXX");
    log_set_level(LOG_ERR);
    return mkdtemp(before.folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(before.folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#if defined(SMUX_SANITIZED)
        cmocka_unit_test(a_build_with_sanitizers_says_that_it_has_no_sandbox),
#else
        cmocka_unit_test(a_gateway_that_is_taken_over),
        cmocka_unit_test(who_answers_for_metrics_and_is_taken_over),
        cmocka_unit_test(a_helper_that_is_taken_over),
        cmocka_unit_test(a_gateway_that_logs_to_syslog_sends_it_datagrams),
#endif
        cmocka_unit_test(without_a_sandbox_and_in_its_log_mode_all_goes_on),
        cmocka_unit_test(landlock_leaves_the_folder_that_it_is_given),
        cmocka_unit_test(a_broker_opens_what_its_rule_names_and_nothing_else),
        cmocka_unit_test(a_broker_that_has_ended_is_noticed),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
