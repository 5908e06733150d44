# shellcheck shell=bash disable=SC2154 # variables of the scripts that source this
# The database as a whole: backup, restore, upgrade. Both ways (Docker, native) bring
#   WAY_postgres PROGRAM ARGUMENT...   runs psql, pg_dump or pg_restore as the superuser, where the server is
#   WAY_migrate DATABASE               the migration program, on a database of that name
#   WAY_stop_api, WAY_start_api        Nginx and the replicas; Redis begins empty

sql() { local database=$1; shift; "${WAY}_postgres" psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$database" "$@"; }

backup_database() { # FILE [argument of pg_dump...]
    local file=$1 part; shift
    # Under another name until it is whole.
    part=$(mktemp "$file.XXXXXX") || die "no file can be made beside $file"
    # shellcheck disable=SC2064 # the name as it is now
    trap "rm -f '${part//\'/\'\\\'\'}'" EXIT
    "${WAY}_postgres" pg_dump -Fc "$@" -d tandem >"$part" || die "no backup was made"
    [ "$(head -c 5 "$part")" = PGDMP ] || die "no backup was made: restore reads pg_dump's custom format only"
    mv "$part" "$file"
    say_reason
    say "$file: $(wc -c <"$file") bytes"
}

# How far a restore is, so that whatever ends it brings back what was: nothing, new (beside the old one), stopped (the API), swapped.
RESTORING=''
undo_restore() { # as reason
    local code=$1 lost=0
    trap - EXIT
    reason "$@"
    trap '' HUP INT TERM # once
    case $RESTORING in
        new) drop_databases ;;
        stopped) warn "Starting the API again, on the database as it was."; drop_databases; ("${WAY}_start_api") || warn "It did not start: ./start.sh" ;;
        swapped)
            warn "Putting the database back as it was."
            "${WAY}_stop_api" >/dev/null 2>&1 || true
            # Not known is whether the exchange was carried out, if that is what was interrupted.
            case $(sql postgres -c "select count(*) from pg_database where datname = 'tandem_before'") in
                0) ;;
                1) exchange_databases tandem tandem_restored tandem_before tandem || lost=1 ;;
                *) lost=1 ;;
            esac
            [ "$lost" = 1 ] || drop_databases
            ("${WAY}_start_api") || warn "The API did not start: ./start.sh" ;;
    esac
    if [ "$lost" = 1 ]; then
        warn "error: it could not be put back. It is kept as the database tandem_before: ./start.sh shell postgres"
    elif [ -n "$RESTORING" ]; then
        warn "error: the database is as it was before"
    fi
    [ "$code" != 0 ] || code=1
    exit "$code"
}
drop_databases() { sql postgres -c 'drop database if exists tandem_new with (force)' -c 'drop database if exists tandem_reference with (force)' -c 'drop database if exists tandem_restored with (force)' 2>/dev/null || true; }
# exchange_databases FROM TO FROM TO: renames both or none. Who is connected is sent away; who comes back at once, again.
exchange_databases() {
    local _
    for _ in 1 2 3 4 5; do
        sql postgres -c "select pg_terminate_backend(pid) from pg_stat_activity where datname in ('$1', '$3')" \
            -c "begin; alter database $1 rename to $2; alter database $3 rename to $4; commit" >/dev/null && return 0
    done
    return 1
}
# What the owner has set for the database (alter database … set) is no part of a backup of it, and stays.
copy_settings() {
    sql tandem_new <<'END'
        select format('alter %s database tandem_new set %I = %s', case setrole when 0 then '' else format('role %I in', setrole::regrole) end, name,
                      case when name in ('search_path', 'temp_tablespaces', 'session_preload_libraries', 'local_preload_libraries') then value else quote_literal(value) end)
        from pg_db_role_setting, unnest(setconfig) as setting,
             split_part(setting, '=', 1) as name, substr(setting, strpos(setting, '=') + 1) as value
        where setdatabase = (select oid from pg_database where datname = 'tandem') \gexec
END
}
new_database() { sql postgres -c "drop database if exists $1 with (force)" -c "create database $1 template template0"; }
read_file() { new_database tandem_new && "${WAY}_postgres" pg_restore --exit-on-error --single-transaction --no-owner -d tandem_new <"$1"; }
# check_database NAME: against one that the migrations have just made, so that no list of tables has to be kept here.
check_database() {
    local log reference found missing
    new_database tandem_reference 2>/dev/null || return 1
    log=$("${WAY}_migrate" tandem_reference 2>&1) || { printf '%s\n' "$log"; return 1; }
    reference=$(sql tandem_reference <"$ROOT/native/objects.sql" | LC_ALL=C sort) &&
        found=$(sql "$1" <"$ROOT/native/objects.sql" | LC_ALL=C sort) &&
        sql postgres -c 'drop database tandem_reference with (force)' || return 1
    missing=$(LC_ALL=C comm -23 <(printf '%s\n' "$reference") <(printf '%s\n' "$found"))
    [ -z "$missing" ] || { printf 'The API needs what is not there:\n%s\n' "$missing"; return 1; }
    [ "$(sql "$1" -c 'select count(*) from write_gate')" = 1 ] || { echo 'The API needs the one row of write_gate, which is not there.'; return 1; }
    sql "$1" -c analyze # the planner knows nothing of new tables
}

# All or nothing: the file is read into a new database, which takes the place of the old one when it has what the API needs. The
# old one is kept until the API is healthy.
restore_database() { # FILE
    local ran from
    from=$("${WAY}_postgres" pg_restore -l <"$1" 2>/dev/null | sed -n 's/^; *Archive created at //p') || true
    [ -n "$from" ] || die "$1 is no file that backup made"
    [ "$(sql postgres -c "select count(*) from pg_database where datname = 'tandem_before'")" = 0 ] ||
        die "a restore was ended half way, and the database before it is kept as tandem_before. If it is not wanted: ./start.sh shell postgres -c 'drop database tandem_before'"
    say "Restoring the database of $(clone_name), $(sql tandem -c "select pg_size_pretty(pg_database_size('tandem'))"), from a backup of $from. What was written since is lost."
    trap 'undo_restore $? "$BASH_COMMAND"' EXIT
    trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM
    RESTORING=new
    step 'reading the file' read_file "$1"
    case $(sql tandem_new -c "select to_regclass('public.kysely_migration') is not null") in
        t*) ran=$(sql tandem_new -c 'select count(*) from kysely_migration') ;;
        *) ran=0 ;;
    esac
    [ "$ran" != 0 ] || die "the file holds no database of this API: it does not say which migrations ran"
    step 'migrating it' "${WAY}_migrate" tandem_new
    step 'checking it' check_database tandem_new
    step 'keeping the settings of the database' copy_settings
    RESTORING=stopped
    step 'stopping the API' "${WAY}_stop_api"
    RESTORING=swapped
    step 'taking the new database' exchange_databases tandem tandem_before tandem_new tandem
    "${WAY}_start_api"
    RESTORING=''
    say_reason; trap - HUP INT TERM
    step 'removing the old database' sql postgres -c 'drop database tandem_before with (force)'
}
# upgrade_database FROM TO: to another major version of PostgreSQL, by a dump and a restore. The old data is kept.
#   WAY_new_cluster FROM TO, WAY_old_cluster FROM TO (undoes it), WAY_keep_old FROM TO (says where it is kept)
UPGRADING=''
undo_upgrade() { # as reason
    local code=$1
    trap - EXIT
    reason "$@"
    trap '' HUP INT TERM
    warn "Going back to PostgreSQL ${UPGRADING% *}."
    "${WAY}_stop_api" >/dev/null 2>&1 || true
    # shellcheck disable=SC2086 # two words
    if ("${WAY}_old_cluster" $UPGRADING && { [ -z "$RUNNING" ] || "${WAY}_start_api"; }); then
        warn "error: the database is as it was before"
    else
        warn "error: that failed; nothing of the data was removed: ./start.sh"
    fi
    [ "$code" != 0 ] || code=1
    exit "$code"
}
upgrade_database() {
    local folder=$DATA/postgresql-$1
    say "Upgrading the database of $(clone_name) from PostgreSQL $1 to $2. The API is away meanwhile; the old data is kept."
    UPGRADING="$1 $2"
    trap 'undo_upgrade $? "$BASH_COMMAND"' EXIT
    trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM
    step 'stopping the API' "${WAY}_stop_api"
    "${WAY}_old_cluster" "$1" "$2"
    rm -rf "$folder"; mkdir -m 700 "$folder"
    step "reading the database of PostgreSQL $1" dump_all "$folder"
    "${WAY}_new_cluster" "$1" "$2"
    step "writing it into PostgreSQL $2" read_all "$folder"
    step 'migrating it' "${WAY}_migrate" tandem
    step 'checking it' check_database tandem
    "${WAY}_keep_old" "$1" "$2"
    "${WAY}_start_api"
    say_reason; trap - HUP INT TERM
    rm -rf "$folder"
}
dump_all() { # roles, and the database with what is set for it
    "${WAY}_postgres" pg_dumpall --globals-only >"$1/roles.sql" && "${WAY}_postgres" pg_dump -Fc -d tandem >"$1/tandem.dump"
}
read_all() {
    "${WAY}_postgres" psql -X -q -d postgres <"$1/roles.sql" && # without ON_ERROR_STOP: the role postgres exists
        sql postgres -c 'drop database tandem with (force)' &&
        "${WAY}_postgres" pg_restore --exit-on-error --create -d postgres <"$1/tandem.dump"
}
