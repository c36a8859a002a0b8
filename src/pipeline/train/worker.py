"""One of several processes that train together: python -P -m pipeline.train.worker JOB

`pipeline.train.stage` starts it. JOB is a JSON object: `folders`, `config`, `stage`, and its own `command`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from trackstack.core.guard import guarded
from trackstack.core.params import Parameters
from trackstack.training.determinism import pin_environment


def main() -> None:
    """Train as the process that started this one would."""
    job = json.loads(sys.argv[1])
    sys.argv = job["command"]  # which the run's record shows
    pin_environment(job["config"]["train"]["deterministic"])
    from trackstack.training.launch import worker_errors  # imports torch: not before the environment is pinned

    with worker_errors(), guarded(job["stage"]):
        from pipeline.train.config import TrainingConfig
        from pipeline.train.stage import train

        cache, model, live = map(Path, job["folders"])
        train(cache, model, live, TrainingConfig.choose(Parameters(job["config"])))


if __name__ == "__main__":
    main()
