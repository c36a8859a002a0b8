#!/bin/bash
# Serve MLflow's and TensorBoard's pages from a job, on Unix sockets; `trackstack ui` submits it.
#SBATCH --job-name=ui
#SBATCH --output=logs/%x_%j.out
#SBATCH --time=04:00:00
#SBATCH --cpus-per-task=2
#SBATCH --mem=8G
#SBATCH --no-requeue
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:-.}"
source slurm/site.env
[ ! -d src/trackstack ] || export PYTHONPATH="$PWD/src" # a checkout of trackstack itself runs its own code
exec python -P -m trackstack.cluster.ui
