# shellcheck shell=bash
# What the scripts beside this one share; sourced, never run. A cluster is a state directory STATE: its data, NAME.log and
# NAME.pid of each process, and `settings`, which start.sh writes and the others read.

# shellcheck disable=SC2034 # read from settings, used by the scripts
port='' etcd_port='' assets=''

# background NAME COMMAND...: in a session of its own, so that Ctrl-C at the tests' terminal is not a fault of the cluster.
background() {
  local name=$1; shift
  if command -v setsid >/dev/null; then
    setsid "$@" >>"$name.log" 2>&1 </dev/null &
  else # macOS has no setsid
    perl -MPOSIX -e 'POSIX::setsid(); exec @ARGV or die $!' -- "$@" >>"$name.log" 2>&1 </dev/null &
  fi
  echo $! >"$name.pid"
}

# The command line of each process names STATE: a recorded pid that meanwhile is someone else's does not.
is_ours() { [ -f "$1.pid" ] && ps -ww -o args= -p "$(cat "$1.pid")" | grep -qF -- "$PWD/"; }

lives() { kill -0 "$(cat "$1.pid")" 2>/dev/null; }

# kill -9, because after SIGTERM an API server drains for up to a minute.
# It is waited for: who starts it again needs its port.
end() {
  local pid
  if is_ours "$1"; then pid=$(cat "$1.pid"); kill -9 "$pid"; until_true 100 is_gone "$pid" || true; fi
  rm -f "$1.pid"
}
is_gone() { case $(ps -o stat= -p "$1") in '' | Z*) true ;; *) false ;; esac; }

# ask PATH [curl options]: a request as admin. The certificate is checked: another cluster on this port must not answer for ours.
ask() { curl -s --max-time 10 --cacert certs/apiserver.crt -H 'Authorization: Bearer admin-token' "https://127.0.0.1:$port$1" "${@:2}"; }

# until_true TRIES COMMAND...: every 0.1 s; fails when the tries are used up.
until_true() {
  local left=$1; shift
  until "$@"; do left=$((left - 1)); if [ "$left" -le 0 ]; then return 1; fi; sleep 0.1; done
}
