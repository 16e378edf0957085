#!/usr/bin/env bash
# A Ray cluster of several nodes on this machine, for one command and as long as it runs: a cluster to try things on.
# Ray's nodes listen on all addresses of the machine; the token, made for each run, keeps others out.
#   NODES=2 CPUS=1 cluster/laptop.sh make search TASK=intent OVERRIDES="cluster=ray cluster.nodes=2"
# DASHBOARD=8265 also starts the dashboard on that port, on 127.0.0.1 alone: it takes the jobs of `sp-search submit`.
set -euo pipefail
umask 077
[ $# -gt 0 ] || { echo "usage: [NODES=2] [CPUS=1] [DASHBOARD=PORT] $0 COMMAND..." >&2; exit 2; }
here=$(cd "$(dirname "$0")/.." && pwd)
export PATH=$here/.venv/bin:$PATH

work=$(mktemp -d /tmp/ray.XXXXXX) # Ray's sockets lie here, whose paths must be short
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$work/token RAY_USAGE_STATS_ENABLED=0
python -c 'import secrets; print(secrets.token_hex(32), end="")' >"$RAY_AUTH_TOKEN_PATH"
head=$(python -c 'import ray; print(ray.util.get_node_ip_address())')
free_port() { python -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'; }
port=$(free_port)

running=()
stop() {
  trap - EXIT
  kill "${running[@]}" 2>/dev/null || true
  wait
  rm -rf "$work"
}
trap stop EXIT
trap 'kill -TERM "${command:-}" 2>/dev/null || exit 143' TERM INT

dashboard=(--include-dashboard=false)
[ -z "${DASHBOARD:-}" ] || dashboard=(--include-dashboard=true --dashboard-host=127.0.0.1 --dashboard-port="$DASHBOARD")

# One node after the other: several at once on few cores are slow to start, and Ray gives those up after 30 s.
node() {
  local log=$work/node-${#running[@]}.log until=$((SECONDS + 120))
  : >"$log"
  ray start --block --num-cpus="${CPUS:-1}" --disable-usage-stats --dashboard-agent-listen-port="$(free_port)" "$@" >"$log" 2>&1 </dev/null &
  running+=($!)
  until grep -q 'Ray runtime started' "$log"; do
    [ $SECONDS -lt $until ] && kill -0 "${running[-1]}" 2>/dev/null || { cat "$log" >&2; echo "$0: node ${#running[@]} of ${NODES:-2} did not start" >&2; exit 1; }
    sleep 0.2
  done
}

node --head --node-ip-address="$head" --port="$port" --temp-dir="$work" \
  "${dashboard[@]}"
answers() {
  local until=$((SECONDS + 120))
  until (exec 3<>"/dev/tcp/$1") 2>/dev/null; do
    [ $SECONDS -lt $until ] && kill -0 "${running[0]}" 2>/dev/null || { cat "$work/node-0.log" >&2; exit 1; }
    sleep 0.2
  done
}
[ -z "${DASHBOARD:-}" ] || answers "127.0.0.1/$DASHBOARD"
for ((others = 1; others < ${NODES:-2}; others++)); do node --address="$head:$port"; done

export RAY_ADDRESS=$head:$port
"$@" &
command=$!
code=0
wait "$command" || code=$?
while kill -0 "$command" 2>/dev/null; do # a signal ends the first wait before the command
  code=0
  wait "$command" || code=$?
done
exit "$code"
