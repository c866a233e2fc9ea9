#!/usr/bin/env bash
# Unpacks Debian's docker-registry, the registry that real tests run on, unless it is there. Nothing is installed: it runs from
# where it is unpacked.
#   registry.sh          unpacks it when it is missing, then prints ROLLDECK_REGISTRY=/…/docker-registry
#   registry.sh --find   prints the same if it is there, else ends with 1 and fetches nothing
# It lives outside the checkout like what build.sh makes.
set -euo pipefail

# Someone who already has it (what scripts/test exports, or the package is installed) is believed.
if [ -x "${ROLLDECK_REGISTRY:-}" ]; then echo "ROLLDECK_REGISTRY=$ROLLDECK_REGISTRY"; exit; fi
if own=$(command -v docker-registry); then echo "ROLLDECK_REGISTRY=$own"; exit; fi

cache=${ROLLDECK_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rolldeck-tests}
binary=$cache/docker-registry/usr/bin/docker-registry
found() { [ -x "$binary" ] && echo "ROLLDECK_REGISTRY=$binary"; }
if found; then exit; fi
if [ "${1:-}" = --find ]; then exit 1; fi
if ! command -v apt-get >/dev/null; then
  echo "registry.sh: docker-registry is missing; install it, or name its binary in ROLLDECK_REGISTRY" >&2; exit 1
fi

mkdir -p "$cache"; exec 9>"$cache/docker-registry.lock"
if command -v flock >/dev/null; then flock 9; fi
if found; then exit; fi

echo "unpacking docker-registry for the real tests (once)" >&2
aside=$(mktemp -d "$cache/unpacking.XXXXXX"); trap 'rm -rf "$aside"' EXIT
chmod 755 "$aside"
(cd "$aside" && { apt-get download -q docker-registry >&2 || { apt-get update -q >&2 && apt-get download -q docker-registry >&2; }; })
dpkg-deb -x "$aside"/docker-registry_*.deb "$aside/whole"
rm -rf "$cache/docker-registry"; mv "$aside/whole" "$cache/docker-registry"
found
