"""What people share: `trackstack push` and `pull` carry records, source and data of runs by git and DVC remotes."""
