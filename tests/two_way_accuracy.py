"""How well a bank's classes can be told apart, two at a time.

python tests/two_way_accuracy.py FILE [N]
"""

import sys

import numpy as np
import torch

from coopetition_interp.tasks.exemplar_label.features import FeatureBank, load_feature_file


def nearest_class_mean(bank: FeatureBank, n_trials: int, seed: int = 0) -> float:
    """How often a drawing is nearer to the mean of its class's others than to another class's.

    Both means are of as many drawings: all but one of each class.
    """
    own, other, query, left_out = _trials(bank, n_trials, seed)
    totals = bank.features.double().sum(dim=1)
    n = bank.n_exemplars - 1
    found = bank.features[own, query].double()
    own_mean = (totals[own] - found) / n
    other_mean = (totals[other] - bank.features[other, left_out].double()) / n
    return _share_nearer(found, own_mean, other_mean)


def one_shot(bank: FeatureBank, n_trials: int, seed: int = 0) -> float:
    """How often a drawing is nearer to one drawing of its class than to one of another."""
    own, other, query, shown = _trials(bank, n_trials, seed)
    beside = torch.from_numpy(
        (query.numpy() + np.random.default_rng(seed + 1).integers(1, bank.n_exemplars, n_trials))
        % bank.n_exemplars
    )
    parts = [(own, query), (own, beside), (other, shown)]
    return _share_nearer(*(bank.features[classes, drawn].double() for classes, drawn in parts))


def _trials(bank: FeatureBank, n_trials: int, seed: int) -> tuple[torch.Tensor, ...]:
    rng = np.random.default_rng(seed)
    own = rng.integers(bank.n_classes, size=n_trials)
    other = (own + rng.integers(1, bank.n_classes, size=n_trials)) % bank.n_classes
    drawn = rng.integers(bank.n_exemplars, size=(2, n_trials))
    return tuple(map(torch.from_numpy, (own, other, *drawn)))


def _share_nearer(found: torch.Tensor, own: torch.Tensor, other: torch.Tensor) -> float:
    distance = [(found - to).square().sum(dim=1) for to in (own, other)]
    return float((distance[0] < distance[1]).double().mean())


if __name__ == "__main__":
    bank = load_feature_file(sys.argv[1])
    n_trials = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    mean_square = float(np.mean([float(part.double().square().mean()) for part in bank.features]))
    print(
        f"nearest class mean {nearest_class_mean(bank, n_trials):.4f}, one shot "
        f"{one_shot(bank, n_trials):.4f}, mean square {mean_square:.4f}"
    )
