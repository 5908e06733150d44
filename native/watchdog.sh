#!/usr/bin/env bash
# Kills a replica that hangs: an endless loop, a process that was stopped. supervisord, which starts this and then the
# replica again, notices only a process that ends.
# Usage: watchdog.sh FOLDER-OF-SUPERVISORD NAME=DEBUG-PORT...
set -uo pipefail
cd "$1" || exit 1
shift
INTERVAL=2 # seconds between two rounds, and the patience with one answer
MISSES=3
declare -A missed

# Fails only when the port is open and nothing comes: a closed one is a replica that starts or ends, which is supervisord's business.
answers() {
    { exec 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return 0
    printf 'GET /health/live HTTP/1.0\r\n\r\n' >&3
    IFS= read -r -t "$INTERVAL" _ <&3
    local status=$?
    exec 3>&-
    [ $status -le 128 ] # more: the time was over
}

while sleep "$INTERVAL"; do
    kill -0 $PPID 2>/dev/null || exit 0 # supervisord was killed
    for replica; do
        name=${replica%%=*}
        if answers "${replica#*=}"; then
            missed[$name]=0
            continue
        fi
        missed[$name]=$((${missed[$name]:-0} + 1))
        [ "${missed[$name]}" -ge "$MISSES" ] || continue
        missed[$name]=0
        pid=$(supervisorctl -c /proc/self/cwd/run/supervisord.conf pid "$name") || continue
        [ "$pid" -gt 1 ] || continue
        echo "$(date -u +%FT%TZ) $name (pid $pid) has not answered $MISSES times: killed"
        kill -KILL -- "-$pid"
    done
done
