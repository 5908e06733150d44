#!/usr/bin/env bash
# Installs Debian packages without letting them start or change anything on the system: their servers stay off, and
# PostgreSQL's package makes no cluster. Sourced for install_packages; run as root it installs the packages named.

# shellcheck disable=SC2034 # for the scripts that source this
MONITORING_PACKAGES='prometheus prometheus-nginx-exporter prometheus-redis-exporter prometheus-postgres-exporter prometheus-node-exporter'

# The program that each package is wanted for.
has_program_of() {
    local PATH=$PATH:/usr/sbin:/sbin
    case $1 in
        postgresql) compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || command -v postgres >/dev/null ;;
        supervisor) command -v supervisord >/dev/null ;;
        gettext-base) command -v envsubst >/dev/null ;;
        nginx-light) command -v nginx >/dev/null ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

# install_packages NAME...: installs those whose program is missing.
install_packages() {
    local name missing=() here
    for name; do has_program_of "$name" || missing+=("$name"); done
    [ ${#missing[@]} -gt 0 ] || return 0
    here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/packages.sh
    echo "Missing on this machine: ${missing[*]}. The stack and its tests are made of them; their own services stay off."
    command -v apt-get >/dev/null || { echo "error: there is no apt-get here: install these with your package manager: ${missing[*]}" >&2; return 1; }
    if [ "$(id -u)" = 0 ]; then
        bash "$here" "${missing[@]}"
    elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo true; }; }; then
        sudo bash "$here" "${missing[@]}"
    else
        echo "error: installing needs root. Have an administrator run: sudo bash '$here' ${missing[*]}" >&2
        return 1
    fi
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -euo pipefail
    export DEBIAN_FRONTEND=noninteractive
    [ $# -gt 0 ] || { echo "usage: $0 PACKAGE..." >&2; exit 2; }
    made=()
    # shellcheck disable=SC2317 # called by the trap
    clean_up() { for file in "${made[@]}"; do rm -f "$file"; done; }
    trap clean_up EXIT
    trap 'exit 130' INT TERM
    # A policy of 101 forbids the packages to start their services. One that is there already is the owner's.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        made+=(/usr/sbin/policy-rc.d)
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
    fi
    mkdir -p /etc/postgresql-common/createcluster.d
    made+=(/etc/postgresql-common/createcluster.d/tandem.conf)
    echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/tandem.conf

    log=$(mktemp); made+=("$log")
    printf '  installing %s ... ' "$*"
    # A list that cannot be renewed may still be good enough.
    apt-get -qq update >"$log" 2>&1 || true
    apt-get -qq -y --no-install-recommends install "$@" >>"$log" 2>&1 || { echo failed; tail -n 15 "$log" >&2; exit 1; }
    echo "done"
    # Else they would start with the machine and take ports 80 and 6379.
    for unit; do
        case $unit in
            nginx | nginx-light) unit=nginx ;;
            redis-server | supervisor | postgresql | prometheus*) ;;
            *) continue ;;
        esac
        if [ -d /run/systemd/system ]; then systemctl -q disable "$unit" || true; else update-rc.d "$unit" disable >/dev/null 2>&1 || true; fi
    done
fi
