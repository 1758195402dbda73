#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What `make install` installs works for a program outside this source tree.
# shellcheck disable=SC2046 # pkg-config answers in words

load stage

setup_file() {
    install_staged PREFIX=/opt/smux LIBDIR=/opt/smux/lib64
    # The files are staged in a folder, and pkg-config is told to answer with paths in it.
    export PKG_CONFIG_PATH=$stage/opt/smux/lib64/pkgconfig PKG_CONFIG_SYSROOT_DIR=$stage
}

@test "headers, libraries, programs, smux.pc, units, completion and manual pages are installed below PREFIX and LIBDIR" {
    run bash -c "cd '$stage' && find . ! -type d | sort"
    assert_output "./opt/smux/bin/smux-gateway
./opt/smux/bin/smux-helper
./opt/smux/bin/smuxctl
./opt/smux/bin/smuxshim
./opt/smux/include/kcp.h
./opt/smux/include/smux.h
./opt/smux/include/smux_blocking.h
./opt/smux/include/smux_config.h
./opt/smux/include/smux_tls.h
./opt/smux/lib/systemd/system/smux-gateway.service
./opt/smux/lib/systemd/system/smux-helper.service
./opt/smux/lib/systemd/system/smux-helper.socket
./opt/smux/lib/systemd/user/smux-helper.service
./opt/smux/lib/systemd/user/smux-helper.socket
./opt/smux/lib/sysusers.d/smuxshim.conf
./opt/smux/lib/tmpfiles.d/smuxshim.conf
./opt/smux/lib64/libsmux.a
./opt/smux/lib64/libsmux.so
./opt/smux/lib64/libsmux.so.0
./opt/smux/lib64/libsmux.so.0.1.0
./opt/smux/lib64/libsmuxshim.so
./opt/smux/lib64/pkgconfig/smux-tls.pc
./opt/smux/lib64/pkgconfig/smux.pc
./opt/smux/share/bash-completion/completions/smux-gateway
./opt/smux/share/bash-completion/completions/smux-helper
./opt/smux/share/bash-completion/completions/smuxctl
./opt/smux/share/bash-completion/completions/smuxshim
./opt/smux/share/fish/vendor_completions.d/smux-gateway.fish
./opt/smux/share/fish/vendor_completions.d/smux-helper.fish
./opt/smux/share/fish/vendor_completions.d/smuxctl.fish
./opt/smux/share/fish/vendor_completions.d/smuxshim.fish
./opt/smux/share/man/man1/smuxctl.1
./opt/smux/share/man/man1/smuxshim.1
./opt/smux/share/man/man5/smux-gateway.conf.5
./opt/smux/share/man/man5/smuxshim.conf.5
./opt/smux/share/man/man7/smuxshim.7
./opt/smux/share/man/man8/smux-gateway.8
./opt/smux/share/man/man8/smux-helper.8
./opt/smux/share/zsh/site-functions/_smux-gateway
./opt/smux/share/zsh/site-functions/_smux-helper
./opt/smux/share/zsh/site-functions/_smuxctl
./opt/smux/share/zsh/site-functions/_smuxshim"
}

@test "the version of smux.pc is that of the header and the library" {
    local version
    version=$(pkg-config --modversion smux)
    grep -qF "SMUX_LIBRARY_VERSION \"$version\"" "$stage/opt/smux/include/smux.h"
    [ -e "$stage/opt/smux/lib64/libsmux.so.$version" ]
}

@test "the Debian packages have the version of the library, and its SONAME" {
    local changelog=$root/examples/debian/changelog
    assert_equal "$(sed -nE '1s/^smuxshim \((.*)\) .*/\1/p' "$changelog")" "$(pkg-config --modversion smux)"
    grep -qx "Package: $(basename "$stage"/opt/smux/lib64/libsmux.so.?  | sed 's/\.so\.//')" "$root/examples/debian/control"
}

@test "the shared library's SONAME is a link to it" {
    run bash -c "readelf -d '$stage/opt/smux/lib64/libsmux.so' | grep -o 'libsmux\.so\.[0-9]*'"
    assert_output libsmux.so.0
    [ "$(readlink -f "$stage/opt/smux/lib64/libsmux.so.0")" = "$stage/opt/smux/lib64/libsmux.so.0.1.0" ]
}

# compile NAME OPTION...: compiles an example with the flags that pkg-config gives for the installed
# library.
compile() {
    local name=$1
    shift
    cc -std=gnu11 -Wall -Wextra -Werror $(pkg-config --cflags smux) -o "$BATS_TEST_TMPDIR/$name" \
        "$root/examples/$name.c" "$@" $(pkg-config --libs smux) -pthread
}

@test "a program linked by pkg-config to the shared library runs" {
    compile two_engines
    run readelf -d "$BATS_TEST_TMPDIR/two_engines"
    assert_output --partial 'Shared library: [libsmux.so.0]'
    LD_LIBRARY_PATH=$stage/opt/smux/lib64 "$BATS_TEST_TMPDIR/two_engines"
}

# The example once checked smux_stream_send only for errors, and consumed bytes that had not been
# sent: bytes were lost as soon as there were more than the send buffer holds.
@test "the engine's example loses nothing when both sides are blocked, and keeps the session alive" {
    compile two_engines -static
    run -0 "$BATS_TEST_TMPDIR/two_engines"
    assert_line --regexp '^client: sent 1048576 bytes, [1-9][0-9]* times fewer than offered; 1048576 came back$'
    assert_line --regexp '^server: sent fewer than offered [1-9][0-9]* times, stopped reading [1-9][0-9]* times$'
    assert_line --regexp '^30\.0 s: time for keepalive$'
}

@test "a program linked by pkg-config to the static library runs" {
    compile two_engines -static
    "$BATS_TEST_TMPDIR/two_engines"
}

# talk SERVER: builds the example server, and lets the example client talk to it.
talk() {
    compile "$1"
    compile echo_client
    export LD_LIBRARY_PATH=$stage/opt/smux/lib64
    "$BATS_TEST_TMPDIR/$1" 0 >"$BATS_TEST_TMPDIR/said" 2>&1 3>&- &
    server=$!
    until port=$(grep -oE '[0-9]+$' "$BATS_TEST_TMPDIR/said"); do
        kill -0 $server
        sleep 0.05
    done
    run --separate-stderr "$BATS_TEST_TMPDIR/echo_client" "$port" one two three
    kill $server
    assert_success
    assert_output --regexp 'one.*two.*three'
}

@test "the examples of client and server talk to each other" {
    talk echo_server
}

@test "the example of a server with few threads talks to the client" {
    talk echo_pool
}

@test "the example over TLS, compiled for smux-tls, talks to itself" {
    local dir=$BATS_TEST_TMPDIR
    cc -std=gnu11 -Wall -Wextra -Werror $(pkg-config --cflags smux-tls) -o "$dir/echo_tls" "$root/examples/echo_tls.c" \
        $(pkg-config --libs smux-tls)
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null
    export LD_LIBRARY_PATH=$stage/opt/smux/lib64
    "$dir/echo_tls" server 0 "$dir/cert.pem" "$dir/key.pem" >"$dir/said" 2>&1 3>&- &
    server=$!
    until port=$(grep -oE '[0-9]+$' "$dir/said"); do
        kill -0 $server
        sleep 0.05
    done
    run -0 "$dir/echo_tls" client "$port" "$dir/cert.pem" "over TLS"
    assert_output "over TLS"
    wait $server
    # libsmux itself needs no OpenSSL (tests/structure/symbols.bats).
    run readelf -d "$dir/echo_tls"
    assert_output --partial 'Shared library: [libssl.'
}

@test "the headers compile as C99, C11 and C++ without warnings" {
    local header
    for header in kcp.h smux.h smux_blocking.h smux_config.h smux_tls.h; do
        echo "#include <$header>" >"$BATS_TEST_TMPDIR/use.c"
        for standard in gnu99 c11 gnu11; do
            cc -std=$standard -Wall -Wextra -pedantic -Werror $(pkg-config --cflags smux) \
                -fsyntax-only "$BATS_TEST_TMPDIR/use.c"
        done
        c++ -x c++ -Wall -Wextra -Werror $(pkg-config --cflags smux) -fsyntax-only "$BATS_TEST_TMPDIR/use.c"
    done
}

@test "the installed pages can be formatted, and contain the version" {
    local page version
    version=$(pkg-config --modversion smux)
    for page in "$stage"/opt/smux/share/man/man*/*; do
        mandoc -T ascii "$page" | grep -qF "smuxshim $version" || fail "no version in $page"
    done
}

@test "without scdoc the programs are built and installed, and a message says that the pages are not" {
    local copy=$BATS_TEST_TMPDIR/copy build=$BATS_TEST_TMPDIR/build built
    built=$(cd "$root" && realpath -m "${BUILD:-build}")
    # Uses what has already been built, except for the pages.
    mkdir "$build"
    cp -a "$built"/obj "$built"/lib*.* "$built"/smux* "$build"
    run -0 make -C "$root" BUILD="$build" SCDOC=no-such-scdoc DESTDIR="$copy" install
    assert_output --partial "SKIP  manual pages"
    [ -x "$copy/usr/local/bin/smuxshim" ]
    [ ! -e "$copy/usr/local/share/man" ]
}

@test "without the headers of libseccomp and libmicrohttpd the daemons do without, and say so" {
    local build=$BATS_TEST_TMPDIR/build built
    built=$(cd "$root" && realpath -m "${BUILD:-build}")
    mkdir "$build"
    cp -a "$built"/obj "$built"/lib*.* "$built"/smux* "$build"
    rm "$build"/obj/helper/net/system_calls.* "$build"/obj/helper/metrics/*http* "$build"/libhelper.a "$build"/smux-*
    # A compiler that does not find the headers.
    printf '%s\n' '#!/bin/sh' 'case "$*" in *"-E -x c -"*) exit 1 ;; esac' 'exec cc "$@"' >"$BATS_TEST_TMPDIR/cc"
    chmod +x "$BATS_TEST_TMPDIR/cc"
    run -0 make -C "$root" BUILD="$build" CC="$BATS_TEST_TMPDIR/cc" all
    assert_output --partial "SKIP  the daemons' filter of system calls"
    assert_output --partial "SKIP  the daemons' metrics"
    run readelf -d "$build/smux-gateway"
    refute_output --partial seccomp
    run timeout 2 "$build/smux-gateway" --listen "unix://$BATS_TEST_TMPDIR/gateway.sock" --allow '127.0.0.1:*'
    assert_output --partial "system calls not filtered"
    printf '%s\n' '[listen]' "address = unix://$BATS_TEST_TMPDIR/gateway.sock" \
        "metrics = $BATS_TEST_TMPDIR/metrics.sock" >"$BATS_TEST_TMPDIR/gateway.conf"
    run -1 "$build/smux-gateway" -c "$BATS_TEST_TMPDIR/gateway.conf"
    assert_output --partial "error: metrics: built without libmicrohttpd"
}

@test "uninstall removes everything that install has created" {
    local copy=$BATS_TEST_TMPDIR/copy
    make -C "$root" BUILD="${BUILD:-build}" DESTDIR="$copy" install >&2
    make -C "$root" BUILD="${BUILD:-build}" DESTDIR="$copy" uninstall >&2
    run find "$copy" ! -type d
    assert_output ""
}
