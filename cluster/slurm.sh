#!/usr/bin/env bash
# A search on the nodes of one SLURM job, which are a Ray cluster for as long as it runs. From the project's folder,
# on storage that all nodes see, with `make setup` done:
#   sbatch --nodes=4 --gpus-per-node=8 cluster/slurm.sh task=intent data=units/my lm=lms/my study=first
# When its time is over the search ends, the job queues itself again, and the study goes on.
#SBATCH --job-name=sp-search
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --time=08:00:00
#SBATCH --signal=B:USR1@180
#SBATCH --requeue
#SBATCH --output=sp-search-%j.log
#SBATCH --open-mode=append
set -euo pipefail
umask 077
cd "$SLURM_SUBMIT_DIR"
export PATH=$PWD/.venv/bin:$PATH

work=/tmp/ray-$SLURM_JOB_ID # on every node; /tmp/ray may be another user's
token=$PWD/runs/.ray-token-$SLURM_JOB_ID
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$token RAY_USAGE_STATS_ENABLED=0
mkdir -p runs
python -c 'import secrets; print(secrets.token_hex(32), end="")' >"$token"

running=()
stop() {
  trap - EXIT
  kill "${running[@]}" 2>/dev/null || true
  wait
  srun --overlap --ntasks-per-node=1 rm -rf "$work" || true
  rm -f "$token"
}
trap stop EXIT
trap 'again=yes; kill -TERM "${search:-}" 2>/dev/null || true' USR1
trap 'kill -TERM "${search:-}" 2>/dev/null || exit 143' TERM INT

# on NODES SRUN-OPTION -- RAY-OPTIONS: nodes of the cluster, one on each machine, with all its cores and GPUs
on() {
  srun --overlap --nodes="$1" --ntasks="$1" --ntasks-per-node=1 --cpus-per-task="$SLURM_CPUS_ON_NODE" "$2" \
    ray start --block --num-cpus="$SLURM_CPUS_ON_NODE" --disable-usage-stats "${@:4}" </dev/null &
  running+=($!)
}

head=$(python -c 'import ray; print(ray.util.get_node_ip_address())')
port=$((20000 + SLURM_JOB_ID % 10000))
on 1 --nodelist="$SLURMD_NODENAME" -- --head --node-ip-address="$head" --port="$port" --temp-dir="$work" \
  --include-dashboard=false
until (exec 3<>"/dev/tcp/$head/$port") 2>/dev/null; do
  kill -0 "${running[0]}" || exit 1
  sleep 0.5
done
if ((SLURM_NNODES > 1)); then
  on $((SLURM_NNODES - 1)) --exclude="$SLURMD_NODENAME" -- --address="$head:$port"
fi

export RAY_ADDRESS=$head:$port
sp-search search cluster=ray "cluster.nodes=$SLURM_NNODES" "$@" &
search=$!
code=0
wait "$search" || code=$?
while kill -0 "$search" 2>/dev/null; do # a signal ends the first wait before the search
  code=0
  wait "$search" || code=$?
done
if [ -n "${again:-}" ]; then
  stop # before, for a job that is queued again may start nothing more, as what clears its nodes
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
