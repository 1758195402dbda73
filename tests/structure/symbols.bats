#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The symbols that the binaries need and export.
# shellcheck disable=SC2086 # $objects are several words

setup() { load lib; }

# functions HEADER...: prints the names declared with SMUX_API in public headers.
functions() {
    (cd "$root" && cat "$@") | tr '\n' ' ' | grep -oE 'SMUX_API [^;{]+;' |
        sed -E 's/^SMUX_API ([^(]*[ *])?([a-z_]+)\(.*/\2/' | sort -u
}

# built FILE: prints the file's path, if it has been built.
built() {
    [ -e "$BUILD/$1" ] || { echo "$BUILD/$1 is missing: make first" >&2; return 1; }
    echo "$BUILD/$1"
}

engine_objects() {
    local source
    for source in "$root"/core/engine/*.c; do
        built "obj/core/engine/$(basename "$source" .c).o" || return
    done
}

@test "the engine needs memory functions of libc and nothing else" {
    local objects
    objects=$(engine_objects)
    # Names that one object needs and another defines are the engine's own.
    nm -u $objects | awk '/ U /{ print $2 }' | sort -u >"$BATS_TEST_TMPDIR/needed"
    nm --defined-only $objects | awk 'NF == 3 { print $3 }' | sort -u >"$BATS_TEST_TMPDIR/own"
    comm -23 "$BATS_TEST_TMPDIR/needed" "$BATS_TEST_TMPDIR/own" |
        grep -vxE 'malloc|free|calloc|mem(cpy|set|move|cmp)|str(len|cmp)|(v|)snprintf|__(mem(cpy|set|move)|(v|)snprintf)_chk|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_' |
        expect_empty "the engine calls"
}

@test "the engine has no writable global state" {
    local objects
    objects=$(engine_objects)
    # Constants that hold pointers are in .data.rel.ro, read-only once loaded.
    objdump -t $objects | grep -E ' O (\.data|\.bss|\*COM\*)|[^d] +\.t(bss|data)' |
        grep -v ' O \.data\.rel\.ro' | expect_empty "writable globals"
}

@test "libsmux.so exports exactly what the public headers declare" {
    functions core/kcp.h core/smux.h core/smux_config.h core/smux_blocking.h >"$BATS_TEST_TMPDIR/declared"
    nm -D --defined-only "$(built libsmux.so)" | awk '$2 == "T" { print $3 }' | sed 's/@.*//' |
        sort -u >"$BATS_TEST_TMPDIR/exported"
    [ -s "$BATS_TEST_TMPDIR/exported" ]
    diff "$BATS_TEST_TMPDIR/declared" "$BATS_TEST_TMPDIR/exported"
}

@test "libsmux.so and libsmuxshim.so need only libc" {
    local library file
    for library in libsmux.so libsmuxshim.so; do
        file=$(built $library) || return
        readelf -d "$file" | sed -nE 's/.*\(NEEDED\).*\[(.*)\]/\1/p' |
            grep -vxE 'libc\.so\.6|libpthread\.so\.0|libdl\.so\.2|ld-linux-x86-64\.so\.2' |
            expect_empty "$library needs" || return
    done
}

# The objects of everything that is installed: of the libraries, the programs, and the code that
# they share.
installed_objects() {
    (cd "$root" && ls {core,helper,shim}/*/*.c) | sed "s|^|$BUILD/obj/|; s|c\$|o|"
    ls "$BUILD"/obj/fortified/core/common/*.o
}

# compiled_without FLAG: prints the objects that were compiled without the flag, as the compiler has
# recorded.
compiled_without() {
    local object producer
    installed_objects | while read -r object; do
        [ -e "$object" ] || echo "$object: missing"
        producer=$(readelf --debug-dump=info "$object" 2>/dev/null | grep -m 1 DW_AT_producer) || continue # it is empty
        grep -q -- "$1" <<<"$producer" || echo "$object"
    done
}

@test "everything that is installed is compiled with stack protector, clash protection and control flow protection" {
    local flag
    [ "$(installed_objects | wc -l)" -gt 80 ]
    readelf --debug-dump=info "$(built obj/core/engine/stream.o)" | grep -q DW_AT_producer
    for flag in -fstack-protector-strong -fstack-clash-protection $(uname -m | sed -n 's/x86_64/-fcf-protection/p'); do
        compiled_without "$flag" | expect_empty "compiled without $flag" || return
    done
}

@test "programs and libsmux.so call libc's checking (_chk) functions, and the preloaded library calls none" {
    local file
    for file in smuxshim smux-helper smux-gateway smuxctl libsmux.so; do
        nm -D "$(built $file)" | grep -q ' U __[a-z0-9]*_chk@' || { echo "$file calls none" >&2; return 1; }
        nm -D "$BUILD/$file" | grep -q ' U __stack_chk_fail@' || { echo "$file has no stack protector" >&2; return 1; }
        readelf -lW "$BUILD/$file" | grep -q 'GNU_STACK.* RW ' || { echo "$file has an executable stack" >&2; return 1; }
        readelf -dW "$BUILD/$file" | grep -q 'BIND_NOW\|NOW' || { echo "$file is bound lazily" >&2; return 1; }
    done
    nm -D "$(built libsmuxshim.so)" | grep ' U __[a-z0-9]*_chk@' | expect_empty "libsmuxshim.so calls"
    nm -D "$BUILD/libsmuxshim.so" | grep -q ' U __stack_chk_fail@'
}
