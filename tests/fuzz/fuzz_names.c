/* SPDX-License-Identifier: MIT
 *
 * The helper's table of names: it loads whatever its file holds; intact entries are found again,
 * now and after a restart; no new name gets an address that is taken.  And every question from the
 * shim that passes the check of requests gets a valid answer.
 *
 * The input is a list of lines: 'G' and four bytes make a good one; anything else, up to the
 * newline, is a line as it is.  After a zero byte: a request.
 */
#include "fuzz_check.h"
#include "helper/client/name_file.h"
#include "helper/client/name_table.h"
#include "helper/net/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static char folder[64], socket_path[96], file[96], next_file[128];

static void prepare(void) {
    if (folder[0])
        return;
    strcpy(folder,
           access("/dev/shm", W_OK) == 0 ? "/dev/shm/fuzz_names.XXXXXX" : "/tmp/fuzz_names.XXXXXX");
    MUST(mkdtemp(folder));
    snprintf(socket_path, sizeof(socket_path), "%s/smuxshim-helper.sock", folder);
    snprintf(file, sizeof(file), "%s/" NAME_FILE, folder);
    snprintf(next_file, sizeof(next_file), "%s.next", file);
    MUST(log_open("fuzz", "/dev/null", LOG_ERR, CONFIG_LOG_TEXT) == 0);
}

static void tidy(void) {
    unlink(file);
    unlink(next_file);
    rmdir(folder);
}

/* Few addresses and names, so that they collide. */
static size_t good_line(const uint8_t *data, char out[NAME_LINE_SIZE]) {
    struct name_record record = {.uid = data[3]};
    if (data[0] < 250)
        record.v4 =
            (struct endpoint){.family = AF_INET, .addr = {198, 18, 0, (uint8_t)(data[0] % 16)}};
    if (data[1] < 250)
        record.v6 = (struct endpoint){
            .family = AF_INET6, .addr = {0xfd, 0x73, 0x6d, 0x78, 0x73, 0x68, [15] = data[1] % 16}};
    snprintf(record.name, sizeof(record.name), "n%d.internal", data[2] % 16);
    return name_line_format(&record, out);
}

/* Writes the lines to the file; returns what follows the zero byte. */
static size_t write_lines(const uint8_t *data, size_t size) {
    char line[NAME_LINE_SIZE];
    size_t at = 0;
    FILE *out = fopen(file, "w");
    MUST(out);
    while (at < size && data[at]) {
        if (data[at] == 'G' && size - at >= 5) {
            fwrite(line, 1, good_line(data + at + 1, line), out);
            at += 5;
            continue;
        }
        const uint8_t *newline = memchr(data + at, '\n', size - at);
        const uint8_t *zero = memchr(data + at, 0, size - at);
        size_t len = newline ? (size_t)(newline - data) + 1 - at : size - at;
        if (zero && (size_t)(zero - data) - at < len)
            len = (size_t)(zero - data) - at;
        struct name_record record;
        char *copy = fuzz_copy(data + at, len, 0);
        (void)name_line_parse(&record, copy, len);
        free(copy);
        fwrite(data + at, 1, len, out);
        at += len;
    }
    fclose(out);
    return at < size ? at + 1 : size;
}

static struct name_table *load(void) {
    struct config_names config = {.max_per_user = 100};
    name_ranges_default(&config.ranges);
    struct name_table *names = name_table_new(socket_path, &config, 0);
    MUST(names);
    return names;
}

/* Every address leads to its own name, in `ctx` too. */
static bool check_entry(void *ctx, const char *name, const struct endpoint *v4,
                        const struct endpoint *v6, uid_t uid) {
    (void)uid;
    const char *found4 = v4->family ? name_table_find(ctx, v4) : name;
    MUST(found4 && strcmp(found4, name) == 0);
    const char *found6 = v6->family ? name_table_find(ctx, v6) : name;
    MUST(found6 && strcmp(found6, name) == 0);
    return true;
}

static void check_entries(const struct name_table *names, struct name_table *same) {
    size_t count;
    uint32_t *order = name_table_order(names, &count);
    MUST(order && count == name_table_count(names));
    for (size_t i = 0; i < count; i++) {
        struct name_record record;
        name_table_get(names, order[i], &record);
        MUST(check_entry(same, record.name, &record.v4, &record.v6, record.uid));
    }
    free(order);
}

static void check_new(struct name_table *names, const bool known[16]) {
    struct endpoint address;
    int error = name_table_give(names, 0, "brand.new", AF_INET, &address);
    MUST(error == 0 || error == -EIO);
    if (error == 0 && address.addr[2] == 0 && address.addr[1] == 18 && address.addr[3] < 16)
        MUST(!known[address.addr[3]]);
}

static void remember(struct name_table *names, bool known[16]) {
    for (uint8_t i = 0; i < 16; i++) {
        struct endpoint v4 = {.family = AF_INET, .addr = {198, 18, 0, i}};
        known[i] = name_table_find(names, &v4) != NULL;
    }
}

static void check_question(struct name_table *names, const uint8_t *data, size_t size) {
    static struct route_list routes;
    struct route_error error;
    struct helper_request request;
    struct helper_name_answer answer;
    uint8_t bytes[NAME_ANSWER_SIZE];
    char name[HELPER_HOST_NAME_MAX + 1], back[HELPER_HOST_NAME_MAX + 1];
    if (size < sizeof(request) || helper_request_check(data, size) != HELPER_REQUEST_OK)
        return;
    memcpy(&request, data, sizeof(request));
    if (size - sizeof(request) < request.name_len ||
        (request.kind != HELPER_REQUEST_ADDRESS && request.kind != HELPER_REQUEST_NAME))
        return;
    memcpy(name, data + sizeof(request), request.name_len);
    name[request.name_len] = 0;
    if (request.name_len && !helper_host_name_valid(name, request.name_len))
        return;
    MUST(route_list_parse(&routes, "*.internal", &error));
    size_t len = name_answer(names, &routes, 5, &request, name, bytes);
    MUST(len <= sizeof(bytes) && helper_name_answer_check(bytes, len, &answer, back));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    bool known[16];
    if (!folder[0]) {
        prepare();
        atexit(tidy);
    }
    unlink(next_file);
    size_t rest = write_lines(data, size);
    struct name_table *names = load();
    size_t count = name_table_count(names);
    remember(names, known);
    struct name_table *same = load();
    MUST(name_table_count(same) == count);
    check_entries(names, same);
    name_table_free(same);
    check_question(names, data + rest, size - rest);
    check_new(names, known);
    name_table_free(names);
    return 0;
}
