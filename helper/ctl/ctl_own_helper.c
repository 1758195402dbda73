/* SPDX-License-Identifier: MIT */
/* ctl_own_helper.c - see ctl_own_helper.h. */
#include "helper/ctl/ctl_own_helper.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/common/helper_protocol.h"
#include "helper/client/admin.h"
#include "helper/client/helper.h"
#include "helper/client/upstream_trust.h"
#include "helper/net/log.h"

#define FOLDER_SIZE 64

static void stop_loop(struct helper *helper) {
    loop_stop(helper->reactor.loop);
}

static void give_way(struct helper *helper) {
    (void)helper;
}

static bool reload(struct helper *helper, char *message, size_t size) {
    (void)helper;
    snprintf(message, size, "this helper lasts for one check only");
    return false;
}

static bool begin(struct helper *helper, const struct config *config, struct upstream_trust *trust,
                  const char *path) {
    const char *why;
    struct config *own = malloc(sizeof *own);
    if (!own)
        return false;
    *own = *config;
    if (!helper_init(helper, own, &why))
        return false;
    upstream_pool_trust(&helper->upstreams, trust);
    helper->stop = stop_loop;
    helper->give_way = give_way;
    helper->reload = reload;
    return admin_new(helper, path) != NULL;
}

/* The child. Its log is nobody's: all that matters is in its answers. */
static void serve(const struct config *config, struct upstream_trust *trust, const char *path,
                  int ready_fd) {
    static struct helper helper;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    if (log_open("smuxctl", "/dev/null", LOG_ERR, CONFIG_LOG_TEXT) == 0 &&
        begin(&helper, config, trust, path) && write(ready_fd, "", 1) == 1) {
        close(ready_fd);
        loop_run(helper.reactor.loop);
    }
    _exit(1);
}

static bool wait_ready(int fd) {
    char byte;
    ssize_t n;
    do
        n = read(fd, &byte, 1);
    while (n < 0 && errno == EINTR);
    return n == 1;
}

static bool start(struct ctl_own_helper *own, const struct config *config,
                  struct upstream_trust *trust, const char *path) {
    int ready[2];
    if (pipe(ready) < 0)
        return false;
    fflush(NULL);
    own->pid = fork();
    if (own->pid == 0) {
        close(ready[0]);
        serve(config, trust, path, ready[1]);
    }
    close(ready[1]);
    bool good = own->pid > 0 && wait_ready(ready[0]);
    close(ready[0]);
    if (!good)
        ctl_own_helper_stop(own);
    return good;
}

bool ctl_own_helper_start(struct ctl_own_helper *own, const struct config *config, char *why,
                          size_t size) {
    char folder[FOLDER_SIZE] = "/tmp/smuxctl-XXXXXX", path[FOLDER_SIZE + 40];
    struct config_error error;
    struct upstream_trust trust;
    own->pid = 0;
    if (!upstream_trust_read(&trust, config, &error)) {
        snprintf(why, size, "%s", error.text);
        return false;
    }
    bool started = false;
    if (mkdtemp(folder)) {
        snprintf(path, sizeof path, "%s/" HELPER_SOCKET_FILE, folder);
        admin_path(own->socket, sizeof own->socket, path);
        started = start(own, config, &trust, path);
        /* Nothing must be left behind if smuxctl is interrupted: it answers at its abstract name as
         * well (helper_place_connect). */
        unlink(own->socket);
        rmdir(folder);
    }
    if (!started)
        snprintf(why, size, "no helper can be started for this check: %s", strerror(errno));
    upstream_trust_free(&trust);
    return started;
}

void ctl_own_helper_stop(struct ctl_own_helper *own) {
    if (own->pid <= 0)
        return;
    kill(own->pid, SIGKILL);
    while (waitpid(own->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    own->pid = 0;
}
