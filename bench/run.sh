#!/usr/bin/env bash
# Compares this stack with its peers, or replicas with more replicas; see --help.
set -euo pipefail
ROOT=$(unset CDPATH; cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
for part in common packages; do
    # shellcheck source=/dev/null
    . "$ROOT/native/$part.sh"
done
# What the peers need beyond this stack's own.
TOOLS=$DATA/bench
VEGETA=v12.13.0

usage() {
    cat <<EOF
bench/run.sh [peers] [option...]   this stack, Fastify, Express and FastAPI in turn, on a PostgreSQL, Redis and Nginx of its own
    --rounds N (5)  --seconds N (4)  --connections N (16)
    --contenders tandem,fastify,fastify-bare,express,fastapi,node-http,nginx-return,before
                    "before" is another clone: BEFORE=its folder backend/, with its node_modules
    --workloads ping,cached,uncached,create,mix
                    with contenders tandem,before also row,rows: transfers to one account, and to five
    --half a,b      two that are also asked at half of the lower peak    (tandem,fastify)
    --out FILE      every sample, as JSON
bench/run.sh scale [option...]     1, 2, 4 and 8 replicas, each held to a small part of a core (root, cgroups)
    --rounds N (5)  --seconds N (5)  --quota PERCENT (10)  --workloads cached,mix

Installs wrk with the stack's own packages, the peers into bench/, FastAPI and vegeta into .data/bench.
EOF
}

peers() { # NAME: has the packages of its lock file
    [ "$ROOT/bench/$1/node_modules/.package-lock.json" -nt "$ROOT/bench/$1/package-lock.json" ] ||
        step "installing $1" npm --prefix "$ROOT/bench/$1" ci --no-audit
}
fastapi() {
    [ "$TOOLS/python/installed" -nt "$ROOT/bench/fastapi/requirements.txt" ] || {
        python3 -m venv "$TOOLS/python" &&
            "$TOOLS/python/bin/pip" install -q -r "$ROOT/bench/fastapi/requirements.txt" && touch "$TOOLS/python/installed"
    }
}

mode=peers
case ${1:-} in
    -h | --help) usage; exit 0 ;;
    peers | scale) mode=$1; shift ;;
esac
mkdir -p "$DATA/logs" "$TOOLS/bin"
install_packages postgresql redis-server nginx-light wrk
install_dependencies
cd "$ROOT/bench"
export PATH=$TOOLS/bin:$PATH
if [ "$mode" = scale ]; then exec "$NODE" scale.ts "$@"; fi
peers express
peers fastify
step 'installing FastAPI (Python 3.11 or newer)' fastapi
command -v vegeta >/dev/null || {
    command -v go >/dev/null || die "vegeta is missing, which asks at a given rate, and Go, which would build it; --half '' leaves that out"
    step "building vegeta" env "GOBIN=$TOOLS/bin" go install "github.com/tsenart/vegeta/v12@$VEGETA"
}
exec "$NODE" run.ts --python "$TOOLS/python/bin/python" "$@"
