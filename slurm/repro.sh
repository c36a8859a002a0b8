#!/bin/bash
# Reproduce the pipeline in a job, in the checkout that it is submitted from:
#
#     sbatch slurm/repro.sh [--pinned] [arguments of dvc repro]
#
# --pinned works in a clone of the present commit instead, and brings the result back as a DVC experiment.
#SBATCH --job-name=repro
#SBATCH --output=logs/%x_%j.out
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --time=01:00:00
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --signal=B:USR1@120
set -euo pipefail
trap '' USR1 # a warning that comes before Python listens would end the job; the deadline is known anyway
cd "${SLURM_SUBMIT_DIR:-.}"
if ! [ -f slurm/site.env ]; then
    echo "slurm/repro.sh: no slurm/site.env in $PWD; submit it from the root of the checkout" >&2
    exit 2
fi
source slurm/site.env
[ ! -d src/trackstack ] || export PYTHONPATH="$PWD/src" # a checkout of trackstack itself runs its own code
# exec: Slurm's signals then reach trackstack.cluster.jobs, which knows what to do with them.
exec python -P -m trackstack.cluster.jobs "$@"
