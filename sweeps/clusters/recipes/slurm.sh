#!/usr/bin/env bash
#SBATCH --job-name=onset
#SBATCH --nodes=__nodes
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@120
# A sweep on Slurm, one process per node. Hand it in with what your cluster wants:
#   sbatch --partition=NAME --time=4:00:00 --gpus-per-node=4 THIS_FILE
# Two minutes before its limit the sweep is asked to stop: it saves, exits with 75, and
# the job goes back into the queue, to be taken up where it was.
set -uo pipefail

# As where this file was printed; nodes share both.
cd -- __folder || exit
export PATH=__programs:"$PATH"

# On Slurm JAX gives a process one GPU, unless told of all of the node's.
if [[ -n ${SLURM_GPUS_ON_NODE:-} ]]; then
  JAX_LOCAL_DEVICE_IDS=$(seq -s, 0 $((SLURM_GPUS_ON_NODE - 1)))
  export JAX_LOCAL_DEVICE_IDS
fi

# Not to srun itself: it answers TERM by killing its tasks.
stopping=
trap 'stopping=1; scancel --signal=TERM "$SLURM_JOB_ID"' TERM
# A process that still saves is not killed because another has exited.
srun --kill-on-bad-exit=0 --wait=0 __command &
step=$!
wait "$step"
code=$?
while [[ -n $stopping ]]; do # the signal ended `wait`, not the step
  stopping=
  wait "$step"
  code=$?
done

if ((code == 75)); then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
