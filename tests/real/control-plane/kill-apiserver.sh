#!/usr/bin/env bash
# Ends the API server of a cluster as a crash would: kill-apiserver.sh STATE. The rest of the cluster stays.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd); source "$here/common.sh"
cd -P "$1"; end apiserver
