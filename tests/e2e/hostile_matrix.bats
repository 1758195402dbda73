#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Runs all programs at once, for a minute, while their helper is killed, terminated and stopped at
# random moments. Expected: no hang, no crash, no wrong byte, only connection errors; and afterwards
# everything works.
#
# HOSTILE_SECONDS and HOSTILE_SEED repeat a run; the seed is printed.

load lib

setup_file() {
    ! direct || return 0
    export hostile_dir=$BATS_FILE_TMPDIR nginx_front haproxy_front
    hostile=$fixtures/hostile
    start_nginx
    start_peer
    start_redis
    start_postgres
    start_sshd
    start_iperf3
    javac -d "$hostile_dir" "$hostile/HostileClient.java"
    make_repository
    start_gateway
    write_smuxshim_conf "127.0.0.1:$web_port, 127.0.0.1:$tls_port, 127.0.0.1:$peer_port, 127.0.0.1:$redis_port, \
127.0.0.1:$postgres_port, 127.0.0.1:$ssh_port, 127.0.0.1:$iperf_port" 'connect-timeout = 5s'
    export smuxshim_conf shim_library=$BUILD/libsmuxshim.so helper_socket=$hostile_dir/smuxshim-helper.sock \
        helper_log=$hostile_dir/helper.log
    start_proxies
    seed=${HOSTILE_SEED:-$RANDOM}
    echo "# hostile matrix: HOSTILE_SEED=$seed" >&3
    mkdir "$hostile_dir/reports"
    python3 "$hostile/run.py" "${HOSTILE_SECONDS:-60}" "$seed" "$hostile_dir/reports" \
        "$BUILD/smux-helper" -c "$smuxshim_conf" -f >"$hostile_dir/run.log" 2>&1 3>&- ||
        { cat "$hostile_dir/run.log" >&2; return 1; }
    echo "$gateway_pid" >"$hostile_dir/gateway"
}

teardown_file() { stop_all; }

setup() { direct && skip "there is nothing to kill without the shim"; reports=$hostile_dir/reports; }

make_repository() {
    export HOME=$hostile_dir GIT_CONFIG_NOSYSTEM=1
    git init -q --bare -b main "$hostile_dir/origin.git"
    git init -q -b main "$hostile_dir/first"
    cp "$www/medium" "$hostile_dir/first"
    git -C "$hostile_dir/first" add medium
    git -C "$hostile_dir/first" -c user.name=t -c user.email=t@example.invalid commit -q -m one
    git -C "$hostile_dir/first" push -q "$hostile_dir/origin.git" main
}

# nginx and haproxy, as clients of an upstream server, run under the shim throughout.
start_proxies() {
    nginx_front=$(free_port) haproxy_front=$(free_port)
    cat >"$hostile_dir/front.conf" <<CONF
daemon off;
pid $hostile_dir/front.pid;
error_log $hostile_dir/front-error.log;
worker_processes 2;
$([ "$(id -u)" != 0 ] || echo "user root;")
events { worker_connections 1000; }
http {
    access_log off;
    client_body_temp_path $hostile_dir/b; proxy_temp_path $hostile_dir/p; fastcgi_temp_path $hostile_dir/f;
    uwsgi_temp_path $hostile_dir/u; scgi_temp_path $hostile_dir/s;
    upstream back { server 127.0.0.1:$web_port max_fails=0; keepalive 4; }
    server { listen 127.0.0.1:$nginx_front; location / {
        proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection ""; } }
}
CONF
    cat >"$hostile_dir/haproxy.cfg" <<CONF
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout check 30s
frontend in
    bind 127.0.0.1:$haproxy_front
    default_backend out
backend out
    option httpchk GET /index.html
    # A health check's connect must finish within inter, whatever the other timeouts are.
    server one 127.0.0.1:$web_port check inter 2s fastinter 200ms downinter 200ms fall 2 rise 1
CONF
    LD_PRELOAD=$shim_library SMUXSHIM_CONFIG=$smuxshim_conf serve front "$nginx_front" \
        nginx -c "$hostile_dir/front.conf"
    echo "$spawned" >"$hostile_dir/proxies"
    LD_PRELOAD=$shim_library SMUXSHIM_CONFIG=$smuxshim_conf serve haproxy "$haproxy_front" \
        haproxy -db -f "$hostile_dir/haproxy.cfg"
    echo "$spawned" >>"$hostile_dir/proxies"
}

field() { jq -r "$2" "$reports/$1.json"; }

# only_connection_errors PROGRAM: it did its work before and afterwards, and all its failures were
# connection errors.
only_connection_errors() {
    assert_equal "$(field "$1" '.problems | unique | .[]')" ""
    echo "# $1: $(field "$1" .done) operations done, $(field "$1" .errors) connection errors" >&3
    assert [ "$(field "$1" .done)" -gt 0 ]
    assert_equal "$(field "$1" .recovered)" true
}

@test "curl: no hang, no crash, no wrong byte" { only_connection_errors curl; }
@test "wget: no hang, no crash, no wrong byte" { only_connection_errors wget; }
@test "ab: no hang, no crash, no wrong answer" { only_connection_errors ab; }
@test "wrk: no hang, no crash, no wrong byte" { only_connection_errors wrk; }
@test "iperf3: no hang, no crash" { only_connection_errors iperf3; }
@test "redis-cli and redis-benchmark: no hang, no crash, no wrong byte" { only_connection_errors redis; }
@test "psql and pgbench: no hang, no crash, no wrong byte" { only_connection_errors postgres; }
@test "ssh: no hang, no crash, no wrong byte" { only_connection_errors ssh; }
@test "git over ssh: no hang, no crash, no wrong byte" { only_connection_errors git; }
@test "node: no hang, no crash, no wrong byte" { only_connection_errors node; }
@test "python: no hang, no crash, no wrong byte, no false end" { only_connection_errors python; }
@test "java: no hang, no crash, no wrong byte" { only_connection_errors java; }
@test "perl: no hang, no crash, no wrong byte" { only_connection_errors perl; }
@test "bash: no hang, no crash, no wrong line" { only_connection_errors bash; }
@test "nc: no hang, no crash, no wrong byte" { only_connection_errors nc; }

@test "nginx, running as a proxy throughout: no hang, no crash, no wrong byte" {
    only_connection_errors nginx
    assert alive "$(sed -n 1p "$hostile_dir/proxies")"
    refute grep 'exited on signal' "$hostile_dir/front-error.log"
}

@test "haproxy, running as a proxy throughout: no hang, no crash, no wrong byte" {
    only_connection_errors haproxy
    assert alive "$(sed -n 2p "$hostile_dir/proxies")"
}

@test "there were connection errors, and the helper ended only when told to" {
    assert_equal "$(field chaos '.problems | .[]')" ""
    assert [ "$(field chaos '.events | length')" -ge 3 ]
    assert [ "$(jq -s 'map(.errors // 0) | add' "$reports"/*.json)" -gt 0 ]
    assert alive "$(cat "$hostile_dir/gateway")"
}
