"""One page for many runs: `trackstack runs report`. Reads records, and is a file that needs nothing else."""
