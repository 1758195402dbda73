/* SPDX-License-Identifier: MIT */
/* The place of the helper's socket: the rule for its path, and which helpers a client trusts. Needs
 * root, to act as another user. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/common/helper_protocol.h"

#define STRANGER 65534

static char folder[] = "/tmp/smuxshim-unit-XXXXXX";
static char path[200];

static int make_folder(void **state) {
    (void)state;
    strcpy(folder + sizeof folder - 7, "XXXXXX");
    unsetenv("SMUXSHIM_SOCKET");
    unsetenv("XDG_RUNTIME_DIR");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/" HELPER_SOCKET_FILE, folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    unsetenv("XDG_RUNTIME_DIR");
    unlink(path);
    return rmdir(folder);
}

static const char *found(const char *configured) {
    static char out[108];
    const char *why;
    return helper_place_socket(out, sizeof out, configured, &why) ? out : why;
}

static void what_is_said_wins(void **state) {
    (void)state;
    setenv("XDG_RUNTIME_DIR", folder, 1);
    assert_string_equal(found("/a/smuxshim-helper.sock"), "/a/smuxshim-helper.sock");
    setenv("SMUXSHIM_SOCKET", "/b/smuxshim-helper.sock", 1);
    assert_string_equal(found("/a/smuxshim-helper.sock"), "/b/smuxshim-helper.sock");
    setenv("SMUXSHIM_SOCKET", "b/smuxshim-helper.sock", 1);
    assert_non_null(strstr(found(NULL), "an absolute path"));
    setenv("SMUXSHIM_SOCKET", "/b/other.sock", 1);
    assert_non_null(strstr(found(NULL), "that ends in /smuxshim-helper.sock"));
    unsetenv("SMUXSHIM_SOCKET");
}

static void assert_own_place(void) {
    assert_string_equal(found(NULL), "/run/smuxshim/smuxshim-helper.sock");
}

static void only_a_runtime_folder_of_ones_own_counts(void **state) {
    char expected[200];
    (void)state;
    assert_own_place(); /* no variable */
    setenv("XDG_RUNTIME_DIR", folder, 1);
    snprintf(expected, sizeof expected, "%s/smuxshim/smuxshim-helper.sock", folder);
    assert_string_equal(found(""), expected);
    /* Others can write to it, with or without the sticky bit. */
    chmod(folder, 0777);
    assert_own_place();
    chmod(folder, 01777);
    assert_own_place();
    chmod(folder, 0770);
    assert_own_place();
    chmod(folder, 0700);
    assert_string_equal(found(NULL), expected);
    assert_int_equal(chown(folder, STRANGER, STRANGER), 0);
    assert_own_place();
    assert_int_equal(chown(folder, 0, 0), 0);
    setenv("XDG_RUNTIME_DIR", "run/user/7", 1);
    assert_own_place();
    setenv("XDG_RUNTIME_DIR", "/nonexisting", 1);
    assert_own_place();
}

static void folders_are_known_by_their_names(void **state) {
    char own[40];
    (void)state;
    snprintf(own, sizeof own, "/tmp/smuxshim-%u", (unsigned)geteuid());
    assert_true(helper_place_is_runtime("/run/user/1/smuxshim"));
    assert_true(helper_place_is_runtime(own) && helper_place_is_private(own));
    assert_false(helper_place_is_private("/run/user/1/smuxshim"));
    assert_false(helper_place_is_runtime("/run/user/1"));
    assert_false(helper_place_is_runtime("/smuxshim/x"));
    strcat(own, "/0123456789abcdef");
    assert_true(helper_place_is_private(own));
    snprintf(own, sizeof own, "/tmp/smuxshim-%u1", (unsigned)geteuid());
    assert_false(helper_place_is_private(own) || helper_place_is_runtime(own));
}

/* ---- The look-up ---- */

static int listen_by(const struct sockaddr_un *name, socklen_t len) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)name, len) < 0 || listen(fd, 8) < 0)
        return -1;
    return fd;
}

static int listen_at_path(void) {
    struct sockaddr_un name;
    socklen_t len = helper_path_name(&name, path);
    return listen_by(&name, len);
}

static int listen_abstract(void) {
    struct sockaddr_un name;
    socklen_t len = helper_abstract_name(&name, path);
    return listen_by(&name, len);
}

static int look_up(const char *at) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    int err = helper_place_connect(fd, at, NULL);
    close(fd);
    return err;
}

static void a_helper_is_found_by_path_or_by_abstract_name(void **state) {
    (void)state;
    assert_int_equal(look_up(path), ENOENT);
    int at_path = listen_at_path(), abstract = listen_abstract();
    assert_int_equal(look_up(path), 0);
    close(abstract);
    assert_int_equal(look_up(path), 0);
    abstract = listen_abstract();
    unlink(path);
    assert_int_equal(look_up(path), 0);
    assert_true(helper_place_answers(path));
    /* A stale socket file does not hide another helper. */
    close(at_path);
    close(listen_at_path());
    assert_int_equal(look_up(path), 0);
    close(abstract);
    assert_int_equal(look_up(path), ENOENT);
    assert_false(helper_place_answers(path));
}

/* Runs `listener` as another user and returns the result of the lookup. */
static int look_up_stranger(int (*listener)(void)) {
    int ready[2], done[2];
    char byte = 0;
    assert_int_equal(pipe(ready) | pipe(done), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(done[1]);
        bool good = setresuid(STRANGER, STRANGER, STRANGER) == 0 && listener() >= 0;
        bool told = write(ready[1], good ? "1" : "0", 1) == 1;
        _exit(told && read(done[0], &byte, 1) < 0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, '1');
    int err = look_up(path);
    close(ready[0]);
    close(ready[1]);
    close(done[0]);
    close(done[1]);
    waitpid(pid, NULL, 0);
    return err;
}

static void a_stranger_is_no_helper(void **state) {
    (void)state;
    assert_int_equal(geteuid(), 0);
    chmod(folder, 01777); /* as /tmp */
    assert_int_equal(look_up_stranger(listen_at_path), EACCES);
    unlink(path);
    assert_int_equal(look_up_stranger(listen_abstract), EACCES);
    /* A folder of that user may hold that user's helper, which others may be configured to use. */
    assert_int_equal(chown(folder, STRANGER, STRANGER), 0);
    chmod(folder, 0755);
    assert_int_equal(look_up_stranger(listen_at_path), 0);
    unlink(path);
    /* But not a folder with the name of our private place, created by that user beforehand. */
    snprintf(path, sizeof path, "%s/smuxshim-%u", folder, (unsigned)geteuid());
    mkdir(path, 0755);
    assert_int_equal(chown(path, STRANGER, STRANGER), 0);
    strcat(path, "/" HELPER_SOCKET_FILE);
    assert_int_equal(look_up_stranger(listen_at_path), EACCES);
    unlink(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
}

#define IN_FOLDER(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(what_is_said_wins),
        IN_FOLDER(only_a_runtime_folder_of_ones_own_counts),
        cmocka_unit_test(folders_are_known_by_their_names),
        IN_FOLDER(a_helper_is_found_by_path_or_by_abstract_name),
        IN_FOLDER(a_stranger_is_no_helper),
    };
    return cmocka_run_group_tests_name("place", tests, NULL, NULL);
}
