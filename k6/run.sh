#!/usr/bin/env bash
# Puts load on the stack with k6 and says whether it met its objectives; see --help.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=native/common.sh
. "$ROOT/native/common.sh"
# shellcheck source=native/compose.sh
. "$ROOT/native/compose.sh"
# shellcheck source=native/native.sh
. "$ROOT/native/native.sh"

scripts() { (cd "$ROOT/k6" && printf '%s\n' *.ts | sed 's/\.ts$//' | tr '\n' ' '); }
usage() {
    cat <<EOF
k6/run.sh SCRIPT [k6 argument...]      exit code 0: every objective was met; 99: one was not
      $(scripts)
      What each asks, and its objectives: k6/README.md

Uses k6 on the PATH, else the container of the compose profile k6. The summary (JSON, Markdown, a page with charts) goes to
.data/k6/SCRIPT. Variables:
  API_BASE                        where the API answers      (this clone's stack)
  TIME_SCALE                      0.1: a tenth as long, to try a script        (1)
  RESULTS                         the folder of the summary  (.data/k6/SCRIPT)
  KILL_EVERY                      failover: seconds between two kills          (10)
  REPLICA_URLS                    soak: the replicas' debug ports, with API_BASE
  ADMIN_TOKEN                     smoke: that of another stack, with API_BASE
  K6_OUT                          where k6 sends its figures (Prometheus, when it is up); of a file, the container writes
                                  into RESULTS only: csv=/results/run.csv
  K6_PROMETHEUS_RW_SERVER_URL     of its remote write        (this clone's stack)
  K6_PROMETHEUS_RW_TREND_STATS    what it sends of durations (p(50),p(95),p(99), which the dashboard k6 draws)
EOF
}

script=${1:-}
case $script in
    '') usage >&2; exit 2 ;;
    -h | --help) usage; exit 0 ;;
    */* | '.'*) die "a name, not a path: $(scripts)" ;;
esac
shift
[ -e "$ROOT/k6/$script.ts" ] || die "no such script: $script. There are: $(scripts)"

find_engine
read_state
BUDGET=$LAST_BUDGET
if native_is_running; then RUNNING=native; elif docker_is_running; then RUNNING=docker; else RUNNING=''; fi
[ -n "$RUNNING" ] || [ -n "${API_BASE:-}" ] || die "the stack is not running: ./start.sh, or set API_BASE"
given_token=${ADMIN_TOKEN:-}
if [ -n "$RUNNING" ]; then read_env; else for name in HTTP_PORT TLS HTTPS_PORT PROMETHEUS_PORT K6_IMAGE; do printf -v "$name" '%s' "$(value_of "$name")"; done; fi
[ -z "${API_BASE:-}" ] || ADMIN_TOKEN=$given_token # this clone's secret is not for another stack
case ${KILL_EVERY:=10} in *[!0-9]* | 0*) die "KILL_EVERY=$KILL_EVERY: whole seconds" ;; esac

if command -v k6 >/dev/null; then
    case $(k6 version 2>/dev/null) in "k6 v0."*) die "k6 on the PATH is older than 1.0, which cannot run TypeScript: $(k6 version)" ;; esac
    WITH=k6
elif [ "$RUNNING" = docker ]; then
    WITH=container
else
    die "k6 is not on the PATH$([ "$RUNNING" != native ] || echo ', and its container reaches only a stack that runs in Docker').
Get it from https://grafana.com/docs/k6/latest/set-up/install-k6/ or, with Go: go install go.k6.io/k6@v${K6_IMAGE##*:}"
fi

# own_stack WHAT: some scripts do more than send requests.
own_stack() { if [ -z "$RUNNING" ] || [ -n "${API_BASE:-}" ]; then die "$script $1 of this clone's stack: start it, and leave API_BASE alone"; fi; }
case $script in
    rinha)
        own_stack "needs the five clients"
        say "The five clients of the Rinha (/clientes/1 to 5) begin anew: their transactions are deleted."
        "$ROOT/start.sh" seed --reset >/dev/null ;;
    failover) own_stack "kills replicas" ;;
    soak) [ -z "${API_BASE:-}" ] || [ -n "${REPLICA_URLS:-}" ] || die "soak watches the replicas: set REPLICA_URLS too" ;;
esac

# Of this clone's stack, whose certificate may be self-signed.
if [ "$TLS" = on ] && [ -z "${API_BASE:-}" ]; then export K6_INSECURE_SKIP_TLS_VERIFY=true; fi

# Where things are, as seen from where k6 runs.
if [ "$WITH" = k6 ]; then
    edge=$(edge_url)
    prometheus=http://localhost:$PROMETHEUS_PORT
    has_prometheus() { (: <"/dev/tcp/127.0.0.1/$PROMETHEUS_PORT") 2>/dev/null; }
    replica() { echo "http://localhost:$((DEBUG_PORT_BASE + $1))"; }
else
    edge=http://nginx:8080 prometheus=http://prometheus:9090
    [ "$TLS" = off ] || edge=https://nginx:8443
    has_prometheus() { [ -n "$(project_containers -q --filter label=com.docker.compose.service=prometheus)" ]; }
    replica() { echo "http://backend-$1:9000"; }
fi
urls=''
[ -n "${API_BASE:-}" ] || for ((i = 1; i <= REPLICAS; i++)); do urls="$urls $(replica "$i")"; done

RESULTS=${RESULTS:-$DATA/k6/$script}
mkdir -p "$RESULTS"
RESULTS=$(cd "$RESULTS" && pwd -P)
rm -f "$RESULTS"/{summary.json,summary.md,report.html,kills.txt} # of the run before
export RESULTS SCRIPT=$script API_BASE=${API_BASE:-$edge} REPLICA_URLS=${REPLICA_URLS:-$urls} ADMIN_TOKEN TIME_SCALE=${TIME_SCALE:-}
[ -n "${K6_OUT+set}" ] || ! { has_prometheus || [ -n "${K6_PROMETHEUS_RW_SERVER_URL:-}" ]; } || K6_OUT=experimental-prometheus-rw
export K6_OUT=${K6_OUT:-} # empty: nowhere
export K6_PROMETHEUS_RW_SERVER_URL=${K6_PROMETHEUS_RW_SERVER_URL:-$prometheus/api/v1/write}
export K6_PROMETHEUS_RW_TREND_STATS=${K6_PROMETHEUS_RW_TREND_STATS:-p(50),p(95),p(99)}
export K6_PROMETHEUS_RW_STALE_MARKERS=${K6_PROMETHEUS_RW_STALE_MARKERS:-true} # else a run would seem to go on for five minutes
# The page with charts is k6's own, without its web server. A point in them is a period, and there must be some.
case $script in smoke) period=500ms ;; soak) period=5s ;; *) period=1s ;; esac
export K6_WEB_DASHBOARD=true K6_WEB_DASHBOARD_PORT=-1 K6_WEB_DASHBOARD_EXPORT=$RESULTS/report.html K6_WEB_DASHBOARD_PERIOD=$period
export K6_NO_USAGE_REPORT=${K6_NO_USAGE_REPORT:-true}

# Until this script ends, however it ends.
kill_replicas() {
    local n=0
    while sleep "$KILL_EVERY" >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
        n=$((n % REPLICAS + 1))
        if "$ROOT/start.sh" kill "backend-$n" >/dev/null 2>&1; then
            date +"%H:%M:%S backend-$n" >>"$RESULTS/kills.txt"; say "killed backend-$n"
        else
            warn "backend-$n could not be killed"
        fi
    done
}
killer=''
trap '[ -z "$killer" ] || kill "$killer" 2>/dev/null || true' EXIT
if [ "$script" = failover ]; then kill_replicas & killer=$!; fi

# until_done COMMAND...: sets code. In the background, because bash would handle a signal only after a command in the foreground.
# A run that is told to end early leaves a summary of what it has.
until_done() {
    local pid
    "$@" <&0 & pid=$!
    if [ "$WITH" = k6 ]; then
        trap 'kill -TERM "$pid" 2>/dev/null || true' TERM
        trap : INT # a terminal sends it to k6 too
    else
        trap '"$ENGINE" stop -t 60 "$container" >/dev/null 2>&1 || true' TERM INT # `compose run` would leave it running
    fi
    while code=0; wait "$pid" || code=$?; kill -0 "$pid" 2>/dev/null; do :; done
    trap - TERM INT
}
container=$PROJECT-k6-$$
arguments=(run --address= --tag "script=$script") # no server of k6's own
[ -t 1 ] || arguments+=(--quiet)
if [ "$WITH" = k6 ]; then
    until_done k6 "${arguments[@]}" "$@" "$ROOT/k6/$script.ts"
else
    docker_prepare
    K6_USER=$(id -u):$(id -g); export K6_USER
    until_done compose run --rm --no-deps --name "$container" k6 "${arguments[@]}" "$@" "/k6/$script.ts"
    "$ENGINE" rm -f "$container" >/dev/null 2>&1 || true # it removes itself, unless `compose run` was ended before it
fi
[ -e "$RESULTS/summary.md" ] || die "k6 ended with $code and left no summary"
case $code in
    0 | 99) ;;
    *)
        warn "k6 ended with $code, before its time."
        { printf '**k6 ended with %s, before its time.** The figures are those until then.\n\n' "$code"; cat "$RESULTS/summary.md"; } >"$RESULTS/summary.new"
        mv "$RESULTS/summary.new" "$RESULTS/summary.md" ;;
esac
[ -e "$RESULTS/report.html" ] || say "The run was too short for a page with charts."
say "Summary: $RESULTS"
[ "$script" != failover ] || [ -e "$RESULTS/kills.txt" ] || die "no replica was killed, so the run says nothing: it was shorter than KILL_EVERY=$KILL_EVERY s"
exit "$code"
