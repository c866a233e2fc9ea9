#!/usr/bin/env bash
# Ends a cluster when the process that owns it is gone, or after SECONDS: watchdog.sh STATE SECONDS [OWNER_PID]
# Tests are killed, and those of a shared cluster have no end of their own: nothing may stay behind.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd); state=$1; limit=$2; owner=${3:-$$}
# A dead process that nobody waits for (Z) still has its pid.
owner_lives() { case $(ps -o stat= -p "$owner") in '' | Z*) return 1 ;; esac; }
while [ -f "$state/settings" ] && [ "$SECONDS" -lt "$limit" ] && owner_lives; do sleep 0.5; done
if [ -f "$state/settings" ]; then exec "$here/stop.sh" "$state"; fi
