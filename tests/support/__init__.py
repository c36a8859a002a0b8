"""What several tests need: projects, a Slurm cluster, recording processes, readers of back ends."""
