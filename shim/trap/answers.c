/* SPDX-License-Identifier: MIT */
/* answers.c - see answers.h. */
#include "shim/trap/answers.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim/base/pending_reset.h"
#include "shim/socket/local_address.h"
#include "shim/socket/options.h"
#include "shim/socket/state.h"

#define VALUE_MAX 1024 /* bytes of an option */

/* Copies the descriptor that the call is about, if it is ours; otherwise lets the call go and
 * returns -1. */
static int ours(const struct trap_call *call, struct shim_state *state) {
    int copy = call_copy_descriptor(call, (int)call->args[0]);
    *state = (struct shim_state){.kind = SHIM_FOREIGN};
    if (copy >= 0)
        *state = shim_state_read(copy);
    if (state->kind != SHIM_FOREIGN)
        return copy;
    /* Whose socket it is cannot be told now: no answer is better than a unix socket's. */
    if (copy == -EMFILE || copy == -ENFILE)
        call_answer(call, -ENOBUFS);
    else
        call_let_go(call);
    if (copy >= 0)
        close(copy);
    return -1;
}

/* ---- Names ---- */

/* Writes an address as the kernel does: truncated, with its full length. The result of the call. */
static int give(const struct trap_call *call, const struct endpoint *address) {
    struct sockaddr_storage full;
    socklen_t len = endpoint_to_sockaddr(address, &full), room;
    if (!call_read(call, call->args[2], &room, sizeof room))
        return -EFAULT;
    if ((int)room < 0)
        return -EINVAL;
    bool written = call_write(call, call->args[2], &len, sizeof len) &&
                   call_write(call, call->args[1], &full, room < len ? room : len);
    return written ? 0 : -EFAULT;
}

void answer_getpeername(const struct trap_call *call) {
    struct shim_state state;
    int copy = ours(call, &state);
    if (copy < 0)
        return;
    bool connected = state.kind == SHIM_CONNECTED && !shim_is_hung_up(copy);
    call_answer(call, connected ? give(call, &state.outcome.dest) : -ENOTCONN);
    close(copy);
}

void answer_getsockname(const struct trap_call *call) {
    struct shim_state state;
    int copy = ours(call, &state);
    if (copy < 0)
        return;
    struct endpoint local = local_address_of(copy, &state, options_flag(copy, MARK_PENDING));
    call_answer(call, give(call, &local));
    close(copy);
}

/* ---- Options ---- */

/* SO_ERROR on a connection of ours stands for ECONNRESET or for the errno of a failed connect. */
static int take_error(int copy, const struct shim_state *state, int *taken) {
    *taken = shim_take_error(copy);
    return pending_reset_is(*taken) ? shim_reset_errno(state) : *taken;
}

/* The result of the call; *taken: the pending error that has been read. */
static int get_option(const struct trap_call *call, int copy, const struct shim_state *state,
                      int *taken) {
    char value[VALUE_MAX];
    int level = (int)call->args[1], name = (int)call->args[2];
    socklen_t len;
    if (!call_read(call, call->args[4], &len, sizeof len))
        return -EFAULT;
    if ((int)len < 0)
        return -EINVAL;
    if (len > sizeof value)
        len = sizeof value;
    if (level == SOL_SOCKET && name == SO_ERROR) {
        int error = take_error(copy, state, taken);
        if (len > sizeof error)
            len = sizeof error;
        memcpy(value, &error, len);
    } else if (options_get(copy, state, level, name, value, &len) != 0) {
        return -errno;
    }
    bool written = call_write(call, call->args[3], value, len) &&
                   call_write(call, call->args[4], &len, sizeof len);
    return written ? 0 : -EFAULT;
}

void answer_getsockopt(const struct trap_call *call) {
    struct shim_state state;
    int taken = 0;
    int copy = ours(call, &state);
    if (copy < 0)
        return;
    if (!call_answer(call, get_option(call, copy, &state, &taken)) && pending_reset_is(taken))
        pending_reset_put_back(copy); /* nobody has heard of it */
    close(copy);
}

void answer_setsockopt(const struct trap_call *call) {
    char value[VALUE_MAX];
    struct shim_state state;
    socklen_t len = (socklen_t)call->args[4];
    int copy = ours(call, &state);
    if (copy < 0)
        return;
    if ((int)len > (int)sizeof value)
        len = sizeof value;
    bool readable = (int)len <= 0 || call_read(call, call->args[3], value, len);
    int result = options_set(copy, &state, (int)call->args[1], (int)call->args[2],
                             readable && call->args[3] ? value : NULL, len);
    call_answer(call, result == 0 ? 0 : -errno);
    close(copy);
}
