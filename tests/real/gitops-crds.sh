#!/usr/bin/env bash
# Fetches the CRDs of Argo CD and Flux that the real tests put into a cluster, from the Go modules of those projects.
#   gitops-crds.sh          fetches them when they are missing, then prints ROLLDECK_GITOPS_CRDS=DIR
#   gitops-crds.sh --find   prints the same if they are there, else ends with 1 and fetches nothing
# They live outside the checkout like what build.sh makes, under a key made from what is fetched. Nothing is built.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Someone who already has them (what scripts/test exports) is believed.
if [ -d "${ROLLDECK_GITOPS_CRDS:-}" ]; then echo "ROLLDECK_GITOPS_CRDS=$ROLLDECK_GITOPS_CRDS"; exit; fi

cache=${ROLLDECK_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rolldeck-tests}
key=$(openssl dgst -sha256 -r "$here/gitops-crds.sh" | cut -c1-16)
fetched=$cache/gitops-crds-$key
found() { [ -d "$fetched" ] && echo "ROLLDECK_GITOPS_CRDS=$fetched"; }
if found; then exit; fi
if [ "${1:-}" = --find ]; then exit 1; fi

# Fetched aside and renamed when whole; who comes second finds what the first has fetched.
mkdir -p "$cache"; aside=$(mktemp -d "$cache/fetching.XXXXXX"); trap 'rm -rf "$aside"' EXIT
export GOWORK=off
while read -r module version file; do
  directory=$(cd "$aside" && go mod download -json "$module@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  [ -n "$directory" ] || { echo "$module@$version can't be fetched" >&2; exit 1; }
  cp "$directory/$file" "$aside/"
done <<'MODULES'
github.com/argoproj/argo-cd/v3 v3.5.7 manifests/crds/application-crd.yaml
github.com/fluxcd/kustomize-controller v1.9.6 config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml
github.com/fluxcd/helm-controller v1.6.4 config/crd/bases/helm.toolkit.fluxcd.io_helmreleases.yaml
MODULES
# The download cache is read only; these are ours.
chmod -R u+w "$aside"
mv "$aside" "$fetched" 2>/dev/null || true
found
