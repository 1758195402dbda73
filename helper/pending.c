/* pending.c - see pending.h. */
#include "helper/pending.h"

#include <errno.h>
#include <sys/stat.h>

#include "helper/helper.h"
#include "helper/holders.h"
#include "helper/log.h"

#define LOOK_US 250000u

/* Looking through all processes takes at most one in so many parts of the time. */
#define LOOK_EVERYWHERE_SHARE 20

/* Looked for at once; others have their turn next time. */
#define SUSPECTS_MAX 256

static void on_look(struct loop_timer *timer);

static void look_later(struct pending *pending) {
    struct loop *loop = pending->conn->helper->reactor.loop;
    loop_timer_set(loop, &pending->timer, loop_now_us(loop) + LOOK_US, on_look);
}

static void abandon(struct conn *conn) {
    char what[CONN_TEXT_SIZE];
    log_info("pid %d, uid %u: connect to %s: given up by the program", (int)conn->pid,
             (unsigned)conn->uid, conn_describe(conn, what, sizeof what));
    conn_end(conn, ECANCELED);
}

/* Those that their own program has no copy of: has any other process one? */
static void look_everywhere(struct helper *helper) {
    struct holders_wanted wanted[SUSPECTS_MAX] = {{0}};
    size_t count = 0;
    uint64_t began_us = loop_clock_us();
    for (struct pending *p = helper->pending; p && count < SUSPECTS_MAX; p = p->next)
        if (p->suspect)
            wanted[count++].inode = p->inode;
    if (!holders_anywhere(wanted, count))
        return;
    for (struct pending *p = helper->pending, *next; p; p = next) {
        next = p->next;
        if (p->suspect && !holders_found(wanted, count, p->inode))
            abandon(p->conn);
    }
    uint64_t pause_us = (loop_clock_us() - began_us) * LOOK_EVERYWHERE_SHARE;
    helper->look_due_us = began_us + (pause_us > LOOK_US ? pause_us : LOOK_US);
}

static void on_look(struct loop_timer *timer) {
    struct pending *pending = container_of(timer, struct pending, timer);
    struct helper *helper = pending->conn->helper;
    struct stat status;
    look_later(pending);
    if (pending->inode == 0 && fstat(pending->app_fd, &status) == 0)
        pending->inode = status.st_ino;
    pending->suspect =
        holders_in_process(pending->conn->pid, pending->inode, &pending->holder_fd) == HOLDERS_NONE;
    if (pending->suspect && loop_now_us(helper->reactor.loop) >= helper->look_due_us)
        look_everywhere(helper);
}

void pending_start(struct pending *pending, struct conn *conn, int app_fd, int holder_fd) {
    struct helper *helper = conn->helper;
    pending->conn = conn;
    pending->app_fd = app_fd;
    pending->holder_fd = holder_fd;
    pending->next = helper->pending;
    pending->at = &helper->pending;
    if (pending->next)
        pending->next->at = &pending->next;
    helper->pending = pending;
    look_later(pending);
}

void pending_stop(struct pending *pending) {
    if (!pending->conn)
        return;
    loop_timer_clear(pending->conn->helper->reactor.loop, &pending->timer);
    *pending->at = pending->next;
    if (pending->next)
        pending->next->at = pending->at;
    pending->conn = NULL;
}
