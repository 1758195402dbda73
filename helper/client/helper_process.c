/* SPDX-License-Identifier: MIT */
/* helper_process.c - see helper_process.h. */
#include "helper/client/helper_process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/common/command_line.h"
#include "core/common/helper_protocol.h"
#include "helper/client/admin.h"
#include "helper/client/admission.h"
#include "helper/client/helper.h"
#include "helper/client/helper_config.h"
#include "helper/client/helper_files.h"
#include "helper/client/helper_metrics.h"
#include "helper/client/helper_upgrade.h"
#include "helper/client/name_table.h"
#include "helper/client/proxy_ports.h"
#include "helper/client/runtime.h"
#include "helper/client/shim_listener.h"
#include "helper/metrics/metrics_process.h"
#include "helper/metrics/metrics_self.h"
#include "helper/net/inherited.h"
#include "helper/net/log.h"
#include "helper/net/passed_sockets.h"
#include "helper/net/predecessor.h"
#include "helper/net/sandbox.h"
#include "helper/net/service_notify.h"
#include "helper/net/signals.h"
#include "helper/net/successor.h"

#define PATH_SIZE 256

static const struct program_option option_table[] = {
    {"config", 'c', "FILE", "read the configuration from FILE",
     offsetof(struct helper_options, file), NULL},
    {"gateway", 'g', "ADDRESSES", "carry everything to this gateway",
     offsetof(struct helper_options, gateway), NULL},
    {"routes", 'r', "DESTINATIONS", "the destinations to carry",
     offsetof(struct helper_options, routes), NULL},
    {"foreground", 'f', NULL, "stay in the foreground and log to stderr",
     offsetof(struct helper_options, foreground), NULL},
    {"on-demand", 0, NULL, "started for a program: end when idle where its end is waited for",
     offsetof(struct helper_options, on_demand), NULL},
    {"verbose", 'v', NULL, "log every connection", offsetof(struct helper_options, verbose), NULL},
    {"log-format", 0, "FORMAT", "text or json", offsetof(struct helper_options, log_format), NULL},
    {0}};

static const struct program smux_helper = {
    .name = "smux-helper",
    .version = SMUX_LIBRARY_VERSION,
    .synopsis = "[-c FILE | -g ADDRESSES -r DESTINATIONS] [-f] [-v] [--log-format FORMAT]",
    .options = option_table,
};

struct process {
    struct helper helper;
    struct admin *control;
    struct signals signals;
    struct helper_options options;
    struct admission admission;  /* at the start */
    struct upstream_trust trust; /* the same */
    char path[PATH_SIZE];        /* of the socket */
    int lock_fd;
    bool activated; /* its socket was passed by a service manager */
    struct helper_upgrade upgrade;
    struct service_pulse pulse;
    struct helper_metrics metrics;
    struct loop_timer second; /* for the birthplace */
    unsigned idle_seconds;
    uint64_t begun_seen; /* helper.conns.begun_total a second ago */
};

static int complain(const char *text) {
    fprintf(stderr, "smux-helper: %s\n", text);
    return 2;
}

/* Returns -1 to continue, or the exit status. */
static int parse_options(struct helper_options *options, int argc, char **argv) {
    int status = program_options(&smux_helper, argc, argv, options);
    if (status < 0 && optind < argc)
        return program_misused(&smux_helper, "\"%s\": expected options only", argv[optind]);
    return status;
}

/* ---- The log ---- */

static int log_level_of(const struct process *process, const struct config *config) {
    return process->options.verbose ? LOG_DEBUG : config->helper.log_level;
}

static bool start_log(const struct process *process, const struct config *config) {
    const char *file = config->helper.log_file;
    const char *target = file[0] ? file : process->options.foreground ? "stderr" : "syslog";
    int level = log_level_of(process, config), format = config->helper.log_format;
    int error = log_open("smux-helper", target, level, format);
    if (error)
        fprintf(stderr, "smux-helper: log-file %s: %s\n", target, strerror(-error));
    return error == 0;
}

/* ---- Requests by signals and by smuxctl ---- */

/* Logs which changed keys take effect only after a restart. */
static void tell_restart(const struct config_helper *old, const struct config_helper *fresh) {
    for (const struct key *key = config_helper_keys; (key = keys_changed(key, old, fresh)); key++)
        if (key->restart)
            log_info("%s: the changed value takes effect only after a restart", key->name);
}

static void describe(const struct service_pulse *pulse, char *out, size_t size) {
    const struct helper *helper = &container_of(pulse, struct process, pulse)->helper;
    snprintf(out, size, "%s: %u connections", helper->draining ? "draining" : "serving",
             helper->conns.count);
}

static void say_ready(const struct process *process) {
    char status[SERVICE_STATUS_MAX];
    describe(&process->pulse, status, sizeof status);
    service_ready(status);
}

static bool reload(struct helper *helper, char *message, size_t size) {
    struct process *process = container_of(helper, struct process, helper);
    struct config_error error;
    service_reloading();
    log_reopen();
    struct admission admission;
    struct upstream_trust trust = {0};
    struct proxy_plan plan;
    struct config *config = helper_config_read(&process->options, &admission, &trust, &error);
    bool planned = config && proxy_plan_make(&plan, &helper->proxies, config, false, &error);
    if (planned)
        tell_restart(&helper->config->helper, &config->helper);
    if (planned && helper_reconfigure(helper, config)) {
        upstream_pool_trust(&helper->upstreams, &trust);
        helper->admission = admission;
        proxy_listeners_apply(&helper->proxies, config, &plan);
        log_set_level(log_level_of(process, config));
        log_set_format(config->helper.log_format);
        log_info("configuration reloaded: %u gateways, %u routes", config->n_gateways,
                 config->routes.n_routes);
        say_ready(process);
        return true;
    }
    if (planned)
        proxy_plan_drop(&plan);
    snprintf(message, size, "%s", planned ? "out of memory" : error.text);
    unsigned line = planned ? 0 : config_error_line(&error, helper->config->file);
    upstream_trust_free(&trust);
    free(config);
    log_about(LOG_ERR, ABOUT(.file = helper->config->file, .line = line),
              "configuration not reloaded: %s", message);
    say_ready(process);
    return false;
}

#define STOP_US 5000000u

/* Whoever stops the helper stops those that it has replaced. If it ends because it has drained,
 * they keep their connections. */
static void stop(struct helper *helper) {
    if (!helper->drained)
        predecessor_end();
    service_stopping("stopping", STOP_US);
    loop_stop(helper->reactor.loop);
}

/* Releases the lock, which keeps another helper from starting here. The other helper replaces the
 * control socket as well (admin_new); until then this one answers there. */
static void give_way(struct helper *helper) {
    struct process *process = container_of(helper, struct process, helper);
    if (process->activated && !process->upgrade.successor.ready)
        log_warn("the service manager keeps the socket: new connections wait until this helper has "
                 "ended");
    admin_give_way(process->control);
    close(process->lock_fd);
    process->lock_fd = -1;
}

static void before_giving_way(struct helper_upgrade *upgrade) {
    struct process *process = container_of(upgrade, struct process, upgrade);
    service_pulse_stop(&process->pulse);
    if (upgrade->metrics_fd >= 0)
        close(upgrade->metrics_fd);
    upgrade->metrics_fd = -1;
    metrics_process_stop();
}

/* abandon_watch.c notices the end of its child by itself. */
static void reap(void) {
    for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG)) > 0;)
        metrics_process_look(pid);
}

static void on_signal(struct signals *signals, int signo) {
    struct process *process = container_of(signals, struct process, signals);
    char message[sizeof((struct config_error *)0)->text];
    if (signo == SIGHUP)
        reload(&process->helper, message, sizeof message);
    else if (signo == SIGUSR1)
        log_reopen();
    else if (signo == SIGUSR2)
        helper_upgrade_on_signal(&process->upgrade);
    else if (signo == SIGCHLD)
        reap();
    else
        stop(&process->helper);
}

/* ---- Start ---- */

static int already_running(const char *path) {
    fprintf(stderr, "smux-helper: already running at %s\n", path);
    return 0;
}

/* Takes the lock. Returns -1 to continue, or the exit status. */
static int become_the_instance(struct process *process) {
    char why[400];
    if (predecessor_was_found()) {
        process->lock_fd = predecessor_take_lock();
        return -1;
    }
    if (!runtime_prepare(process->path, why, sizeof why)) {
        fprintf(stderr, "smux-helper: %s\n", why);
        return 1;
    }
    process->lock_fd = runtime_become(process->path, process->activated, why, sizeof why);
    if (process->lock_fd >= 0)
        return -1;
    if (process->lock_fd == -EEXIST)
        return already_running(process->path);
    fprintf(stderr, "smux-helper: %s\n", why);
    return 1;
}

/* False after logging a socket that is none of this helper's. */
static bool all_are_taken(const struct process *process) {
    char left[200];
    while (predecessor_was_found() && passed_sockets_drop(left, sizeof left))
        log_info("%s: no longer an address of this helper", left);
    if (!passed_sockets_left(left, sizeof left))
        return true;
    log_error("%s was passed by the service manager, expected %s", left, process->path);
    return false;
}

static bool start_helper(struct process *process, struct config *config) {
    struct helper *helper = &process->helper;
    const char *why = "";
    if (!helper_init(helper, config, &why)) {
        log_error("cannot start: %s", why);
        return false;
    }
    if (!sandbox_is_off(config->helper.sandbox))
        abandon_watches_prepare(&helper->watches, config->helper.sandbox);
    const struct helper_options *options = &process->options;
    if (!proxy_ports_start(&(struct proxy_ports){options->file, options->gateway, options->routes},
                           config))
        return false;
    helper->admission = process->admission;
    upstream_pool_trust(&helper->upstreams, &process->trust);
    helper->reload = reload;
    helper->stop = stop;
    helper->give_way = give_way;
    process->upgrade = (struct helper_upgrade){.helper = helper,
                                               .lock_fd = process->lock_fd,
                                               .activated = process->activated,
                                               .metrics_fd = process->upgrade.metrics_fd,
                                               .giving_way = before_giving_way};
    helper->upgrade = &process->upgrade;
    if (!predecessor_was_found() && !helper_load_names(helper, process->path))
        return false;
    int error = signals_start(&process->signals, helper->reactor.loop, on_signal);
    if (error) {
        log_error("cannot start: %s", strerror(-error));
        return false;
    }
    process->control = admin_new(helper, process->path);
    helper->local = process->control ? shim_listener_new(&helper->conns, &helper->watches,
                                                         &helper->admission, process->path)
                                     : NULL;
    return helper->local &&
           proxy_listeners_start(&helper->proxies, config, process->options.on_demand) &&
           all_are_taken(process);
}

/* ---- Started where an init may wait for it ---- */

#define BIRTHPLACE_LOOK_US 1000000u
#define IDLE_SECONDS_MAX   5

static void on_idle_second(struct loop_timer *timer) {
    struct process *process = container_of(timer, struct process, second);
    struct helper *helper = &process->helper;
    bool idle = !conns_first(&helper->conns) && helper->conns.begun_total == process->begun_seen;
    process->idle_seconds = idle ? process->idle_seconds + 1 : 0;
    process->begun_seen = helper->conns.begun_total;
    if (process->idle_seconds < IDLE_SECONDS_MAX) {
        loop_timer_set(helper->reactor.loop, timer,
                       loop_now_us(helper->reactor.loop) + BIRTHPLACE_LOOK_US, on_idle_second);
        return;
    }
    log_info("no connection for %u seconds, and an init may wait for this helper to end",
             IDLE_SECONDS_MAX);
    helper_drain(helper);
}

/* By now the process that started this one has ended, so getppid() is the parent that stays. */
static void look_at_birthplace(struct loop_timer *timer) {
    struct process *process = container_of(timer, struct process, second);
    const char *where = inherited_birthplace();
    if (!where)
        return;
    log_info("started %s%s", where,
             process->options.on_demand
                 ? ": it ends when it is idle; a smux-helper that was started outside does not"
                 : "");
    if (process->options.on_demand)
        on_idle_second(timer);
}

/* All is open: gives up what a stranger could make use of. */
static void confine(struct process *process, const struct config *config) {
    struct sandbox sandbox = {.role = SANDBOX_HELPER, .mode = config->helper.sandbox};
    struct helper_files files;
    helper_files_init(&files, config, process->path);
    sandbox.files = files.rules;
    sandbox.file_count = files.count;
    sandbox_enter(&sandbox);
    process->helper.proxies.confined = !sandbox_is_off(sandbox.mode);
    helper_files_fini(&files);
}

/* A helper that was started for a program does its work without metrics, too: those of several
 * users may have the same configuration. False: it must not start. */
static bool start_metrics(struct process *process, const struct config *config) {
    struct metrics_process metrics = {.address = &config->helper.metrics,
                                      .program = METRICS_HELPER,
                                      .workers = 1,
                                      .sandbox = config->helper.sandbox};
    metrics.fd = metrics_process_listen(metrics.address, config->helper.socket_mode);
    process->upgrade.metrics_fd = metrics.fd < 0 ? -1 : fcntl(metrics.fd, F_DUPFD_CLOEXEC, 0);
    bool good = metrics.fd >= -1 && metrics_process_start(&metrics);
    metrics_use(0);
    metrics_self_open();
    return good || !process->options.foreground;
}

/* In an upgrade: the old helper gives way, and leaves the names. False: it goes on. */
static bool take_over(struct process *process) {
    return !predecessor_was_found() ||
           (predecessor_agrees() && helper_load_names(&process->helper, process->path));
}

static int run(struct process *process, struct config *config, int ready_fd) {
    struct helper *helper = &process->helper;
    struct loop *loop;
    int status = 1;
    if (start_helper(process, config)) {
        log_info("listening at %s, %u gateways, %u routes", process->path, config->n_gateways,
                 config->routes.n_routes);
        inherited_log();
        loop = helper->reactor.loop;
        if (ready_fd >= 0)
            runtime_detached(ready_fd, true);
        if (!process->options.foreground) {
            loop_timer_set(loop, &process->second, loop_now_us(loop) + BIRTHPLACE_LOOK_US,
                           look_at_birthplace);
        }
        confine(process, config);
        if (!take_over(process))
            return 1;
        say_ready(process);
        service_pulse_start(&process->pulse, loop, NULL, describe);
        helper_metrics_start(&process->metrics, helper);
        int error = loop_run(loop);
        if (error)
            log_error("event loop failed: %s", strerror(-error));
        status = error ? 1 : 0;
        service_pulse_stop(&process->pulse);
        helper_upgrade_stop(&process->upgrade);
        helper_metrics_stop(&process->metrics);
        log_info("stopped");
    } else {
        fprintf(stderr, "smux-helper: cannot listen at %s\n", process->path);
    }
    shim_listener_stop(helper->local);
    admin_free(process->control);
    signals_stop(&process->signals);
    struct shim_listener *local = helper->local;
    helper_fini(helper);
    free(local);
    if (process->lock_fd >= 0)
        close(process->lock_fd);
    return status;
}

/* Only for a helper in the foreground, or a successor: the variables of one that a program has
 * started are the program's. False after saying what cannot be used of what the service manager has
 * left. */
static bool meet_service_manager(struct process *process) {
    struct sockaddr_un name;
    int found = passed_sockets_find();
    int error = found < 0 ? found : service_notify_open();
    if (error) {
        fprintf(stderr, "smux-helper: %s: %s\n", found < 0 ? "LISTEN_FDS" : "NOTIFY_SOCKET",
                strerror(-error));
        return false;
    }
    socklen_t len = helper_path_name(&name, process->path);
    process->activated =
        len && passed_sockets_have((struct sockaddr *)&name, len) && !passed_sockets_are_own();
    return true;
}

int helper_process(int argc, char **argv) {
    static struct process process;
    struct config_error error;
    const char *why;
    char text[200];
    int ready_fd = -1;
    int status = parse_options(&process.options, argc, argv);
    if (status >= 0)
        return status;
    struct config *config = helper_config_parse(&process.options, &process.admission, &error);
    if (!config)
        return complain(error.text);
    if (!helper_place_socket(process.path, sizeof process.path, config->helper.socket, &why)) {
        fprintf(stderr, "smux-helper: socket: expected %s\n", why);
        return 2;
    }
    if (!helper_options_keep(&process.options, argv[0]))
        return complain("out of memory");
    if (!predecessor_find(text, sizeof text))
        return complain(text);
    if (!process.options.foreground && !predecessor_was_found()) {
        inherited_reset();
    } else if (!meet_service_manager(&process)) {
        return 2;
    }
    inherited_lift_limits();
    if (!process.options.foreground && !predecessor_was_found()) {
        ready_fd = runtime_detach();
        if (ready_fd < 0) {
            fprintf(stderr, "smux-helper: cannot go to the background: %s\n", strerror(-ready_fd));
            return 1;
        }
    }
    status = become_the_instance(&process);
    if (status < 0 && !start_log(&process, config))
        status = 2;
    if (status < 0 && !upstream_trust_read(&process.trust, config, &error)) /* which logs */
        status = complain(error.text);
    if (status >= 0) {
        free(config);
        return status;
    }
    if (!config->helper.core_dumps)
        inherited_forbid_dumps();
    signals_block(1);
    if (successor_prepare() != 0 || !start_metrics(&process, config)) {
        close(process.lock_fd);
        free(config);
        return 1;
    }
    return run(&process, config, ready_fd);
}
