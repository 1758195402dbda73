/* SPDX-License-Identifier: MIT */
/*
 * login_file.h - who may use a [socks] listener by name and password.
 *
 * A file of lines NAME:PASSWORD; empty ones, and those that begin with #, say nothing. In memory
 * are only hashes.
 */
#ifndef HELPER_CLIENT_LOGIN_FILE_H
#define HELPER_CLIENT_LOGIN_FILE_H

#include <stdbool.h>
#include <stddef.h>

struct login_file;

#define LOGIN_TEXT_MAX 255 /* bytes of a name, and of a password (RFC 1929) */
#define LOGINS_MAX     1024

/* Reads a file that only this process's user or root may have access to. NULL, and one line in
 * `why`, which names the file. */
struct login_file *login_file_read(const char *file, char *why, size_t size);
void login_file_free(struct login_file *logins); /* NULL is fine */

/* Takes as long for a wrong password as for a right one, and for an unknown name. */
bool login_file_admits(const struct login_file *logins, const char *name, size_t name_len,
                       const char *password, size_t password_len);

#endif
