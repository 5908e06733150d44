#!/usr/bin/env bash
# Stops the stack. The data stays; `--volumes` removes it too.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=native/common.sh
. "$ROOT/native/common.sh"
# shellcheck source=native/compose.sh
. "$ROOT/native/compose.sh"
# shellcheck source=native/native.sh
. "$ROOT/native/native.sh"

remove=0
case ${1:-} in
    '') ;;
    --volumes) remove=1 ;;
    -h | --help) echo "./stop.sh [--volumes]   stops the stack; --volumes also removes its data, after naming it"; exit 0 ;;
    *) die "unknown argument: $1 (see ./stop.sh --help)" ;;
esac
mkdir -p "$DATA/logs"
lock
choose_way
if [ -n "$RUNNING" ]; then
    step "stopping ($WAY)" "${WAY}_down"
else
    say "The stack is not running."
    [ "$WAY" != native ] || native_end_orphans
fi
if [ $remove = 1 ]; then
    names=$("${WAY}_volumes")
    say "Removing the data for good: ${names:-there is none}"
    "${WAY}_remove_data"
else
    say "The data stays; ./start.sh finds it again."
fi
