"""What pruning saves: a search with rungs beside full trainings at random, on the sample's validation people.

    python benchmarks/search.py [--seeds 5] [--trials 40] [--epochs 20]

Both try settings of the sample's mlp from one space of six parameters, on the tensor cache that `dvc repro` has made:
random search trains each of its trials to the end, the other one asks TPE and prunes by ASHA. Decisions are those of
`trackstack search`, one trial at a time; trainings are the pipeline's own, in this process. A line for each seed says
the best validation loss of both and the epochs they took; the last ones, the means and what chance would change.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import math
import statistics
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from trackstack.training.determinism import configure_torch, pin_environment

pin_environment()

from pipeline.contract.catalog import fill_from_dataset
from pipeline.train.config import TrainingConfig
from pipeline.train.loop import Runtime, Trainer
from pipeline.windows.dataset import open_cache
from trackstack.cluster.search import Metric, Settings
from trackstack.cluster.search.decide import decision_at_rung, next_decision
from trackstack.cluster.search.log import Event
from trackstack.cluster.search.space import parse_space
from trackstack.cluster.search.state import SearchState
from trackstack.core.params import Parameters

SPACE = {
    "train.lr": {"log": [1e-4, 3e-2]},
    "train.weight_decay": {"log": [1e-3, 1.0]},
    "train.augment.jitter": {"range": [0.0, 0.6]},
    "train.augment.rotation": {"range": [0.0, 60.0]},
    "models.mlp.dropout": {"range": [0.0, 0.7]},
    "losses.likelihood.label_smoothing": {"range": [0.0, 0.3]},
}
METRIC = "val_accuracy"


class Bench:
    """Trains the trials of a search, and counts epochs."""

    def __init__(self, settings: Settings, num_trials: int, epochs: int):
        self.settings, self.epochs, self.num_epochs = settings, epochs, 0
        self.state = SearchState(settings)
        self._add({"event": "begin", "trials": num_trials, "budget": None})
        self._trainers: dict[int, Trainer] = {}

    def run(self) -> float:
        """The best figure of a trial that was trained to its end."""
        space = parse_space(SPACE, "benchmarks/search.py")
        while decision := next_decision(self.state, space, {}):
            self._add(decision)
            self._train(decision["trial"])
        return max(trial.figures()[0] for trial in self.state.trials if self.state.status(trial) == "finished")

    def _train(self, number: int) -> None:
        """As far as the trial is to go."""
        trial = self.state.trials[number]
        trainer = self._trainers.setdefault(number, new_trainer(trial.values, self.epochs))
        while self.state.missing(trial):
            trainer.train_epoch()
            trainer.end_epoch()
            self.num_epochs += 1
            value, done = trainer.history[-1][METRIC], len(trainer.history)
            rung = len(trial.members[0].rungs)
            if self.settings.has_rung(rung) and done == self.settings.rung(rung):
                self._add({"event": "rung", "trial": number, "member": 0, "rung": rung, "value": value})
                if decision := decision_at_rung(self.state, trial):
                    self._add(decision)
            if done == self.epochs:
                rungs = trial.members[0].rungs
                self._add({"event": "end", "trial": number, "member": 0, "values": [value], "rungs": rungs})
                del self._trainers[number]

    def _add(self, event: Event) -> None:
        self.state.add(event)


def new_trainer(values: dict[str, Any], epochs: int) -> Trainer:
    """A training of params.yaml's data with these values."""
    params = Parameters.load(ROOT / "params.yaml")
    with contextlib.chdir(ROOT):
        fill_from_dataset(params)
    params.values = copy.deepcopy(params.values)
    params.values["train"] |= {"epochs": epochs, "model": "mlp"}
    for name, value in values.items():
        *sections, last = name.split(".")
        place = params.values
        for section in sections:
            place = place[section]
        place[last] = value
    config = TrainingConfig.choose(params)
    configure_torch(config.train.threads)
    return Trainer(open_cache(ROOT / "data/cache"), config, Runtime())


def main() -> None:
    """Print a line for each seed, and what comes of all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=20)
    arguments = parser.parse_args()
    metrics, best, shares = [Metric(METRIC, lower_is_better=False)], [], []
    for seed in range(arguments.seeds):
        found = []
        for sampler, prune, rungs in (("random", "none", []), ("tpe", "asha", [1, 3, 9])):
            settings = Settings(SPACE, metrics, sampler, seed, prune, rungs, [[]])
            bench = Bench(settings, arguments.trials, arguments.epochs)
            found.append((bench.run(), bench.num_epochs))
        (full, all_epochs), (pruned, epochs) = found
        best.append((full, pruned))
        shares.append(epochs / all_epochs)
        print(f"seed {seed}: {full:.4f} of {all_epochs} epochs, {pruned:.4f} of {epochs}", flush=True)
    fulls, pruneds = zip(*best, strict=True)
    error = statistics.stdev(fulls) / math.sqrt(len(fulls)) if len(fulls) > 1 else math.nan
    print(f"best {METRIC}: random {statistics.mean(fulls):.4f}, search {statistics.mean(pruneds):.4f}")
    print(f"standard error of random's: {error:.4f}; epochs: {statistics.mean(shares):.0%} of random's")


if __name__ == "__main__":
    main()
