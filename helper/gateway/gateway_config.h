/* SPDX-License-Identifier: MIT */
/*
 * gateway_config.h - gateway.conf: the section [listen], and those of the clients
 * (client_config.h); every key a row of a table.
 *
 *     [listen]
 *     address = tcp://127.0.0.1:7443, unix:///run/smuxshim/gateway.sock
 *     allow = 10.0.0.0/8:*, *.db.internal:3306-3310
 *
 * The syntax, the values and the form of messages are those of smuxshim.conf (core/common/ini.h).
 */
#ifndef HELPER_GATEWAY_GATEWAY_CONFIG_H
#define HELPER_GATEWAY_GATEWAY_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/common/config.h"
#include "core/common/routes.h"
#include "helper/gateway/client_config.h"
#include "helper/net/networks.h"
#include "helper/relay/socks5.h"

struct tls_context;

#define GATEWAY_ADDRESSES_MAX CONFIG_ADDRESSES_MAX

struct gateway_config {
    char file[CONFIG_PATH_MAX + 1]; /* empty: command line only */
    uint16_t n_addresses;
    struct config_address address[GATEWAY_ADDRESSES_MAX];
    struct route_list allow;       /* no rule: nothing is allowed */
    uint8_t handshake;             /* enum route_handshake: what each stream begins with */
    struct config_address target;  /* of all streams, with ROUTE_PLAIN; else no host */
    struct proxy_config proxy;     /* of clients that have none of their own */
    struct networks accept_proxy;  /* whose PROXY headers are required and believed */
    struct client_config *clients; /* none: whoever has a carrier is served */
    char psk[CONFIG_PATH_MAX + 1]; /* paths; empty: not given */
    char key[CONFIG_PATH_MAX + 1];
    char cert[CONFIG_PATH_MAX + 1];
    char client_ca[CONFIG_PATH_MAX + 1];
    char crl[CONFIG_PATH_MAX + 1];
    char client_pins[64 * 53]; /* of clients' keys, separated by single commas */
    struct tls_context *tls;   /* what gateway_trust_read made of it */
    struct session_limits session;
    bool insecure; /* listen beyond loopback without TLS */
    bool core_dumps;
    char user[64], group[64]; /* whom to become once all is open; empty: nobody */
    uint8_t sandbox;          /* enum config_sandbox */
    bool of_helper; /* not a gateway to others: the user's own helper, whose host is the user's */
    uint32_t connect_timeout_ms, drain_timeout_ms;
    uint32_t silent_client_delay_ms; /* ROUTE_PLAIN: from a stream's opening to the connect */
    uint32_t target_keepalive_ms;    /* silence after which a target is probed; 0: never */
    uint32_t
        half_closed_timeout_ms; /* of a silent target whose plain client has said FIN; 0: none */
    uint32_t max_memory;        /* for data in passing, of one worker; 0: reactor_default_memory */
    uint32_t max_streams;       /* of one session */
    uint32_t max_sessions;      /* of one worker */
    uint32_t max_sessions_per_source;                   /* the same */
    uint32_t max_handshakes, max_handshakes_per_source; /* the same */
    uint32_t hello_timeout_ms, first_stream_timeout_ms; /* the latter 0: none */
    uint32_t workers;
    uint32_t socket_mode;                 /* of unix sockets */
    uint8_t log_level;                    /* enum config_log_level */
    uint8_t log_format;                   /* enum config_log_format */
    char log_file[CONFIG_PATH_MAX + 1];   /* "stderr", "syslog" or a path */
    char access_log[CONFIG_PATH_MAX + 1]; /* "syslog" or a path; empty: none */
    struct config_address metrics;        /* where they are published; no host: nowhere */
};

/* What can be in [listen]. */
extern const struct key gateway_config_keys[];

void gateway_config_init(struct gateway_config *config);
/* Frees what it owns. */
void gateway_config_fini(struct gateway_config *config);

/* Reads a file into an initialised configuration. False and one line on the first mistake; it is to
 * be freed in any case. */
bool gateway_config_read(struct gateway_config *config, const char *file,
                         struct config_error *error);

/* Parses text as if it were the file `file`. The text is cut up on the way; text[len] must exist.
 * */
bool gateway_config_parse(struct gateway_config *config, const char *file, char *text, size_t len,
                          struct config_error *error);

/* Sets one key as the command line does. The error has no file name. */
bool gateway_config_set(struct gateway_config *config, const char *key, const char *value,
                        struct config_error *error);

/* What can be checked only when all is known: an address is given, nothing listens beyond loopback
 * without TLS unless `insecure`, a target is given if and only if clients do not name theirs. */
bool gateway_config_check(const struct gateway_config *config, struct config_error *error);

/* The target of plain clients, in a zeroed destination. */
void gateway_config_target(const struct gateway_config *config,
                           struct socks5_destination *destination);

/* Whether carriers at that address cross a network without TLS. */
bool gateway_config_is_exposed(const struct config_address *address);

#endif
