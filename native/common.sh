# shellcheck shell=bash disable=SC2034,SC2015 # variables for the scripts that source this; `a && b || die`
# What start.sh, stop.sh and both ways (Docker, native) share. Written for bash 3.2, which macOS has. Always `return 0`, never a bare
# `return`: what runs in a trap would return the status from before it.
# ROOT is the clone; everything that a run makes is under $ROOT/.data, which git ignores.
# The caller's environment must not change what the scripts do: options of bash, libpq's variables (a restore would go elsewhere), npm's (an
# installation without its development packages), Compose's (another project). Which Docker engine, and npm's registry and proxy, stay
# the caller's choice, and so do settings by the names of .env.example.
clean_environment() {
    local name
    for name in $(compgen -A function); do [ "$name" = clean_environment ] || unset -f "$name"; done # exported ones, first of all
    set +o allexport +o noclobber +o noglob +o posix
    shopt -u nullglob failglob dotglob nocaseglob nocasematch
    for name in $(compgen -e); do
        case $name in
            COMPOSE_PROFILES | PGADMIN_*) ;;
            npm_config_registry | npm_config_*proxy | npm_config_ca | npm_config_cafile | npm_config_strict_ssl | npm_config_cache | npm_config_*userconfig | npm_config_//*) ;;
            NPM_CONFIG_REGISTRY | NPM_CONFIG_*PROXY | NPM_CONFIG_CA | NPM_CONFIG_CAFILE | NPM_CONFIG_STRICT_SSL | NPM_CONFIG_CACHE | NPM_CONFIG_*USERCONFIG) ;;
            CDPATH | BASH_ENV | ENV | GREP_* | POSIXLY_CORRECT | NODE_ENV | NODE_OPTIONS | NODE_PATH | PG* | COMPOSE_* | npm_* | NPM_CONFIG_*) unset "$name" ;;
        esac
    done
    export LC_ALL=C HOME=${HOME:-/}
    [ -w "${TMPDIR:-/tmp}" ] || unset TMPDIR
    umask 022 # what the servers' users must read; a file with a secret in it is made under 077
}
clean_environment

DATA=$(cd -P "$ROOT/.data" 2>/dev/null && pwd || echo "$ROOT/.data") # it may be a link, to a larger disk

SAID='' # whether a sentence says why this ends
say() { printf '%s\n' "$*"; }
warn() { SAID=1; printf '%s\n' "$*" >&2; }
die() { warn "error: $*"; exit $((BASH_SUBSHELL > 0 ? 117 : 1)); } # 117: the shell around it need not say it again
# Nothing ends without a reason: a command that `set -e` ends us for is named. For a trap of EXIT, which passes on what it ends with.
reason() { # CODE COMMAND
    case $1 in 0 | 117 | 129 | 130 | 143) return 0 ;; esac # no failure, or said, or a signal
    [ -n "$SAID" ] || warn "error: $(basename "$0") ended with $1, for: $2"
}
say_reason() { trap 'reason $? "$BASH_COMMAND"' EXIT; }
say_reason

# What the configuration of supervisord or Compose, or a list of folders, would take for something else.
case "$ROOT $DATA" in
    *[\"\\:]* | *' ;'* | *' #'* | *$'\n'* | *$'\t'*) die "this clone's path has a quote, a backslash, a colon, a line end, a tab, or a blank before ; or #, which the programs' configuration cannot hold: move it. It is $ROOT, its data $DATA" ;;
esac

# within SECONDS COMMAND...: ends it, with the code 124, when it takes longer. (macOS has no `timeout`, and it runs no function.)
within() {
    local seconds=$1 pid watcher code=0; shift
    set -m; "$@" </dev/null 9>&- & pid=$!; set +m # a process group of its own, to be ended with what it has started
    # USR1, because in a trap TERM is ignored
    (trap 'kill -KILL "${timer:-}"; exit 0' USR1; sleep "$seconds" & timer=$!; wait "$timer"; kill -KILL -- "-$pid") >/dev/null 2>&1 9>&- & watcher=$!
    wait "$pid" 2>/dev/null || code=$?
    kill -USR1 "$watcher" 2>/dev/null || true
    wait "$watcher" 2>/dev/null || true
    [ $code != 137 ] || code=124
    return $code
}

# step LABEL COMMAND...: its output goes to a log and is shown only when it fails.
step() {
    local label=$1 log=$DATA/logs/start.log; shift
    printf '  %-44s' "$label"
    if ("$@") >"$log" 2>&1; then say "done"; return 0; fi # in a shell of its own: what ends this one is told on the screen, not in the log
    say failed; tail -n 25 "$log" >&2
    die "$label: failed (whole output: $log)"
}

checksum() { cksum | cut -d' ' -f1; } # of stdin: to see a change, not to withstand an attacker
checksum_files() { (cd "$ROOT" && find "$@" -type f | LC_ALL=C sort | tr '\n' '\0' | xargs -0 cksum) | checksum; }
source_checksum() { checksum_files backend/src backend/package.json backend/package-lock.json backend/tsconfig*.json backend/Dockerfile; }

# program_file NAME: one of the backend's programs, built or, with --dev, as it is written.
program_file() { if [ "$DEV" = 0 ]; then echo "dist/$1.js"; else echo "src/$1.ts"; fi; }
# What a migration says while it waits for another session's lock, from its log on stdin.
waiting_lines() { sed -nu 's/.*"level":"warn".*"message":"\(.*\)"}$/  migrate: \1/p'; }

# --- npm ------------------------------------------------------------------------------------------------------------

NODE=$ROOT/backend/node_modules/.bin/node # from the npm package `node`: the same major everywhere, whatever the machine has
require_npm() { command -v npm >/dev/null || die "npm is missing: install Node.js 20 or newer, which brings it"; }
install_dependencies() {
    local lock=$ROOT/backend/node_modules/.package-lock.json # npm writes it when an installation is complete
    require_npm
    if [ ! "$lock" -nt "$ROOT/backend/package-lock.json" ] || [ ! -x "$NODE" ] || [ ! -e "$ROOT/backend/node_modules/.bin/tsc" ]; then
        step 'installing npm packages (and Node 24)' npm --prefix "$ROOT/backend" ci --no-audit
    fi
    "$NODE" --version >/dev/null 2>&1 || die 'the Node of the npm package "node" does not run: remove backend/node_modules and try again'
}

console_npm() { PATH="$(dirname "$NODE"):$PATH" npm --prefix "$ROOT/frontend" "$@"; }
console_dependencies() {
    local lock=$ROOT/frontend/node_modules/.package-lock.json
    [ "$lock" -nt "$ROOT/frontend/package-lock.json" ] || step 'installing npm packages of the console' console_npm ci --no-audit
}
# The console as static files, frontend/dist. Needs install_dependencies: it is built by the replicas' Node.
console_build() {
    local sum
    sum=$(checksum_files frontend/src frontend/public frontend/index.html frontend/package-lock.json frontend/vite.config.ts)
    [ ! -e "$ROOT/frontend/dist/index.html" ] || [ "$(cat "$DATA/console" 2>/dev/null)" != "$sum" ] || return 0
    console_dependencies
    step 'building the console' console_npm run build
    echo "$sum" >"$DATA/console"
}

# shellcheck source=native/settings.sh
. "$ROOT/native/settings.sh"

valid_replicas() { case $1 in [1-9] | 1[0-6]) ;; *) return 1 ;; esac; }
backends() { local i; for ((i = 1; i <= REPLICAS; i++)); do echo "backend-$i"; done; }

# --- what was started last: the way, and whether with --dev or --budget -------------------------------------------------

read_state() {
    LAST_WAY='' LAST_DEV=0 LAST_BUDGET=0 LAST_ROOT='' LAST_PROJECT='' LAST_IMAGE=''
    [ ! -r "$DATA/state" ] || { read -r LAST_WAY LAST_DEV LAST_BUDGET; IFS= read -r LAST_ROOT; read -r LAST_PROJECT LAST_IMAGE; } <"$DATA/state" || true
    LAST_BUDGET=${LAST_BUDGET:-0} # a state that an older version wrote
}
# The folder as well: a copy of this clone must not take itself for it.
write_state() { printf '%s\n' "$WAY $DEV $BUDGET" "$ROOT" "${PROJECT:-$LAST_PROJECT} $([ "$WAY" = docker ] && echo "$POSTGRES_IMAGE" || echo "$LAST_IMAGE")" >"$DATA/state"; }

# Sets RUNNING to the way that runs now or to nothing. A Docker engine is asked last, and never for a native stack: it may hang.
find_running() {
    read_state
    ENGINE='' RUNNING='' PROJECT=$LAST_PROJECT
    if native_is_running; then RUNNING=native; return 0; fi
    [ "${WANTED_WAY:-$LAST_WAY}" != native ] || [ "$LAST_WAY" = docker ] || return 0
    find_engine
    find_project
    [ -z "$ENGINE" ] || check_project
    if docker_is_running; then RUNNING=docker; fi
}
# Sets WAY too. Never switches silently: each way has its own data.
choose_way() {
    find_running
    WAY=${WANTED_WAY:-${RUNNING:-${LAST_WAY:-$([ -n "$ENGINE" ] && echo docker || echo native)}}}
    [ -z "$RUNNING" ] || [ "$WAY" = "$RUNNING" ] || die "the stack is running the other way ($RUNNING): stop it first with ./stop.sh, then ./start.sh --$WAY"
    [ "$WAY" = native ] || [ -n "$ENGINE" ] ||
        die "no Docker (or Podman with Compose) answers here: start it, or use ./start.sh --native, which has data of its own"
}
# Whose data a command is about to change, for what it says before it does.
clone_name() { if [ "$WAY" = docker ]; then echo "the clone $ROOT (Docker${PROJECT:+, project $PROJECT})"; else echo "the clone $ROOT (native)"; fi; }

# Two runs at once would undo each other's work. (macOS has no flock; there this is left to the user.)
lock() {
    mkdir -p "$DATA/logs"
    command -v flock >/dev/null || return 0
    exec 9>>"$DATA/lock"
    flock -n 9 || die "another run is at work in this clone: $(cat "$DATA/lock")"
    echo "$(basename "$0") ${COMMAND:-} (pid $$, since $(date +%T))" >"$DATA/lock"
}

# --- monitoring -------------------------------------------------------------------------------------------------------

# Both read `job instance address` lines, one for each thing that Prometheus scrapes, and write them as its file_sd has it.
targets_json() {
    awk 'BEGIN { printf "[" }
        { printf "%s\n  {\"targets\": [\"%s\"], \"labels\": {\"job\": \"%s\", \"instance\": \"%s\"}}", (NR == 1 ? "" : ","), $3, $1, $2 }
        END { print "\n]" }'
}
write_targets() { # FOLDER, which Prometheus watches: so in one step
    mkdir -p "$1"
    targets_json >"$1/tandem.new"
    chmod 755 "$1"; chmod 644 "$1/tandem.new" # whatever the umask: Prometheus is another user
    mv "$1/tandem.new" "$1/tandem.json"
}

# --- ports ------------------------------------------------------------------------------------------------------------

# port_pids PORT: the processes that listen on it; `?` for one that cannot be seen; nothing when it is free.
port_pids() {
    local inodes inode pids pid
    if [ -r /proc/net/tcp ]; then
        inodes=$(awk -v port="$(printf ':%04X' "$1")" '$4 == "0A" && substr($2, length($2) - 4) == port { print $10 }' /proc/net/tcp /proc/net/tcp6 2>/dev/null) || true
        for inode in $inodes; do
            pids=$(find /proc/[0-9]*/fd -lname "socket:\[$inode\]" 2>/dev/null | cut -d/ -f3 | sort -u) || true
            for pid in ${pids:-?}; do echo "$pid"; done
        done
    elif command -v lsof >/dev/null; then
        lsof -nP -t -iTCP:"$1" -sTCP:LISTEN || true
    elif (: </dev/tcp/127.0.0.1/"$1") 2>/dev/null; then
        echo '?'
    fi
}

# check_ports IS_OURS: reads `PORT VARIABLE` lines; IS_OURS PORT PID says that the listener belongs to this stack.
check_ports() {
    local is_ours=$1 port variable pid name problems='' seen=' '
    while read -r port variable; do
        [ "$port" -ge 1 ] && [ "$port" -le 65535 ] || die "port $port is out of range: change $variable in .env"
        case $seen in *" $port "*) die "port $port is wanted twice: change $variable in .env" ;; esac
        seen="$seen$port "
        for pid in $(port_pids "$port"); do
            "$is_ours" "$port" "$pid" && continue
            name=$(port_owner "$port" "$pid")
            case $variable in
                PROMETHEUS_PORT | GRAFANA_PORT | EXPORTER_PORT_BASE) warn "  port $port is in use by $name: what helps to watch will lack a part, until $variable in .env is another" ;;
                *) problems="$problems"$'\n'"  port $port is in use by $name: free it, or change $variable in .env" ;;
            esac
            break
        done
    done
    [ -z "$problems" ] || die "cannot start:$problems"
}
port_owner() {
    local container=''
    [ -z "${ENGINE:-}" ] || container=$(ask_engine ps --filter "publish=$1" --format '{{.Names}}' 2>/dev/null | head -n 1) || true
    if [ -n "$container" ]; then echo "the container $container"
    elif [ "$2" = '?' ]; then echo "another user's process"
    else echo "$(ps -o comm= -p "$2" 2>/dev/null || cat "/proc/$2/comm" 2>/dev/null || echo a process) (pid $2)"; fi
}

edge_url() {
    local url=http://localhost:$HTTP_PORT
    [ "$TLS" = off ] || url=https://localhost:$HTTPS_PORT
    case $url in http://*:80 | https://*:443) url=${url%:*} ;; esac
    echo "$url"
}
print_urls() {
    local base i debug=''
    base=$(edge_url)
    for ((i = 1; i <= REPLICAS; i++)); do debug="$debug http://localhost:$((DEBUG_PORT_BASE + i))"; done
    say "Ready ($WAY$([ "$DEV" = 0 ] || echo ', reloading on change')$([ "$BUDGET" = 0 ] || echo ', within 1.5 CPUs and 550 MB')):"
    say "  console     $base/   in a browser"
    say "  API         $base   documentation: $base/docs"
    say "  replicas   $debug   (debug ports: /metrics, /health/ready)"
    case ,${COMPOSE_PROFILES:-}, in *,pgadmin,*) [ "$WAY" = native ] || say "  pgAdmin     http://localhost:$PGADMIN_PORT" ;; esac
    [ "$BUDGET" = 0 ] || return 0
    say "  Prometheus  http://localhost:$PROMETHEUS_PORT$([ "$WAY" = docker ] || echo /classic)/alerts   what they mean: docs/operations.md"
    [ "$WAY" = native ] || say "  Grafana     http://localhost:$GRAFANA_PORT   dashboards; user admin, password: GRAFANA_PASSWORD in .env"
}
