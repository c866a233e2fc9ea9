#!/usr/bin/env bash
# Ends what start.sh started and removes STATE: stop.sh STATE. With KEEP_STATE=1 the logs stay, for a look at what went wrong.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd); source "$here/common.sh"
if [ ! -f "$1/settings" ]; then echo "$1 is not a directory that start.sh made" >&2; exit 2; fi
cd -P "$1"
# The watchdog last: if this script dies half way, the watchdog still ends the rest.
for name in rollouts kwok scheduler controllers apiserver etcd; do end "$name"; done
rm -rf etcd
if [ "${KEEP_STATE:-}" != 1 ]; then rm -rf -- "$PWD"; fi
