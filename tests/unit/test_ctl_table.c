/* SPDX-License-Identifier: MIT */
/* smuxctl's tables: aligned as a terminal shows them, whatever the texts are. */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "helper/ctl/ctl_table.h"

static const struct ctl_column columns[] = {
    {"NAME", .cut_to = 4}, {"IN", .right = true, .leaves = 1}, {.title = "END"}};

/* Two rows, the second of plain texts. Valid until the next call. */
static const char *table_of(const char *name, size_t width) {
    static char text[4096];
    struct ctl_table table;
    char *data = NULL;
    size_t size;
    FILE *out = open_memstream(&data, &size);
    assert_non_null(out);
    ctl_table_init(&table, columns, sizeof columns / sizeof *columns);
    ctl_table_add(&table, (const char *const[]){name, "7", "x"});
    ctl_table_add(&table, (const char *const[]){"plain", "1000", "y"});
    ctl_table_print(&table, width, 0, out);
    ctl_table_free(&table);
    fclose(out);
    snprintf(text, sizeof text, "%s", data);
    free(data);
    return text;
}

static void columns_are_as_wide_as_their_characters_are_shown(void **state) {
    (void)state;
    /* Two bytes and one place; three bytes and two places; no place of its own. */
    assert_string_equal(table_of("\xc3\xa4\xc3\xb6\xc3\xbc", 0),
                        "NAME     IN  END\n"
                        "\xc3\xa4\xc3\xb6\xc3\xbc       7  x\n"
                        "plain  1000  y\n");
    assert_string_equal(table_of("\xe6\xbc\xa2\xe5\xad\x97\xe8\xa1\xa8", 0),
                        "NAME      IN  END\n"
                        "\xe6\xbc\xa2\xe5\xad\x97\xe8\xa1\xa8     7  x\n"
                        "plain   1000  y\n");
    assert_string_equal(table_of("e\xcc\x81", 0), "NAME     IN  END\n"
                                                  "e\xcc\x81         7  x\n"
                                                  "plain  1000  y\n");
}

static void a_text_is_cut_between_characters(void **state) {
    (void)state;
    assert_string_equal(table_of("\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\xc3\xa4\xc3\xb6", 15),
                        "NAME    IN  END\n"
                        "\xc3\xa4\xc3\xb6\xc3\xbc+     7  x\n"
                        "pla+  1000  y\n");
    /* Half of a wide character does not fit. */
    assert_string_equal(table_of("\xe6\xbc\xa2\xe5\xad\x97\xe8\xa1\xa8", 15),
                        "NAME    IN  END\n"
                        "\xe6\xbc\xa2+      7  x\n"
                        "pla+  1000  y\n");
}

static void no_text_controls_the_terminal(void **state) {
    (void)state;
    assert_string_equal(table_of("\x1b[2J\n\xff\xc2\x9b", 0), "NAME       IN  END\n"
                                                              "?[2J???     7  x\n"
                                                              "plain    1000  y\n");
}

static void lines_fit_into_every_width_that_the_columns_need(void **state) {
    char name[300];
    (void)state;
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    for (size_t width = 9; width < 320; width++) {
        char *rest = (char *)table_of(name, width);
        for (char *line; (line = strsep(&rest, "\n"));)
            assert_true(strlen(line) <= width);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_as_wide_as_their_characters_are_shown),
        cmocka_unit_test(a_text_is_cut_between_characters),
        cmocka_unit_test(no_text_controls_the_terminal),
        cmocka_unit_test(lines_fit_into_every_width_that_the_columns_need),
    };
    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
