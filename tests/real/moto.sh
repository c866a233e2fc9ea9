#!/usr/bin/env bash
# Installs moto, the AWS server that real tests run on (moto/moto_rolldeck.py extends it), unless it is there.
#   moto.sh          installs it when it is missing, then prints ROLLDECK_MOTO_PYTHON=/…/bin/python
#   moto.sh --find   prints the same if it is there, else ends with 1 and installs nothing
# It lives outside the checkout like what build.sh makes, under a key made from what it is installed from and with.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd); requirements=$here/moto/requirements.txt

# Someone who already has it (what scripts/test exports) is believed.
if [ -x "${ROLLDECK_MOTO_PYTHON:-}" ]; then echo "ROLLDECK_MOTO_PYTHON=$ROLLDECK_MOTO_PYTHON"; exit; fi

cache=${ROLLDECK_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rolldeck-tests}
# With the version of Python: an environment does not outlive it.
key=$({ cat "$requirements" "$here/moto.sh"; python3 --version; } | openssl dgst -sha256 -r | cut -c1-16)
python=$cache/moto-$key/bin/python
found() { [ -x "$python" ] && echo "ROLLDECK_MOTO_PYTHON=$python"; }
if found; then exit; fi
if [ "${1:-}" = --find ]; then exit 1; fi

# Two runs must not install at once: the second waits here, then finds what the first has installed.
mkdir -p "$cache"; exec 9>"$cache/moto.lock"
if command -v flock >/dev/null; then flock 9; fi
if found; then exit; fi

# Made aside and renamed when whole, as in build.sh. Only the scripts in bin know the old place: go through `python -m`.
echo "installing moto for the real tests (once; half a minute)" >&2
aside=$(mktemp -d "$cache/installing.XXXXXX"); trap 'rm -rf "$aside"' EXIT
python3 -m venv "$aside" >&2
"$aside/bin/python" -m pip install -q --disable-pip-version-check -r "$requirements" >&2
mv "$aside" "$cache/moto-$key"
found
