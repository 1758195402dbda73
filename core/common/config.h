/* SPDX-License-Identifier: MIT */
/*
 * config.h - smuxshim.conf, the configuration that shim, launcher, helper and smuxctl share.
 *
 * The file is INI (ini.h):
 *
 *     [gateway main]
 *     address = tcp://gw1.example.net:7443, unix:///run/gw.sock
 *
 *     [route databases]
 *     destinations = 10.0.0.0/8:5432, *.db.internal:3306-3310
 *     gateway = main
 *
 *     [helper]
 *     allow-users = www-data
 *
 *     [names]
 *     ipv4 = 10.255.0.0/16
 *
 *     [socks]
 *     listen = 127.0.0.1:1080
 *
 *     [forward database]
 *     listen = 127.0.0.1:5432
 *     destination = db.internal:5432
 *
 * Routes keep the order of the file. Every key is one row of a table in config.c (key_table.h). A
 * mistake stops the reading and is reported as "FILE:LINE: what was found, what was expected". The
 * struct is flat, without pointers. Reading allocates nothing on the heap, because the shim reads
 * the file inside connect(2): the file goes into memory that is mapped for the purpose.
 */
#ifndef CORE_COMMON_CONFIG_H
#define CORE_COMMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "core/common/helper_protocol.h"
#include "core/common/key_table.h"
#include "core/common/name_range.h"
#include "core/common/routes.h"

#define CONFIG_GATEWAYS_MAX  16
#define CONFIG_ADDRESSES_MAX 8
#define CONFIG_URL_MAX       271 /* "tcp://" + 255 bytes of host + ":65535" and change */
#define CONFIG_LISTENERS_MAX 32
#define CONFIG_LISTEN_MAX    4
#define CONFIG_PATH_MAX      255
#define CONFIG_LIST_MAX      1023
#define CONFIG_FILE_MAX      (1024 * 1024) /* bytes; a larger file is an error */

enum config_scheme { CONFIG_TCP, CONFIG_TLS, CONFIG_UNIX };

/* One carrier address. `host` is a name or a literal without brackets; for CONFIG_UNIX it is the
 * path. */
struct config_address {
    uint8_t scheme; /* enum config_scheme */
    bool service;   /* `host` is the name of SRV records (RFC 2782), and there is no port */
    uint16_t port;
    char host[CONFIG_PATH_MAX + 1];
};

/* The settings of a session, at either end (helper/relay/session_config.h). */
struct session_limits {
    uint8_t version;                /* of smux: 1 or 2; at a gateway also SMUX_VERSION_AUTO */
    uint32_t keepalive_interval_ms; /* 0: no keepalive */
    uint32_t keepalive_timeout_ms;
    uint32_t max_frame_size;                        /* bytes */
    uint32_t max_receive_buffer, max_stream_buffer; /* bytes */
    uint32_t stalled_reader_timeout_ms;             /* 0: none is waited for */
};

/* Which session gets the next stream, and which address the next session. */
enum config_balance { CONFIG_FIRST, CONFIG_LEAST_STREAMS, CONFIG_RANDOM };

struct config_gateway {
    char name[ROUTE_NAME_MAX + 1];
    uint16_t n_addresses;
    struct config_address address[CONFIG_ADDRESSES_MAX]; /* tried in order */
    uint8_t balance;                                     /* enum config_balance */
    uint16_t connections;                                /* sessions kept in parallel, 1..64 */
    struct session_limits session;
    uint32_t dial_timeout_ms;            /* one attempt to set up the carrier */
    uint32_t retry_min_ms, retry_max_ms; /* back-off between attempts */
    uint32_t answer_timeout_ms;          /* how long a gateway may leave a ping unanswered */
    uint32_t ttl_min_ms, ttl_max_ms;     /* how long an answer of a name server is used */
    char psk[CONFIG_PATH_MAX + 1];       /* paths; empty: not given */
    char ca[CONFIG_PATH_MAX + 1];
    char cert[CONFIG_PATH_MAX + 1];
    char key[CONFIG_PATH_MAX + 1];
    char crl[CONFIG_PATH_MAX + 1];
    char pins[CONFIG_LIST_MAX + 1]; /* of the gateway's key, separated by single commas */
    char server_name[256];          /* empty: the host of the address */
};

/* The numbers are those of syslog. */
enum config_log_level {
    CONFIG_LOG_ERROR = 3,
    CONFIG_LOG_WARN = 4,
    CONFIG_LOG_INFO = 6,
    CONFIG_LOG_DEBUG = 7
};

/* What a process may still do once it has started (helper/net/sandbox.h). */
enum config_sandbox { CONFIG_SANDBOX_NO, CONFIG_SANDBOX_YES, CONFIG_SANDBOX_LOG };

struct config_helper {
    char socket[CONFIG_PATH_MAX + 1];      /* empty: helper_place_socket decides */
    uint32_t socket_mode;                  /* default 0600 */
    char allow_users[CONFIG_LIST_MAX + 1]; /* names or ids, separated by single commas */
    char allow_groups[CONFIG_LIST_MAX + 1];
    char resolver[CONFIG_PATH_MAX + 1]; /* name servers, "ADDRESS:PORT,..."; empty: the system's */
    bool autostart;     /* whether launcher and shim may start a helper; default yes */
    bool core_dumps;    /* default no */
    uint8_t sandbox;    /* enum config_sandbox */
    uint8_t log_level;  /* enum config_log_level */
    uint8_t log_format; /* enum config_log_format */
    char log_file[CONFIG_PATH_MAX + 1]; /* empty: stderr, or nowhere when detached */
    uint32_t max_streams;               /* at a time, over all gateways; default 65536 */
    uint32_t max_streams_per_user;      /* of a user who is neither root nor the helper's owner */
    uint32_t max_memory; /* for data in transit; 0: the helper derives it from the machine */
    struct config_address metrics; /* where they are published; no host: nowhere */
};

/* Host names that only the gateway can resolve, and the addresses that stand for them. */
struct config_names {
    struct name_ranges ranges;
    uint32_t max_per_user; /* of a user who is neither root nor the helper's owner */
};

/* Where the helper listens for programs that cannot be preloaded. */
enum config_listener_kind {
    CONFIG_SOCKS,  /* they say where to connect, by SOCKS or HTTP CONNECT */
    CONFIG_FORWARD /* to one destination */
};

struct config_listener {
    char name[ROUTE_NAME_MAX + 1]; /* empty: [socks] without a name */
    uint8_t kind;                  /* enum config_listener_kind */
    uint8_t unrouted;              /* enum route_on_failure: of destinations without a route */
    bool insecure;                 /* no password needed beyond loopback, and no check of users */
    uint16_t n_addresses;
    struct config_address address[CONFIG_LISTEN_MAX]; /* IP addresses and unix sockets */
    struct config_address destination;                /* CONFIG_FORWARD */
    char password_file[CONFIG_PATH_MAX + 1];          /* CONFIG_SOCKS; empty: none */
    uint32_t socket_mode;                             /* of unix sockets */
    uint32_t hello_timeout_ms;                        /* CONFIG_SOCKS: until the request is read */
    uint32_t max_connections, max_per_source;
};

struct config {
    char file[CONFIG_PATH_MAX + 1]; /* the file it was read from; empty: the environment */
    uint16_t n_gateways;
    struct config_gateway gateway[CONFIG_GATEWAYS_MAX];
    struct route_list routes;
    struct config_helper helper;
    struct config_names names;
    uint16_t n_listeners;
    struct config_listener listener[CONFIG_LISTENERS_MAX];
};

struct config_error {
    char text[CONFIG_PATH_MAX + 1180]; /* one line without newline */
};

/* The line of the file that the error names; 0 if it names none. */
unsigned config_error_line(const struct config_error *error, const char *file);

/* Sets every default, with no gateways and no routes. */
void config_init(struct config *config);

/* Parses `text` (`len` bytes, need not be terminated) as the content of the file `file`. Also
 * checks across sections: every route's gateway exists, every gateway has an address, every route
 * has destinations. On the first mistake returns false and sets the error. */
bool config_parse(struct config *config, const char *file, const char *text, size_t len,
                  struct config_error *error);

/* Reads and parses a file. If the file cannot be read, the error names it and the reason. */
bool config_read(struct config *config, const char *file, struct config_error *error);

/* Reads a file into memory of its own, with room for a terminator at (*text)[*len]. Release it with
 * config_file_unmap. Returns 0 or a negative errno; -EFBIG if the file has more than
 * CONFIG_FILE_MAX bytes. */
int config_file_map(const char *file, char **text, size_t *len);
void config_file_unmap(char *text);

/* The same for an open file, which is closed. */
int config_file_map_open(int fd, char **text, size_t *len);

/* Programs call this when they start: a relative SMUXSHIM_CONFIG becomes absolute in the
 * environment, so that it stays valid for the programs they start and in other working
 * directories. */
void config_make_absolute(void);

/* Finds the file that applies, in the order SMUXSHIM_CONFIG,
 * $XDG_CONFIG_HOME/smuxshim/smuxshim.conf (default ~/.config), /etc/smuxshim/smuxshim.conf. The
 * file named by SMUXSHIM_CONFIG is returned whether it exists or not (a missing one is an error
 * later), the others only if they exist. Returns false if there is none. */
bool config_find(char *out, size_t size);

/* The configuration for a process that was given no file: that of config_find, if there is one,
 * with the parts that SMUXSHIM_ROUTES, SMUXSHIM_GATEWAY and SMUXSHIM_NAMES (ranges, see
 * name_range.h) override where they are set. SMUXSHIM_GATEWAY is a list of addresses for the
 * gateway "main", or the name of a gateway in the file. With nothing set and no file, the
 * configuration is empty and the result true. */
bool config_load(struct config *config, struct config_error *error);

/* The same for a command line. `file` is read instead of config_find's, and then the environment is
 * ignored; `gateway` and `routes` replace the texts of the environment. NULL: not given. */
bool config_load_with(struct config *config, const char *file, const char *gateway,
                      const char *routes, struct config_error *error);

/* Gives every configuration a helper of its own: if helper.socket is empty, fills it with a path
 * derived from the file's path (unless that is one of the usual places) and from the texts of the
 * command line (NULL: not given). With none of these it stays empty, which means the shared path.
 * config_load_with calls this itself; callers of config_read must do so. */
void config_own_socket(struct config *config, const char *gateway, const char *routes);

/* Whether every route names a gateway that has an address. True for a file that was parsed. Routes
 * from the environment or the command line are checked only by the programs that need the gateways:
 * helper and smuxctl check. */
bool config_check_gateways(const struct config *config, struct config_error *error);

/* Whether no destination of a route lies in a range that stands for host names, where nothing could
 * be sent to. True for a file that was parsed, and wherever no route has a name. */
bool config_check_names(const struct config *config, struct config_error *error);

/* The tables of the keys of [gateway NAME], [helper] and [names]. */
extern const struct key config_gateway_keys[], config_helper_keys[], config_names_keys[];

extern const struct key_type key_sandbox; /* yes, no or log: enum config_sandbox, uint8_t */

/* Whether both gateways have the same name and the same value for every key. */
bool config_gateway_equal(const struct config_gateway *a, const struct config_gateway *b);

/* The tables of the keys of [socks] and of [forward NAME], and the listener's own of the two. */
extern const struct key config_socks_keys[], config_forward_keys[];
const struct key *config_listener_keys(const struct config_listener *listener);

/* Its section, without brackets: "socks", "forward db". Returns `out`. */
const char *config_listener_text(const struct config_listener *listener, char *out, size_t size);

/* Can other machines reach it? For a host that is an IP address, and for unix sockets. */
bool config_address_is_exposed(const struct config_address *address);

/* The gateway of that name, or NULL. */
const struct config_gateway *config_gateway(const struct config *config, const char *name);

/* The most sessions that are kept up with a gateway at the same time: with CONFIG_FIRST
 * `connections`, otherwise as many to each address. */
#define CONFIG_SESSIONS_MAX 64
/* As how many addresses a name counts there: that many of one name are used at the same time. */
#define CONFIG_NAME_COUNTS 8
unsigned config_gateway_sessions(const struct config_gateway *gateway);

/* Whether the address has to be looked up. */
bool config_address_is_name(const struct config_address *address);

/* Parses "tcp://host:port", "tls://host:port", "unix:///path", or "srv+tcp://name" and
 * "srv+tls://name", where the name is of the form _service._tcp.domain; a text without a scheme
 * means tcp. On failure returns false and sets *why to what was expected (static text). */
bool config_address_parse(struct config_address *address, const char *text, const char **why);

/* Parses the address of a name server, with or without a port; 53 by default. */
bool config_name_server_parse(struct config_address *server, const char *text);

/* Appends the addresses of a list, which may be empty, to the *n of `address`, which has room for
 * CONFIG_ADDRESSES_MAX. Commas or blanks separate them. On a mistake returns false and sets the
 * error. `too_long`: what to report as expected in place of a text longer than CONFIG_URL_MAX
 * bytes. */
bool config_addresses_add(const struct key *key, struct config_address *address, uint16_t *n,
                          const char *value, const char *too_long, struct ini_error *error);

/* The same for a list that may contain services. */
bool config_addresses_add_any(const struct key *key, struct config_address *address, uint16_t *n,
                              const char *value, const char *too_long, struct ini_error *error);

/* Whether one of them has this scheme. */
bool config_addresses_have(const struct config_address *address, unsigned n,
                           enum config_scheme scheme);

/* ADDRESS:PORT or an absolute path: where something other than carriers is listened for; struct
 * config_address. */
extern const struct key_type key_listener;

/* HOST:PORT, where HOST is a name or an IP address; struct config_address. */
extern const struct key_type key_destination;

/* Whether these are the same addresses in the same order. */
bool config_addresses_equal(const struct config_address *a, unsigned n_a,
                            const struct config_address *b, unsigned n_b);

/* "tcp", "tls" or "unix". */
const char *config_scheme_name(enum config_scheme scheme);

/* The address as a URL. Returns `out`. */
char *config_address_text(const struct config_address *address, char *out, size_t size);

#endif
