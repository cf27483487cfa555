#!/usr/bin/env bash
#SBATCH --job-name=onset
#SBATCH --nodes=__nodes
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@120
# Runs a sweep on Slurm, with one process per node. Submit it with the options that your
# cluster requires:
#   sbatch --partition=NAME --time=4:00:00 --gpus-per-node=4 THIS_FILE
# Two minutes before the time limit, the sweep is asked to stop. It saves its state and
# exits with code 75. Then the job is put back into the queue and resumes later.
set -uo pipefail

# The folder and the environment in which this file was printed; all nodes share them.
cd -- __folder || exit
export PATH=__programs:"$PATH"

# On Slurm, JAX uses one GPU per process unless all GPUs of the node are listed.
if [[ -n ${SLURM_GPUS_ON_NODE:-} ]]; then
  JAX_LOCAL_DEVICE_IDS=$(seq -s, 0 $((SLURM_GPUS_ON_NODE - 1)))
  export JAX_LOCAL_DEVICE_IDS
fi

# TERM is not sent to srun itself, which would react by killing its tasks.
stopping=
trap 'stopping=1; scancel --signal=TERM "$SLURM_JOB_ID"' TERM
# A process that is still saving must not be killed because another has exited.
srun --kill-on-bad-exit=0 --wait=0 __command &
step=$!
wait "$step"
code=$?
while [[ -n $stopping ]]; do # the signal ended `wait`, but not the step
  stopping=
  wait "$step"
  code=$?
done

if ((code == 75)); then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
