/* SPDX-License-Identifier: MIT */
/*
 * tls_file.h - files with secrets: who may have access to them, and reading them.
 */
#ifndef HELPER_CARRIER_TLS_FILE_H
#define HELPER_CARRIER_TLS_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Files of secrets and keys have at most so many bytes. */
#define TLS_FILE_MAX (1024u * 1024u)

/* Reads a regular file that belongs to this process's user or to root, and to which nobody else has
 * access, except that a file of root's may be readable by the group of a process that is not root.
 * `*data` is terminated, and given back with tls_file_free. False and one line in `why`. */
bool tls_file_read_secret(const char *file, char **data, size_t *len, char *why, size_t size);

/* The same of a file that everybody may read and write. */
bool tls_file_read(const char *file, char **data, size_t *len, char *why, size_t size);

/* Wipes and frees it. NULL is fine. */
void tls_file_free(char *data, size_t len);

/* Makes a file with mode 0600. It has its content or does not exist, and never replaces another:
 * -EEXIST then. 0 or a negative errno. */
int tls_file_create_secret(const char *file, const char *data, size_t len);

#endif
