#!/usr/bin/env bash
# Makes the Secrets that the pods need, with random values, straight into the cluster, through pipes: no file has them, and no
# command line. What is there already stays. To rotate one: README.md.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=native/common.sh
. "$ROOT/native/common.sh"
in_namespace() { kubectl --namespace tandem "$@"; }

case ${1:-} in
    '') ;;
    -h | --help) echo "kubernetes/secrets.sh   makes what is missing of the Secrets in the namespace tandem of kubectl's current cluster"; exit 0 ;;
    *) die "no such option: $1 (see --help)" ;;
esac

# secret NAME TYPE KEY[=VALUE]...: a key without a value gets a random one.
secret() {
    local name=$1 type=$2 pair key have data=''
    shift 2
    # shellcheck disable=SC2016 # the names are the template's
    have=$(in_namespace get secret "$name" --ignore-not-found \
        --output 'go-template={{range $key, $value := .data}}{{$key}} {{end}}')
    for pair in "$@"; do
        key=${pair%%=*}
        case " $have " in *" $key "*) continue ;; esac
        case $pair in *=*) data="$data, \"$key\": \"${pair#*=}\"" ;; *) data="$data, \"$key\": \"$(random_secret)\"" ;; esac
        say "secret $name: $key is made"
    done
    data=${data#, }
    if [ -z "$data" ]; then
        return
    elif [ -z "$have" ]; then
        printf '{"apiVersion": "v1", "kind": "Secret", "type": "%s", "metadata": {"name": "%s"}, "stringData": {%s}}' "$type" "$name" "$data" |
            in_namespace create --filename - >/dev/null
    else
        printf '{"stringData": {%s}}' "$data" | in_namespace patch secret "$name" --patch-file /dev/stdin >/dev/null
    fi
}

# The password is with the data since the first start: another one would open nothing.
if [ -n "$(in_namespace get pvc data-postgres-0 --ignore-not-found --output name)" ] &&
    [ -z "$(in_namespace get secret postgres-superuser --ignore-not-found --output name)" ]; then
    die "the volume of PostgreSQL is there (claim data-postgres-0), but not its password: make the Secret postgres-superuser with the old one, or delete the claim and all data"
fi

# basic-auth, because CloudNativePG takes its superuser from such a one (production/).
secret postgres-superuser kubernetes.io/basic-auth username=postgres password
secret tandem Opaque database-app-password database-metrics-password redis-password redis-metrics-password admin-token
