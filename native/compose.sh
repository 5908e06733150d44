# shellcheck shell=bash disable=SC2034,SC2015
# The Docker way: docker-compose.yml, run by Docker or by Podman with docker-compose.
# shellcheck disable=SC2153 # DATA is set in common.sh
OVERRIDE=$DATA/compose.override.yml # replicas other than two, TLS, and --dev
UP_PID=''

# Sets ENGINE to docker or podman, or to nothing. Compose 2.24.4 is the first with `!override`.
find_engine() {
    local engine version code
    ENGINE=''
    for engine in docker podman; do
        command -v "$engine" >/dev/null || continue
        code=0; within 10 "$engine" ps -q >/dev/null 2>&1 || code=$?
        [ $code != 124 ] || warn "$engine does not answer within 10 seconds."
        [ $code = 0 ] && version=$(within 10 "$engine" compose version --short 2>/dev/null | tail -n 1) || continue
        version=${version#v}
        case $version in [2-9]*.*) ;; *) continue ;; esac
        if [ "$(printf '2.24.4\n%s\n' "$version" | sort -V | head -n 1)" = 2.24.4 ]; then ENGINE=$engine; return 0; fi
        warn "$engine has Compose $version; 2.24.4 or newer is needed to use it here."
    done
}
ask_engine() { within 30 "$ENGINE" "$@"; } # questions, whose answer is there at once

# The Compose project, whose name containers, networks, volumes and images bear: it is this clone's alone. Nothing is called so before
# the first start. (A version that had one name for all clones wrote no name into .data/state.)
find_project() {
    PROJECT=$(value_of COMPOSE_PROJECT_NAME 2>/dev/null) || PROJECT='' # a bad .env keeps nobody from stopping
    [ -n "$PROJECT" ] || PROJECT=${LAST_PROJECT:-$([ "$LAST_WAY" != docker ] || echo tandem)}
    [[ $PROJECT =~ ^([a-z0-9][a-z0-9_-]*)?$ ]] || die "COMPOSE_PROJECT_NAME=$PROJECT must have small letters, digits, - and _ only: see .env"
}
# Refuses to act on what is another clone's, or to leave this clone's own data behind under another name.
check_project() {
    local other
    [ -n "$PROJECT" ] || return 0
    other=$(project_containers -a --format '{{.Label "com.docker.compose.project.working_dir"}}' | grep -Fxv "$ROOT" | head -n 1) || true
    [ -z "$other" ] || die "the project $PROJECT is that of the clone $other, of which .env here is a copy: give COMPOSE_PROJECT_NAME a name of its own in .env"
    [ "$LAST_WAY" != docker ] || [ -z "$LAST_ROOT" ] || [ "$LAST_ROOT" = "$ROOT" ] || [ ! -e "$LAST_ROOT/.data/state" ] ||
        die "this folder is a copy of the clone $LAST_ROOT, whose data it would use: remove .env and .data here"
    [ -z "$LAST_PROJECT" ] || [ "$LAST_PROJECT" = "$PROJECT" ] || [ -z "$(ask_engine volume ls -q --filter "label=com.docker.compose.project=$LAST_PROJECT")" ] ||
        die "COMPOSE_PROJECT_NAME was $LAST_PROJECT, which has this clone's data: put it back in .env (to rename: backup, ./stop.sh --volumes, the new name, ./start.sh, restore)"
}

docker_prepare() {
    local name
    [ -n "$PROJECT" ] || die "COMPOSE_PROJECT_NAME is empty: give it a name in .env"
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
    "$ENGINE" compose -p "$PROJECT" --project-directory "$ROOT" "${files[@]}" "$@"
}
project_containers() { ask_engine ps --filter "label=com.docker.compose.project=$PROJECT" "$@"; }
docker_is_running() { [ -n "$ENGINE" ] && [ -n "$PROJECT" ] && project_containers --format '{{.Label "com.docker.compose.project.working_dir"}}' | grep -Fx "$ROOT" >/dev/null; }
docker_data_exists() { [ -n "$PROJECT" ] && ask_engine volume inspect "${PROJECT}_postgres" >/dev/null 2>&1; }
docker_owns() { [ -n "$(project_containers -q --filter "publish=$1")" ]; }
docker_ports() {
    local i
    echo "$HTTP_PORT HTTP_PORT"
    [ "$TLS" = off ] || echo "$HTTPS_PORT HTTPS_PORT"
    [ "$BUDGET" = 1 ] || { echo "$PROMETHEUS_PORT PROMETHEUS_PORT"; echo "$GRAFANA_PORT GRAFANA_PORT"; }
    for ((i = 1; i <= REPLICAS; i++)); do echo "$((DEBUG_PORT_BASE + i)) DEBUG_PORT_BASE"; done
    case ,$COMPOSE_PROFILES, in *,pgadmin,*) echo "$PGADMIN_PORT PGADMIN_PORT" ;; esac
}
docker_services() { compose config --services | if [ "$REPLICAS" = 1 ]; then grep -vx backend-2; else cat; fi; }
# What only watches, and what --budget leaves out. The API serves without it.
docker_monitoring() { compose --profile monitoring config --services | grep -E '^(prometheus|grafana|.*-exporter)$'; }
docker_serving() { docker_services | grep -Fxv -f <(docker_monitoring); }

docker_write_override() {
    local i
    [ "$REPLICAS$DEV$TLS" != 20off ] || { rm -f "$OVERRIDE"; return 0; }
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
    states=$(within 30 compose ps -a --format '{{.Service}} {{.State}} {{.ExitCode}} {{.Health}}' 2>/dev/null) || true
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
# service: all; but what only watches is no reason not to serve.
docker_converge() {
    local service state services=() watching=() options=(-d --no-build --wait) monitoring
    [ "${1:-}" != --no-recreate ] || { options+=("$1"); shift; }
    monitoring=$(docker_monitoring)
    for service in ${@+"$@"} $([ $# -gt 0 ] || docker_services); do
        if grep -Fqx "$service" <<<"$monitoring"; then watching+=("$service"); else services+=("$service"); fi
    done
    SEEN=' '
    if [ ${#services[@]} -gt 0 ] && ! docker_compose_up --remove-orphans --wait-timeout 180 "${services[@]}"; then
        tail -n 5 "$DATA/logs/compose.log" >&2
        for service in $(docker_states | awk '$2 !~ /^(healthy|done|missing|created)$/ { print $1 }'); do
            warn "--- last lines of $service"
            compose logs --no-log-prefix --tail 20 "$service" >&2 || true
        done
        die "not every service became healthy"
    fi
    [ ${#watching[@]} -gt 0 ] || return 0
    ! docker_compose_up --wait-timeout 75 --no-deps "${watching[@]}" || return 0
    # One of them may have kept the others from being started.
    for service in "${watching[@]}"; do compose up -d --no-build --no-deps "$service" >>"$DATA/logs/compose.log" 2>&1 9>&- || true; done
    while read -r service state; do
        case " ${watching[*]} " in *" $service "*) [ "$state" = healthy ] || warn "  $(printf '%-18s' "$service") $state: the API serves without it (./start.sh logs $service)" ;; esac
    done <<<"$(docker_states)"
}
docker_compose_up() { # ARGUMENT... of compose up; uses `options` and SEEN, the services that have been named already
    local service state running=1 told=0
    compose up "${options[@]}" "$@" >"$DATA/logs/compose.log" 2>&1 9>&- &
    UP_PID=$!
    while [ $running = 1 ]; do
        sleep 1
        kill -0 "$UP_PID" 2>/dev/null || running=0 # once more after its end
        while read -r service state; do
            case $state in healthy | done) case $SEEN in *" $service "*) ;; *) printf '  %-18s %s\n' "$service" "$state"; SEEN="$SEEN$service " ;; esac ;; esac
            # Whom a migration waits for, as soon as it says so.
            case "$service $state" in 'migrate running') compose logs --no-log-prefix migrate 2>/dev/null | waiting_lines | tail -n +$((told + 1)) && told=$(compose logs --no-log-prefix migrate 2>/dev/null | waiting_lines | wc -l) ;; esac
        done <<<"$(docker_states)"
    done
    local code=0
    wait "$UP_PID" || code=$?
    UP_PID=''
    return $code
}

docker_up() {
    docker_check_owner
    # A clone made under umask 077 has files that a container's user could not read, built into an image or mounted.
    find "$ROOT"/{backend,frontend,nginx,monitoring,k6} -name node_modules -prune -o ! -type l ! -perm -a+r -exec chmod a+rX {} +
    case ${DOCKER_HOST:-unix:} in unix:* | npipe:*) check_ports docker_owns < <(docker_ports) ;; esac
    docker_write_override
    # shellcheck disable=SC2046 # one word a service
    [ "$BUDGET" = 0 ] || step 'stopping the monitoring' compose --profile monitoring rm -sf $(docker_monitoring)
    docker_targets | write_targets "$TANDEM_TARGETS"
    step 'building the images' compose build migrate nginx
    # shellcheck disable=SC2046 # one word a service
    step 'fetching the images that are missing' compose pull --policy missing $(docker_serving | grep -Ev '^(backend-.*|migrate|nginx)$')
    # shellcheck disable=SC2046
    [ "$BUDGET" = 1 ] || step 'fetching those of the monitoring' compose pull --policy missing --ignore-pull-failures $(docker_monitoring)
    docker_check_image
    STARTED=1
    write_state # from here on there is data of this clone's project
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
docker_restart() {
    local name services=()
    for name; do
        if [ "$name" = migrate ]; then step migrating docker_migrate tandem; else services+=("$name"); fi # it ends, so it cannot be waited for
    done
    [ $# = 0 ] || [ ${#services[@]} -gt 0 ] || return 0
    step "restarting ${services[*]:-everything}" compose restart ${services[@]+"${services[@]}"}
    docker_converge --no-recreate ${services[@]+"${services[@]}"}
}
# Not `compose kill`: Docker takes that for a wish to stop, and does not start the container again.
docker_kill() {
    local code=0
    compose exec -T "$1" sh -c 'kill -KILL -1' || code=$?
    [ $code = 0 ] || [ $code = 137 ] # the shell that sends the signal can die of it too
}
docker_seed() { compose exec -T backend-1 node --enable-source-maps "$(program_file seed)" "$@"; }
docker_postgres() { # see native/database.sh
    local program=$1; shift
    # shellcheck disable=SC2016 # for the shell in the container
    compose exec -T postgres sh -c 'PGPASSWORD=$POSTGRES_PASSWORD exec "$0" -h 127.0.0.1 -U postgres "$@"' "$program" "$@"
}
docker_migrate() { # DATABASE
    # shellcheck disable=SC2030
    (export DATABASE_ADMIN_URL=postgres://postgres:$POSTGRES_PASSWORD@postgres:5432/$1; compose run --rm --no-deps -T -e DATABASE_ADMIN_URL migrate)
}
# shellcheck disable=SC2046 # one word a replica
docker_stop_api() { docker_end_up; compose stop nginx $(backends); }
# What is in Redis may be of another time than the database: it must be gone before anybody reads.
docker_start_api() {
    [ -z "$(project_containers -q --filter label=com.docker.compose.service=redis)" ] || step 'emptying Redis' compose restart redis
    docker_converge
}

# --- the version of PostgreSQL: each keeps its data in a folder of its own in the volume, see docker-compose.yml ---------

image_version() { "$ENGINE" image inspect --format '{{range .Config.Env}}{{println .}}{{end}}' "$1" 2>/dev/null | sed -n 's/^PG_MAJOR=//p'; }
in_volume() { compose run --rm --no-deps -T --entrypoint sh postgres -euc "cd /var/lib/postgresql; $1" 2>>"$DATA/logs/start.log"; } # as the user of POSTGRES_IMAGE
# shellcheck disable=SC2016 # for the shell in the container
data_versions() { in_volume 'for data in */docker; do [ ! -d "$data" ] || if [ -x "$data" ]; then echo "${data%/docker}"; else echo "${data%/docker}(not-readable-for-its-user)"; fi; done' | tr '\n' ' '; }
# An image that would not find the data of the one before must not start with an empty database.
docker_check_image() {
    local version data
    version=$(image_version "$POSTGRES_IMAGE")
    [ -n "$version" ] || die "POSTGRES_IMAGE=$POSTGRES_IMAGE does not say which PostgreSQL it has: use an official image, such as $(sed -n 's/^POSTGRES_IMAGE=//p' "$ROOT/.env.example")"
    [ "$LAST_IMAGE" != "$POSTGRES_IMAGE" ] && docker_data_exists || return 0
    data=$(data_versions)
    case $data in
        '' | "$version ") ;;
        *readable*) die "the user of $POSTGRES_IMAGE cannot read the data, which another image made: put the former image back in .env" ;;
        *) die "the data is of PostgreSQL ${data% }, and POSTGRES_IMAGE=$POSTGRES_IMAGE is $version: ./start.sh upgrade takes it over, or put the former image back in .env" ;;
    esac
}
docker_upgrade() {
    local to data from
    step 'fetching the image' compose pull --policy missing postgres
    to=$(image_version "$POSTGRES_IMAGE")
    [ -n "$to" ] && docker_data_exists || { docker_check_image; die "there is no data to upgrade: ./start.sh"; }
    data=$(data_versions)
    case $data in *readable*) LAST_IMAGE='' docker_check_image ;; esac
    from=$(tr ' ' '\n' <<<"$data" | grep -vx "$to" | head -n 1) || true # both: an upgrade was interrupted
    [ -n "$from" ] || { say "The data is of PostgreSQL $to already: nothing to upgrade."; return 0; }
    [ "$from" -lt "$to" ] || die "the data is of PostgreSQL $from, which is newer than $POSTGRES_IMAGE: put the former image back in .env"
    [ "$(in_volume "[ ! -e $from/kept ] || echo there")" = '' ] || die "the volume ${PROJECT}_postgres has data of PostgreSQL $from of an earlier upgrade: remove its folder $from/kept first"
    OLD_IMAGE=$LAST_IMAGE NEW_IMAGE=$POSTGRES_IMAGE
    [ "$(image_version "${OLD_IMAGE:-none}")" = "$from" ] || OLD_IMAGE=postgres:$from
    POSTGRES_IMAGE=$OLD_IMAGE step "fetching $OLD_IMAGE" compose pull --policy missing postgres
    step 'building the images' compose build migrate nginx
    docker_write_override
    docker_targets | write_targets "$TANDEM_TARGETS"
    upgrade_database "$from" "$to"
}
# The old server on the old data, and nothing of the new one.
docker_old_cluster() { # FROM TO
    POSTGRES_IMAGE=$OLD_IMAGE
    compose stop postgres >/dev/null 2>&1 || true
    in_volume "rm -rf $2/docker; [ -e $1/docker ] || mv $1/kept $1/docker"
    TANDEM_UPGRADE='' step "starting PostgreSQL $1" compose up -d --no-deps --wait postgres
}
docker_new_cluster() {
    step "stopping PostgreSQL $1" compose stop postgres
    POSTGRES_IMAGE=$NEW_IMAGE
    TANDEM_UPGRADE=yes step "starting PostgreSQL $2" compose up -d --no-deps --wait postgres
}
docker_keep_old() {
    in_volume "mv $1/docker $1/kept"
    say "The data of PostgreSQL $1 is kept in the volume ${PROJECT}_postgres, in the folder $1/kept."
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
docker_end_up() { [ -z "$UP_PID" ] || { kill -TERM "$UP_PID" 2>/dev/null || true; wait "$UP_PID" 2>/dev/null || true; UP_PID=''; }; } # of a start that was interrupted
# By label, from a folder without a compose file: stopping needs neither .env nor the override.
docker_down() {
    docker_end_up
    (
        cd "$DATA/logs" && "$ENGINE" compose -p "$PROJECT" stop &&
            project_containers -aq | while read -r id; do "$ENGINE" rm -f ${1:+-v} "$id"; done && # a shell or a load test that `stop` leaves; with --volumes also those without a name
            "$ENGINE" compose -p "$PROJECT" down --remove-orphans "$@"
    ) >"$DATA/logs/compose.log" 2>&1 9>&- || { tail -n 5 "$DATA/logs/compose.log" >&2; return 1; }
}
docker_volumes() { # a line each, with its size
    local sizes
    [ -n "$ENGINE" ] && [ -n "$PROJECT" ] || return 0
    sizes=$(within 60 "$ENGINE" system df -v --format '{{range .Volumes}}{{.Name}} {{.Size}}{{println}}{{end}}' 2>/dev/null) || true
    ask_engine volume ls -q --filter "label=com.docker.compose.project=$PROJECT" |
        while read -r name; do echo "the volume $name ($(awk -v name="$name" '$1 == name { print $2; found = 1 } END { if (!found) print "size unknown" }' <<<"$sizes"))"; done
}
# A copy of another's .env must not act on its data. (What removes .data by hand meets this too.)
docker_check_owner() {
    [ "${LAST_PROJECT:-$([ "$LAST_WAY" != docker ] || echo tandem)}" = "$PROJECT" ] || ! docker_data_exists ||
        die "the volume ${PROJECT}_postgres is there, but this clone has never started the project $PROJECT. If .env is a copy of another's, give COMPOSE_PROJECT_NAME a name of its own; if .data was removed: printf 'docker 0 0\\n%s\\n%s\\n' \"\$PWD\" $PROJECT >.data/state"
}
docker_remove_data() {
    docker_down --volumes || die "the volumes could not be removed"
    "$ENGINE" image rm "$PROJECT-backend" "$PROJECT-nginx" >/dev/null 2>&1 || true # built for this clone
}
