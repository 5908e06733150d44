#!/usr/bin/env bash
# Checks everything that can be checked on this machine: scripts, style, imports, types, generated files, then the unit,
# HTTP and black-box tests, and the console in a browser. It uses PostgreSQL, Redis and Nginx of its own on free ports, never yours.
set -euo pipefail
ROOT=$(unset CDPATH; cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
for part in common packages; do
    # shellcheck source=/dev/null
    . "$ROOT/native/$part.sh"
done

case ${1:-} in
    -h | --help)
        echo "./test.sh [jest argument...]   all checks and tests; arguments choose tests, e.g. ./test.sh src/features/items"
        exit 0 ;;
esac

mkdir -p "$DATA/logs"
# shellcheck disable=SC2086 # one word a package
install_packages postgresql redis-server nginx-light supervisor gettext-base shellcheck $MONITORING_PACKAGES
command -v google-chrome >/dev/null || install_packages chromium # the console is tried in it
install_dependencies
console_dependencies
console_build
cd "$ROOT"
step 'shell scripts' shellcheck -x ./*.sh native/*.sh backend/*.sh k6/*.sh bench/*.sh kubernetes/*.sh .ci/*
step 'Prometheus configuration and rules' promtool check config monitoring/prometheus/prometheus.yml
step 'alerts' promtool test rules monitoring/prometheus/tests/*.yml
cd backend
step 'style, imports, types, generated files' npm run check
step 'console: types, components' console_npm run check
[ $# = 0 ] || { npm test -- "$@"; exit; }
# Beside the others: it mostly waits for its browser. A process group of its own, to be ended with what it has started.
set -m; console_npm run e2e >"$DATA/logs/e2e.log" 2>&1 & e2e=$!; set +m
trap 'reason $? "$BASH_COMMAND"; kill -- "-$e2e" 2>/dev/null || true' EXIT
npm test -- --coverage
wait "$e2e" || { cat "$DATA/logs/e2e.log"; die "the console's tests in a browser failed"; }
say_reason
echo 'console: in a browser'
tail -n 6 "$DATA/logs/e2e.log"
