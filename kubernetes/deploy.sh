#!/usr/bin/env bash
# Brings the cluster of kubectl's current context to what an overlay says, and waits until it is there.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=native/common.sh
. "$ROOT/native/common.sh"
TIMEOUT=${TIMEOUT:-600} # of each wait, in seconds

usage() {
    cat <<END
kubernetes/deploy.sh local|production

Makes missing Secrets, runs the migrations, replaces what has changed, and waits for it (TIMEOUT, 600 s, each). No request fails while
replicas and Nginx are replaced; of PostgreSQL and Redis there is one each (local), and a change of theirs is an outage of seconds.
It goes to the cluster that \`kubectl config current-context\` names. Again and again without harm.
END
}
case ${1:-} in
    -h | --help) usage; exit 0 ;;
    local | production) [ $# = 1 ] || { usage >&2; exit 2; } ;;
    *) usage >&2; exit 2 ;;
esac
command -v kubectl >/dev/null || die 'kubectl is missing (https://kubernetes.io/docs/tasks/tools/)'

in_namespace() { kubectl --namespace tandem "$@"; }
rendered=$(kubectl kustomize "$ROOT/kubernetes/$1")
case $rendered in *registry.example*) die "kubernetes/$1/kustomization.yaml still names registry.example: put your registry there" ;; esac

say "To the cluster of the context $(kubectl config current-context):"
kubectl apply --server-side --filename "$ROOT/kubernetes/base/namespace.yaml"
"$ROOT/kubernetes/secrets.sh"
# A Job cannot be changed. With its pod (foreground): a migration that still runs ends before the next one begins.
in_namespace delete job migrate --ignore-not-found --cascade=foreground
# force-conflicts: after `kubectl rollout undo`, `set image` or `edit` those own what they changed, and would be in the way.
kubectl apply --server-side --force-conflicts --filename - <<<"$rendered"

# A StatefulSet would wait for a pod of a bad release to become ready, which that never will: what is neither ready nor of this
# release goes (https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback).
sleep 2 # until the cluster has seen the change
# shellcheck disable=SC2016 # the names are the template's
NOT_READY='{{range .items}}{{$name := .metadata.name}}{{range .status.conditions}}{{if and (eq .type "Ready") (eq .status "False")}}{{$name}} {{end}}{{end}}{{end}}'
for set in $(in_namespace get statefulset --output name); do
    release=$(in_namespace get "$set" --output 'jsonpath={.status.updateRevision}')
    stuck=$(in_namespace get pods --output "go-template=$NOT_READY" \
        --selector "app.kubernetes.io/name=${set#*/},controller-revision-hash!=$release")
    # shellcheck disable=SC2086 # one word a pod
    [ -z "$stuck" ] || in_namespace delete pod $stuck
done

# Not `kubectl wait`: it knows one condition, and would sit out its time after a failure.
end=$((SECONDS + TIMEOUT))
while :; do
    case $(in_namespace get job migrate --output 'jsonpath={.status.conditions[?(@.status=="True")].type}') in
        *Complete*) break ;;
        *Failed*) outcome='failed' ;;
        *) outcome="not done after $TIMEOUT s"; [ $SECONDS -ge $end ] || { sleep 1; continue; } ;;
    esac
    in_namespace get pods --selector app.kubernetes.io/name=migrate >&2
    in_namespace logs job/migrate --tail 20 >&2 || true
    die "the migrations: $outcome. The replicas of the release before serve on"
done
for workload in $(kubectl get --filename - --output name <<<"$rendered" | grep -E '^(deployment|statefulset)\.apps/'); do
    in_namespace rollout status "$workload" --timeout="${TIMEOUT}s" || {
        in_namespace get pods >&2
        die "$workload is not what it should be; kubectl --namespace tandem describe pods tells why"
    }
done
