/* SPDX-License-Identifier: MIT */
/* tls_file.c - see tls_file.h. */
#include "helper/carrier/tls_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/common/read_whole.h"
#include "helper/net/file_broker.h"

static bool refuse(char *why, size_t size, const char *file, const char *text) {
    snprintf(why, size, "%s: %s", file, text);
    return false;
}

static bool check_kind(const struct stat *about, const char *file, char *why, size_t size) {
    if (!S_ISREG(about->st_mode))
        return refuse(why, size, file, "expected a regular file");
    return about->st_size <= TLS_FILE_MAX || refuse(why, size, file, "expected at most 1 MiB");
}

/* The mode that a file of secrets may have at most. Service managers of containers hand out root's
 * files that the group of a service may read, because the service is not root. */
static unsigned allowed_mode(const struct stat *about) {
    bool handed_out = about->st_uid == 0 && geteuid() != 0 && about->st_gid == getegid();
    return handed_out ? 0640 : 0600;
}

static bool check_access(const struct stat *about, const char *file, char *why, size_t size) {
    if (about->st_uid != 0 && about->st_uid != geteuid()) {
        snprintf(why, size, "%s: belongs to user %u, expected user %u or root", file,
                 (unsigned)about->st_uid, (unsigned)geteuid());
        return false;
    }
    unsigned allowed = allowed_mode(about);
    if (about->st_mode & 077 & ~allowed) {
        snprintf(why, size, "%s: has mode %04o, expected %04o: others must not have access to it",
                 file, (unsigned)about->st_mode & 07777, allowed);
        return false;
    }
    return true;
}

static bool read_open(int fd, const char *file, bool secret, char **data, size_t *len, char *why,
                      size_t size) {
    struct stat about;
    if (fstat(fd, &about) < 0)
        return refuse(why, size, file, strerror(errno));
    if (!check_kind(&about, file, why, size) || (secret && !check_access(&about, file, why, size)))
        return false;
    size_t room = (size_t)about.st_size;
    *data = malloc(room + 1);
    if (!*data)
        return refuse(why, size, file, "out of memory");
    ssize_t n = read_whole(fd, *data, room);
    if (n < 0) {
        tls_file_free(*data, room);
        return refuse(why, size, file, strerror((int)-n));
    }
    *len = (size_t)n;
    (*data)[n] = '\0';
    return true;
}

static bool read_file(const char *file, bool secret, char **data, size_t *len, char *why,
                      size_t size) {
    int fd = file_open(file, FILE_READ);
    *data = NULL;
    if (fd < 0) {
        snprintf(why, size, "%s: cannot be read: %s", file, strerror(-fd));
        return false;
    }
    bool good = read_open(fd, file, secret, data, len, why, size);
    close(fd);
    return good;
}

bool tls_file_read_secret(const char *file, char **data, size_t *len, char *why, size_t size) {
    return read_file(file, true, data, len, why, size);
}

bool tls_file_read(const char *file, char **data, size_t *len, char *why, size_t size) {
    return read_file(file, false, data, len, why, size);
}

void tls_file_free(char *data, size_t len) {
    if (data)
        OPENSSL_cleanse(data, len);
    free(data);
}

static int write_whole(int fd, const char *data, size_t len) {
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno != EINTR)
            return -errno;
        data += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

int tls_file_create_secret(const char *file, const char *data, size_t len) {
    char part[4096];
    if ((size_t)snprintf(part, sizeof part, "%s.XXXXXX", file) >= sizeof part)
        return -ENAMETOOLONG;
    int fd = mkostemp(part, O_CLOEXEC); /* mode 0600 */
    if (fd < 0)
        return -errno;
    int error = write_whole(fd, data, len);
    close(fd);
    if (error == 0 && link(part, file) < 0)
        error = -errno;
    unlink(part);
    return error;
}
