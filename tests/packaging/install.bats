#!/usr/bin/env bats
# What `make install` lays down works for a program that knows nothing of this tree.
# shellcheck disable=SC2046 # pkg-config answers in words

load /usr/lib/bats/bats-support/load
load /usr/lib/bats/bats-assert/load

setup_file() {
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    stage=$BATS_FILE_TMPDIR/stage
    export root stage
    make -C "$root" BUILD="${BUILD:-build}" DESTDIR="$stage" PREFIX=/opt/smux LIBDIR=/opt/smux/lib64 install >&2
    # pkg-config, told where the files will be, answers for where they are now.
    export PKG_CONFIG_PATH=$stage/opt/smux/lib64/pkgconfig PKG_CONFIG_SYSROOT_DIR=$stage
}

@test "headers, libraries, programs and smux.pc are where PREFIX and LIBDIR say" {
    run bash -c "cd '$stage' && find . ! -type d | sort"
    assert_output "./opt/smux/bin/smux-gateway
./opt/smux/bin/smux-helper
./opt/smux/bin/smuxctl
./opt/smux/bin/smuxshim
./opt/smux/include/smux.h
./opt/smux/include/smux_blocking.h
./opt/smux/lib64/libsmux.a
./opt/smux/lib64/libsmux.so
./opt/smux/lib64/libsmux.so.0
./opt/smux/lib64/libsmux.so.0.1.0
./opt/smux/lib64/libsmuxshim.so
./opt/smux/lib64/pkgconfig/smux.pc"
}

@test "the version of smux.pc is that of the header and the library" {
    local version
    version=$(pkg-config --modversion smux)
    grep -qF "SMUX_LIBRARY_VERSION \"$version\"" "$stage/opt/smux/include/smux.h"
    [ -e "$stage/opt/smux/lib64/libsmux.so.$version" ]
}

@test "the shared library's SONAME is a link to it" {
    run bash -c "readelf -d '$stage/opt/smux/lib64/libsmux.so' | grep -o 'libsmux\.so\.[0-9]*'"
    assert_output libsmux.so.0
    [ "$(readlink -f "$stage/opt/smux/lib64/libsmux.so.0")" = "$stage/opt/smux/lib64/libsmux.so.0.1.0" ]
}

@test "a program linked by pkg-config to the shared library runs" {
    cc -Wall -Werror $(pkg-config --cflags smux) -o "$BATS_TEST_TMPDIR/memory" \
        "$root/examples/memory_pair.c" $(pkg-config --libs smux)
    run readelf -d "$BATS_TEST_TMPDIR/memory"
    assert_output --partial 'Shared library: [libsmux.so.0]'
    LD_LIBRARY_PATH=$stage/opt/smux/lib64 "$BATS_TEST_TMPDIR/memory"
}

@test "a program linked by pkg-config to the static library runs" {
    cc -static -Wall -Werror $(pkg-config --cflags smux) -o "$BATS_TEST_TMPDIR/memory" \
        "$root/examples/memory_pair.c" $(pkg-config --static --libs smux)
    "$BATS_TEST_TMPDIR/memory"
}

@test "the headers compile as C99, C11 and C++ without warnings" {
    local header
    for header in smux.h smux_blocking.h; do
        echo "#include <$header>" >"$BATS_TEST_TMPDIR/use.c"
        for standard in gnu99 c11 gnu11; do
            cc -std=$standard -Wall -Wextra -pedantic -Werror $(pkg-config --cflags smux) \
                -fsyntax-only "$BATS_TEST_TMPDIR/use.c"
        done
        c++ -x c++ -Wall -Wextra -Werror $(pkg-config --cflags smux) -fsyntax-only "$BATS_TEST_TMPDIR/use.c"
    done
}

@test "uninstall removes all that install laid down" {
    local copy=$BATS_TEST_TMPDIR/copy
    make -C "$root" BUILD="${BUILD:-build}" DESTDIR="$copy" install >&2
    make -C "$root" BUILD="${BUILD:-build}" DESTDIR="$copy" uninstall >&2
    run find "$copy" ! -type d
    assert_output ""
}
