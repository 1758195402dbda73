#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The house: which folders there are, and which of them a file may include headers of.  The Makefile
# names the folders in their order; core/README.md, shim/README.md and helper/README.md are its maps.

setup() {
    load lib
    # Each line: a folder, and the folders whose headers its files may include.
    may_include=$BATS_TEST_TMPDIR/may_include
    {
        in_order SMUX_DIRS "" core
        in_order COMMON_DIRS ""
        in_order SHIM_DIRS core/common
        in_order LAUNCHER_DIRS core/common
        in_order HELPER_DIRS core/common core
    } >"$may_include"
}

# dirs VARIABLE: the folders that the Makefile has in it.
dirs() { sed -n "s/^$1 *:= *//p" "$root/Makefile"; }

# in_order VARIABLE FOLDER...: each of its folders, itself, those before it, and FOLDER....
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
        grep -vxE 'core/smux(_blocking)?\.h' | expect_empty "files outside the folders"
}

@test "a file includes headers of its own folder and of the folders before it" {
    local folder allowed file header
    while read -r folder allowed; do
        while IFS=: read -r file header; do
            [[ " $allowed " == *" ${header%/*} "* ]] || echo "$file includes $header"
        done < <(cd "$root" && includes "$folder"/*.[ch])
    done <"$may_include" | expect_empty "against the order"
}

@test "every header is included by its path from the top, in every folder" {
    (cd "$root" && includes {core,shim,helper}/*/*.[ch] core/*.h) |
        grep -vE ':((core|shim|helper)/[a-z0-9_]+/[a-z0-9_]+\.(h|def)|core/smux(_blocking)?\.h|smux\.h)$' |
        expect_empty "not by its path"
}

@test "of core only the public header is known to the helper, and the engine's to the blocking API" {
    (cd "$root" && includes {shim,helper}/*/*.[ch]) | grep -E ':core/(engine|blocking)/' |
        expect_empty "looks into the library"
}

@test "examples include public headers only" {
    (cd "$root" && includes examples/*.[ch]) | grep -vE ':(smux|smux_blocking)\.h$' |
        expect_empty "not public"
}

@test "no two files of the product have one name" {
    c_files core shim helper | sed 's|.*/||' | sort | uniq -d | expect_empty "twice"
}
