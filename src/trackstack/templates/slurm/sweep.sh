#!/bin/bash
# A job of `trackstack sweep`, which submits it: what the trials share, or a task of the array.
#SBATCH --output=logs/%x_%A_%a.out
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --time=01:00:00
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --signal=B:USR1@120
set -euo pipefail
trap '' USR1 # a warning that comes before Python listens would end the job; the deadline is known anyway
sweep=$1 programs=$2
shift 2
cd "${SLURM_SUBMIT_DIR:-.}"
source slurm/site.env
export PATH="$programs:$PATH"
cd "$sweep/base" # the pinned clone: an edit of the checkout changes no trial
[ ! -d src/trackstack ] || export PYTHONPATH="$PWD/src" # a checkout of trackstack itself runs its own code
exec python -P -m trackstack.cluster.sweep.task "$sweep" "$@"
