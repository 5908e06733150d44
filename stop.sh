#!/usr/bin/env bash
# Stops the stack. The data stays; `--volumes` removes it too.
set -euo pipefail
ROOT=$(unset CDPATH; cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=native/common.sh
. "$ROOT/native/common.sh"
# shellcheck source=native/compose.sh
. "$ROOT/native/compose.sh"
# shellcheck source=native/native.sh
. "$ROOT/native/native.sh"

remove=0
[ $# -le 1 ] || die "one argument at most (see ./stop.sh --help)"
case ${1:-} in
    '') ;;
    --volumes) remove=1 ;;
    -h | --help) echo "./stop.sh [--volumes]   stops the stack; --volumes also removes its data, after naming it"; exit 0 ;;
    *) die "unknown argument: $1 (see ./stop.sh --help)" ;;
esac
mkdir -p "$DATA/logs"
lock
choose_way
# Said before anything ends: what it is, of which clone, and how much.
names=''
if [ $remove = 1 ]; then
    names=$("${WAY}_volumes")
    [ "$WAY" != docker ] || docker_check_owner
    say "Removing the data of $(clone_name) for good: $(paste -sd, - <<<"${names:-there is none}" | sed 's/,/, /g')"
fi
if [ -n "$RUNNING" ]; then
    [ "$WAY" != native ] || native_answers || warn "$(native_lost): ending all of it by signal."
    step "stopping ($WAY)" "${WAY}_down"
else
    say "The stack is not running."
    [ "$WAY" != native ] || native_end_orphans
fi
if [ $remove = 1 ]; then
    [ -z "$names" ] || "${WAY}_remove_data"
else
    say "The data stays; ./start.sh finds it again."
fi
