/* SPDX-License-Identifier: MIT */
/* gateway_process.c - see gateway_process.h. */
#include "helper/gateway/gateway_process.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/common/command_line.h"
#include "helper/carrier/carrier_tls.h"
#include "helper/gateway/access_log.h"
#include "helper/gateway/gateway.h"
#include "helper/gateway/gateway_files.h"
#include "helper/gateway/gateway_metrics.h"
#include "helper/gateway/gateway_trust.h"
#include "helper/gateway/gateway_workers.h"
#include "helper/metrics/metrics_process.h"
#include "helper/metrics/metrics_self.h"
#include "helper/net/file_broker.h"
#include "helper/net/inherited.h"
#include "helper/net/log.h"
#include "helper/net/passed_sockets.h"
#include "helper/net/privileges.h"
#include "helper/net/sandbox.h"
#include "helper/net/service_notify.h"
#include "helper/net/signals.h"

/* What the command line says, kept for reloading. */
struct options {
    const char *file;
    int setting_count;
    struct {
        const char *key, *value;
    } setting[32];
    /* Of the start, for workers that are started later as well. */
    struct privileges privileges;
    struct gateway_files files;
    uint8_t sandbox; /* enum config_sandbox */
    bool show_pin;
};

/* One running gateway in this process. */
struct process {
    const struct options *options;
    struct gateway_config *config;
    struct reactor reactor;
    struct gateway *gateway;
    struct tls_layer tls; /* for tls:// addresses */
    struct signals signals;
    struct service_pulse pulse;
    struct gateway_metrics metrics;
    bool draining;
    int status;
};

static int complain(const char *text) {
    fprintf(stderr, "smux-gateway: %s\n", text);
    return 2;
}

/* ---- Command line and configuration ---- */

/* The keys of the flags have one value that a command line can give. */
static bool add_setting(void *out, const char *key, const char *value) {
    struct options *options = out;
    const int max = (int)(sizeof options->setting / sizeof *options->setting);
    if (options->setting_count == max)
        return false;
    if (!value)
        value = strcmp(key, "log-level") == 0 ? "debug" : "yes";
    options->setting[options->setting_count].key = key;
    options->setting[options->setting_count++].value = value;
    return true;
}

static const struct program_option option_table[] = {
    {"config", 'c', "FILE", "read the configuration from FILE ([listen] section)",
     offsetof(struct options, file), NULL},
    {"listen", 0, "URL", "listen at tls://ADDRESS:PORT, tcp:// or unix:///PATH as well", 0,
     "address"},
    {"allow", 0, "LIST", "destinations that may be connected to, e.g. 10.0.0.0/8:*", 0, "allow"},
    {"workers", 0, "N", "number of processes", 0, "workers"},
    {"user", 'u', "NAME", "become this user once all is open", 0, "user"},
    {"insecure", 0, NULL, "listen beyond loopback without TLS", 0, "insecure"},
    {"verbose", 'v', NULL, "log every connection", 0, "log-level"},
    {"log-format", 0, "FORMAT", "text or json", 0, "log-format"},
    {"show-pin", 0, NULL, "print the pin of this gateway's key, and exit",
     offsetof(struct options, show_pin), NULL},
    {0}};

static const struct program smux_gateway = {
    .name = "smux-gateway",
    .version = SMUX_LIBRARY_VERSION,
    .synopsis = "[-c FILE] [--listen URL]... [--allow DESTINATIONS] [--workers N] [-u NAME] "
                "[--insecure] [-v] [--log-format FORMAT] [--show-pin]",
    .options = option_table,
    .take = add_setting,
};

/* Returns -1 to go on, or the exit status. */
static int parse_options(struct options *options, int argc, char **argv) {
    int status = program_options(&smux_gateway, argc, argv, options);
    if (status < 0 && optind < argc)
        return program_misused(&smux_gateway, "\"%s\": expected options only", argv[optind]);
    return status;
}

static void free_config(struct gateway_config *config) {
    if (config)
        gateway_config_fini(config);
    free(config);
}

/* All but what the files of secrets hold. */
static struct gateway_config *parse_config(const struct options *options,
                                           struct config_error *error) {
    struct gateway_config *config = malloc(sizeof *config);
    if (!config) {
        snprintf(error->text, sizeof error->text, "out of memory");
        return NULL;
    }
    gateway_config_init(config);
    bool good = !options->file || gateway_config_read(config, options->file, error);
    for (int i = 0; good && i < options->setting_count; i++) {
        struct config_error setting;
        good = gateway_config_set(config, options->setting[i].key, options->setting[i].value,
                                  &setting);
        if (!good)
            snprintf(error->text, sizeof error->text, "command line: %.400s", setting.text);
    }
    if (good && gateway_config_check(config, error))
        return config;
    free_config(config);
    return NULL;
}

static struct gateway_config *load_config(const struct options *options,
                                          struct config_error *error) {
    struct gateway_config *config = parse_config(options, error);
    if (!config || gateway_trust_read(config, error))
        return config;
    free_config(config);
    return NULL;
}

/* ---- The process that serves ---- */

static void describe(const struct service_pulse *pulse, char *out, size_t size) {
    const struct process *process = container_of(pulse, struct process, pulse);
    struct gateway_load load = gateway_load(process->gateway);
    snprintf(out, size, "%s: %u sessions, %u streams", process->draining ? "draining" : "serving",
             load.sessions, load.streams);
}

static void on_drained(struct gateway *gateway, void *user) {
    struct process *process = user;
    (void)gateway;
    loop_stop(process->reactor.loop);
}

/* What the end takes longer than the drain. */
#define STOP_MARGIN_US 5000000u

static uint64_t stop_us(const struct gateway_config *config) {
    return config->drain_timeout_ms * UINT64_C(1000) + STOP_MARGIN_US;
}

static void terminate(struct process *process) {
    char status[SERVICE_STATUS_MAX];
    if (process->draining) {
        process->status = 1;
        loop_stop(process->reactor.loop);
        return;
    }
    process->draining = true;
    metrics_enter(METRICS_DRAINING);
    log_info("draining, %u streams open", gateway_load(process->gateway).streams);
    describe(&process->pulse, status, sizeof status);
    service_stopping(status, stop_us(process->config));
    gateway_drain(process->gateway, process->config->drain_timeout_ms, on_drained, process);
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
    struct gateway_config *config = load_config(process->options, error);
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
    free_config(process->config);
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
    metrics_process_look(0);
}

static void on_signal(struct signals *signals, int signo) {
    struct process *process = container_of(signals, struct process, signals);
    if (signo == SIGHUP)
        reload_and_tell(process);
    else if (signo == SIGUSR1)
        reopen_logs();
    else if (signo != SIGCHLD)
        terminate(process);
    else
        look_at_children();
}

/* ---- What the process may do ---- */

/* To be called while the process is privileged: starts the broker that opens files for it later. */
static int start_broker(struct options *options) {
    bool needed = options->privileges.change || !sandbox_is_off(options->sandbox);
    return needed ? file_broker_start(options->sandbox, gateway_files_may, &options->files) : 0;
}

/* Everything is open: gives up what an attacker could use. False after logging what failed. */
static bool confine(const struct options *options, const struct gateway_config *config) {
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

static void say_ready(struct process *process) {
    char status[SERVICE_STATUS_MAX];
    describe(&process->pulse, status, sizeof status);
    service_ready(status);
    service_pulse_start(&process->pulse, process->reactor.loop, worker_beat(), describe);
    gateway_metrics_start(&process->metrics, process->gateway);
}

/* Runs the gateway on the worker's sockets until it is told to end. */
static int serve(struct options *options, struct gateway_config *config,
                 const struct worker_sockets *sockets, int worker) {
    struct process process = {.options = options, .config = config};
    const char *why = "out of memory";
    metrics_use((uint32_t)worker);
    int error = start_broker(options);
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
    for (int i = 0; i < sockets->count && error == 0; i++)
        error = gateway_listen(process.gateway, sockets->fd[worker][i], sockets->scheme[i],
                               &process.tls.layer);
    if (error) {
        log_error("cannot start: %s: %s", why, strerror(-error));
        return 1;
    }
    if (!confine(options, config))
        return 1;
    say_ready(&process);
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
    free_config(process.config);
    log_info("stopped");
    return error ? 1 : process.status;
}

struct serve_arguments {
    struct options *options;
    struct gateway_config *config;
};

static int serve_worker(void *user, const struct worker_sockets *sockets, int worker) {
    struct serve_arguments *arguments = user;
    struct config_error error;
    /* A worker that replaces another uses the current rules, not those of the first start. */
    struct gateway_config *config = load_config(arguments->options, &error);
    if (config) {
        free_config(arguments->config);
    } else {
        log_about(LOG_ERR, ABOUT(.file = arguments->config->file),
                  "configuration of the start stays in force: %s", error.text);
        config = arguments->config;
    }
    arguments->config = NULL; /* serve frees it */
    return serve(arguments->options, config, sockets, worker);
}

/* The supervisor, and through it later workers, log as the configuration says now. One that is
 * invalid changes nothing, which the workers log. */
static void reload_log(void *user) {
    const struct serve_arguments *arguments = user;
    struct config_error error;
    struct gateway_config *config = parse_config(arguments->options, &error);
    if (!config)
        return;
    log_set_level(config->log_level);
    log_set_format(config->log_format);
    free_config(config);
}

static const struct workers_ops workers_ops = {.serve = serve_worker, .reload = reload_log};

/* What all workers are started with. */
static bool keep_for_workers(struct options *options, const struct gateway_config *config,
                             struct config_error *error) {
    char why[200];
    static char log_file[sizeof config->log_file], access_log[sizeof config->access_log];
    snprintf(log_file, sizeof log_file, "%s", config->log_file);
    snprintf(access_log, sizeof access_log, "%s", config->access_log);
    options->files = (struct gateway_files){options->file, log_file, access_log};
    options->sandbox = config->sandbox;
    if (privileges_find(&options->privileges, config->user, config->group, why, sizeof why))
        return true;
    snprintf(error->text, sizeof error->text, "%s: %s",
             config->file[0] ? config->file : "command line", why);
    return false;
}

/* Returns the exit status. The key may have to be made first, which is logged. */
static int show_pin(struct gateway_config *config) {
    struct config_error error;
    char pin[TLS_PIN_SIZE];
    log_open("smux-gateway", "stderr", config->log_level, config->log_format);
    if (!gateway_trust_read(config, &error)) {
        free_config(config);
        return complain(error.text);
    }
    bool shown = config->tls && tls_context_pin(config->tls, pin) && puts(pin) >= 0;
    free_config(config);
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

static bool start_metrics(const struct options *options, const struct gateway_config *config,
                          int fd) {
    const struct metrics_process process = {.address = &config->metrics,
                                            .fd = fd,
                                            .program = METRICS_GATEWAY,
                                            .workers = config->workers,
                                            .privileges = &options->privileges,
                                            .sandbox = options->sandbox};
    return metrics_process_start(&process);
}

int gateway_process(int argc, char **argv) {
    struct options options = {0};
    struct config_error error;
    struct worker_sockets sockets;
    int status = parse_options(&options, argc, argv);
    if (status >= 0)
        return status;
    if (!options.show_pin && !meet_service_manager())
        return 2;
    struct gateway_config *config = parse_config(&options, &error);
    if (!config)
        return complain(error.text);
    if (options.show_pin)
        return show_pin(config);
    if (!keep_for_workers(&options, config, &error)) {
        free_config(config);
        return complain(error.text);
    }
    if (!open_logs(config)) {
        free_config(config);
        return 2;
    }
    if (!gateway_trust_read(config, &error)) { /* which logs */
        free_config(config);
        return complain(error.text);
    }
    inherited_lift_limits();
    inherited_log();
    if (!config->core_dumps)
        inherited_forbid_dumps();
    signals_block(1);
    int metrics_fd = metrics_process_listen(&config->metrics, config->socket_mode);
    if (metrics_fd < -1 || !worker_sockets_open(&sockets, config) ||
        !start_metrics(&options, config, metrics_fd))
        return 1;
    struct serve_arguments arguments = {&options, config};
    if (config->workers == 1)
        return serve(&options, config, &sockets, 0);
    status = workers_supervise(&sockets, (int)config->workers, stop_us(config), &workers_ops,
                               &arguments);
    free_config(arguments.config);
    return status;
}
