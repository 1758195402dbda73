#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# HTTP clients, unmodified, over one carrier.

load lib

setup_file() {
    start_nginx
}

teardown_file() { stop_all; }

setup() {
    log=$BATS_FILE_TMPDIR/access.log
    # nginx closes a connection after it has logged its requests; those of the previous test may
    # come late.
    wait_until "nginx to have done" nothing_at_nginx
    : >"$log"
    start_both "127.0.0.1:$web_port, 127.0.0.1:$tls_port, [::1]:$web_port"
    cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
    stop_all
    show_logs
}

nothing_at_nginx() {
    [ -z "$(ss -Htn state established state close-wait "sport = :$web_port or sport = :$tls_port")" ]
}

# Prints the number of connections and requests that nginx has seen. It logs a request after it has
# sent the response.
connections_seen() { cut -d' ' -f1 "$log" | sort -u | wc -l; }
requests_seen() { wc -l <"$log"; }
logged() { [ "$(requests_seen)" -ge "$1" ]; }
wait_logged() { wait_until "$1 requests in nginx's log" logged "$1"; }

same_as() { # FILE ORIGINAL
    assert_equal "$(sha256sum <"$1")" "$(sha256sum <"$www/$2")"
}

@test "curl downloads a large file over HTTP" {
    via curl -sSf -o got "http://127.0.0.1:$web_port/large"
    same_as got large
    assert_carried 1
}

@test "curl downloads over IPv6" {
    via curl -sSf -o got "http://[::1]:$web_port/large"
    same_as got large
    assert_carried 1
}

@test "curl uploads a large file" {
    via curl -sSf -T "$www/large" "http://127.0.0.1:$web_port/put/up"
    same_as "$www/put/up" large
    assert_carried 1
}

@test "curl downloads over HTTPS" {
    via curl -sSf --http1.1 --cacert "$cert" -o got "https://127.0.0.1:$tls_port/large"
    same_as got large
    assert_carried 1
}

@test "curl speaks HTTP/2 over TLS" {
    run --separate-stderr via curl -sSf --http2 --cacert "$cert" -o got -w '%{http_version}' "https://127.0.0.1:$tls_port/large"
    assert_success
    assert_output 2
    same_as got large
    assert_carried 1
}

@test "curl --parallel fetches 200 files over many connections" {
    via curl -sSf --parallel --parallel-immediate --parallel-max 50 -o 'got#1' "http://127.0.0.1:$web_port/small[1-200]"
    for i in $(seq 200); do echo "file $i"; done >expected
    for i in $(seq 200); do cat "got$i"; done >got
    cmp got expected
    wait_logged 200
    assert_equal "$(requests_seen)" 200
    assert [ "$(connections_seen)" -ge 10 ]
    assert_carried "$(connections_seen)"
}

@test "curl reports the server's own address as the peer's" {
    run --separate-stderr via curl -sSf -o got -w '%{remote_ip} %{remote_port} %{local_ip}' "http://127.0.0.1:$web_port/medium"
    assert_success
    assert_output "127.0.0.1 $web_port 127.0.0.1"
}

@test "wget downloads a list of files" {
    for i in $(seq 20); do echo "http://127.0.0.1:$web_port/small$i"; done >list
    via wget -q --no-http-keep-alive -i list
    for i in $(seq 20); do assert_equal "$(cat "small$i")" "file $i"; done
    wait_logged 20
    assert_equal "$(connections_seen)" 20
    assert_carried 20
}

@test "wget downloads a large file over HTTPS" {
    via wget -q --ca-certificate="$cert" -O got "https://127.0.0.1:$tls_port/large"
    same_as got large
    assert_carried 1
}

@test "ab makes 2000 connections, 100 at a time" {
    run --separate-stderr via ab -q -n 2000 -c 100 "http://127.0.0.1:$web_port/small1"
    assert_success
    assert_line --regexp '^Complete requests: +2000$'
    assert_line --regexp '^Failed requests: +0$'
    wait_logged 2000
    assert_equal "$(connections_seen)" 2000
    assert_carried 2000
}

@test "ab keeps 100 connections alive" {
    run --separate-stderr via ab -q -k -n 5000 -c 100 "http://127.0.0.1:$web_port/medium"
    assert_success
    assert_line --regexp '^Failed requests: +0$'
    wait_logged 5000
    assert_equal "$(requests_seen)" 5000
    assert_carried 100
}

@test "wrk keeps 64 connections busy in two threads" {
    run --separate-stderr via wrk -t 2 -c 64 -d 5 --timeout 60s "http://127.0.0.1:$web_port/medium"
    assert_success
    refute_output --partial 'Socket errors'
    refute_output --partial 'Non-2xx'
    wait_until "nginx to have done" nothing_at_nginx # and to have logged what wrk gave up in the end
    assert [ "$(requests_seen)" -gt 100 ]
    assert_equal "$(connections_seen)" 64
    assert_carried 64
}

# front.conf: an nginx without keep-alive to its upstream, whose workers run as nobody.
front_conf() {
    cat <<END
daemon off;
pid $1/front.pid;
error_log stderr;
worker_processes 2;
$([ "$(id -u)" != 0 ] || echo "user nobody nogroup;")
events { worker_connections 1000; }
http {
    access_log off;
    client_body_temp_path $1/body; proxy_temp_path $1/proxy; fastcgi_temp_path $1/fastcgi;
    uwsgi_temp_path $1/uwsgi; scgi_temp_path $1/scgi;
    upstream back { server 127.0.0.1:$web_port; }
    server { listen 127.0.0.1:$2; location / { proxy_pass http://back; } }
}
END
}

@test "nginx, its workers running as nobody, reaches its upstream" {
    local front
    front=$(free_port)
    runtime_dir=$(public_dir)
    stop "${helper_pid-}"
    helper_lines='allow-users = nobody\nsocket-mode = 0666'
    direct || { write_smuxshim_conf "127.0.0.1:$web_port"; start_helper; }
    front_conf "$runtime_dir" "$front" >"$runtime_dir/front.conf"
    serve front "$front" via nginx -c "$runtime_dir/front.conf"
    run --separate-stderr ab -q -n 1000 -c 50 "http://127.0.0.1:$front/small7"
    assert_line --regexp '^Complete requests: +1000$'
    assert_line --regexp '^Failed requests: +0$'
    curl -sSf -o got "http://127.0.0.1:$front/large"
    same_as got large
    wait_logged 1001
    assert_equal "$(connections_seen)" 1001
    assert_carried 1001
}

@test "haproxy reaches its backend, including health checks" {
    local front
    front=$(free_port)
    cat >haproxy.cfg <<END
global
    maxconn 1000
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout check 30s
frontend in
    bind 127.0.0.1:$front
    default_backend out
backend out
    option httpchk GET /index.html
    http-reuse never
    # A health check's connect must finish within inter; even ten late ones do not mark the server
    # down.
    server one 127.0.0.1:$web_port check inter 100ms fall 100
END
    serve haproxy "$front" via haproxy -db -f haproxy.cfg
    run --separate-stderr ab -q -n 1000 -c 50 "http://127.0.0.1:$front/small7"
    assert_line --regexp '^Complete requests: +1000$'
    assert_line --regexp '^Failed requests: +0$'
    refute_line --partial 'Non-2xx'
    curl -sSf -o got "http://127.0.0.1:$front/large"
    same_as got large
    wait_until "ten health checks" checked 10
    assert_carried 1011
}

checked() { [ "$(grep -c ' GET /index.html .* 200 ' "$log")" -ge "$1" ]; }
