/* SPDX-License-Identifier: MIT
 *
 * Runs a fuzzer over its corpus without libFuzzer: with any compiler, in the unit tests, under any
 * sanitizer.  Include after the fuzzer's source.
 */
#ifndef FUZZ_REPLAY_H
#define FUZZ_REPLAY_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int replay_file(const char *path) {
    static uint8_t data[1 << 16];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t len = fread(data, 1, sizeof(data), file);
    fclose(file);
    char *copy = fuzz_copy(data, len, 0);
    (void)LLVMFuzzerTestOneInput((const uint8_t *)copy, len);
    free(copy);
    return 1;
}

/* Runs every file of the folder; a fuzzer aborts if something is wrong. */
static void replay_corpus(const char *folder) {
    DIR *dir = opendir(folder);
    if (!dir)
        fail_msg("%s: run this in the root of the tree", folder);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[600];
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] != '.')
            count += replay_file(path);
    }
    closedir(dir);
    assert_true(count > 10);
}

#endif
