/* SPDX-License-Identifier: MIT */
/* Becoming an ordinary user for good: as root it is done, as anybody else it is refused. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "helper/net/privileges.h"

static struct privileges found(const char *user, const char *group) {
    struct privileges privileges;
    char why[200] = "";
    if (!privileges_find(&privileges, user, group, why, sizeof why))
        fail_msg("%s, %s: %s", user, group, why);
    return privileges;
}

static void refused(const char *user, const char *group, const char *expected) {
    struct privileges privileges;
    char why[200] = "";
    assert_false(privileges_find(&privileges, user, group, why, sizeof why));
    assert_string_equal(why, expected);
}

static void names_and_ids_are_looked_up(void **state) {
    (void)state;
    refused("no-such-user", "", "user: expected the name or id of a user, not \"no-such-user\"");
    refused("root", "no-such-group",
            "group: expected the name or id of a group, not \"no-such-group\"");
    refused("4000000001", "",
            "user: uid 4000000001 has no entry in the user directory, expected a group");
    assert_false(found("", "").change);
    if (geteuid() != 0) {
        assert_false(found(getpwuid(geteuid())->pw_name, "").change);
        char expected[200];
        snprintf(expected, sizeof expected,
                 "user: uid %u cannot become uid 0, gid 0: expected to be started by root",
                 (unsigned)geteuid());
        refused("root", "0", expected);
        return;
    }
    struct privileges nobody = found("nobody", "");
    assert_true(nobody.change);
    assert_int_equal(nobody.uid, getpwnam("nobody")->pw_uid);
    assert_int_equal(nobody.gid, getpwnam("nobody")->pw_gid);
    assert_int_equal(found("nobody", "daemon").gid, getgrnam("daemon")->gr_gid);
    struct privileges number = found("4000000001", "4000000002");
    assert_int_equal(number.uid, 4000000001);
    assert_int_equal(number.gid, 4000000002);
    assert_string_equal(number.user, "");
}

/* Returns the number of the check that failed. */
static int become(const char *user, const char *group) {
    struct privileges privileges = found(user, group);
    const char *why;
    int death_signal = 0;
    gid_t groups[64];
    prctl(PR_SET_PDEATHSIG, SIGURG);
    if (privileges_drop(&privileges, false, &why) != 0)
        return 1;
    if (geteuid() != privileges.uid || getuid() != privileges.uid || getegid() != privileges.gid)
        return 2;
    if (privileges.uid != 0 && (setuid(0) == 0 || setgid(0) == 0 || setgroups(0, NULL) == 0))
        return 3;
    for (int i = 0, n = getgroups(64, groups); i < n && privileges.uid != 0; i++)
        if (groups[i] == 0)
            return 4;
    if (prctl(PR_GET_PDEATHSIG, &death_signal) < 0 || death_signal != SIGURG)
        return 5;
    if (prctl(PR_CAPBSET_READ, 0, 0, 0, 0) != 0 && geteuid() == 0)
        return 6;
    return chroot("/") == 0 || errno != EPERM ? 7 : 0; /* no capability is left */
}

static int becoming(const char *user, const char *group) {
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(become(user, group));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void there_is_no_way_back(void **state) {
    (void)state;
    assert_int_equal(becoming("", ""), 0);
    if (geteuid() != 0) {
        print_message("not root: only the capabilities are tested\n");
        return;
    }
    assert_int_equal(becoming("nobody", ""), 0);
    assert_int_equal(becoming("nobody", "daemon"), 0);
    assert_int_equal(becoming("4000000001", "4000000002"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_ids_are_looked_up),
        cmocka_unit_test(there_is_no_way_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
