#!/usr/bin/env bash
# Builds the control plane that the real tests run on (etcd and Kubernetes as one binary, and kwok), unless it is there.
#   build.sh          builds what is missing, then prints KUBEBUILDER_ASSETS=DIR
#   build.sh --find   prints the same if it is there, else ends with 1 and builds nothing
# Binaries live outside the checkout, under a key made from what they are built of: a fresh clone finds them again.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd); plane=$here/control-plane
kubernetes=1.36.3; kwok=v0.8.0

# Someone who already has these (the convention of envtest) need not build them again.
if [ -x "${KUBEBUILDER_ASSETS:-}/kube-apiserver" ] && [ -x "$KUBEBUILDER_ASSETS/kwok" ]; then
  echo "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS"; exit
fi

cache=${ROLLDECK_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rolldeck-tests}
key=$(cat "$plane/go.sum" "$plane/main.go" "$here/build.sh" | openssl dgst -sha256 -r | cut -c1-16)
assets=$cache/control-plane-$key
found() { [ -x "$assets/kwok" ] && echo "KUBEBUILDER_ASSETS=$assets"; }
if found; then exit; fi
if [ "${1:-}" = --find ]; then exit 1; fi

# Two runs must not build at once: the second waits here, then finds what the first has built.
mkdir -p "$cache"; exec 9>"$cache/build.lock"
if command -v flock >/dev/null; then flock 9; fi
if found; then exit; fi

# Built aside and renamed when whole, so that an interrupted build is never taken for a finished one.
echo "building the control plane for the real tests (once; 5 to 6 minutes on 2 cores)" >&2
aside=$(mktemp -d "$cache/building.XXXXXX"); trap 'rm -rf "$aside"' EXIT
# Without these the server calls itself v0.0.0-master and kwok refuses to start.
version=k8s.io/component-base/version
flags="-s -w -X $version.gitVersion=v$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=36"
export GOWORK=off CGO_ENABLED=0
go -C "$plane" build -buildvcs=false -trimpath -ldflags "$flags" -o "$aside/kube-apiserver" . >&2
for name in etcd kube-controller-manager kube-scheduler; do ln -s kube-apiserver "$aside/$name"; done
GOBIN=$aside go install -buildvcs=false -trimpath -ldflags "-s -w" "sigs.k8s.io/kwok/cmd/kwok@$kwok" >&2
mv "$aside" "$assets"
found
