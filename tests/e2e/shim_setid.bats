#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Programs with raised privileges, with the library in /etc/ld.so.preload: the user who runs them
# chooses their environment, so all of it is ignored.

load lib

setup() {
    direct && skip "there is no library without the shim"
    [ "$(id -u)" = 0 ] || fail "this needs root, for a set-user-id program and a mount namespace"
    cd "$(public_dir)" || return
    start_peer
    start_gateway
    cat >program.c <<'END'
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char **argv) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int result = connect(fd, (struct sockaddr *)&to, sizeof to);
    printf("secure %lu, %s\n", getauxval(AT_SECURE), result == 0 ? "connected" : strerror(errno));
    return 0;
}
END
    cc -w -D_GNU_SOURCE program.c -o set-id
    chmod 4755 set-id
    cp set-id ordinary
    chmod 755 ordinary
    cp "$BUILD/libsmuxshim.so" .
    mkdir -m 777 open
}

teardown() {
    stop_all
    show_logs
}

# preloaded COMMAND...: runs the command as nobody, in a mount namespace whose /etc has an
# ld.so.preload and, if the test has written one, our smuxshim.conf.
preloaded() {
    own_mounts bash -c '
        mount -t tmpfs tmpfs /mnt && cp -a /etc /mnt/etc && mount --bind /mnt/etc /etc || exit 9
        mkdir -p /etc/smuxshim
        [ ! -e system.conf ] || cp system.conf /etc/smuxshim/smuxshim.conf
        echo "$PWD/libsmuxshim.so" >/etc/ld.so.preload
        exec setpriv --reuid=nobody --regid=nogroup --clear-groups env "$@"' - "$@"
}

# The variables with which a stranger would try to take control.
strangers() {
    echo "SMUXSHIM_LOG=$PWD/open/log" "SMUXSHIM_SOCKET=$PWD/open/smuxshim-helper.sock" \
        SMUXSHIM_ROUTES=127.0.0.1 SMUXSHIM_GATEWAY=tcp://127.0.0.1:1 "SMUXSHIM_CONFIG=$PWD/open/strange.conf" \
        SMUXSHIM_STRICT=1 SMUXSHIM_NAMES=nonsense "XDG_RUNTIME_DIR=$PWD/open" "XDG_CONFIG_HOME=$PWD/open" \
        "HOME=$PWD/open" "TMPDIR=$PWD/open"
}

@test "none of our variables can redirect a set-user-ID program's connection, or make it write or fail" {
    echo nonsense >open/strange.conf
    # Without raised privileges they take effect: no helper answers at that socket.
    # shellcheck disable=SC2046 # one word each
    run preloaded $(strangers) SMUXSHIM_NAMES= ./ordinary "$peer_port"
    assert_output "secure 0, Network is unreachable"
    assert [ -e open/log ]
    rm open/log
    # shellcheck disable=SC2046
    run preloaded $(strangers) ./set-id "$peer_port"
    assert_output "secure 1, connected"
    run ls -A open
    assert_output strange.conf
}

@test "root's configuration in /etc applies to a set-user-ID program, and cannot be turned off" {
    runtime_dir=$PWD write_smuxshim_conf 127.0.0.1
    sed -i '/^socket =/a socket-mode = 0666' "$smuxshim_conf"
    start_helper
    cp "$smuxshim_conf" system.conf
    # shellcheck disable=SC2046
    run preloaded $(strangers) SMUXSHIM_DISABLE=1 ./set-id "$peer_port"
    assert_output "secure 1, connected"
    assert_equal "$(streams_total)" 1
}
