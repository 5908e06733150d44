#!/usr/bin/env bash
# Docker's check of a replica: is it ready? And what Docker does not do by itself: a replica that hangs is killed, so that it is
# started again. It asks the debug port, which takes no turn of the round robin. The slim image has no curl, and a second Node
# every three seconds would live off the replica's own CPU and memory.
set -u
MISSES=3
COUNT=/tmp/misses

# ask PATH: the status line; fails (over 128) when the port is open and nothing comes in time.
ask() {
    exec 3<>/dev/tcp/127.0.0.1/9000 || return 1
    printf 'GET %s HTTP/1.0\r\n\r\n' "$1" >&3
    IFS= read -r -t 2 line <&3
}

line=''
ask /health/live 2>/dev/null
if [ $? -gt 128 ]; then
    misses=$(($(cat "$COUNT" 2>/dev/null || echo 0) + 1))
    echo "$misses" >"$COUNT"
    echo "no answer, $misses times"
    # Every process of the container but its init, which ends with them.
    [ "$misses" -lt "$MISSES" ] || { rm -f "$COUNT"; kill -KILL -1; }
    exit 1
fi
rm -f "$COUNT"
ask /health/ready 2>/dev/null
case $line in HTTP/1.?\ 200*) ;; *) echo "not ready: ${line:-no answer}"; exit 1 ;; esac
