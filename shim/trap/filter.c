/* SPDX-License-Identifier: MIT */
/* filter.c - see filter.h. */
#include "shim/trap/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/socket/options.h"

#if defined(__x86_64__) && defined(__LP64__)
#define MACHINE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define MACHINE AUDIT_ARCH_AARCH64
#else
#define MACHINE 0 /* not supported */
#endif

#define X32_BIT           0x40000000u
#define MSG_FASTOPEN_BIT  0x20000000u
#define IO_URING_SETUP    425 /* the same on all machines */
#define CLOSE_RANGE       436
#define INSTRUCTIONS_MAX  512
#define OPTION_NUMBER_END 128

struct code {
    unsigned short n;
    struct sock_filter at[INSTRUCTIONS_MAX];
};

static void emit(struct code *code, struct sock_filter instruction) {
    if (code->n < INSTRUCTIONS_MAX)
        code->at[code->n++] = instruction;
}

static void load(struct code *code, size_t offset) {
    emit(code, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

/* The lower half of an argument; both machines are little-endian. */
static void load_argument(struct code *code, unsigned i) {
    load(code, offsetof(struct seccomp_data, args) + i * sizeof(uint64_t));
}

static void give(struct code *code, uint32_t verdict) {
    emit(code, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, verdict));
}

/* Gives the verdict if the loaded value passes the comparison (BPF_JEQ, BPF_JSET, ...). */
static void give_if(struct code *code, uint16_t comparison, uint32_t value, uint32_t verdict) {
    emit(code, (struct sock_filter)BPF_JUMP((uint16_t)(BPF_JMP | BPF_K | comparison), value, 0, 1));
    give(code, verdict);
}

/* Begins what concerns one call, which ends with `end_call`; the number is loaded. */
static unsigned short begin_call(struct code *code, long nr) {
    emit(code, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_K | BPF_JEQ, (uint32_t)nr, 0, 0));
    return code->n;
}

static void end_call(struct code *code, unsigned short begin) {
    give(code, SECCOMP_RET_ALLOW);
    code->at[begin - 1].jf = (uint8_t)(code->n - begin);
}

static void trap_options(struct code *code, long nr, bool (*differs)(int level, int name)) {
    static const int levels[] = {IPPROTO_TCP, IPPROTO_IP, IPPROTO_IPV6};
    unsigned short begin = begin_call(code, nr);
    load_argument(code, 1);
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        give_if(code, BPF_JEQ, (uint32_t)levels[i], SECCOMP_RET_USER_NOTIF);
    emit(code, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_K | BPF_JEQ, SOL_SOCKET, 1, 0));
    give(code, SECCOMP_RET_ALLOW);
    load_argument(code, 2);
    for (int name = 0; name < OPTION_NUMBER_END; name++)
        if (differs(SOL_SOCKET, name))
            give_if(code, BPF_JEQ, (uint32_t)name, SECCOMP_RET_USER_NOTIF);
    end_call(code, begin);
}

static void refuse_fast_open(struct code *code, long nr, unsigned flags_argument) {
    unsigned short begin = begin_call(code, nr);
    load_argument(code, flags_argument);
    give_if(code, BPF_JSET, MSG_FASTOPEN_BIT, SECCOMP_RET_ERRNO | EOPNOTSUPP);
    end_call(code, begin);
}

static void build(struct code *code) {
    static const long whole[] = {SYS_connect, SYS_getpeername, SYS_getsockname, SYS_shutdown};
    load(code, offsetof(struct seccomp_data, arch));
    emit(code, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_K | BPF_JEQ, MACHINE, 1, 0));
    give(code, SECCOMP_RET_ALLOW);
    load(code, offsetof(struct seccomp_data, nr));
    give_if(code, BPF_JGE, X32_BIT, SECCOMP_RET_ALLOW);
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        give_if(code, BPF_JEQ, (uint32_t)whole[i], SECCOMP_RET_USER_NOTIF);
    give_if(code, BPF_JEQ, IO_URING_SETUP, SECCOMP_RET_ERRNO | ENOSYS);
    trap_options(code, SYS_getsockopt, options_get_differs);
    trap_options(code, SYS_setsockopt, options_set_differs);
    refuse_fast_open(code, SYS_sendto, 3);
    refuse_fast_open(code, SYS_sendmsg, 2);
    refuse_fast_open(code, SYS_sendmmsg, 3);
    give(code, SECCOMP_RET_ALLOW);
}

/* close_range came with Linux 5.9, as did what puts a descriptor into a program. */
bool filter_is_possible(void) {
    uint32_t action = SECCOMP_RET_USER_NOTIF;
    bool recent = syscall(CLOSE_RANGE, 1, 0, 0) == 0 || errno != ENOSYS;
    return MACHINE != 0 && recent &&
           syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

int filter_install(void) {
    static struct code code;
    build(&code);
    struct sock_fprog program = {.len = code.n, .filter = code.at};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -errno;
    int listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                                SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    return listener < 0 ? -errno : listener;
}
