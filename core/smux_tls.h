/* SPDX-License-Identifier: MIT
 *
 * The blocking API over TLS: sessions on an OpenSSL connection (1.1.1 or later), in one call.
 *
 *     SSL *ssl = SSL_new(ctx);
 *     smuxb_session *session;
 *     SSL_set_fd(ssl, fd);
 *     SSL_set1_host(ssl, "gw.example");
 *     int error = smuxb_session_client_tls(&session, ssl, smuxb_after_ms(10000), NULL);
 *
 * libsmux itself does not need OpenSSL: all of this is in this header, for programs that link both
 * (pkg-config smux-tls).
 *
 * Trust is the caller's: these functions accept whom the SSL object accepts.  A client should set
 * SSL_VERIFY_PEER and SSL_set1_host (and SSL_set_tlsext_host_name), both sides a minimum version
 * and ALPN ("smux" is what smux-gateway and smux-helper expect), before the handshake.
 *
 * Threads: an SSL object may be used by one thread at a time, but a session reads and writes at
 * once.  So OpenSSL works on memory, under a lock, and the threads wait for the socket and use it
 * without the lock: neither delays the other for longer than it takes to encrypt or decrypt one
 * record.  The price: the two directions of one session share one processor for encryption, each
 * record is copied once more on its way in and twice on its way out, and kernel TLS is not used.
 *
 * The end: closing the session sends TLS's close_notify behind what was written, as far as the
 * socket takes it at once.  The peer's close_notify is how it ends the session in order
 * (SMUX_ERR_CARRIER, smuxb_session_errno 0).  A connection that ends without it may have been cut:
 * smuxb_session_errno is ECONNRESET then, and EPROTO for everything that TLS objects to.  Streams
 * end, half-close and time out as over a plain socket; TLS has no half-close.
 */
#ifndef SMUX_TLS_H
#define SMUX_TLS_H

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "smux_blocking.h"

/* ---- Private: everything up to the two functions at the end --------------------------------- */

/* A record's content, and all of it with what encryption adds. */
#define SMUXB_TLS_CONTENT_ 16384
#define SMUXB_TLS_RECORD_  (SMUXB_TLS_CONTENT_ + 256)

struct smuxb_tls_ {
    pthread_mutex_t lock;   /* of all below, but not of the socket */
    pthread_cond_t changed; /* the reader has got further */
    SSL *ssl;
    BIO *in, *out; /* the SSL object's: received, and not yet sent */
    int fd;
    bool sending;  /* a thread is sending what it has taken from `out` */
    bool finished; /* nobody reads any more */
};

/* Waits for the socket, until the deadline.  False with errno: it has passed, or poll failed. */
static inline bool smuxb_tls_wait_(int fd, short events, uint64_t deadline_us) {
    for (;;) {
        struct pollfd p = {fd, events, 0};
        uint64_t now_us = deadline_us ? smuxb_now_us() : 0;
        uint64_t left_ms = deadline_us > now_us ? (deadline_us - now_us + 999) / 1000 : 0;
        int timeout = !deadline_us ? -1 : left_ms > 60000 ? 60000 : (int)left_ms;
        int ready = poll(&p, 1, timeout);
        if (ready > 0)
            return true;
        if (ready < 0 && errno != EINTR)
            return false;
        if (deadline_us && smuxb_now_us() >= deadline_us) {
            errno = ETIMEDOUT;
            return false;
        }
    }
}

static inline bool smuxb_tls_again_(void) {
    return errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK;
}

/* Receives as recv does, waiting until the deadline. */
static inline ssize_t smuxb_tls_recv_(int fd, void *data, size_t len, uint64_t deadline_us) {
    for (;;) {
        ssize_t n = recv(fd, data, len, MSG_DONTWAIT);
        if (n >= 0 || !smuxb_tls_again_() || !smuxb_tls_wait_(fd, POLLIN, deadline_us))
            return n;
    }
}

/* Sends all of it, waiting until the deadline.  False with errno: failed. */
static inline bool smuxb_tls_send_(int fd, const void *data, size_t len, uint64_t deadline_us) {
    for (size_t done = 0; done < len;) {
        ssize_t n = send(fd, (const char *)data + done, len - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0)
            done += (size_t)n;
        else if (!smuxb_tls_again_() || !smuxb_tls_wait_(fd, POLLOUT, deadline_us))
            return false;
    }
    return true;
}

/* Sends what is in `out`; called with the lock, which is not held meanwhile. */
static inline bool smuxb_tls_flush_(struct smuxb_tls_ *t, uint64_t deadline_us) {
    char record[SMUXB_TLS_RECORD_];
    bool good = true;
    int len;
    t->sending = true;
    while (good && (len = BIO_read(t->out, record, sizeof record)) > 0) {
        pthread_mutex_unlock(&t->lock);
        good = smuxb_tls_send_(t->fd, record, (size_t)len, deadline_us);
        int saved_errno = errno;
        pthread_mutex_lock(&t->lock);
        errno = saved_errno;
    }
    t->sending = false;
    return good;
}

/* Receives something into `in`; called with the lock, which is not held meanwhile.  As recv. */
static inline ssize_t smuxb_tls_fill_(struct smuxb_tls_ *t, uint64_t deadline_us) {
    char record[SMUXB_TLS_RECORD_];
    pthread_mutex_unlock(&t->lock);
    ssize_t n = smuxb_tls_recv_(t->fd, record, sizeof record, deadline_us);
    int saved_errno = errno;
    pthread_mutex_lock(&t->lock);
    errno = saved_errno;
    if (n > 0 && BIO_write(t->in, record, (int)n) != (int)n) {
        errno = ENOMEM;
        return -1;
    }
    return n;
}

static inline ssize_t smuxb_tls_read_(void *context, void *data, size_t len) {
    struct smuxb_tls_ *t = (struct smuxb_tls_ *)context;
    ssize_t result;
    pthread_mutex_lock(&t->lock);
    for (;;) {
        size_t n = 0;
        ERR_clear_error();
        int ok = SSL_read_ex(t->ssl, data, len, &n);
        int error = ok ? SSL_ERROR_NONE : SSL_get_error(t->ssl, ok);
        pthread_cond_broadcast(&t->changed);
        result = ok ? (ssize_t)n : error == SSL_ERROR_ZERO_RETURN ? 0 : -1;
        errno = EPROTO;
        if (error != SSL_ERROR_WANT_READ)
            break;
        result = smuxb_tls_fill_(t, 0);
        if (result > 0)
            continue;
        if (result == 0)
            errno = ECONNRESET; /* no close_notify came before */
        result = -1;
        break;
    }
    t->finished = t->finished || result <= 0;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    return result;
}

/* Gathers the pieces, as far as they fit into one record. */
static inline size_t smuxb_tls_gather_(char *record, const struct iovec *iov, int iovcnt) {
    size_t len = 0;
    for (int i = 0; i < iovcnt && len < SMUXB_TLS_CONTENT_; i++) {
        size_t room = SMUXB_TLS_CONTENT_ - len, n = iov[i].iov_len < room ? iov[i].iov_len : room;
        memcpy(record + len, iov[i].iov_base, n);
        len += n;
    }
    return len;
}

/* `out` takes everything, so a record is never half written, and whatever TLS has to say by itself
 * (an answer to new keys) lies in front of the next record.  While the peer is in the middle of
 * saying such a thing (a session ticket in pieces), OpenSSL writes nothing: it wants to read, which
 * is the reader's business. */
static inline bool smuxb_tls_encrypt_(struct smuxb_tls_ *t, const char *data, size_t len) {
    for (;;) {
        size_t n = 0;
        ERR_clear_error();
        if (SSL_write_ex(t->ssl, data, len, &n))
            return true; /* all of it, as SSL_MODE_ENABLE_PARTIAL_WRITE is off */
        if (SSL_get_error(t->ssl, 0) != SSL_ERROR_WANT_READ || t->finished)
            return false;
        pthread_cond_wait(&t->changed, &t->lock);
    }
}

static inline ssize_t smuxb_tls_writev_(void *context, const struct iovec *iov, int iovcnt) {
    struct smuxb_tls_ *t = (struct smuxb_tls_ *)context;
    char record[SMUXB_TLS_CONTENT_];
    size_t len = smuxb_tls_gather_(record, iov, iovcnt);
    pthread_mutex_lock(&t->lock);
    bool good = smuxb_tls_encrypt_(t, record, len);
    if (!good)
        errno = EPROTO;
    good = good && smuxb_tls_flush_(t, 0);
    pthread_mutex_unlock(&t->lock);
    return good ? (ssize_t)len : -1;
}

/* Waits for the thread that is sending, as long as the socket takes what it sends; called with the
 * lock.  False: the peer has not read for a while. */
static inline bool smuxb_tls_await_sender_(struct smuxb_tls_ *t) {
    while (t->sending) {
        struct pollfd p = {t->fd, POLLOUT, 0};
        if (poll(&p, 1, 0) <= 0)
            return false;
        pthread_mutex_unlock(&t->lock);
        (void)poll(NULL, 0, 1);
        pthread_mutex_lock(&t->lock);
    }
    return true;
}

/* What the socket does not take at once is lost: the peer has not read for a while then. */
static inline void smuxb_tls_shutdown_(void *context) {
    struct smuxb_tls_ *t = (struct smuxb_tls_ *)context;
    int cancel;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    pthread_mutex_lock(&t->lock);
    ERR_clear_error();
    (void)SSL_shutdown(t->ssl);
    if (smuxb_tls_await_sender_(t))
        (void)smuxb_tls_flush_(t, 1);
    t->finished = true;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    shutdown(t->fd, SHUT_RDWR);
    pthread_setcancelstate(cancel, NULL);
}

static inline void smuxb_tls_free_(struct smuxb_tls_ *t) {
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static inline void smuxb_tls_close_(void *context) {
    struct smuxb_tls_ *t = (struct smuxb_tls_ *)context;
    close(t->fd);
    SSL_free(t->ssl);
    smuxb_tls_free_(t);
}

/* Why there can be no session on it; 0: there can. */
static inline int smuxb_tls_unfit_(SSL *ssl) {
    BIO *rbio = SSL_get_rbio(ssl), *wbio = SSL_get_wbio(ssl);
    int type, fd = SSL_get_fd(ssl);
    socklen_t len = sizeof type;
    if (fd < 0 || SSL_get_wfd(ssl) != fd || BIO_method_type(rbio) != BIO_TYPE_SOCKET ||
        BIO_method_type(wbio) != BIO_TYPE_SOCKET ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) || type != SOCK_STREAM)
        return SMUXB_ERR_DESCRIPTOR;
#ifdef BIO_get_ktls_send
    if (BIO_get_ktls_send(wbio) || BIO_get_ktls_recv(rbio))
        return SMUX_ERR_ARGUMENT;
#endif
    return SSL_in_before(ssl) || SSL_is_init_finished(ssl) ? 0 : SMUX_ERR_ARGUMENT;
}

/* Puts memory between the SSL object and its socket. */
static inline struct smuxb_tls_ *smuxb_tls_new_(SSL *ssl) {
    struct smuxb_tls_ *t = (struct smuxb_tls_ *)calloc(1, sizeof *t);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    if (!t || !in || !out) {
        free(t);
        BIO_free(in);
        BIO_free(out);
        return NULL;
    }
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->changed, NULL);
    t->fd = SSL_get_fd(ssl);
    t->ssl = ssl;
    t->in = in;
    t->out = out;
    (void)BIO_set_close(SSL_get_rbio(ssl), BIO_NOCLOSE); /* the descriptor outlives it */
    (void)BIO_set_close(SSL_get_wbio(ssl), BIO_NOCLOSE);
    SSL_set_bio(ssl, in, out);
    SSL_set_mode(ssl, SSL_MODE_AUTO_RETRY); /* WANT_READ means that `in` is empty */
    SSL_clear_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_set_options(ssl, SSL_OP_NO_RENEGOTIATION);
    return t;
}

/* One after the other, in the caller's thread: 0 or an error. */
static inline int smuxb_tls_handshake_(struct smuxb_tls_ *t, uint64_t deadline_us) {
    int error = SSL_ERROR_NONE;
    bool good = true;
    pthread_mutex_lock(&t->lock);
    while (good && !SSL_is_init_finished(t->ssl)) {
        ERR_clear_error();
        error = SSL_get_error(t->ssl, SSL_do_handshake(t->ssl));
        good = smuxb_tls_flush_(t, deadline_us); /* an alert as well */
        if (!good || error == SSL_ERROR_NONE)
            continue;
        ssize_t n = error == SSL_ERROR_WANT_READ ? smuxb_tls_fill_(t, deadline_us) : -1;
        if (error != SSL_ERROR_WANT_READ)
            errno = EPROTO;
        else if (n == 0)
            errno = ECONNRESET;
        good = n > 0;
    }
    pthread_mutex_unlock(&t->lock);
    if (good)
        return 0;
    return errno == ETIMEDOUT ? (int)SMUXB_ERR_TIMEOUT : (int)SMUX_ERR_CARRIER;
}

static inline int smuxb_tls_start_(smuxb_session **session, SSL *ssl, uint64_t deadline_us,
                                   const smux_config *config, bool client) {
    int error = smuxb_tls_unfit_(ssl), cancel, one = 1;
    struct smuxb_tls_ *t = error ? NULL : smuxb_tls_new_(ssl);
    *session = NULL;
    if (!t)
        return error ? error : SMUX_ERR_NOMEM;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    (void)setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (SSL_in_before(ssl) && client)
        SSL_set_connect_state(ssl);
    else if (SSL_in_before(ssl))
        SSL_set_accept_state(ssl);
    error = smuxb_tls_handshake_(t, deadline_us);
    smuxb_transport transport = {smuxb_tls_read_, smuxb_tls_writev_, smuxb_tls_shutdown_,
                                 smuxb_tls_close_, t};
    if (!error && client)
        error = smuxb_session_client_over(session, &transport, config);
    else if (!error)
        error = smuxb_session_server_over(session, &transport, config);
    int saved_errno = errno;
    if (error)
        smuxb_tls_free_(t);
    pthread_setcancelstate(cancel, NULL);
    errno = saved_errno;
    return error;
}

/* ---- Sessions ------------------------------------------------------------------------------- */

/* Starts a session on `ssl`, to which SSL_set_fd has given a connected stream socket (blocking or
 * not: its file status flags are neither used nor changed).  The handshake has been done, or is
 * done here, until `deadline_us` (0: no limit), by the client of the session as client of TLS.
 * `config` is as for smuxb_session_client.
 *
 * On success the session owns `ssl` and the descriptor and frees both in the end.  Nobody else may
 * use them from then on; what there is to know of the peer (its certificate, ALPN) is asked before,
 * after a handshake of one's own, or by OpenSSL's callbacks.  On failure both stay the caller's,
 * who can only free them.  Not a cancellation point; raises no SIGPIPE.
 *
 * Errors: SMUXB_ERR_DESCRIPTOR (no such socket), SMUX_ERR_ARGUMENT (a handshake that is half done,
 * or kernel TLS), SMUXB_ERR_TIMEOUT, SMUX_ERR_CARRIER (the handshake failed: errno says how, and
 * for EPROTO OpenSSL's error queue), and those of smuxb_session_client_over. */
static inline int smuxb_session_client_tls(smuxb_session **session, SSL *ssl, uint64_t deadline_us,
                                           const smux_config *config) {
    return smuxb_tls_start_(session, ssl, deadline_us, config, true);
}

static inline int smuxb_session_server_tls(smuxb_session **session, SSL *ssl, uint64_t deadline_us,
                                           const smux_config *config) {
    return smuxb_tls_start_(session, ssl, deadline_us, config, false);
}

#endif
