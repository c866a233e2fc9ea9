#!/usr/bin/env bash
# Brings Argo Rollouts into a cluster that start.sh has started: start-rollouts.sh STATE ROLLOUTS
# ROLLOUTS is what rollouts.sh has built: the controller and its CRDs. It ends with the cluster (stop.sh).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd); source "$here/common.sh"
cd -P "$1"; source ./settings

crds=/apis/apiextensions.k8s.io/v1/customresourcedefinitions
for file in "$2"/crds/*.yaml; do
  code=$(ask "$crds" -o crd.answer -w '%{http_code}' -H 'Content-Type: application/yaml' --data-binary "@$file")
  # Already there: somebody else was first.
  case $code in 201 | 409) ;; *) echo "$file: $code $(head -c 300 crd.answer)" >&2; exit 1 ;; esac
done
served() { [ "$(ask /apis/argoproj.io/v1alpha1/rollouts -o /dev/null -w '%{http_code}')" = 200 ]; }
until_true 300 served || { echo "the API server does not serve Rollouts" >&2; exit 1; }

# It listens on all addresses for its metrics and its health, and nobody asks: with these numbers it can't, says so once and goes on.
background rollouts "$2/rollouts-controller" --kubeconfig "$PWD/machinery.kubeconfig" --leader-elect=false \
  --metricsPort=-1 --healthzPort=-1 --qps 500 --burst 1000
