/* SPDX-License-Identifier: MIT */
/* gateway_process.c - see gateway_process.h. */
#include "helper/gateway/gateway_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "helper/carrier/carrier_tls.h"
#include "helper/gateway/access_log.h"
#include "helper/gateway/gateway.h"
#include "helper/gateway/gateway_metrics.h"
#include "helper/gateway/gateway_options.h"
#include "helper/gateway/gateway_trust.h"
#include "helper/gateway/gateway_workers.h"
#include "helper/metrics/metrics_process.h"
#include "helper/metrics/metrics_self.h"
#include "helper/net/file_broker.h"
#include "helper/net/inherited.h"
#include "helper/net/log.h"
#include "helper/net/passed_sockets.h"
#include "helper/net/predecessor.h"
#include "helper/net/sandbox.h"
#include "helper/net/service_notify.h"
#include "helper/net/signals.h"
#include "helper/net/successor.h"

/* One running gateway in this process. */
struct process {
    const struct gateway_options *options;
    struct gateway_config *config;
    struct reactor reactor;
    struct gateway *gateway;
    struct tls_layer tls; /* for tls:// addresses */
    struct signals signals;
    struct service_pulse pulse;
    struct gateway_metrics metrics;
    struct worker_sockets *sockets;
    struct successor successor;        /* of the whole gateway: workers have none */
    struct loop_timer look, last_look; /* at the successor; at the predecessor, once drained */
    bool draining;
    bool ending; /* within drain-timeout */
    int status;
};

static int complain(const char *text) {
    fprintf(stderr, "smux-gateway: %s\n", text);
    return 2;
}

/* ---- The process that serves ---- */

static void describe(const struct service_pulse *pulse, char *out, size_t size) {
    const struct process *process = container_of(pulse, struct process, pulse);
    struct gateway_load load = gateway_load(process->gateway);
    snprintf(out, size, "%s: %u sessions, %u streams", process->draining ? "draining" : "serving",
             load.sessions, load.streams);
}

/* Whoever stops this gateway stops the one that it has replaced, too, and waits for both. */
static void end_after_predecessor(struct loop_timer *timer) {
    struct process *process = container_of(timer, struct process, last_look);
    struct loop *loop = process->reactor.loop;
    if (predecessor_is_there())
        loop_timer_set(loop, timer, loop_now_us(loop) + SUCCESSOR_LOOK_US, end_after_predecessor);
    else
        loop_stop(loop);
}

static void on_drained(struct gateway *gateway, void *user) {
    struct process *process = user;
    (void)gateway;
    end_after_predecessor(&process->last_look);
}

/* What the end takes longer than the drain. */
#define STOP_MARGIN_US 5000000u

static uint64_t stop_us(const struct gateway_config *config) {
    return config->drain_timeout_ms * UINT64_C(1000) + STOP_MARGIN_US;
}

static void terminate(struct process *process) {
    char status[SERVICE_STATUS_MAX];
    if (process->ending) {
        process->status = 1;
        loop_stop(process->reactor.loop);
        return;
    }
    successor_give_up(&process->successor);
    process->draining = process->ending = true;
    metrics_enter(METRICS_DRAINING);
    log_info("draining, %u streams open", gateway_load(process->gateway).streams);
    describe(&process->pulse, status, sizeof status);
    service_stopping(status, stop_us(process->config));
    predecessor_end();
    gateway_drain(process->gateway, process->config->drain_timeout_ms, on_drained, process);
}

/* ---- Being replaced ---- */

static void drain_whole(struct process *process) {
    if (process->draining)
        return;
    process->draining = true;
    log_info("draining without a limit of time: another process accepts by now");
    gateway_drain(process->gateway, GATEWAY_DRAIN_WHOLE, on_drained, process);
}

static void look_at_successor(struct loop_timer *timer) {
    struct process *process = container_of(timer, struct process, look);
    struct loop *loop = process->reactor.loop;
    enum successor_news news = successor_look(&process->successor);
    if (news == SUCCESSOR_IS_READY) {
        service_pulse_stop(&process->pulse);
        successor_go(&process->successor);
        worker_sockets_free_metrics(process->sockets);
        metrics_process_stop();
        drain_whole(process);
    } else if (news == SUCCESSOR_ENDS && !process->ending) {
        terminate(process);
    }
    if (process->successor.pid)
        loop_timer_set(loop, timer,
                       loop_now_us(loop) +
                           (process->successor.ready ? SUCCESSOR_LOOK_LATER_US : SUCCESSOR_LOOK_US),
                       look_at_successor);
}

static void replace(struct process *process) {
    int fds[PASSED_SOCKETS_MAX];
    const struct successor_gift gift = {
        .listeners = fds, .count = worker_sockets_list(process->sockets, fds), .lock = -1};
    if (process->draining) {
        log_few(&successor_lines, LOG_WARNING, NULL, "not replaced: it drains");
        return;
    }
    successor_give_up(&process->successor);
    const char *why = successor_start(&process->successor, &gift);
    if (why)
        log_few(&successor_lines, LOG_ERR, NULL, "cannot be replaced: %s", why);
    else
        look_at_successor(&process->look);
}

/* Logs which changed keys take effect only after a restart. */
static void tell_restart(const struct gateway_config *old, const struct gateway_config *fresh) {
    for (const struct key *key = gateway_config_keys; (key = keys_changed(key, old, fresh)); key++)
        if (key->restart)
            log_info("%s: the changed value takes effect only after a restart", key->name);
}

static void reopen_logs(void) {
    log_reopen();
    access_log_reopen();
}

/* False, and one line in `error`: nothing has changed. */
static bool reload(struct process *process, struct config_error *error) {
    reopen_logs();
    struct gateway_config *config = gateway_options_load(process->options, error);
    if (!config) {
        const char *file = process->config->file;
        log_about(LOG_ERR, ABOUT(.file = file, .line = config_error_line(error, file)),
                  "configuration not reloaded: %s", error->text);
        return false;
    }
    log_set_level(config->log_level);
    log_set_format(config->log_format);
    reactor_set_memory(&process->reactor, config->max_memory);
    gateway_reconfigure(process->gateway, config);
    if (config->tls) /* addresses stay as they are, and one may still be a tls:// one */
        tls_layer_use(&process->tls, config->tls);
    tell_restart(process->config, config);
    gateway_options_unload(process->config);
    process->config = config;
    log_info("configuration reloaded; addresses and workers need a restart to change");
    return true;
}

/* The service manager waits for the end of a reload, and of one that fails, too. */
static void reload_and_tell(struct process *process) {
    char status[sizeof((struct config_error *)0)->text + 32];
    struct config_error error;
    service_reloading();
    if (reload(process, &error))
        describe(&process->pulse, status, sizeof status);
    else
        snprintf(status, sizeof status, "configuration not reloaded: %s", error.text);
    if (!process->draining)
        service_ready(status);
}

static void look_at_children(void) {
    if (file_broker_has_ended())
        log_error("the process that opens files has died: restart the gateway to reload its "
                  "configuration");
    if (successor_cannot_start())
        log_error("the process that starts a successor has died: restart the gateway to replace "
                  "it");
    metrics_process_look(0);
}

static void on_signal(struct signals *signals, int signo) {
    struct process *process = container_of(signals, struct process, signals);
    if (signo == SIGHUP)
        reload_and_tell(process);
    else if (signo == SIGUSR1)
        reopen_logs();
    else if (signo == SIGUSR2 && worker_beat())
        drain_whole(process); /* the supervisor has been replaced */
    else if (signo == SIGUSR2)
        replace(process);
    else if (signo != SIGCHLD)
        terminate(process);
    else
        look_at_children();
}

/* ---- What the process may do ---- */

/* To be called while the process is privileged: starts the broker that opens files for it later. */
static int start_broker(struct gateway_options *options) {
    bool needed = options->privileges.change || !sandbox_is_off(options->sandbox);
    return needed ? file_broker_start(options->sandbox, gateway_files_may, &options->files) : 0;
}

/* Everything is open: gives up what an attacker could use. False after logging what failed. */
static bool confine(const struct gateway_options *options, const struct gateway_config *config) {
    const struct sandbox sandbox = {.role = SANDBOX_GATEWAY,
                                    .mode = options->sandbox,
                                    .syslog = strcmp(config->log_file, "syslog") == 0 ||
                                              strcmp(config->access_log, "syslog") == 0};
    const char *why;
    bool give_up = options->privileges.change || !sandbox_is_off(options->sandbox);
    int error = give_up ? privileges_drop(&options->privileges, config->core_dumps, &why) : 0;
    if (error)
        log_error("cannot start: %s: %s", why, strerror(-error));
    else
        sandbox_enter(&sandbox);
    return error == 0;
}

/* False: the gateway that this one replaces goes on, and this one must not. */
static bool say_ready(struct process *process) {
    char status[SERVICE_STATUS_MAX];
    worker_serves();
    if (!predecessor_agrees())
        return false;
    describe(&process->pulse, status, sizeof status);
    service_ready(status);
    service_pulse_start(&process->pulse, process->reactor.loop, worker_beat(), describe);
    gateway_metrics_start(&process->metrics, process->gateway);
    return true;
}

/* 0 or a negative errno. */
static int listen_at_all(struct process *process, int worker) {
    int error = 0;
    for (int i = 0; i < process->sockets->count; i++) {
        const struct listening *at = &process->sockets->at[i];
        for (int k = 0; k < at->count && error == 0; k++)
            if (worker_sockets_serves(process->sockets, at, worker, k))
                error =
                    gateway_listen(process->gateway, at->fd[k], at->scheme, &process->tls.layer);
    }
    return error;
}

/* Runs the gateway on the worker's sockets until it is told to end. */
static int serve(struct gateway_options *options, struct gateway_config *config,
                 struct worker_sockets *sockets, int worker) {
    struct process process = {.options = options, .config = config, .sockets = sockets};
    const char *why = "out of memory";
    metrics_use((uint32_t)worker);
    int error = worker_beat() ? 0 : successor_prepare();
    if (error == 0)
        error = start_broker(options);
    metrics_self_open();
    if (error == 0)
        error = reactor_init(&process.reactor);
    if (error == 0)
        error = signals_start(&process.signals, process.reactor.loop, on_signal);
    if (error == 0)
        error = access_log_start(process.reactor.loop);
    if (error == 0) {
        reactor_set_memory(&process.reactor, config->max_memory);
        process.gateway = gateway_new(&process.reactor, config, &why);
        error = process.gateway ? 0 : -ENOMEM;
    }
    tls_layer_use(&process.tls, config->tls);
    if (error == 0)
        error = listen_at_all(&process, worker);
    if (error) {
        log_error("cannot start: %s: %s", why, strerror(-error));
        return 1;
    }
    if (!confine(options, config))
        return 1;
    if (!say_ready(&process))
        return 1;
    error = loop_run(process.reactor.loop);
    if (error)
        log_error("event loop failed: %s", strerror(-error));
    service_pulse_stop(&process.pulse);
    gateway_metrics_stop(&process.metrics);
    gateway_free(process.gateway);
    tls_layer_use(&process.tls, NULL);
    access_log_stop();
    signals_stop(&process.signals);
    reactor_fini(&process.reactor);
    gateway_options_unload(process.config);
    log_info("stopped");
    return error ? 1 : process.status;
}

struct serve_arguments {
    struct gateway_options *options;
    struct gateway_config *config;
};

static int serve_worker(void *user, struct worker_sockets *sockets, int worker) {
    struct serve_arguments *arguments = user;
    struct config_error error;
    /* A worker that replaces another uses the current rules. */
    struct gateway_config *config = gateway_options_load(arguments->options, &error);
    if (config) {
        gateway_options_unload(arguments->config);
    } else {
        log_about(LOG_ERR, ABOUT(.file = arguments->config->file),
                  "the last valid configuration stays in force: %s", error.text);
        config = arguments->config;
    }
    arguments->config = NULL; /* serve frees it */
    return serve(arguments->options, config, sockets, worker);
}

/* The supervisor keeps the last valid configuration with its secrets, for workers that it has to
 * start while the file is invalid: that of the start may serve clients whose secret was taken from
 * them since. What it keeps is within reach of nobody: it reads nothing that a peer sends, and like
 * its workers it leaves no core file (RLIMIT_CORE, PR_SET_DUMPABLE), whatever memory it is in. */
static void reload_supervisor(void *user) {
    struct serve_arguments *arguments = user;
    struct config_error error;
    struct gateway_config *config = gateway_options_load(arguments->options, &error);
    if (!config) /* which the workers log */
        return;
    log_set_level(config->log_level);
    log_set_format(config->log_format);
    gateway_options_unload(arguments->config);
    arguments->config = config;
}

static const struct workers_ops workers_ops = {.serve = serve_worker, .reload = reload_supervisor};

/* Returns the exit status. The key may have to be made first, which is logged. */
static int show_pin(struct gateway_config *config) {
    struct config_error error;
    char pin[TLS_PIN_SIZE];
    log_open("smux-gateway", "stderr", config->log_level, config->log_format);
    if (!gateway_trust_read(config, &error)) {
        gateway_options_unload(config);
        return complain(error.text);
    }
    bool shown = config->tls && tls_context_pin(config->tls, pin) && puts(pin) >= 0;
    gateway_options_unload(config);
    return shown ? 0 : complain("no pin to show: expected key in [listen] and a tls:// address");
}

/* False after saying what cannot be opened. */
static bool open_logs(const struct gateway_config *config) {
    int error = log_open("smux-gateway", config->log_file, config->log_level, config->log_format);
    if (error) {
        fprintf(stderr, "smux-gateway: log-file %s: %s\n", config->log_file, strerror(-error));
        return false;
    }
    error = access_log_open("smux-gateway", config->access_log);
    if (error)
        fprintf(stderr, "smux-gateway: access-log %s: %s\n", config->access_log, strerror(-error));
    return error == 0;
}

/* False after saying what cannot be used of what the service manager has left. */
static bool meet_service_manager(void) {
    char why[200];
    if (!predecessor_find(why, sizeof why)) {
        complain(why);
        return false;
    }
    int found = passed_sockets_find();
    if (found < 0)
        fprintf(stderr, "smux-gateway: LISTEN_FDS: expected at most %d descriptors from 3 on: %s\n",
                PASSED_SOCKETS_MAX, strerror(-found));
    int error = service_notify_open();
    if (error)
        fprintf(stderr, "smux-gateway: NOTIFY_SOCKET: expected a path or @NAME: %s\n",
                strerror(-error));
    return found >= 0 && error == 0;
}

static bool start_metrics(const struct gateway_options *options,
                          const struct gateway_config *config, int fd) {
    const struct metrics_process process = {.address = &config->metrics,
                                            .fd = fd,
                                            .program = METRICS_GATEWAY,
                                            .workers = config->workers,
                                            .privileges = &options->privileges,
                                            .sandbox = options->sandbox};
    return metrics_process_start(&process);
}

/* The process that publishes takes the descriptor itself. -1: none. */
static int dup_for_successor(int fd) {
    return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

int gateway_process(int argc, char **argv) {
    struct gateway_options options = {0};
    struct config_error error;
    struct worker_sockets sockets;
    int status = gateway_options_parse(&options, argc, argv);
    if (status >= 0)
        return status;
    if (!successor_program(argv))
        return complain("out of memory");
    if (!options.show_pin && !meet_service_manager())
        return 2;
    struct gateway_config *config = gateway_options_read(&options, &error);
    if (!config)
        return complain(error.text);
    if (options.show_pin)
        return show_pin(config);
    if (!gateway_options_keep(&options, config, &error)) {
        gateway_options_unload(config);
        return complain(error.text);
    }
    if (!open_logs(config)) {
        gateway_options_unload(config);
        return 2;
    }
    if (!gateway_trust_read(config, &error)) { /* which logs */
        gateway_options_unload(config);
        return complain(error.text);
    }
    inherited_lift_limits();
    inherited_log();
    if (!config->core_dumps)
        inherited_forbid_dumps();
    signals_block(1);
    int metrics_fd = metrics_process_listen(&config->metrics, config->socket_mode);
    sockets.metrics = dup_for_successor(metrics_fd);
    if (metrics_fd < -1 || !worker_sockets_open(&sockets, config) ||
        !start_metrics(&options, config, metrics_fd)) {
        gateway_options_unload(config);
        return 1;
    }
    struct serve_arguments arguments = {&options, config};
    if (config->workers == 1)
        return serve(&options, config, &sockets, 0);
    status = workers_supervise(&sockets, (int)config->workers, stop_us(config), &workers_ops,
                               &arguments);
    gateway_options_unload(arguments.config);
    return status;
}
