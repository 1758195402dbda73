#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The structure of the source tree: its folders, and from which of them a file may include headers.
# The Makefile lists the folders in order; core/README.md, shim/README.md and helper/README.md
# describe them.

setup() {
    load lib
    # Each line: a folder, and the folders whose headers its files may include.
    may_include=$BATS_TEST_TMPDIR/may_include
    {
        in_order SMUX_DIRS "" core
        in_order COMMON_DIRS ""
        in_order SHIM_DIRS core/common
        # shellcheck disable=SC2046 # several folders
        in_order TRAP_DIRS core/common $(dirs GROUND_DIRS)
        in_order LAUNCHER_DIRS core/common shim/trap
        in_order HELPER_DIRS core/common core
    } >"$may_include"
}

# dirs VARIABLE: prints the folders in this variable of the Makefile.
dirs() { sed -n "s/^$1 *:= *//p" "$root/Makefile"; }

# in_order VARIABLE FOLDER...: prints a line for each folder in VARIABLE: the folder itself, those
# before it, and FOLDER....
in_order() {
    local dir seen=" ${*:2}"
    for dir in $(dirs "$1"); do
        seen="$dir $seen"
        echo "$dir $seen"
    done
}

@test "every C file of core, shim and helper is in a folder that the Makefile names" {
    [ "$(wc -l <"$may_include")" -ge 13 ]
    c_files core shim helper | sed 's|/[^/]*$||' | sort -u |
        grep -vxF "$(printf 'core\n'; cut -d' ' -f1 "$may_include")" | expect_empty "folders without a place"
    (cd "$root" && ls core/*.[ch] shim/*.[ch] helper/*.[ch] 2>/dev/null) |
        grep -vxE 'core/(kcp|smux(_blocking|_config|_tls)?)\.h' | expect_empty "files outside the folders"
}

# A header without code of its own, so that whoever includes it needs nothing else of its folder:
# libsmux, which is not linked with core/common, may include it.
everywhere='core/common/list.h'

@test "a file includes headers of its own folder and of the folders before it" {
    local folder allowed file header
    while read -r folder allowed; do
        while IFS=: read -r file header; do
            [[ " $allowed " == *" ${header%/*} "* || $header == "$everywhere" ]] || echo "$file includes $header"
        done < <(cd "$root" && includes "$folder"/*.[ch])
    done <"$may_include" | expect_empty "against the order"
}

@test "the header that every folder may include has no code elsewhere, and includes only libc" {
    [ -f "$root/$everywhere" ] && [ ! -e "$root/${everywhere%.h}.c" ]
    includes "$everywhere" | expect_empty "needs other headers"
    grep -nE '^[a-z].*\);$|^extern' "$root/$everywhere" | grep -v '^[0-9]*:static' |
        expect_empty "declares what is elsewhere"
}

@test "every header is included by its path from the top, in every folder" {
    (cd "$root" && includes {core,shim,helper}/*/*.[ch] core/*.h) |
        grep -vE ':((core|shim|helper)/[a-z0-9_]+/[a-z0-9_]+\.(h|def)|core/(kcp|smux(_blocking|_config|_tls)?)\.h|smux(_blocking|_config)?\.h)$' |
        expect_empty "not by its path"
}

@test "shim and helper include no headers of core's engine and blocking folders" {
    (cd "$root" && includes {shim,helper}/*/*.[ch]) | grep -E ':core/(engine|blocking)/' |
        expect_empty "looks into the library"
}

@test "examples include public headers only" {
    (cd "$root" && includes examples/*.[ch]) | grep -vE ':smux(_blocking|_tls)?\.h$' |
        expect_empty "not public"
}

@test "no two source files have the same name" {
    c_files core shim helper | sed 's|.*/||' | sort | uniq -d | expect_empty "twice"
}

# files_in_circles FOLDER...: prints the files that tests/structure/circles finds in a circle of
# calls.
files_in_circles() {
    (cd "$root" && tests/structure/circles "$BUILD/obj" "$@") | tr ' ' '\n'
}

# Circles of the libraries, which core/README.md explains.
circles_of_core='
core/engine/(promise|queue|send|stream|window)\.c
core/blocking/blk_(direct|events|input|io|stream|wait)\.c
'

@test "files do not call each other in circles: helper and shim" {
    local found
    found=$(files_in_circles helper && files_in_circles shim) || return
    expect_empty "in a circle (circles -v says why)" <<<"$found"
}

@test "files do not call each other in circles: core, except for known circles" {
    local found
    found=$(files_in_circles core/common && files_in_circles core/engine core/blocking) || return
    grep -vxE "${circles_of_core//$'\n'/|}" <<<"$found" |
        expect_empty "in a circle (circles -v says why)"
}

@test "circles of two and of three files are found; calls through pointers do not count" {
    local tree=$BATS_TEST_TMPDIR/circles name
    mkdir -p "$tree/src" "$tree/obj/src"
    echo 'void b(void); void a(void) { b(); }' >"$tree/src/a.c"
    echo 'void c(void); void d(void); void b(void) { c(); d(); }' >"$tree/src/b.c"
    echo 'void (*hook)(void); void c(void) { hook(); }' >"$tree/src/c.c"
    echo 'void e(void); void d(void) { e(); }' >"$tree/src/d.c"
    echo 'void b(void); void e(void) { b(); }' >"$tree/src/e.c"
    compile() {
        for name in a b c d e; do
            ${CC:-cc} -c -o "$tree/obj/src/$name.o" "$tree/src/$name.c" || return
        done
    }
    compile
    cd "$tree"
    run "$root/tests/structure/circles" obj src
    assert_output "src/b.c src/d.c src/e.c"
    echo 'void a(void); void c(void) { a(); }' >"$tree/src/c.c"
    echo 'void e(void) { }' >"$tree/src/e.c"
    compile
    run "$root/tests/structure/circles" obj src
    assert_output "src/a.c src/b.c src/c.c"
    run "$root/tests/structure/circles" -v obj src
    assert_line "    src/c.c needs src/a.c: a"
}
