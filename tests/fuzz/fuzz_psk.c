/* SPDX-License-Identifier: MIT
 *
 * Files of secrets: every text either is read, and then each identity is valid, unique and found,
 * or gives one line that names the file and its line, and shows nothing of the text behind a colon.
 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz_check.h"
#include "helper/carrier/tls_psk.h"

static void check(const struct tls_secrets *secrets) {
    MUST(secrets->count > 0 && secrets->count <= TLS_SECRETS_MAX &&
         secrets->count <= secrets->room);
    for (unsigned i = 0; i < secrets->count; i++) {
        const struct tls_secret *secret = &secrets->list[i];
        size_t len = strnlen(secret->identity, sizeof secret->identity);
        MUST(tls_identity_valid(secret->identity, len));
        MUST(secret->len >= TLS_SECRET_MIN && secret->len <= TLS_SECRET_MAX);
        MUST(tls_secrets_find(secrets, secret->identity, len) == secret);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char file[40];
    static int fd;
    struct tls_secrets secrets;
    char why[300];
    if (!fd) {
        fd = memfd_create("secrets", MFD_CLOEXEC);
        MUST(fd >= 0 && fchmod(fd, 0600) == 0);
        snprintf(file, sizeof file, "/proc/self/fd/%d", fd);
    }
    MUST(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    if (tls_secrets_read(&secrets, file, why, sizeof why)) {
        check(&secrets);
        tls_secrets_free(&secrets);
    } else {
        fuzz_check_message(why, sizeof why);
        MUST(strncmp(why, file, strlen(file)) == 0);
        MUST(strstr(why, "expected"));
    }
    MUST(!secrets.list);
    return 0;
}
