/* SPDX-License-Identifier: MIT */
/* http_connect.c - see http_connect.h. */
#include "helper/relay/http_connect.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum { READ_REQUEST, READ_HEADERS, READ_DONE, READ_BROKEN };

void http_connect_init(struct http_connect *http) {
    memset(http, 0, sizeof *http);
}

static void fail(struct http_connect *http, uint16_t status, const char *why) {
    http->state = READ_BROKEN;
    http->status = status;
    http->why = why;
}

/* ---- The request line ---- */

/* A port in decimal; false unless that is all there is. */
static bool parse_port(const char *text, size_t len, uint16_t *port) {
    unsigned number = 0;
    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        number = number * 10 + (unsigned)(text[i] - '0');
    }
    *port = (uint16_t)number;
    return number <= UINT16_MAX;
}

/* HOST:PORT or [IPv6]:PORT, whose brackets are dropped. */
static bool parse_authority(struct socks5_destination *destination, const char *text, size_t len) {
    const char *colon = memrchr(text, ':', len);
    size_t host = colon ? (size_t)(colon - text) : 0;
    if (!colon || !parse_port(colon + 1, len - host - 1, &destination->address.port))
        return false;
    if (host > 2 && text[0] == '[' && text[host - 1] == ']') {
        text++;
        host -= 2;
    } else if (memchr(text, ':', host)) {
        return false;
    }
    if (host == 0 || host > SOCKS5_NAME_MAX)
        return false;
    memcpy(destination->name, text, host);
    destination->name[host] = '\0';
    destination->name_len = (uint8_t)host;
    return true;
}

/* The next word of a line, and what follows it. */
static size_t word(const char **at, const char *end, const char **out) {
    while (*at < end && **at == ' ')
        ++*at;
    *out = *at;
    while (*at < end && **at != ' ')
        ++*at;
    return (size_t)(*at - *out);
}

static bool is(const char *text, size_t len, const char *expected) {
    return len == strlen(expected) && memcmp(text, expected, len) == 0;
}

static void request_line(struct http_connect *http) {
    const char *at = http->line, *end = http->line + http->line_len, *method, *target, *version;
    size_t method_len = word(&at, end, &method);
    size_t target_len = word(&at, end, &target);
    size_t version_len = word(&at, end, &version);
    if (http->line_len == HTTP_LINE_MAX)
        fail(http, 414, "request line is longer than 1024 bytes");
    else if ((!is(version, version_len, "HTTP/1.1") && !is(version, version_len, "HTTP/1.0")) ||
             at != end)
        fail(http, 400, "request line is not METHOD TARGET HTTP/1.1");
    else if (!is(method, method_len, "CONNECT"))
        fail(http, 405, "method is not CONNECT");
    else if (!parse_authority(&http->destination, target, target_len))
        fail(http, 400, "target is not HOST:PORT");
    else
        http->state = READ_HEADERS;
}

/* ---- Headers ---- */

static int base64_digit(char c) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Returns the length, or -1 for what is no base64. `out` has room for 3/4 of `len`. */
static ssize_t base64_decode(const char *text, size_t len, char *out) {
    unsigned bits = 0, n_bits = 0;
    size_t n = 0;
    while (len > 0 && text[len - 1] == '=')
        len--;
    for (size_t i = 0; i < len; i++) {
        int digit = base64_digit(text[i]);
        if (digit < 0)
            return -1;
        bits = (bits << 6 | (unsigned)digit) & 0xffffff;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            out[n++] = (char)(bits >> n_bits & 0xff);
        }
    }
    return (ssize_t)n;
}

/* "Basic BASE64", where the base64 is of NAME:PASSWORD. */
static void credentials(struct http_connect *http, const char *value, const char *end) {
    char text[HTTP_LINE_MAX];
    const char *scheme, *encoded;
    size_t scheme_len = word(&value, end, &scheme);
    size_t encoded_len = word(&value, end, &encoded);
    if (scheme_len != 5 || strncasecmp(scheme, "Basic", 5) != 0)
        return;
    ssize_t len = base64_decode(encoded, encoded_len, text);
    char *colon = len > 0 ? memchr(text, ':', (size_t)len) : NULL;
    if (colon)
        http->admitted = http->login->admits(http->login, text, (size_t)(colon - text), colon + 1,
                                             (size_t)(text + len - colon - 1));
    explicit_bzero(text, sizeof text);
}

static void header_line(struct http_connect *http) {
    static const char wanted[] = "Proxy-Authorization:";
    const size_t len = sizeof wanted - 1;
    if (http->login && http->line_len > len && strncasecmp(http->line, wanted, len) == 0)
        credentials(http, http->line + len, http->line + http->line_len);
}

static void end_of_head(struct http_connect *http) {
    if (http->login && !http->admitted)
        fail(http, 407, "wrong name or password, or none");
    else
        http->state = READ_DONE;
    explicit_bzero(http->line, sizeof http->line);
}

static void end_of_line(struct http_connect *http) {
    if (http->line_len > 0 && http->line[http->line_len - 1] == '\r')
        http->line_len--;
    if (http->state == READ_REQUEST)
        request_line(http);
    else if (http->line_len > 0)
        header_line(http);
    else
        end_of_head(http);
    http->line_len = 0;
}

enum socks5_progress http_connect_feed(struct http_connect *http, const uint8_t *data, size_t len,
                                       size_t *taken) {
    size_t n = 0;
    while (n < len && http->state < READ_DONE) {
        char byte = (char)data[n++];
        if (++http->head_len > HTTP_HEAD_MAX)
            fail(http, 431, "head is longer than 16 KiB");
        else if (byte == '\n')
            end_of_line(http);
        else if (http->line_len < HTTP_LINE_MAX)
            http->line[http->line_len++] = byte;
    }
    *taken = n;
    if (http->state == READ_BROKEN)
        return SOCKS5_BROKEN;
    return http->state == READ_DONE ? SOCKS5_DONE : SOCKS5_MORE;
}

/* ---- Answers ---- */

/* One row per outcome; `proxy_error` is that of RFC 9209, section 2.3. */
static const struct {
    int error;
    unsigned status;
    const char *proxy_error;
} outcomes[] = {{SOCKS5_DENIED, 403, "destination_ip_prohibited"},
                {-EACCES, 403, "destination_ip_prohibited"},
                {-EPERM, 403, "destination_ip_prohibited"},
                {-ECONNREFUSED, 502, "connection_refused"},
                {-ECONNRESET, 502, "connection_terminated"},
                {-ETIMEDOUT, 504, "connection_timeout"},
                {-EHOSTUNREACH, 502, "destination_ip_unroutable"},
                {-ENETUNREACH, 502, "destination_ip_unroutable"},
                {-EAGAIN, 503, "connection_limit_reached"}};

#define OUTCOMES (sizeof outcomes / sizeof *outcomes)

unsigned http_status_of(int error) {
    for (size_t i = 0; i < OUTCOMES; i++)
        if (outcomes[i].error == error)
            return outcomes[i].status;
    return error ? 502 : 200;
}

static const char *proxy_error_of(int error) {
    for (size_t i = 0; i < OUTCOMES; i++)
        if (outcomes[i].error == error)
            return outcomes[i].proxy_error;
    return "proxy_internal_error";
}

static const struct {
    unsigned status;
    const char *reason, *header;
} statuses[] = {
    {200, "Connection established", ""},
    {400, "Bad Request", ""},
    {403, "Forbidden", ""},
    {405, "Method Not Allowed", "Allow: CONNECT\r\n"},
    {407, "Proxy Authentication Required", "Proxy-Authenticate: Basic realm=\"smuxshim\"\r\n"},
    {414, "URI Too Long", ""},
    {431, "Request Header Fields Too Large", ""},
    {502, "Bad Gateway", ""},
    {503, "Service Unavailable", ""},
    {504, "Gateway Timeout", ""}};

size_t http_answer_write(char *out, unsigned status, int error) {
    const char *reason = "Bad Gateway", *header = "";
    char said[120] = "";
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i].status == status) {
            reason = statuses[i].reason;
            header = statuses[i].header;
        }
    if (status == 200)
        return (size_t)snprintf(out, HTTP_ANSWER_MAX, "HTTP/1.1 200 %s\r\n\r\n", reason);
    if (error)
        snprintf(said, sizeof said, "Proxy-Status: smuxshim; error=%s\r\n", proxy_error_of(error));
    return (size_t)snprintf(out, HTTP_ANSWER_MAX,
                            "HTTP/1.1 %u %s\r\n%s%sConnection: close\r\nContent-Type: text/plain"
                            "\r\nContent-Length: 0\r\n\r\n",
                            status, reason, header, said);
}
