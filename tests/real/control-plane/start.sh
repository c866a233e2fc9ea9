#!/usr/bin/env bash
# Starts a real Kubernetes control plane with simulated kubelets on loopback: start.sh STATE PORT [NAME]
# Writes STATE/kubeconfig with a context for each user: NAME (admin), NAME-viewer, NAME-shop, NAME-nobody. All but admin
# may do nothing until a test binds a role. Mutating requests are in STATE/audit.log, as audit-policy.yaml says.
# Needs KUBEBUILDER_ASSETS (see ../build.sh). May be given:
#   ETCD_PORT, PEER_PORT  default PORT + 10 and + 11
#   OWNER_PID             when that process ends everything here ends, and STATE is removed
#   LIFETIME              it ends after that many seconds in any case; default 2700
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd); source "$here/common.sh"
port=$2; name=${3:-local}; etcd_port=${ETCD_PORT:-$((port + 10))}; peer_port=${PEER_PORT:-$((port + 11))}
mkdir -p "$1"; cd -P "$1"
printf '%s=%q\n' port "$port" etcd_port "$etcd_port" assets "$KUBEBUILDER_ASSETS" >settings
# A cluster that did not start whole must not stay; the watchdog comes first, as this script may be killed too.
trap '[ $? = 0 ] || "$here/stop.sh" "$PWD"' EXIT
background watchdog "$here/watchdog.sh" "$PWD" "${LIFETIME:-2700}" "${OWNER_PID:-}"

openssl genrsa -out sa.key 2048 2>/dev/null
# The machinery has a name of its own, so that the audit log can leave it out.
cat >tokens.csv <<TOKENS
admin-token,admin,admin,system:masters
machinery-token,system:machinery,machinery,"system:masters,sim:machinery"
viewer-token,viewer,viewer
shop-token,shop-only,shop-only
none-token,nobody,nobody
TOKENS
# print_config SUFFIX=TOKEN...
print_config() {
  local entry users='' contexts=''
  for entry; do
    users+="- {name: \"$name-user${entry%=*}\", user: {token: ${entry#*=}}}"$'\n'
    contexts+="- {name: \"$name${entry%=*}\", context: {cluster: \"$name\", user: \"$name-user${entry%=*}\"}}"$'\n'
  done
  cat <<CONFIG
apiVersion: v1
kind: Config
current-context: "$name"
clusters:
- {name: "$name", cluster: {server: "https://127.0.0.1:$port", certificate-authority: "$PWD/certs/apiserver.crt"}}
users:
${users}contexts:
$contexts
CONFIG
}
print_config '=admin-token' '-viewer=viewer-token' '-shop=shop-token' '-nobody=none-token' >kubeconfig
print_config '=machinery-token' >machinery.kubeconfig

background etcd "$KUBEBUILDER_ASSETS/etcd" --data-dir "$PWD/etcd" --log-level warn --unsafe-no-fsync \
  --listen-client-urls "http://127.0.0.1:$etcd_port" --advertise-client-urls "http://127.0.0.1:$etcd_port" \
  --listen-peer-urls "http://127.0.0.1:$peer_port" --initial-advertise-peer-urls "http://127.0.0.1:$peer_port" \
  --initial-cluster "default=http://127.0.0.1:$peer_port"
"$here/start-apiserver.sh" "$PWD"

# Without more requests a second than the default, rollouts of tests that run side by side wait for each other.
quick=(--kube-api-qps 500 --kube-api-burst 1000)
background controllers "$KUBEBUILDER_ASSETS/kube-controller-manager" --kubeconfig "$PWD/machinery.kubeconfig" \
  --service-account-private-key-file sa.key --use-service-account-credentials --leader-elect=false --secure-port 0 "${quick[@]}"
background scheduler "$KUBEBUILDER_ASSETS/kube-scheduler" --kubeconfig "$PWD/machinery.kubeconfig" --leader-elect=false \
  --secure-port 0 "${quick[@]}"
# With leases of 0 s nodes send one heartbeat only and the node controller marks all pods not ready after a minute.
background kwok "$KUBEBUILDER_ASSETS/kwok" --kubeconfig "$PWD/machinery.kubeconfig" --config "$here/stages/nodes.yaml" \
  --config "$here/stages/pods.yaml" --manage-all-nodes=true --node-lease-duration-seconds 40 --server-address ""

for node in amd64-1 amd64-2 arm64-1; do
  ask /api/v1/nodes -o /dev/null -H 'Content-Type: application/json' -d '{"apiVersion": "v1", "kind": "Node", "metadata":
    {"name": "'$node'", "labels": {"kubernetes.io/arch": "'${node%-*}'", "kubernetes.io/os": "linux", "kubernetes.io/hostname": "'$node'"}}}'
done
# A node is ready for pods when the node controller has taken its first taint off.
nodes_ready() {
  local nodes; nodes=$(ask /api/v1/nodes)
  [[ $nodes != *'"taints"'* && $(grep -c '"reason": "KubeletReady"' <<<"$nodes") = 3 ]]
}
until_true 300 nodes_ready || { echo "the nodes did not get ready: $(tail -n 3 kwok.log controllers.log)" >&2; exit 1; }
echo "KUBECONFIG=$PWD/kubeconfig"
