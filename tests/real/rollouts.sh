#!/usr/bin/env bash
# Builds the controller of Argo Rollouts that the real tests run on, and lays its CRDs beside it, unless they are there.
#   rollouts.sh          builds it when it is missing, then prints ROLLDECK_ROLLOUTS=DIR
#   rollouts.sh --find   prints the same if it is there, else ends with 1 and builds nothing
# It lives outside the checkout like what build.sh makes, under a key made from what it is built of.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd); module=$here/rollouts

# Someone who already has it (what scripts/test exports) is believed.
if [ -x "${ROLLDECK_ROLLOUTS:-}/rollouts-controller" ]; then echo "ROLLDECK_ROLLOUTS=$ROLLDECK_ROLLOUTS"; exit; fi

cache=${ROLLDECK_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rolldeck-tests}
key=$(cat "$module/go.mod" "$module/go.sum" "$here/rollouts.sh" | openssl dgst -sha256 -r | cut -c1-16)
built=$cache/rollouts-$key
found() { [ -x "$built/rollouts-controller" ] && echo "ROLLDECK_ROLLOUTS=$built"; }
if found; then exit; fi
if [ "${1:-}" = --find ]; then exit 1; fi

# Two runs must not build at once: the second waits here, then finds what the first has built.
mkdir -p "$cache"; exec 9>"$cache/rollouts.lock"
if command -v flock >/dev/null; then flock 9; fi
if found; then exit; fi

# Built aside and renamed when whole, as in build.sh.
echo "building the controller of Argo Rollouts for the real tests (once; 2 to 3 minutes on 2 cores)" >&2
aside=$(mktemp -d "$cache/building.XXXXXX"); trap 'rm -rf "$aside"' EXIT
export GOWORK=off CGO_ENABLED=0
name=github.com/argoproj/argo-rollouts
go -C "$module" build -buildvcs=false -trimpath -ldflags "-s -w" -o "$aside/rollouts-controller" "$name/cmd/rollouts-controller" >&2
# The download cache is read only; these are ours.
mkdir "$aside/crds"
cp "$(go -C "$module" list -m -f '{{.Dir}}' "$name")"/manifests/crds/*-crd.yaml "$aside/crds"
chmod -R u+w "$aside/crds"
mv "$aside" "$built"
found
