#!/usr/bin/env bash
# Starts the stack and looks after it; see --help. The work is in native/compose.sh and native/native.sh.
set -euo pipefail
ROOT=$(unset CDPATH; cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=native/common.sh
. "$ROOT/native/common.sh"
# shellcheck source=native/packages.sh
. "$ROOT/native/packages.sh"
# shellcheck source=native/tls.sh
. "$ROOT/native/tls.sh"
# shellcheck source=native/compose.sh
. "$ROOT/native/compose.sh"
# shellcheck source=native/native.sh
. "$ROOT/native/native.sh"
# shellcheck source=native/database.sh
. "$ROOT/native/database.sh"

usage() {
    cat <<'EOF'
./start.sh [up] [--replicas N] [--docker | --native] [--rolling] [--dev] [--budget]
      Starts the whole stack, or brings a running one up to date with .env and the sources. Safe to repeat.
      --replicas N   run N replicas (1 to 16) from now on; kept in .env
      --docker       use Docker, or Podman with docker-compose      (default: the way used last; at first
      --native       plain processes on this machine                 Docker if it answers, else native)
      --rolling      replace the replicas of a running stack one at a time (new code, new settings), so that no request fails
      --dev          replicas run from backend/src and restart when a file changes; a start without it ends that
      --budget       (Docker) all that serves within 1.5 CPUs and 550 MB, without monitoring; a start without it ends that
./start.sh status               state of each service; exit code 0 when all are healthy
./start.sh logs [service] [-f] [--all]
                                the last 100 lines, or all of them; -f goes on
./start.sh restart [service...] restart some services, or all
./start.sh kill <backend-N>     kill a replica without warning, to watch the others take over; it comes back by itself
./start.sh rebuild              build again and replace the replicas, one after the other
./start.sh seed [--reset]       the five clients of the Rinha load test (/clientes/1 to 5); --reset deletes their
                                transactions and sets their balances to 0
./start.sh backup <file> [argument of pg_dump...]
                                writes the database to a file, while everything runs; the file must not exist yet
./start.sh restore <file>       puts the database back as it was in the file, or changes nothing: what was written since is lost. The API
                                is away for some seconds
./start.sh upgrade              takes the database over to another major version of PostgreSQL: that of POSTGRES_IMAGE, or natively the newest
                                that is installed. The old data is kept. The API is away meanwhile
./start.sh shell <service> [argument...]
                                postgres: psql; redis: redis-cli; backend-N, migrate: a shell with the service's
                                environment; others: a shell, if they have one
./stop.sh [--volumes]           stop; data stays unless --volumes is given

Services: nginx, backend-1 ... backend-N, watchdog (native only), postgres, redis, migrate, prometheus, nginx-exporter, redis-exporter,
postgres-exporter, node-exporter, grafana (Docker only). Settings: .env (explained in .env.example).
EOF
}

COMMAND='' WANTED_WAY='' WANTED_REPLICAS='' WANTED_DEV=0 WANTED_BUDGET=0 ROLLING=0 STARTED=0 arguments=()
# Seconds: Nginx passes a replica that was away over for two (fail_timeout); two more for it to be used again.
ROLLING_PAUSE=4
while [ $# -gt 0 ]; do
    case $COMMAND in shell | backup) arguments=("$@"); break ;; esac # the rest belongs to psql, redis-cli, the shell or pg_dump
    case $1 in
        -h | --help) usage; exit 0 ;;
        --docker | --native) WANTED_WAY=${1#--} ;;
        --dev) WANTED_DEV=1 ;;
        --budget) WANTED_BUDGET=1 ;;
        --rolling) ROLLING=1 ;;
        --replicas) WANTED_REPLICAS=${2:-none}; [ $# -eq 1 ] || shift ;;
        --replicas=*) WANTED_REPLICAS=${1#*=} ;;
        up | status | logs | restart | kill | rebuild | seed | backup | restore | upgrade | shell)
            [ -z "$COMMAND" ] || die "one command at a time: $COMMAND or $1?"
            COMMAND=$1 ;;
        *)
            case $COMMAND in logs | restart | kill | seed | restore) arguments+=("$1") ;; *) die "unknown argument: $1 (see ./start.sh --help)" ;; esac ;;
    esac
    shift
done
COMMAND=${COMMAND:-up}
[ -z "$WANTED_REPLICAS" ] || valid_replicas "$WANTED_REPLICAS" || die "--replicas takes a number from 1 to 16"
case $COMMAND$WANTED_REPLICAS$WANTED_DEV$WANTED_BUDGET$ROLLING in up* | "$COMMAND"000) ;; *) die "--replicas, --rolling, --dev and --budget belong to ./start.sh up" ;; esac

# Whatever ends a start early, what it had started is stopped; a stack that ran before is left alone.
on_exit() { # as reason
    local code=$1
    trap - EXIT INT TERM
    reason "$@"
    if [ "$STARTED" = 1 ]; then
        if [ -n "$RUNNING" ]; then
            warn "The stack that was running was not stopped; look at it with ./start.sh status"
        else
            warn "Stopping what was started."
            "${WAY}_down" || true
        fi
        [ "$code" != 0 ] || code=1
    fi
    exit "$code"
}
fingerprint() { # of everything that a start depends on
    {
        echo "$WAY $DEV $BUDGET"
        for name in $(setting_names); do echo "$name=${!name}"; done
        source_checksum
        [ "$TLS" = off ] || cat "$TLS_FOLDER/cert.pem"
        checksum_files backend/healthcheck.sh nginx native monitoring docker-compose.yml docker-compose.budget.yml start.sh
    } | checksum
}
print_states() { # fails when something is not healthy
    SAID=1
    awk '{ printf "  %-18s %s %s\n", $1, $2, $3; if ($2 != "healthy" && $2 != "done") bad = 1 } END { exit bad }' <<<"$("${WAY}_states")"
}

mkdir -p "$DATA/logs"
case $COMMAND in up | restart | rebuild | restore | upgrade) lock ;; esac
choose_way
if [ "$COMMAND" = up ]; then
    [ "$WAY$WANTED_WAY$LAST_WAY" != native ] || ! command -v docker >/dev/null || say "Docker is here but does not answer: starting natively."
    make_env
    DEV=$WANTED_DEV BUDGET=$WANTED_BUDGET
else
    DEV=$LAST_DEV BUDGET=$LAST_BUDGET
    [ -n "$RUNNING" ] || [ "$COMMAND$WAY" = upgradedocker ] || { warn "The stack is not running: ./start.sh"; exit 1; } # there its new image may be what keeps it from starting
fi
read_env
case $BUDGET$WAY$REPLICAS in 0* | 1docker2) ;; *) die "--budget needs Docker, whose limits it sets, and two replicas" ;; esac
[ "$COMMAND" != up ] || tls_prepare
"${WAY}_prepare"
if [ "$COMMAND" = seed ]; then
    case ${arguments[*]-} in '' | --reset) ;; *) die "seed takes --reset, or nothing" ;; esac
elif [ "$COMMAND" = backup ]; then
    case ${arguments[0]-} in '' | -*) die "backup takes the name of a file" ;; esac
    [ ! -e "${arguments[0]}" ] || die "${arguments[0]} exists already"
elif [ "$COMMAND" = restore ]; then
    if [ ${#arguments[@]} != 1 ] || [ ! -f "${arguments[0]}" ] || [ ! -r "${arguments[0]}" ]; then die "restore takes a file that backup made"; fi
elif [ "$COMMAND" != up ] && [ ${#arguments[@]} -gt 0 ]; then
    for service in "${arguments[@]}"; do
        case $COMMAND$service in logs-f | logs--all) continue ;; esac
        "${WAY}_services" | grep -Fx -e "$service" >/dev/null || die "no such service: $service. There are: $("${WAY}_services" | tr '\n' ' ')"
        [ "$COMMAND" != shell ] || break
    done
fi

case $COMMAND in
    up)
        now=$(fingerprint)
        if [ "$ROLLING" = 0 ] && [ -n "$RUNNING" ] && [ "$(cat "$DATA/fingerprint" 2>/dev/null)" = "$now" ] && print_states >/dev/null; then
            say "Already running, nothing to change."
            print_urls
            exit 0
        fi
        say "Starting $REPLICAS replicas ($([ "$WAY" = docker ] && echo "$ENGINE" || echo native))."
        trap 'on_exit $? "$BASH_COMMAND"' EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM
        rm -f "$DATA/fingerprint"
        "${WAY}_up"
        say_reason
        [ -z "$WANTED_REPLICAS" ] || set_env REPLICAS "$WANTED_REPLICAS" # only now: a start that was refused changes nothing
        write_state
        echo "$now" >"$DATA/fingerprint" # of what was started: a source may have changed meanwhile
        print_urls ;;
    status) print_states ;;
    kill)
        case ${arguments[*]-} in backend-[0-9] | backend-1[0-6]) ;; *) die "which replica? $(backends | tr '\n' ' ')" ;; esac
        "${WAY}_kill" "${arguments[0]}" || die "${arguments[0]} could not be killed: see ./start.sh status"
        say "${arguments[0]} was killed; ./start.sh status shows it coming back" ;;
    backup)
        backup_database "${arguments[@]}" ;;
    restore)
        restore_database "${arguments[0]}"
        write_state
        say "Restored from ${arguments[0]}." ;;
    upgrade)
        rm -f "$DATA/fingerprint"
        "${WAY}_upgrade"
        write_state
        print_urls ;;
    seed)
        [ ${#arguments[@]} = 0 ] || say "Deleting the transactions of the clients 1 to 5 in the database of $(clone_name)."
        "${WAY}_seed" ${arguments[@]+"${arguments[@]}"} ;;
    shell)
        [ ${#arguments[@]} -gt 0 ] || die "which service? $("${WAY}_services" | tr '\n' ' ')"
        SAID=1 # its code is that of what was typed there
        "${WAY}_shell" "${arguments[@]}" ;;
    *) "${WAY}_$COMMAND" ${arguments[@]+"${arguments[@]}"} ;;
esac
