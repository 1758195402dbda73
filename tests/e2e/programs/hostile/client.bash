# SPDX-License-Identifier: MIT
# Two exchanges over bash's /dev/tcp: client.bash PORT.  Status 0: right; 1: a connection error; 3: wrong.
trap '' PIPE
for i in 1 2; do
    exec 5<>"/dev/tcp/127.0.0.1/$1" || exit 1
    line="line $i of $$ $RANDOM"
    printf 'echo\n%s\n' "$line" >&5 || exit 1
    # A line without its newline is what read leaves of a broken connection.
    if IFS= read -t 60 -r answer <&5; then
        [ "$answer" = "$line" ] || { echo "wrong: $answer" >&2; exit 3; }
    elif [ $? -gt 128 ]; then
        echo "hung" >&2
        exit 3
    else
        exit 1
    fi
    exec 5>&-
done
