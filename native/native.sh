# shellcheck shell=bash disable=SC2034,SC2015
# The native way: the same programs as plain processes, kept alive by a supervisord of this clone's own. Nothing of the
# system's own services is used or changed.
RUN=$DATA/run             # mode 700: configuration with passwords in it
LINK=$DATA/services       # what the servers own: a folder, or a link when their users cannot reach the clone
SERVICES=$(cd -P "$LINK" 2>/dev/null && pwd || echo "$LINK")
PATH=$PATH:/usr/sbin:/sbin # an ordinary user's PATH lacks them
IS_ROOT=$([ "$(id -u)" = 0 ] && echo 1 || echo 0)

as_user() { local user=$1; shift; if [ "$IS_ROOT" = 1 ]; then (cd / && exec runuser -u "$user" -- "$@"); else (cd / && exec "$@"); fi; }
# Its configuration and socket lie in $RUN, where nothing sweeps them, and are called by a name that is short and plain whatever the clone's
# path: the kernel takes 107 bytes for a socket, and supervisord expands % and [ in names of files. So whoever uses them runs in $DATA.
HERE=/proc/self/cwd
ctl() { ask_supervisord 600 "$@"; } # to stop sixteen replicas takes minutes
ask_supervisord() { local seconds=$1; shift; (cd "$DATA" && within "$seconds" supervisorctl -c $HERE/run/supervisord.conf "$@"); }

# The process of this clone's supervisord; fails when there is none. Its pid file may be gone, or name another's process by now. Releases
# before this one started it elsewhere, with the whole path of its configuration: an upgrade must find it.
native_supervisord() {
    local file pid words old=$ROOT/.data/run/supervisord.conf
    # shellcheck disable=SC2013 # no blank in these names
    for file in $(grep -lsF -e "$HERE/run/supervisord.conf" -e "$old" /proc/[0-9]*/cmdline); do
        pid=$(basename "$(dirname "$file")")
        words=$({ tr '\0' '\n' <"$file"; } 2>/dev/null)$'\n'
        case $words in *"/supervisord"$'\n'*) ;; *) continue ;; esac
        case $words in *$'\n'"$old"$'\n'*) echo "$pid"; return 0 ;; esac
        case $(readlink "/proc/$pid/cwd") in "$DATA" | "$DATA (deleted)") echo "$pid"; return 0 ;; esac
    done
    return 1
}
native_is_running() { native_supervisord >/dev/null; }
# Whether it can be asked: a socket that was removed, or a process that was stopped, must not look like a healthy stack.
native_answers() { [ "$(native_here)" = "$DATA" ] && [[ $(ask_supervisord 10 pid 2>/dev/null) =~ ^[0-9]+$ ]]; }
native_here() { readlink "/proc/$(native_supervisord)/cwd" || true; }
native_lost() { # what is said when it does not
    local why='does not answer'
    case $(native_here) in "$DATA"*) ;; *) why='is of an earlier release' ;; esac
    echo "supervisord (pid $(native_supervisord)), which looks after this stack, $why"
}
# Processes of this clone that no supervisord looks after, because it was killed: found by the folder they run in. Each
# user is asked for its own, because root in a container may not look into another user's process.
native_orphans() {
    local user
    for user in $([ "$IS_ROOT" = 0 ] && id -un || echo root postgres redis nobody prometheus); do
        id "$user" >/dev/null 2>&1 || continue
        # shellcheck disable=SC2016 # the inner shell is to expand these
        as_user "$user" bash -c '
            for link in /proc/[0-9]*/cwd; do
                pid=${link#/proc/} pid=${pid%/cwd}
                case $(readlink "$link" 2>/dev/null) in
                    "$0"/*) case $(cat "/proc/$pid/comm" 2>/dev/null) in postgres | redis-server | nginx | prometheus*) echo "$pid" ;; esac ;;
                    # Not those of the tests or of npm run dev, which run there too.
                    "$1" | "$2"/*) ! grep -Ezqs "^SUPERVISOR_PROCESS_NAME=backend-[0-9]+$" "/proc/$pid/environ" || echo "$pid" ;;
                esac
            done' "$SERVICES" "$ROOT/backend" "$DATA/releases" &
    done
    wait
}
native_end_orphans() {
    local pid signal deadline=$((SECONDS + 30)) # as long as supervisord gives PostgreSQL
    ! native_is_running || return 0
    [ -n "$(native_orphans)" ] || return 0
    say "Ending what a supervisord that was killed left behind."
    for signal in INT TERM; do # INT: PostgreSQL then does not wait for its clients
        for pid in $(native_orphans); do kill "-$signal" "$pid" 2>/dev/null || true; done
        sleep 1
    done
    while [ -n "$(native_orphans)" ]; do
        [ $SECONDS -lt $((deadline + 10)) ] || die "these processes do not end: $(native_orphans | sort -nu | tr '\n' ' ')"
        [ $SECONDS -lt $deadline ] || for pid in $(native_orphans); do kill -KILL "$pid" 2>/dev/null || true; done # one that hangs
        sleep 0.5
    done
}
native_data_exists() { [ -e "$SERVICES/postgres/PG_VERSION" ] || [ -e "$SERVICES/postgres.upgrading" ]; }
native_prepare() {
    [ ! -e "$RUN" ] || [ -O "$RUN" ] || die "another user started this clone's stack: use the same user"
    case ${COMMAND:-up} in
        up | backup | logs | seed | shell) ;; # what needs no supervisord; above all, a backup
        *) [ "$RUNNING" != native ] || native_answers || die "$(native_lost): end the stack with ./stop.sh, then ./start.sh" ;;
    esac
    [ "${COMMAND:-}" != up ] || native_undo_upgrade
    native_find_postgres
    native_release
}
# What only watches, as far as it is installed. The API serves without it.
native_find_monitoring() {
    local name
    MONITORING=''
    for name in prometheus nginx-exporter redis-exporter postgres-exporter node-exporter; do
        ! command -v "prometheus-${name#prometheus}" >/dev/null && ! command -v "$name" >/dev/null || MONITORING="$MONITORING $name"
    done
}
native_find_monitoring
# shellcheck disable=SC2086 # one word a service
native_services() { printf '%s\n' postgres redis migrate; backends; [ "$DEV" = 1 ] || echo watchdog; printf '%s\n' nginx $MONITORING; }
exporter_port() { # of a service of MONITORING
    case $1 in
        prometheus) echo "$PROMETHEUS_PORT" ;;
        nginx-exporter) echo $((EXPORTER_PORT_BASE + 1)) ;;
        redis-exporter) echo $((EXPORTER_PORT_BASE + 2)) ;;
        postgres-exporter) echo $((EXPORTER_PORT_BASE + 3)) ;;
        node-exporter) echo $((EXPORTER_PORT_BASE + 4)) ;;
    esac
}
native_targets() {
    local i
    for ((i = 1; i <= REPLICAS; i++)); do echo "backend backend-$i 127.0.0.1:$((DEBUG_PORT_BASE + i))"; done
    echo "edge nginx 127.0.0.1:$NGINX_STATUS_PORT"
    for i in nginx redis postgres node; do echo "$i $i 127.0.0.1:$(exporter_port "$i-exporter")"; done
    echo "prometheus prometheus 127.0.0.1:$PROMETHEUS_PORT"
}

native_find_postgres() { # sets PG_BIN: of the version that made the data, else the newest
    local version='' bin
    PG_BIN=none
    version=$(cat "$SERVICES/postgres/PG_VERSION" 2>/dev/null) || true
    for bin in $(compgen -G "/usr/lib/postgresql/${version:-*}/bin" | sort -V); do PG_BIN=$bin; done
    [ "$PG_BIN" != none ] || [ -n "$version" ] || PG_BIN=$(dirname "$(command -v postgres || echo none/postgres)")
    [ -z "$version" ] || [ -x "$PG_BIN/postgres" ] || die "the data is of PostgreSQL $version, which is not installed: install postgresql-$version"
}

# Nginx knows more places than there are replicas: an absent one refuses at once and is passed over, and a replica that is
# added is found without a reload, which in Nginx before 1.27.4 can cut kept connections of clients.
native_slots() {
    local slots=4 known=0
    [ "$REPLICAS" -le $slots ] || slots=$REPLICAS
    # Fewer than the running Nginx has would be a reload too.
    ! native_is_running || known=$(($(grep -o ' backup max_fails' "$SERVICES/nginx/nginx.conf" 2>/dev/null | wc -l) / 2))
    echo $((known > slots ? known : slots))
}
native_ports() {
    local i slots
    slots=$(native_slots)
    echo "$HTTP_PORT HTTP_PORT"; echo "$NGINX_STATUS_PORT NGINX_STATUS_PORT"
    [ "$TLS" = off ] || echo "$HTTPS_PORT HTTPS_PORT"
    echo "$POSTGRES_PORT POSTGRES_PORT"; echo "$REDIS_PORT REDIS_PORT"; echo "$PROMETHEUS_PORT PROMETHEUS_PORT"
    for ((i = 1; i <= 4; i++)); do echo "$((EXPORTER_PORT_BASE + i)) EXPORTER_PORT_BASE"; done
    for ((i = 1; i <= REPLICAS; i++)); do echo "$((DEBUG_PORT_BASE + i)) DEBUG_PORT_BASE"; done
    # Also where no replica is yet: whoever listened there would get requests.
    for ((i = 1; i <= slots; i++)); do echo "$((TRAFFIC_PORT_BASE + i)) TRAFFIC_PORT_BASE"; done
}
# Whose listener it is cannot always be seen (root in a container may not look into another user's process), so
# the ports that were given to the running supervisord are kept in a file.
native_owns() { # PORT PID
    local pid=$2 supervisord
    supervisord=$(native_supervisord) || return 1
    ! grep -qx "$1" "$DATA/ports" 2>/dev/null || return 0
    while [[ $pid =~ ^[0-9]+$ ]] && [ "$pid" -gt 1 ]; do # that file is gone: whose child it is
        [ "$pid" != "$supervisord" ] || return 0
        pid=$(ps -o ppid= -p "$pid" | tr -d ' ')
    done
    return 1
}

# A build has a folder of its own with all that it runs from: until a new one has migrated the database, the old one serves, and a replica
# of it that crashes starts again. Prints nothing; sets RELEASE.
native_build() { # [force]
    local sum name
    install_dependencies
    console_build
    native_release
    [ "$DEV" = 0 ] || return 0
    sum=$(source_checksum)
    case ${1:-}$(basename "$RELEASE") in "$sum" | "$sum".*) [ ! -e "$RELEASE/dist/server.js" ] || return 0 ;; esac
    name=$sum.$(date +%s)
    step 'building the replicas' npm --prefix "$ROOT/backend" run build
    rm -rf "$DATA/releases/new"; mkdir -p "$DATA/releases/new"
    mv "$ROOT/backend/dist" "$DATA/releases/new/"
    cp "$ROOT/backend/package.json" "$DATA/releases/new/"
    # Links, so that it costs nothing; npm replaces files and does not write into them. Not between file systems, nor to another user's files.
    cp -alH "$ROOT/backend/node_modules" "$DATA/releases/new/" 2>/dev/null ||
        { rm -rf "$DATA/releases/new/node_modules"; cp -aH "$ROOT/backend/node_modules" "$DATA/releases/new/"; }
    mv "$DATA/releases/new" "$DATA/releases/$name"
    RELEASE=$DATA/releases/$name
}
# The one that was started last, or with --dev the sources.
native_release() { RELEASE=$ROOT/backend; [ "$DEV" = 1 ] || RELEASE=$DATA/releases/$(cat "$DATA/release" 2>/dev/null || echo none); }
native_keep_release() { # and no other
    local folder
    [ "$DEV" = 0 ] || return 0
    basename "$RELEASE" >"$DATA/release"
    for folder in "$DATA/releases"/*; do [ "$folder" = "$RELEASE" ] || rm -rf "$folder"; done
}

native_users() {
    PG_USER=$(id -un) REDIS_USER=$PG_USER REPLICA_USER=$PG_USER MONITORING_USER=$PG_USER
    [ "$IS_ROOT" = 1 ] || return 0
    PG_USER=postgres REDIS_USER=redis REPLICA_USER=nobody MONITORING_USER=prometheus
    # shellcheck disable=SC2153 # NODE is set in common.sh
    if ! as_user nobody "$NODE" -e 'process.argv.slice(1).forEach((f) => fs.accessSync(f, 4))' \
        "$RELEASE/$(program_file server)" "$RELEASE/node_modules/express/package.json" 2>/dev/null; then
        REPLICA_USER=root
        say "  The replicas run as root, because the user nobody cannot read this clone."
    fi
}

native_folders() {
    local target password
    chmod 711 "$DATA"
    mkdir -p "$RUN" && chmod 700 "$RUN"
    if [ ! -e "$LINK" ]; then
        if [ "$IS_ROOT" = 1 ] && ! as_user "$PG_USER" test -x "$DATA"; then
            target=/var/lib/tandem/$(printf '%s' "$ROOT" | checksum)
            say "  The data goes to $target, because the user $PG_USER cannot reach this clone."
            mkdir -p "$target" && ln -sfn "$target" "$LINK"
            chmod 711 "/var/lib/tandem"
        else
            mkdir -p "$LINK"
        fi
        SERVICES=$(cd -P "$LINK" && pwd)
        chmod 711 "$SERVICES"
    fi
    mkdir -p "$SERVICES/nginx" && chmod 711 "$SERVICES/nginx"
    mkdir -p "$SERVICES/redis" && chmod 700 "$SERVICES/redis"
    mkdir -p "$SERVICES/prometheus/data" && chmod 711 "$SERVICES/prometheus" && chmod 700 "$SERVICES/prometheus/data"
    [ "$IS_ROOT" = 0 ] || chown "$REDIS_USER" "$SERVICES/redis"
    [ "$IS_ROOT" = 0 ] || chown "$MONITORING_USER" "$SERVICES/prometheus/data"
    [ ! -e "$SERVICES/postgres/PG_VERSION" ] || return 0
    # In a folder of another name until it is complete, so that an interrupted start leaves no half of a database.
    password=$SERVICES/postgres.password
    rm -rf "$SERVICES/postgres.new"; mkdir -m 700 "$SERVICES/postgres.new"
    ( umask 077; printf '%s\n' "$POSTGRES_PASSWORD" >"$password" )
    [ "$IS_ROOT" = 0 ] || chown "$PG_USER" "$SERVICES/postgres.new" "$password"
    (step 'making the database' as_user "$PG_USER" "$PG_BIN/initdb" -D "$SERVICES/postgres.new" -U postgres --pwfile="$password" \
        --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8) || { rm -f "$password"; exit 1; }
    rm -f "$password"
    as_user "$PG_USER" "$PG_BIN/postgres" --single -D "$SERVICES/postgres.new" postgres <<<'create database tandem' >>"$DATA/logs/start.log" 2>&1 ||
        die "cannot create the database tandem: see $DATA/logs/start.log"
    mv "$SERVICES/postgres.new" "$SERVICES/postgres"
}

replica_environment() { # NUMBER
    cat <<EOF
NODE_ENV=production
INSTANCE_NAME=backend-$1
HOST=127.0.0.1
PORT=$((TRAFFIC_PORT_BASE + $1))
DEBUG_HOST=127.0.0.1
DEBUG_PORT=$((DEBUG_PORT_BASE + $1))
DATABASE_URL=postgres://tandem_app:$DATABASE_APP_PASSWORD@127.0.0.1:$POSTGRES_PORT/tandem
DATABASE_POOL_MAX=$DATABASE_POOL_MAX
REDIS_URL=redis://tandem:$REDIS_PASSWORD@127.0.0.1:$REDIS_PORT
ADMIN_TOKEN=$ADMIN_TOKEN
LOG_LEVEL=$LOG_LEVEL
FAULTS=$FAULTS
OTEL_EXPORTER_OTLP_ENDPOINT=$OTEL_EXPORTER_OTLP_ENDPOINT
EOF
}
migrate_environment() { # [DATABASE]
    cat <<EOF
NODE_ENV=production
DATABASE_ADMIN_URL=postgres://postgres:$POSTGRES_PASSWORD@127.0.0.1:$POSTGRES_PORT/${1:-tandem}
DATABASE_APP_PASSWORD=$DATABASE_APP_PASSWORD
DATABASE_METRICS_PASSWORD=$DATABASE_METRICS_PASSWORD
EOF
}
in_environment() { # LINES COMMAND...: the variables never appear on a command line, where `ps` would show them
    local line lines=$1; shift
    while IFS= read -r line; do export "${line?}"; done <<<"$lines"
    cd "$RELEASE" && exec "$@"
}

program() { # NAME USER STOP-SIGNAL SECONDS FOLDER COMMAND [NAME=VALUE lines]
    local command=${6//%/%%} folder=${5//%/%%}
    cat <<EOF

[program:$1]
command=$command
directory=$folder
$([ "$IS_ROOT" = 0 ] || echo "user=$2")
stopsignal=$3
stopwaitsecs=$4
killasgroup=true
autorestart=true
startretries=1000000
redirect_stderr=true
stdout_logfile=$HERE/logs/$1.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=3
EOF
    [ -z "${7:-}" ] || sed 's/%/%%/g; s/=\(.*\)/="\1"/; $!s/$/,/; 1s/^/environment=/; 2,$s/^/ /' <<<"$7"
}

# Writes all configuration. supervisord restarts a program whose section changed, so each section holds whatever its
# program must be restarted for (BUILD: the checksum of the sources).
native_configure() {
    local i node build postgres
    node=$("$NODE" -p 'require(process.argv[1]).scripts.start' "$ROOT/backend/package.json")
    node="\"$RELEASE/node_modules/.bin/node\" ${node#node }" build=$(basename "$RELEASE")
    # `node --watch` that is stopped while it restarts its child leaves the child behind; so the process group, which
    # is this program's alone, is ended with it.
    [ "$DEV" = 0 ] || { node="bash -c '\"\$0\" --watch --watch-path=src --import ./src/tracing.ts src/server.ts & trap \"kill \$!\" TERM; wait; wait; kill -KILL 0' \"$NODE\""; build=dev; }
    (
        umask 077
        cat >"$RUN/supervisord.conf" <<EOF
# Made by start.sh; do not edit.
[supervisord]
pidfile=$HERE/supervisord.pid
logfile=$HERE/logs/supervisord.log
logfile_maxbytes=10MB
logfile_backups=1
childlogdir=$HERE/logs
$([ "$IS_ROOT" = 0 ] || echo user=root)
[unix_http_server]
file=$HERE/run/supervisor.sock
chmod=0700
[supervisorctl]
serverurl=unix://$HERE/run/supervisor.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[include]
files=$HERE/run/programs.conf
EOF
        {
            # INT: stop now, but cleanly. Only TCP, so that the length of the clone's path does not matter.
            postgres="\"$PG_BIN/postgres\" -D \"$SERVICES/postgres\" -c port=$POSTGRES_PORT -c listen_addresses=127.0.0.1"
            postgres="$postgres -c unix_socket_directories= -c max_connections=$POSTGRES_MAX_CONNECTIONS -c logging_collector=off -c log_error_verbosity=terse"
            program postgres "$PG_USER" INT 30 / "$postgres"
            # Its configuration comes through stdin, because of a name of a file Redis would take [ for a pattern.
            program redis "$REDIS_USER" TERM 10 "$SERVICES/redis" "sh -c \"exec redis-server - <redis.conf\"" "CONFIG=$(redis_config | checksum)"
            for ((i = 1; i <= REPLICAS; i++)); do
                program "backend-$i" "$REPLICA_USER" TERM 20 "$RELEASE" "$node" "$(replica_environment "$i")"$'\n'"BUILD=$build"
            done
            # Not with --dev: a replica that stands at a breakpoint does not answer either.
            [ "$DEV" = 1 ] || program watchdog root TERM 5 / "bash \"$ROOT/native/watchdog.sh\" \"$DATA\"$(for ((i = 1; i <= REPLICAS; i++)); do printf ' backend-%s=%s' "$i" $((DEBUG_PORT_BASE + i)); done)"
            native_monitoring_programs
            program nginx root QUIT 35 "$SERVICES/nginx" "nginx -e stderr -p ./ -c nginx.conf -g \"daemon off;\""
        } >"$RUN/programs.new"
        redis_config >"$SERVICES/redis/redis.conf"
    )
    [ "$IS_ROOT" = 0 ] || chown "$REDIS_USER" "$SERVICES/redis/redis.conf"
}
native_monitoring_programs() {
    local name command lines folder=$SERVICES/prometheus
    for name in $MONITORING; do
        lines=''
        case $name in
            prometheus)
                # Remote write: k6 sends its figures here. No lifecycle API: whoever reaches the port could stop it.
                command="prometheus --config.file=etc/prometheus.yml --storage.tsdb.path=data --storage.tsdb.retention.time=15d"
                command="$command --storage.tsdb.retention.size=1GB --web.enable-remote-write-receiver" ;;
            nginx-exporter) command="prometheus-nginx-exporter --nginx.scrape-uri=http://127.0.0.1:$NGINX_STATUS_PORT/nginx_status" ;;
            redis-exporter)
                command="prometheus-redis-exporter --redis.addr=redis://127.0.0.1:$REDIS_PORT --config-command=- --connection-timeout=3s"
                lines="REDIS_USER=metrics"$'\n'"REDIS_PASSWORD=$REDIS_METRICS_PASSWORD" ;;
            postgres-exporter)
                command=prometheus-postgres-exporter
                # Debian 12's has no statistics of tables of its own.
                "$command" --help 2>&1 | grep -q stat_user_tables || command="$command --extend.query-path=etc/postgres-tables.yml"
                lines="DATA_SOURCE_URI=127.0.0.1:$POSTGRES_PORT/tandem?sslmode=disable&application_name=postgres-exporter"$'\n'"DATA_SOURCE_USER=tandem_metrics"
                lines="$lines"$'\n'"DATA_SOURCE_PASS=$DATABASE_METRICS_PASSWORD" ;;
            node-exporter)
                command="prometheus-node-exporter --collector.disable-defaults --collector.cpu --collector.meminfo --collector.loadavg --collector.filesystem" ;;
        esac
        program "$name" "$MONITORING_USER" TERM 10 "$folder" "$command --web.listen-address=127.0.0.1:$(exporter_port "$name")" "$lines"
    done
}
redis_config() {
    cat <<EOF
bind 127.0.0.1
port $REDIS_PORT
user default off
user tandem on >$REDIS_PASSWORD ~c:* resetchannels +@all -@admin -@dangerous +info
user metrics on >$REDIS_METRICS_PASSWORD resetchannels +ping +info +client|setname +latency|latest +latency|histogram +slowlog|get +slowlog|len
save ""
appendonly no
maxmemory $REDIS_MAXMEMORY
maxmemory-policy volatile-lru
slowlog-log-slower-than -1
EOF
}

# Paths in it are relative to the folder that nginx is started with, so a clone's path may have any character.
nginx_config() {
    local i names template=$ROOT/nginx/nginx.conf.template primary='' backup='' slots
    slots=$(native_slots)
    tls_nginx "$HTTP_PORT" "$HTTPS_PORT" . "$(nginx -v 2>&1 | grep -Eq '/1\.(25\.[1-9]|2[6-9]|[3-9][0-9])' && echo directive || echo listen)"
    # shellcheck disable=SC2016 # envsubst is to see these names and no others: $request_id and the like are Nginx's
    names=$(grep -o '\${[A-Z_]*}' "$template" | sort -u)
    for ((i = 1; i <= slots; i++)); do
        primary="$primary server 127.0.0.1:$((TRAFFIC_PORT_BASE + i)) max_fails=1 fail_timeout=2s;"
        backup="$backup server 127.0.0.1:$((TRAFFIC_PORT_BASE + i)) backup max_fails=0;"
    done
    NGINX_USER=$([ "$IS_ROOT" = 0 ] || echo 'user www-data;') NGINX_WORKERS=auto NGINX_RUN_DIR=. \
        NGINX_LISTEN=$NGINX_LISTEN NGINX_TLS=$NGINX_TLS NGINX_REDIRECT=$NGINX_REDIRECT NGINX_STATUS_LISTEN=127.0.0.1:$NGINX_STATUS_PORT \
        NGINX_ACCESS_LOG=/dev/stdout NGINX_ERROR_LOG=stderr NGINX_ROUTES=routes.conf NGINX_CONSOLE=console NGINX_UPSTREAM=$primary$backup NGINX_HTTP_EXTRA='' \
        LIMIT_RATE=$LIMIT_RATE LIMIT_BURST=$LIMIT_BURST LIMIT_CONNECTIONS=$LIMIT_CONNECTIONS \
        envsubst "$names" <"$template"
}
native_nginx_files() { cat "$SERVICES/nginx/nginx.conf" "$SERVICES/nginx/routes.conf" "$SERVICES/nginx/cert.pem" 2>/dev/null || true; }
native_nginx() {
    local folder=$SERVICES/nginx before
    before=$(cat "$DATA/nginx.loaded" 2>/dev/null) || true
    cp "$ROOT/nginx/routes.conf" "$folder/routes.conf"
    # A copy, because Nginx's user may not reach this clone. The pages before keep their files: their names hold checksums.
    mkdir -p "$folder/console" && cp -r "$ROOT/frontend/dist/." "$folder/console/" && chmod -R a+rX "$folder/console"
    nginx_config >"$folder/nginx.conf"
    chmod 644 "$folder/nginx.conf" "$folder/routes.conf"
    rm -f "$folder/cert.pem" "$folder/key.pem"
    [ "$TLS" = off ] || install -m 600 "$TLS_FOLDER/cert.pem" "$TLS_FOLDER/key.pem" "$folder/"
    (cd "$folder" && nginx -t -q -e stderr -p ./ -c nginx.conf) >"$DATA/logs/start.log" 2>&1 || { tail -n 5 "$DATA/logs/start.log" >&2; die "nginx refuses its configuration"; }
    if [ "$was_running" = 1 ] && ctl status nginx 2>/dev/null | grep -q RUNNING && [ "$before" != "$(native_nginx_files | checksum)" ]; then
        ctl signal HUP nginx >/dev/null
    fi
    native_converge nginx
    native_nginx_files | checksum >"$DATA/nginx.loaded"
}

native_monitoring() {
    local name folder=$SERVICES/prometheus/etc before
    [ -n "$MONITORING" ] || return 0
    before=$(checksum_files "$folder" 2>/dev/null) || true
    mkdir -p "$folder"
    cp "$ROOT/native/postgres-tables.yml" "$folder/"
    if ! command -v promtool >/dev/null || promtool check config "$ROOT/monitoring/prometheus/prometheus.yml" >"$DATA/logs/start.log" 2>&1; then
        cp "$ROOT/monitoring/prometheus/prometheus.yml" "$folder/"
        rm -rf "$folder/rules"; cp -r "$ROOT/monitoring/prometheus/rules" "$folder/"
    else
        tail -n 5 "$DATA/logs/start.log" >&2
        warn "  Prometheus would refuse its configuration or rules: it goes on with those before, if there are any"
    fi
    native_targets | write_targets "$folder/targets"
    chmod -R a+rX "$folder"
    [ "$was_running" = 0 ] || ! ctl status prometheus 2>/dev/null | grep -q RUNNING || [ "$before" = "$(checksum_files "$folder")" ] || ctl signal HUP prometheus >/dev/null
    # shellcheck disable=SC2086 # one word a service
    native_converge $MONITORING
    for name in $MONITORING; do (TRIES=2 native_wait "$name") || warn "  $name is not healthy: the API serves without it"; done
}

http_ok() { # PORT PATH; without curl, which a fresh machine may lack
    local line
    line=$( (exec 3<>"/dev/tcp/127.0.0.1/$1" && printf 'GET %s HTTP/1.0\r\n\r\n' "$2" >&3 && IFS= read -r -t 3 line <&3 && echo "$line") 2>/dev/null) || return 1
    case $line in HTTP/1.?\ 200*) ;; *) return 1 ;; esac
}
native_healthy() {
    case $1 in
        postgres) "$PG_BIN/pg_isready" -q -h 127.0.0.1 -p "$POSTGRES_PORT" ;;
        redis) REDISCLI_AUTH=$REDIS_PASSWORD redis-cli -p "$REDIS_PORT" --user tandem ping 2>/dev/null | grep -q PONG ;;
        nginx) http_ok "$NGINX_STATUS_PORT" /nginx_status ;;
        backend-*) http_ok $((DEBUG_PORT_BASE + ${1#backend-})) /health/ready ;;
        prometheus) http_ok "$PROMETHEUS_PORT" /-/ready ;;
        *-exporter) http_ok "$(exporter_port "$1")" / ;;
    esac
}
native_states() {
    local service state status
    status=$(ctl status 2>/dev/null) || true
    for service in $(native_services); do
        [ "$service" != migrate ] || continue
        state=$(awk -v service="$service" '$1 == service { print tolower($2) }' <<<"$status")
        # supervisord says "starting" for the first second, however soon the program answers.
        if [ "$state" = running ] || [ "$state" = starting ]; then native_healthy "$service" && state=healthy || state=unhealthy; fi
        echo "$service ${state:-missing}"
    done
}

# native_converge NAME...: supervisord takes over new or changed sections and starts what stands still, also what it would try again only
# later (BACKOFF: minutes, after a long time in vain). Each question to it costs 0.2 s, so one that has just begun is not asked what it runs.
native_converge() {
    local name said
    said=$(ctl update "$@") || die "supervisord refuses its configuration: $said"
    [ "$was_running" = 1 ] || return 0
    for name in $(ctl status "$@" | awk '$2 !~ /^(RUNNING|STARTING)$/ { print $1 }'); do ctl restart "$name" >/dev/null || true; done
}
native_wait() {
    local name asked=$SECONDS deadline=$((SECONDS + 60)) before
    for name; do
        before=$(native_exits "$name")
        until native_healthy "$name"; do
            sleep 0.1
            [ $SECONDS -gt $((asked + 1)) ] || continue
            asked=$SECONDS
            # supervisord starts it for ever, ever more seldom: so many times in vain are enough to say so.
            if [ $SECONDS -gt $deadline ] || [ $(($(native_exits "$name") - before)) -ge "${TRIES:-4}" ]; then
                { grep -F "exited: $name " "$DATA/logs/supervisord.log" | tail -n 1; ctl status "$name"; } >&2 || true
                warn "--- last lines of $name ($DATA/logs/$name.log)"; tail -n 20 "$DATA/logs/$name.log" >&2
                die "$name did not become healthy"
            fi
        done
        printf '  %-18s healthy\n' "$name"
    done
}
native_exits() { grep -cF "exited: $1 (" "$DATA/logs/supervisord.log" || true; }

native_up() {
    local lowest name
    if [ "$RUNNING" = native ] && ! native_answers; then
        warn "$(native_lost): ending it, and starting anew."
        native_down
        RUNNING=''
    fi
    native_end_orphans
    require_npm
    install_packages nginx postgresql redis-server supervisor gettext-base || die "the stack cannot run without them"
    # shellcheck disable=SC2086
    (install_packages $MONITORING_PACKAGES) || warn "  The API serves without them."
    native_find_monitoring
    native_find_postgres
    lowest=$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start 2>/dev/null || echo 1024)
    [ "$IS_ROOT" = 1 ] || [ "$HTTP_PORT" -ge "$lowest" ] || die "port $HTTP_PORT needs root: set HTTP_PORT=8080 in .env"
    [ "$IS_ROOT$TLS" != 0on ] || [ "$HTTPS_PORT" -ge "$lowest" ] || die "port $HTTPS_PORT needs root: set HTTPS_PORT=8443 in .env"
    check_ports native_owns < <(native_ports)
    native_build
    native_apply
}
native_apply() {
    local name was_running=0
    native_users
    native_folders
    native_configure
    STARTED=1
    if native_is_running; then
        was_running=1
    else
        rm -f "$RUN/supervisor.sock" "$DATA/supervisord.pid"
        : >"$DATA/ports"
        : >"$RUN/programs.conf" # nothing yet: the order of the start is decided below
        (cd "$DATA" && exec env -i PATH="$PATH" HOME="$HOME" LANG=C.UTF-8 supervisord -c $HERE/run/supervisord.conf) >"$DATA/logs/start.log" 2>&1 9>&- || { tail -n 5 "$DATA/logs/start.log" >&2; die "supervisord does not start"; }
        for _ in {1..30}; do ctl pid >/dev/null 2>&1 && break; sleep 0.1; done
    fi
    mv "$RUN/programs.new" "$RUN/programs.conf"
    native_ports | cut -d' ' -f1 >>"$DATA/ports"
    native_converge postgres redis
    native_wait postgres redis
    native_migrate tandem 2>&1 | tee "$DATA/logs/migrate.log" | waiting_lines || {
        warn "--- last lines of migrate"; tail -n 20 "$DATA/logs/migrate.log" >&2; die "the migration failed"; }
    printf '  %-18s done\n' migrate
    if [ $was_running = 0 ]; then
        # shellcheck disable=SC2046 # one word a replica
        { native_converge $(backends); native_wait $(backends); }
    else
        for name in $(backends); do native_replace "$name"; done # one at a time
    fi
    native_nginx
    native_wait nginx
    [ "$DEV" = 1 ] || native_converge watchdog
    native_monitoring
    [ $was_running = 0 ] || ctl update >/dev/null # ends replicas that are no longer wanted, now that nginx no longer asks them
    native_keep_release
}
# Takes over what is new for this replica; with --rolling it is replaced in any case, and the next one's turn comes when Nginx
# has got used to it.
native_replace() {
    local before
    before=$(ctl pid "$1" 2>/dev/null) || before=0
    native_converge "$1"
    if [ "$ROLLING" = 1 ] && [ "$before" != 0 ] && [ "$(ctl pid "$1")" = "$before" ]; then ctl restart "$1" >/dev/null || true; fi
    native_wait "$1"
    [ "$ROLLING" = 0 ] || sleep "$ROLLING_PAUSE"
}
native_rebuild() { native_build force; native_apply; }
native_restart() {
    local name
    if [ $# = 0 ]; then native_down; native_apply; return 0; fi
    for name; do
        if [ "$name" = migrate ]; then native_apply; continue; fi
        ctl restart "$name" >/dev/null || true # native_wait says why it did not start
        native_wait "$name"
    done
}
native_kill() { # its whole process group: with --dev the replica is a child
    local pid
    pid=$(ctl pid "$1") && [ "$pid" -gt 1 ] && kill -KILL -- "-$pid"
}
native_seed() { (in_environment "$(replica_environment 1)" "$RELEASE/node_modules/.bin/node" --enable-source-maps "$(program_file seed)" "$@"); }
native_postgres() { local program=$1; shift; PGPASSWORD=$POSTGRES_PASSWORD "$PG_BIN/$program" -h 127.0.0.1 -p "$POSTGRES_PORT" -U postgres "$@"; } # see database.sh
native_migrate() { (in_environment "$(migrate_environment "$1")" "$RELEASE/node_modules/.bin/node" --enable-source-maps "$(program_file migrate)") 9>&-; } # DATABASE
# shellcheck disable=SC2046 # one word a replica
native_stop_api() { ctl stop nginx $(backends) >/dev/null || true; }
# What is in Redis may be of another time than the database: it must be gone before anybody reads.
native_start_api() { ctl restart redis >/dev/null; native_apply; }

# --- another major version of PostgreSQL ------------------------------------------------------------------------------

# postgres.upgrading is the old data until the new one is complete; postgres.N is that of version N after an upgrade.
native_upgrade() {
    local from to bin
    for bin in $(compgen -G '/usr/lib/postgresql/*/bin' | sort -V); do [ ! -x "$bin/postgres" ] || to=$(basename "$(dirname "$bin")"); done
    from=$(cat "$SERVICES/postgres.upgrading/PG_VERSION" 2>/dev/null || cat "$SERVICES/postgres/PG_VERSION")
    [ "$from" != "${to:-$from}" ] || { say "The data is of PostgreSQL $from, the newest that is installed: nothing to upgrade."; return 0; }
    [ ! -e "$SERVICES/postgres.$from" ] || die "there is data of PostgreSQL $from of an earlier upgrade: remove $SERVICES/postgres.$from first"
    upgrade_database "$from" "$to"
}
native_old_cluster() {
    [ -e "$SERVICES/postgres.upgrading" ] || [ ! -e "$SERVICES/postgres.$1" ] || mv "$SERVICES/postgres.$1" "$SERVICES/postgres.upgrading"
    native_undo_upgrade
    native_run_postgres
}
native_undo_upgrade() {
    [ -e "$SERVICES/postgres.upgrading" ] || return 0
    ! native_is_running || ctl stop postgres >/dev/null || true
    rm -rf "$SERVICES/postgres"; mv "$SERVICES/postgres.upgrading" "$SERVICES/postgres"
    warn "An upgrade of PostgreSQL was interrupted: the data is that of before."
}
native_new_cluster() {
    ctl stop postgres >/dev/null
    mv "$SERVICES/postgres" "$SERVICES/postgres.upgrading"
    PG_BIN=/usr/lib/postgresql/$2/bin
    native_folders
    native_run_postgres
}
native_run_postgres() {
    native_find_postgres
    native_users
    native_configure
    mv "$RUN/programs.new" "$RUN/programs.conf"
    ctl update postgres >/dev/null
    ctl start postgres >/dev/null 2>&1 || true
    native_wait postgres
}
native_keep_old() {
    mv "$SERVICES/postgres.upgrading" "$SERVICES/postgres.$1"
    say "The data of PostgreSQL $1 is kept in $SERVICES/postgres.$1."
}

native_logs() {
    local follow='' lines=100 files=() name
    case " $* " in *' -f '*) follow=-F ;; esac
    case " $* " in *' --all '*) lines=+1 ;; esac
    for name; do [ "$name" = -f ] || [ "$name" = --all ] || files+=("$DATA/logs/$name.log"); done
    # shellcheck disable=SC2046 # one word a service
    [ ${#files[@]} -gt 0 ] || for name in $(native_services); do files+=("$DATA/logs/$name.log"); done
    exec tail -n "$lines" ${follow:+"$follow"} "${files[@]}"
}
native_shell() {
    local service=$1; shift
    case $service in
        postgres) PGPASSWORD=$POSTGRES_PASSWORD "$PG_BIN/psql" -h 127.0.0.1 -p "$POSTGRES_PORT" -U postgres tandem "$@" ;;
        redis) REDISCLI_AUTH=$REDIS_PASSWORD redis-cli -p "$REDIS_PORT" --user tandem "$@" ;;
        backend-*) (PATH=$RELEASE/node_modules/.bin:$PATH in_environment "$(replica_environment "${service#backend-}")" bash "$@") ;;
        migrate) (PATH=$RELEASE/node_modules/.bin:$PATH in_environment "$(migrate_environment)" bash "$@") ;;
        nginx) (cd "$SERVICES/nginx" && bash "$@") ;;
        *) (cd "$SERVICES/prometheus" && bash "$@") ;;
    esac
}
native_down() {
    local name pid deadline
    pid=$(native_supervisord) || return 0
    if native_answers; then
        # shellcheck disable=SC2086 # one word a service
        ctl stop watchdog nginx $MONITORING >/dev/null 2>&1 || true
        for name in $(ctl status | awk '/^backend-/ { print $1 }'); do ctl stop "$name" >/dev/null 2>&1 & done
        wait
        for name in redis postgres; do ctl stop "$name" >/dev/null 2>&1 || true; done
        ctl shutdown >/dev/null || true
    else
        kill -CONT "$pid" && kill -TERM "$pid" || true
    fi
    deadline=$((SECONDS + 60)) # Nginx and PostgreSQL end within half a minute
    while native_is_running; do # it removes its pid file before it ends
        [ $SECONDS -le $deadline ] || kill -KILL "$pid" || true
        [ $SECONDS -le $((deadline + 10)) ] || die "supervisord (pid $pid) does not end"
        sleep 0.2
    done
    native_end_orphans
}
native_volumes() { [ ! -e "$LINK" ] || echo "the folder $SERVICES ($(du -sh "$SERVICES" 2>/dev/null | cut -f1))"; }
native_remove_data() {
    local pid
    pid=$(head -n 1 "$SERVICES/postgres/postmaster.pid" 2>/dev/null) || true
    [ -z "$pid" ] || [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != postgres ] || die "PostgreSQL (pid $pid) still runs on this data: end it first"
    case $SERVICES in "/var/lib/tandem/"?*) rm -rf "$SERVICES"; rmdir "/var/lib/tandem" 2>/dev/null || true ;; esac
    rm -rf "$LINK" "$RUN"
}
