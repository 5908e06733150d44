# shellcheck shell=bash disable=SC2034,SC2015,SC2094 # SC2094: basename reads no file
# Settings: .env.example explains them, .env has this clone's, a variable of the caller's environment wins. This is the one parser of .env;
# Compose has its own, and both must read the same (backend/test/settings.test.ts compares them).

# settings_in FILE: lines NAME=value. What Compose would read in another way is refused: variables, escapes, values of several lines.
settings_in() {
    local line name value number=0
    while IFS= read -r line || [ -n "$line" ]; do
        number=$((number + 1)) line=${line%$'\r'}
        [ $number != 1 ] || line=${line#$'\xef\xbb\xbf'} # a byte order mark
        [[ $line =~ ^[[:space:]]*(#.*)?$ ]] && continue
        [[ $line =~ ^[[:space:]]*(export[[:space:]]+)?([A-Za-z_][A-Za-z_0-9]*)[[:space:]]*=[[:space:]]*(.*)$ ]] || die "$(basename "$1"), line $number is not NAME=value"
        name=${BASH_REMATCH[2]} value=${BASH_REMATCH[3]}
        if [[ $value =~ ^\'([^\'\\]*)\'[[:space:]]*(#.*)?$ ]] || [[ $value =~ ^\"([^\"\\$]*)\"[[:space:]]*(#.*)?$ ]]; then
            value=${BASH_REMATCH[1]}
        else
            case $value in
                \'* | \"*) die "$(basename "$1"), line $number: after the closing quote of $name only a comment may follow, and in quotes no \\, \$ or line end" ;;
                *\$*) die "$(basename "$1"), line $number: \$ in $name would be taken for a variable; put the value in single quotes" ;;
            esac
            value=${value%% #*}
            value=${value%"${value##*[![:space:]]}"}
        fi
        printf '%s=%s\n' "$name" "$value"
    done <"$1"
}
names_in() { settings_in "$1" | cut -d= -f1; }
setting_names() { names_in "$ROOT/.env.example"; }
valid_secret() { [[ $1 =~ ^[A-Za-z0-9_-]{8,}$ ]]; }
random_secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
# The line of .env.example as it goes into .env. A secret that the caller's environment has is kept there, where the next start finds it:
# the data is made with it.
with_secret() {
    local name=${1%=}
    case $1 in
        [A-Z]*_PASSWORD= | [A-Z]*_TOKEN=) printf '%s%s\n' "$1" "${!name:-$(random_secret)}" ;;
        COMPOSE_PROJECT_NAME=) printf '%s%s\n' "$1" "${PROJECT:-${LAST_PROJECT:-tandem-$(random_secret | cut -c 1-8)}}" ;;
        *) printf '%s\n' "$1" ;;
    esac
}

# New passwords would lock the stack out of the data that was made with the old ones.
forbid_new_passwords() { ! "${WAY}_data_exists" || die "$1, but there is data of an earlier start: put it back, or begin anew with ./stop.sh --volumes"; }

make_env() {
    local line name names known added=
    known=$(setting_names)
    # shellcheck disable=SC2013 # a line is a word
    for name in $(grep -E '_(PASSWORD|TOKEN)$' <<<"$known"); do
        [ -z "${!name+set}" ] || valid_secret "${!name}" || die "$name in the environment must have 8 or more letters, digits, - and _"
    done
    if [ ! -e "$ROOT/.env" ]; then
        forbid_new_passwords ".env with its passwords is gone"
        ( umask 077; while IFS= read -r line; do with_secret "${line%$'\r'}"; done <"$ROOT/.env.example" >"$ROOT/.env.new" )
        mv "$ROOT/.env.new" "$ROOT/.env"
        say "Made .env with random secrets."
        return 0
    fi
    names=$(names_in "$ROOT/.env") || exit 1
    for name in $names; do
        case $name in COMPOSE_* | DOCKER_*) continue ;; esac # Compose itself reads these
        grep -Fqx "$name" <<<"$known" || warn "warning: .env sets $name, which nothing reads"
    done
    for name in $known; do
        grep -Fqx "$name" <<<"$names" && continue
        [ "$name" != POSTGRES_PASSWORD ] || forbid_new_passwords "$name is not in .env" # the others are applied by every start
        [ -z "$(tail -c 1 "$ROOT/.env")" ] || echo >>"$ROOT/.env" # the last line may have no end
        with_secret "$(grep "^$name=" "$ROOT/.env.example")" >>"$ROOT/.env"
        added="$added $name"
    done
    [ -z "$added" ] || say "Added to .env what is new in .env.example:$added"
}

set_env() { # NAME VALUE
    (
        umask 077
        NAME=$1 VALUE=$2 awk '{ line = $0; sub(/^[ \t]*(export[ \t]+)?/, "", line) } index(line, ENVIRON["NAME"]) == 1 && substr(line, length(ENVIRON["NAME"]) + 1) ~ /^[ \t]*=/ { $0 = ENVIRON["NAME"] "=" ENVIRON["VALUE"] } 1' \
            "$ROOT/.env" >"$ROOT/.env.new"
    )
    mv "$ROOT/.env.new" "$ROOT/.env"
}

# value_of NAME: a setting as the caller's environment, .env or else .env.example has it. The last line counts, as for Compose.
value_of() {
    local value
    if [ -n "${!1+set}" ]; then printf '%s' "${!1}"; return 0; fi
    value=$(settings_in "$ROOT/.env.example" && { [ ! -e "$ROOT/.env" ] || settings_in "$ROOT/.env"; }) || exit 1
    value=$(grep "^$1=" <<<"$value" | tail -n 1) || true
    printf '%s' "${value#*=}"
}

# Reads all of them into shell variables that are not exported: in the native way no process gets a secret by accident.
read_env() {
    local line name value from settings given=''
    settings=$(settings_in "$ROOT/.env.example" && settings_in "$ROOT/.env") || exit 1
    for name in $(compgen -e); do if grep -q "^$name=" <<<"$settings"; then given="$given $name"; fi; done
    while IFS= read -r line; do
        name=${line%%=*}
        case " $given " in *" $name "*) ;; *) printf -v "$name" '%s' "${line#*=}" ;; esac
    done <<<"$settings"
    [ -z "${WANTED_REPLICAS:-}" ] || REPLICAS=$WANTED_REPLICAS
    [ -z "$given" ] || [ "${COMMAND:-}" != up ] || say "From the environment, not from .env:$given"
    for name in $(setting_names); do
        value=${!name} from=.env
        case " $given " in *" $name "*) from="the environment" ;; esac
        case $name in
            *_PASSWORD | *_TOKEN) valid_secret "$value" || die "$name must have 8 or more letters, digits, - and _: see $from" ;;
            LOG_LEVEL) [[ $value =~ ^(debug|info|warn|error|silent)$ ]] || die "LOG_LEVEL=$value: debug, info, warn, error or silent, see $from" ;;
            FAULTS | TLS) [[ $value =~ ^(on|off)$ ]] || die "$name=$value: on or off, see $from" ;;
            REDIS_MAXMEMORY) [[ $value =~ ^[0-9]+([kmg]b?)?$ ]] || die "REDIS_MAXMEMORY=$value is no size such as 64mb: see $from" ;;
            OTEL_EXPORTER_OTLP_ENDPOINT) [[ $value =~ ^(https?://.+)?$ ]] || die "OTEL_EXPORTER_OTLP_ENDPOINT=$value does not begin with http:// or https://: see $from" ;;
            LIMIT_RATE) [[ $value =~ ^[1-9][0-9]*r/[sm]$ ]] || die "LIMIT_RATE=$value is no rate such as 1000r/s: see $from" ;;
            REPLICAS) valid_replicas "$value" || die "REPLICAS=$value: 1 to 16, see $from" ;;
            # Without a leading zero, which the shell would take for an octal number.
            *_PORT | *_PORT_BASE | DATABASE_POOL_MAX | POSTGRES_MAX_CONNECTIONS | LIMIT_BURST | LIMIT_CONNECTIONS)
                [[ $value =~ ^(0|[1-9][0-9]{0,4})$ ]] || die "$name=$value is not a number: see $from" ;;
        esac
    done
    PROJECT=${COMPOSE_PROJECT_NAME:-${PROJECT:-}}
    # The data is made with it: the next start would be locked out.
    [ "$POSTGRES_PASSWORD" = "$(grep '^POSTGRES_PASSWORD=' <<<"$settings" | tail -n 1 | cut -d= -f2-)" ] ||
        die "POSTGRES_PASSWORD in the environment is not that of .env: unset it"
    # Two of each replica ask for its cache; ten stay free for the superuser, the migration and monitoring.
    [ $((REPLICAS * (DATABASE_POOL_MAX + 2) + 10)) -le "$POSTGRES_MAX_CONNECTIONS" ] ||
        die "$REPLICAS replicas x (DATABASE_POOL_MAX=$DATABASE_POOL_MAX + 2) + 10 is more than POSTGRES_MAX_CONNECTIONS=$POSTGRES_MAX_CONNECTIONS: change one of them in .env"
}
