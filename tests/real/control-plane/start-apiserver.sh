#!/usr/bin/env bash
# Starts the API server of a cluster, also again after kill-apiserver.sh: same port, data, certificates and tokens.
# start-apiserver.sh STATE; ends when the server is ready to serve.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd); source "$here/common.sh"
cd -P "$1"
# shellcheck source=/dev/null
source ./settings
if is_ours apiserver; then echo "the API server of $PWD runs already" >&2; exit 1; fi
start() {
  background apiserver "$assets/kube-apiserver" --etcd-servers "http://127.0.0.1:$etcd_port" --bind-address 127.0.0.1 \
    --advertise-address 127.0.0.1 --secure-port "$port" --cert-dir "$PWD/certs" --service-account-key-file sa.key \
    --service-account-signing-key-file sa.key --service-account-issuer https://kubernetes.default.svc \
    --service-cluster-ip-range 10.0.0.0/24 --token-auth-file tokens.csv --authorization-mode RBAC \
    --disable-admission-plugins ServiceAccount --audit-policy-file "$here/audit-policy.yaml" --audit-log-path "$PWD/audit.log"
  until_true 600 is_decided || true
}
is_ready() { [ "$(ask /readyz)" = ok ]; }
is_decided() { ! lives apiserver || ! lives etcd || is_ready; }
# The threads of a killed server may hold its port for a moment after its first one is gone: start again.
is_started() { : >apiserver.log; start; lives apiserver || ! lives etcd || ! grep -q 'address already in use' apiserver.log; }
if ! until_true 5 is_started || ! lives apiserver || ! lives etcd || ! is_ready; then
  echo "the API server did not get ready: $(grep -hE '^[EF]|"level":"fatal"|address already in use' apiserver.log etcd.log | tail -n 3)" >&2; exit 1
fi
