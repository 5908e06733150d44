# shellcheck shell=bash disable=SC2034,SC2015
# The Docker way: docker-compose.yml, run by Docker or by Podman with docker-compose.
OVERRIDE=$DATA/compose.override.yml # replicas other than two, TLS, and --dev
UP_PID=''

# Sets ENGINE to docker or podman, or to nothing. Compose 2.24.4 is the first with `!override`.
find_engine() {
    local engine version
    for engine in docker podman; do
        command -v "$engine" >/dev/null && "$engine" ps -q >/dev/null 2>&1 || continue
        version=$("$engine" compose version --short 2>/dev/null | tail -n 1) || continue
        version=${version#v}
        case $version in [2-9]*.*) ;; *) continue ;; esac
        if [ "$(printf '2.24.4\n%s\n' "$version" | sort -V | head -n 1)" = 2.24.4 ]; then ENGINE=$engine; return; fi
        warn "$engine has Compose $version; 2.24.4 or newer is needed to use it here."
    done
    ENGINE=''
}

docker_prepare() {
    local name
    for name in $(setting_names); do export "${name?}"; done
    export DEBUG_PORT_1=$((DEBUG_PORT_BASE + 1)) DEBUG_PORT_2=$((DEBUG_PORT_BASE + 2))
    # Compose does not look into mounted files; a checksum among the variables makes it see a change.
    TANDEM_NGINX_FILES=$(checksum_files nginx)$([ "$TLS" = off ] || checksum <"$TLS_FOLDER/cert.pem"); export TANDEM_NGINX_FILES
    TANDEM_MONITORING_FILES=$(checksum_files monitoring); export TANDEM_MONITORING_FILES
    export TANDEM_TARGETS=$DATA/targets
    tls_nginx 8080 8443 /run/tls directive
    export NGINX_LISTEN NGINX_TLS NGINX_REDIRECT
}
docker_targets() {
    local name
    for name in $(backends); do echo "backend $name $name:9000"; done
    cat <<'EOF'
edge nginx nginx:8081
nginx nginx nginx-exporter:9113
redis redis redis-exporter:9121
postgres postgres postgres-exporter:9187
node node node-exporter:9100
prometheus prometheus localhost:9090
EOF
}
compose() {
    local files=(-f "$ROOT/docker-compose.yml")
    [ "$BUDGET" = 0 ] || files+=(-f "$ROOT/docker-compose.budget.yml")
    [ ! -e "$OVERRIDE" ] || files+=(-f "$OVERRIDE")
    "$ENGINE" compose --project-directory "$ROOT" "${files[@]}" "$@"
}
project_containers() { "$ENGINE" ps --filter "label=com.docker.compose.project=$PROJECT" "$@"; }
docker_is_running() { [ -n "$ENGINE" ] && project_containers --format '{{.Label "com.docker.compose.project.working_dir"}}' | grep -Fx "$ROOT" >/dev/null; }
docker_data_exists() { "$ENGINE" volume inspect "${PROJECT}_postgres" >/dev/null 2>&1; }
docker_owns() { [ -n "$(project_containers -q --filter "publish=$1")" ]; }
docker_ports() {
    local i
    echo "$HTTP_PORT HTTP_PORT"
    [ "$TLS" = off ] || echo "$HTTPS_PORT HTTPS_PORT"
    [ "$BUDGET" = 1 ] || { echo "$PROMETHEUS_PORT PROMETHEUS_PORT"; echo "$GRAFANA_PORT GRAFANA_PORT"; }
    for ((i = 1; i <= REPLICAS; i++)); do echo "$((DEBUG_PORT_BASE + i)) DEBUG_PORT_BASE"; done
    case ,$COMPOSE_PROFILES, in *,pgadmin,*) echo "$PGADMIN_PORT PGADMIN_PORT" ;; esac
}
# What docker-compose.budget.yml leaves out.
docker_monitoring() { compose --profile monitoring config --services | grep -Fxv -f <(compose config --services); }
docker_services() { compose config --services | if [ "$REPLICAS" = 1 ]; then grep -vx backend-2; else cat; fi; }

docker_write_override() {
    local i
    [ "$REPLICAS$DEV$TLS" != 20off ] || { rm -f "$OVERRIDE"; return; }
    {
        echo '# Made by start.sh; do not edit.'
        echo 'services:'
        [ "$DEV" = 0 ] || printf '  migrate:\n    command: [node, src/migrate.ts]\n    volumes: ["./backend/src:/app/src:ro"]\n'
        for ((i = 1; i <= REPLICAS; i++)); do
            [ "$i" -gt 2 ] || [ "$DEV" = 1 ] || continue
            echo "  backend-$i:"
            [ "$i" -le 2 ] || cat <<EOF
    extends: { file: $ROOT/docker-compose.yml, service: backend-2 }
    hostname: backend-$i
    environment: { INSTANCE_NAME: backend-$i }
    ports: !override ["127.0.0.1:$((DEBUG_PORT_BASE + i)):9000"]
EOF
            [ "$DEV" = 0 ] || printf '    command: [node, --watch, --watch-path=src, --import, ./src/tracing.ts, src/server.ts]\n    volumes: ["./backend/src:/app/src:ro"]\n'
        done
        # The files, not their folder, which is closed to the container's user.
        [ "$TLS" = off ] || printf '  nginx:\n    ports: ["%s:8443"]\n    volumes: ["%s/cert.pem:/run/tls/cert.pem:ro", "%s/key.pem:/run/tls/key.pem:ro"]\n' "$HTTPS_PORT" "$TLS_FOLDER" "$TLS_FOLDER"
        [ "$REPLICAS" != 1 ] || printf '  backend-2:\n    scale: 0\n'
    } >"$OVERRIDE"
}

# One line a service: name, then `healthy`, or what it is instead.
docker_states() {
    local states service
    states=$(compose ps -a --format '{{.Service}} {{.State}} {{.ExitCode}} {{.Health}}' 2>/dev/null) || true
    for service in $(docker_services); do
        awk -v service="$service" '
            $1 == service { found = 1
                if ($2 == "exited" && $3 == 0 && service == "migrate") print service, "done"
                else if ($2 == "running" && ($4 == "healthy" || $4 == "") && service != "migrate") print service, "healthy"
                else print service, ($4 == "" ? $2 : $4), ($2 == "exited" ? "(" $3 ")" : "") }
            END { if (!found) print service, "missing" }' <<<"$states"
    done
}

# docker_converge [--no-recreate] [SERVICE...]: runs `compose up` and says which service became healthy while it waits. Without a
# service: all, but of Grafana only a warning, because pictures that are missing are no reason not to serve.
docker_converge() {
    local log=$DATA/logs/compose.log seen=' ' service state services=() options=(-d --no-build --wait)
    [ "${1:-}" != --no-recreate ] || { options+=("$1"); shift; }
    services=("$@")
    [ $# -gt 0 ] || for service in $(docker_services | grep -vx grafana); do services+=("$service"); done
    compose up "${options[@]}" --remove-orphans --wait-timeout 180 "${services[@]}" >"$log" 2>&1 9>&- &
    UP_PID=$!
    while :; do
        while read -r service state; do
            case $state in healthy | done) case $seen in *" $service "*) ;; *) printf '  %-18s %s\n' "$service" "$state"; seen="$seen$service " ;; esac ;; esac
        done <<<"$(docker_states)"
        kill -0 "$UP_PID" 2>/dev/null || break
        sleep 1
    done
    if wait "$UP_PID"; then
        UP_PID=''
        [ $# = 0 ] && docker_services | grep -qx grafana || return 0
        if compose up "${options[@]}" --wait-timeout 75 --no-deps grafana >"$log" 2>&1 9>&-; then
            printf '  %-18s healthy\n' grafana
        else
            warn "  grafana            not healthy: there are no dashboards (./start.sh logs grafana); everything else runs"
        fi
        return
    fi
    UP_PID=''
    tail -n 5 "$log" >&2
    for service in $(docker_states | awk '$2 !~ /^(healthy|done|missing|created)$/ { print $1 }'); do
        warn "--- last lines of $service"
        compose logs --no-log-prefix --tail 20 "$service" >&2 || true
    done
    die "not every service became healthy"
}

docker_up() {
    local other
    other=$(project_containers --format '{{.Label "com.docker.compose.project.working_dir"}}' | grep -Fxv "$ROOT" | head -n 1) || true
    [ -z "$other" ] || die "the stack of another clone is running on this engine: stop it first with $other/stop.sh"
    case ${DOCKER_HOST:-unix:} in unix:* | npipe:*) check_ports docker_owns < <(docker_ports) ;; esac
    docker_write_override
    # shellcheck disable=SC2046 # one word a service
    [ "$BUDGET" = 0 ] || step 'stopping the monitoring' compose --profile monitoring rm -sf $(docker_monitoring)
    docker_targets | write_targets "$TANDEM_TARGETS"
    step 'building the images' compose build migrate nginx
    # shellcheck disable=SC2046 # one word a service
    step 'fetching the images that are missing' compose pull --policy missing $(docker_services | grep -Ev '^(backend-.*|migrate|nginx)$')
    STARTED=1
    [ "$ROLLING" = 0 ] || docker_roll
    docker_converge
}
# One replica at a time, each with its new image and settings, with a pause in which Nginx gets used to it.
docker_roll() {
    local service
    [ -n "$RUNNING" ] || return 0
    step 'migrating' compose run --rm --no-deps migrate
    for service in $(backends); do
        step "replacing $service" compose up -d --no-build --no-deps --force-recreate --wait "$service"
        sleep "$ROLLING_PAUSE"
    done
}
docker_rebuild() {
    docker_write_override
    step 'building the images' compose build migrate nginx
    ROLLING_PAUSE=0 docker_roll
    compose up -d --no-build --no-deps --wait nginx >/dev/null
}
docker_restart() { step "restarting ${1:-everything}" compose restart "$@"; docker_converge --no-recreate "$@"; }
# Not `compose kill`: Docker takes that for a wish to stop, and does not start the container again.
docker_kill() {
    local code=0
    compose exec -T "$1" sh -c 'kill -KILL -1' || code=$?
    [ $code = 0 ] || [ $code = 137 ] # the shell that sends the signal can die of it too
}
docker_seed() { compose exec -T backend-1 node --enable-source-maps "$(program_file seed)" "$@"; }
docker_dump() {
    # shellcheck disable=SC2016 # for the shell in the container
    compose exec -T postgres sh -c 'PGPASSWORD=$POSTGRES_PASSWORD exec pg_dump -h 127.0.0.1 -U postgres -Fc "$@" tandem' pg_dump "$@"
}
docker_read_dump() { compose exec -T postgres pg_restore --no-owner -f - >"$RESTORE_SQL"; }
# What is in Redis is of another time than the restored database: it must be gone before anybody reads.
docker_restore() { # FILE
    step 'reading the file' docker_read_dump <"$1"
    # shellcheck disable=SC2046 # one word a replica
    step 'stopping the replicas' compose stop nginx $(backends)
    (step 'restoring the database' docker_shell postgres "${RESTORE_OPTIONS[@]}" <"$RESTORE_SQL") || RESTORED=0
    step 'emptying Redis' compose restart redis
    docker_converge
}
docker_logs() {
    local tail=100 rest=() each
    for each; do if [ "$each" = --all ]; then tail=all; else rest+=("$each"); fi; done
    compose logs --tail "$tail" ${rest[@]+"${rest[@]}"}
}
docker_shell() {
    # shellcheck disable=SC2016 # for the shell in the container
    local service=$1 tty='' psql='PGPASSWORD=$POSTGRES_PASSWORD exec psql -h 127.0.0.1 -U postgres tandem "$@"'; shift
    [ -t 0 ] || tty=-T
    case $service in
        postgres) compose exec ${tty:+"$tty"} postgres sh -c "$psql" psql "$@" ;;
        redis) compose exec ${tty:+"$tty"} redis redis-cli --user tandem "$@" ;;
        migrate) compose run --rm ${tty:+"$tty"} migrate sh "$@" ;;
        *) compose exec ${tty:+"$tty"} "$service" sh "$@" ;;
    esac
}
# By label, from a folder without a compose file: stopping needs neither .env nor the override.
docker_down() {
    [ -z "$UP_PID" ] || { kill -INT "$UP_PID" 2>/dev/null || true; wait "$UP_PID" 2>/dev/null || true; }
    (cd "$DATA/logs" && "$ENGINE" compose -p "$PROJECT" down --remove-orphans "$@" 9>&-) >"$DATA/logs/compose.log" 2>&1 || { tail -n 5 "$DATA/logs/compose.log" >&2; return 1; }
}
docker_volumes() { "$ENGINE" volume ls -q --filter "label=com.docker.compose.project=$PROJECT"; }
docker_remove_data() { docker_down --volumes; }
