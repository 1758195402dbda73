#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Language runtimes and small tools, unmodified, over one carrier.

load web_and_peer

setup_file() {
    start_nginx
    start_peer
    javac -d "$BATS_FILE_TMPDIR" "$fixtures/Clients.java"
}

# all_right COUNT COMMAND...: the client reports that all its answers were right, and they were
# carried over the session.
all_right() {
    local count=$1
    shift
    run --separate-stderr via "$@"
    # shellcheck disable=SC2154 # bats sets $stderr
    assert_success || { echo "$stderr"; return 1; }
    assert_output "$count ok"
    assert_carried "${connections:-$count}"
}

python() { all_right "$3" python3 "$fixtures/clients.py" "$1" 127.0.0.1 "$2" "$3"; }
java_client() { all_right "$3" java -Xshare:auto -cp "$BATS_FILE_TMPDIR" Clients "$1" 127.0.0.1 "$2" "$3"; }
node_client() { all_right "$3" node "$fixtures/clients.js" "$1" "$2" "$3"; }

@test "node: 200 requests of http over 100 sockets" {
    connections=100 node_client http "http://127.0.0.1:$web_port" 200
}

@test "node: 100 requests of fetch" {
    connections=1 node_client fetch "http://127.0.0.1:$web_port" 100
}

@test "node: 200 half-closed sockets of net" {
    node_client net "127.0.0.1:$peer_port" 200
}

@test "python: urllib, 50 times" {
    python urllib "$web_port" 50
}

@test "python: urllib in 100 threads at once" {
    python threads "$web_port" 100
}

@test "python: 300 streams of asyncio at once" {
    python asyncio "$peer_port" 300
}

@test "python: 200 non-blocking sockets registered with epoll before they connect" {
    python nonblocking "$peer_port" 200
}

@test "python: connections made before and after fork" {
    connections=40 python fork "$peer_port" 20
}

@test "python: a receive timeout" {
    python timeout "$peer_port" 3
}

@test "java: blocking sockets, 100 times" {
    java_client socket "$peer_port" 100
}

@test "java: 100 requests of HttpClient" {
    connections=1 java_client http "$web_port" 100
}

@test "java: 200 channels registered with a selector before they connect" {
    java_client nio "$peer_port" 200
}

@test "perl: IO::Socket::INET with a timeout, 100 times" {
    all_right 100 perl "$fixtures/clients.pl" 127.0.0.1 "$peer_port" 100
}

@test "bash: /dev/tcp, in a loop and in children" {
    cat >client.bash <<'END'
ok=0
for i in $(seq 20); do
    exec 5<>/dev/tcp/127.0.0.1/$1
    echo count >&5
    read -r answer <&5
    exec 5>&-
    [[ $answer =~ ^[0-9]+$ ]] && ok=$((ok + 1))
done
answer=$( (echo count >&6; cat <&6) 6<>/dev/tcp/127.0.0.1/$1 )
[[ $answer =~ ^[0-9]+$ ]] && ok=$((ok + 1))
echo "$ok ok"
END
    all_right 21 bash client.bash "$peer_port"
}

@test "nc: a request, and the answer up to the end of file" {
    run --separate-stderr via nc 127.0.0.1 "$web_port" <<<$'GET /small9 HTTP/1.0\r\n\r'
    assert_success
    assert_line "file 9"
    assert_carried 1
}

@test "nc -N half-closes and still gets the answer" {
    head -c 5000000 /dev/urandom >data
    (echo sum; cat data) | via nc -N 127.0.0.1 "$peer_port" >answer
    assert_equal "$(cat answer)" "5000000 $(sha256sum <data | cut -d' ' -f1)"
    assert_carried 1
}

@test "nc -z reports an open port as open and a closed one as closed" {
    run via nc -z -w 10 127.0.0.1 "$peer_port"
    assert_success
    assert_carried 1
}
