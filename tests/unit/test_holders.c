/* SPDX-License-Identifier: MIT */
/* Which process has a socket open: the given one, another one, a single thread, or none. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "helper/client/holders.h"

static int make_socket(uint64_t *inode) {
    struct stat status;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    *inode = status.st_ino;
    return fd;
}

static bool anywhere(uint64_t inode) {
    struct holders_wanted wanted = {.inode = inode};
    assert_true(holders_anywhere(&wanted, 1));
    return wanted.found;
}

/* Forks a child, which keeps everything open until it is killed. */
static pid_t holding_child(void) {
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    assert_true(child > 0);
    return child;
}

static void end_child(pid_t child) {
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void a_process_holds_the_socket_until_it_closes_it(void **state) {
    uint64_t inode;
    int fd = make_socket(&inode), at = -1;
    (void)state;
    assert_int_equal(holders_in_process(getpid(), inode, &at), HOLDERS_FOUND);
    assert_int_equal(at, fd);
    assert_int_equal(holders_in_process(getpid(), inode, &at), HOLDERS_FOUND);
    int copy = fcntl(fd, F_DUPFD, 100);
    close(fd);
    assert_int_equal(holders_in_process(getpid(), inode, &at), HOLDERS_FOUND);
    assert_int_equal(at, copy);
    close(copy);
    assert_int_equal(holders_in_process(getpid(), inode, &at), HOLDERS_NONE);
}

static void a_wrong_first_descriptor_does_no_harm(void **state) {
    uint64_t inode;
    int fd = make_socket(&inode), at = 0;
    (void)state;
    assert_int_equal(holders_in_process(getpid(), inode, &at), HOLDERS_FOUND);
    at = INT32_MAX;
    assert_int_equal(holders_in_process(getpid(), inode, &at), HOLDERS_FOUND);
    assert_int_equal(at, fd);
    close(fd);
}

static void a_copy_in_another_process_is_found_anywhere(void **state) {
    uint64_t inode;
    int fd = make_socket(&inode), at = -1;
    (void)state;
    assert_false(anywhere(inode)); /* this process does not count */
    pid_t child = holding_child();
    close(fd);
    assert_int_equal(holders_in_process(getpid(), inode, &at), HOLDERS_NONE);
    assert_int_equal(holders_in_process(child, inode, &at), HOLDERS_FOUND);
    assert_true(anywhere(inode));
    end_child(child);
    assert_false(anywhere(inode));
}

struct known_socket {
    uint64_t inode;
    int fd;
};

static int by_inode(const void *a, const void *b) {
    const struct known_socket *one = a, *other = b;
    return (one->inode > other->inode) - (one->inode < other->inode);
}

static void several_sockets_are_searched_for_at_once(void **state) {
    struct holders_wanted wanted[3];
    struct known_socket sockets[3];
    (void)state;
    for (int i = 0; i < 3; i++)
        sockets[i].fd = make_socket(&sockets[i].inode);
    qsort(sockets, 3, sizeof *sockets, by_inode);
    for (int i = 0; i < 3; i++)
        wanted[i] = (struct holders_wanted){.inode = sockets[i].inode};
    close(sockets[1].fd);
    pid_t child = holding_child();
    assert_true(holders_anywhere(wanted, 3));
    assert_true(wanted[0].found);
    assert_false(wanted[1].found);
    assert_true(wanted[2].found);
    end_child(child);
    close(sockets[0].fd);
    close(sockets[2].fd);
}

static int pipe_fd[2];

static void *hold_alone(void *fd) {
    char byte = 'x';
    if (unshare(CLONE_FILES) != 0)
        byte = '!';
    (void)!write(pipe_fd[1], &byte, 1);
    for (;;)
        pause();
    return fd;
}

/* A thread with a separate descriptor table, in a process that has closed the socket. */
static void a_thread_with_descriptors_of_its_own_is_looked_into(void **state) {
    uint64_t inode;
    char byte = 0;
    int fd = make_socket(&inode), at = -1, answer[2];
    (void)state;
    assert_int_equal(pipe(pipe_fd), 0);
    assert_int_equal(pipe(answer), 0);
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, hold_alone, NULL);
        (void)!read(pipe_fd[0], &byte, 1);
        close(fd);
        (void)!write(answer[1], &byte, 1);
        for (;;)
            pause();
    }
    close(fd);
    assert_int_equal(read(answer[0], &byte, 1), 1);
    assert_int_equal(byte, 'x');
    assert_int_equal(holders_in_process(child, inode, &at), HOLDERS_FOUND);
    end_child(child);
    close(answer[0]);
    close(answer[1]);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

static void an_ended_or_unknown_process_is_reported(void **state) {
    uint64_t inode;
    int fd = make_socket(&inode), at = -1;
    (void)state;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    assert_int_equal(holders_in_process(child, inode, &at), HOLDERS_NONE);
    assert_int_equal(holders_in_process(0, inode, &at), HOLDERS_UNKNOWN);
    assert_int_equal(holders_in_process(-1, inode, &at), HOLDERS_UNKNOWN);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_holds_the_socket_until_it_closes_it),
        cmocka_unit_test(a_wrong_first_descriptor_does_no_harm),
        cmocka_unit_test(a_copy_in_another_process_is_found_anywhere),
        cmocka_unit_test(several_sockets_are_searched_for_at_once),
        cmocka_unit_test(a_thread_with_descriptors_of_its_own_is_looked_into),
        cmocka_unit_test(an_ended_or_unknown_process_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
