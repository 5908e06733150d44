#!/usr/bin/env bash
# Puts load on the stack with k6 and says whether it met its objectives; see --help.
# shellcheck disable=SC2317 # functions that are called through others
set -euo pipefail
ROOT=$(unset CDPATH; cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=native/common.sh
. "$ROOT/native/common.sh"
# shellcheck source=native/compose.sh
. "$ROOT/native/compose.sh"
# shellcheck source=native/native.sh
. "$ROOT/native/native.sh"
# shellcheck source=native/tls.sh
. "$ROOT/native/tls.sh"

scripts() { (cd "$ROOT/k6" && printf '%s\n' *.ts | sed 's/\.ts$//' | tr '\n' ' '); }
usage() {
    cat <<EOF
k6/run.sh SCRIPT [option...]      exit code 0: every objective was met; 99: one was not
      $(scripts)
      What each asks, and its objectives: k6/README.md
      Options are k6's -o/--out, --tag, --local-ips, --log-output, --log-format, --http-debug, --insecure-skip-tls-verify, --no-color,
      -q/--quiet and -v/--verbose. Others (--vus, --duration, ...) would make it another test: for them there is k6 run.

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

# Only what leaves the test as it is. k6 has a dozen ways to replace the scenarios, to leave out the setup or the objectives, or to send
# less; each would "meet" objectives of work that was never done.
arguments=(run --address= --tag "script=$script") # no server of k6's own
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        -o | --out | --tag | --local-ips | --log-output | --log-format)
            [ $# -gt 1 ] || die "$1 needs a value (see k6/run.sh --help)"
            arguments+=("$1" "$2"); shift ;;
        -o?* | --out=* | --tag=* | --local-ips=* | --log-output=* | --log-format=* | --http-debug | --http-debug=* | \
            --insecure-skip-tls-verify | --no-color | -q | --quiet | -v | --verbose) arguments+=("$1") ;;
        *) die "k6's $1 would make $script another test than its objectives are for (see k6/run.sh --help; or run k6 itself)" ;;
    esac
    shift
done
# The same in the environment, by the names in k6's lib/options.go and internal/cmd.
for name in $(compgen -e); do
    case $name in
        K6_VUS | K6_DURATION | K6_ITERATIONS | K6_STAGES | K6_SCENARIOS | K6_EXECUTION_SEGMENT* | K6_PAUSED | K6_LINGER | K6_CONFIG | K6_TYPE | \
            K6_NO_SETUP | K6_NO_TEARDOWN | K6_SETUP_TIMEOUT | K6_TEARDOWN_TIMEOUT | K6_THRESHOLDS | K6_NO_THRESHOLDS | K6_RPS | K6_THROW | \
            K6_MIN_ITERATION_DURATION | K6_BATCH | K6_BATCH_PER_HOST | K6_MAX_REDIRECTS | K6_NO_CONNECTION_REUSE | K6_NO_VU_CONNECTION_REUSE | \
            K6_NO_COOKIES_RESET | K6_DISCARD_RESPONSE_BODIES | K6_BLACKLIST_IPS | K6_BLOCK_HOSTNAMES | K6_HOSTS | K6_SYSTEM_TAGS | K6_NO_SUMMARY | \
            K6_SUMMARY_* | K6_NEW_MACHINE_READABLE_SUMMARY | K6_INCLUDE_SYSTEM_ENV_VARS | K6_COMPATIBILITY_MODE)
            [ -z "${!name}" ] || die "$name in the environment would make $script another test than its objectives are for: unset it" ;;
    esac
done

# --- signals: one of them ends the run, wherever it is ------------------------------------------------------------------

child='' killer='' timer='' ended='' said='' WITH='' container=''
clean_up() {
    local group
    [ -z "$said" ] || rm -f "$said"
    [ "$WITH" != container ] || "$ENGINE" rm -f "$container" >/dev/null 2>&1 || true # it removes itself, unless `compose run` was ended before it
    for group in $child $killer $timer; do kill -TERM -- "-$group" 2>/dev/null || true; done
}
on_signal() {
    ended=SIG$1
    [ -n "$child" ] || die "ended by $ended before k6 had begun"
    warn "$ended: ending the run"
    # `compose run` would leave the container running.
    if ! { [ "$WITH" = container ] && "$ENGINE" stop -t 20 "$container" >/dev/null 2>&1; }; then kill -TERM -- "-$child" 2>/dev/null || true; fi
    [ -n "$timer" ] || { in_group give_up >/dev/null 2>&1; timer=$!; }
}
give_up() { sleep 20; kill -KILL -- "-$child"; } # k6 ends its users at once, but then cleans up, by way of an API that may hang
trap clean_up EXIT
trap 'on_signal TERM' TERM
trap 'on_signal INT' INT
trap 'on_signal HUP' HUP

# in_group COMMAND...: in the background and in a process group of its own. Bash handles a signal only after a command in the foreground;
# and what a terminal sends to all would reach k6 twice, which at the second gives up its summary too.
in_group() { set -m; "$@" </dev/null & set +m; }
# until_done COMMAND...: sets code
until_done() {
    in_group "$@"; child=$!
    while code=0; wait "$child" || code=$?; kill -0 "$child" 2>/dev/null; do :; done
    # It may have ended while its signal was handled: then code is what interrupted the first `wait`.
    if [ -n "$ended" ]; then wait "$child" 2>/dev/null || { last=$?; [ "$last" = 127 ] || code=$last; }; fi
    child=''
}

find_running
container=$PROJECT-k6-$$
BUDGET=$LAST_BUDGET
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
    rinha) own_stack "needs the five clients" ;;
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
{ mkdir -p "$RESULTS" && [ -w "$RESULTS" ]; } || die "RESULTS=$RESULTS: no folder that can be written into"
RESULTS=$(cd "$RESULTS" && pwd -P)
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

if [ "$WITH" = k6 ]; then
    here=$ROOT/k6
    run_k6() { exec k6 "$@"; } # which then gets the signals itself
else
    here=/k6
    docker_prepare
    K6_USER=$(id -u):$(id -g); export K6_USER
    run_k6() { compose run --rm --no-deps -T --name "$container" k6 "$@"; }
fi
# Not what is in the home of whoever runs it, which replaces the scenarios too.
arguments+=(--config "$here/lib/config.json")

# Whatever k6 does not understand, in the script's variables or in options and outputs, is found out before anything is deleted or killed.
dry_run() {
    (run_k6 inspect --include-system-env-vars "$here/$script.ts" >/dev/null) &&
        K6_WEB_DASHBOARD=false run_k6 "${arguments[@]}" --quiet - <<<'export default () => {}; export const handleSummary = () => ({});'
}
said=$RESULTS/dry-run.log
until_done dry_run >"$said" 2>&1
[ -z "$ended" ] || die "ended by $ended before k6 had begun"
[ "$code" = 0 ] || { cat "$said" >&2; die "k6 refuses this (above); nothing was changed"; }

rm -f "$RESULTS"/{summary.json,summary.md,report.html,kills.txt} # of the run before
if [ "$script" = rinha ]; then
    say "The five clients of the Rinha (/clientes/1 to 5) begin anew: their transactions are deleted."
    until_done "$ROOT/start.sh" seed --reset >/dev/null
    [ -z "$ended" ] || die "ended by $ended before k6 had begun"
    [ "$code" = 0 ] || die "the five clients could not be set back"
fi

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
if [ "$script" = failover ]; then in_group kill_replicas; killer=$!; fi

if [ "$WITH" = container ] || [ ! -t 1 ]; then arguments+=(--quiet); fi
until_done run_k6 "${arguments[@]}" "$here/$script.ts"
trap '' TERM INT HUP # what is left takes no time
[ -e "$RESULTS/summary.md" ] || die "k6 ended with $code and left no summary"
case $code in
    0 | 99) ;;
    *)
        warn "k6 ended with $code, before its time."
        { printf '**k6 ended with %s, before its time.** The figures are those until then.\n\n' "$code"; cat "$RESULTS/summary.md"; } >"$RESULTS/summary.new"
        mv "$RESULTS/summary.new" "$RESULTS/summary.md" ;;
esac
if [ "$code" = 0 ] && ! head -n 1 "$RESULTS/summary.md" | grep -q ': passed$'; then code=99; fi # of no samples k6's own objectives are met
[ -z "$ended" ] || [ "$code" != 0 ] || code=130
[ -e "$RESULTS/report.html" ] || say "The run was too short for a page with charts."
say "Summary: $RESULTS"
[ "$script" != failover ] || [ -n "$ended" ] || [ -e "$RESULTS/kills.txt" ] ||
    die "no replica was killed, so the run says nothing: it was shorter than KILL_EVERY=$KILL_EVERY s"
exit "$code"
