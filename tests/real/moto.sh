#!/usr/bin/env bash
# Makes the Python environment that the AWS tests' server runs in (moto with our extension), unless it is there.
#   moto.sh          makes what is missing, then prints ROLLDECK_MOTO_PYTHON=FILE
#   moto.sh --find   prints the same if it is there, else ends with 1 and makes nothing
# It lives outside the checkout, under a key made from what it is made of: a fresh clone finds it again.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${ROLLDECK_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rolldeck-tests}
key=$(cat "$here/moto/requirements.txt" "$here/moto.sh" | openssl dgst -sha256 -r | cut -c1-16)
venv=$cache/moto-$key
# An environment can't be renamed once it is made: a mark says that it is whole.
found() { [ -e "$venv/complete" ] && echo "ROLLDECK_MOTO_PYTHON=$venv/bin/python"; }
if found; then exit; fi
if [ "${1:-}" = --find ]; then exit 1; fi

# Two runs must not make it at once: the second waits here, then finds what the first has made.
mkdir -p "$cache"; exec 9>"$cache/moto.lock"
if command -v flock >/dev/null; then flock 9; fi
if found; then exit; fi

echo "making the Python environment of the AWS tests (once; a minute)" >&2
rm -rf "$venv"
python3 -m venv "$venv" >&2
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/moto/requirements.txt" >&2
touch "$venv/complete"
found
