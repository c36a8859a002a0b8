"""Augmentation changes windows as the physics allows, and only when asked."""

import math

import pytest
import torch

from pipeline.train.augment import Augment, rotations
from pipeline.train.params import AugmentParams
from pipeline.windows.dataset import TensorCache

OFF = {"rotation": 0, "mirror": 0, "gain": 0, "stretch": 0, "shift": 0, "jitter": 0}
VECTORS = [{"axes": [0, 1, 2], "kind": "acceleration"}, {"axes": [3, 4, 5], "kind": "angular_rate"}]
MEAN, STD = torch.arange(6) / 5, 1 + torch.arange(6) / 5


def apply(windows, seed=0, vectors=VECTORS, rows=None, **strengths):
    cache = TensorCache(torch.empty(0), torch.empty(0), {}, MEAN, STD, {"vectors": vectors})
    change = Augment(cache, AugmentParams(**OFF | strengths), torch.device("cpu"))
    rows = rows or slice(0, len(windows))
    return change(windows[rows], torch.Generator().manual_seed(seed), rows, len(windows))


def lengths(windows):
    """Of both vectors at each row, in the features' own units: [B, L, 2]."""
    raw = windows * STD + MEAN
    return raw.unflatten(2, (2, 3)).norm(dim=3)


@pytest.fixture
def windows():
    return torch.randn(8, 50, 6, generator=torch.Generator().manual_seed(1))


def test_without_strength_nothing_changes(windows):
    torch.testing.assert_close(apply(windows), windows)


@pytest.mark.parametrize("strength", list(OFF))
def test_each_change_follows_the_seed_and_leaves_its_input_alone(windows, strength):
    before = windows.clone()
    changed = apply(windows, **{strength: 0.5})
    assert not torch.allclose(changed, windows)
    assert torch.equal(changed, apply(windows, **{strength: 0.5}))
    assert not torch.equal(changed, apply(windows, seed=1, **{strength: 0.5}))
    assert torch.equal(windows, before)


def test_rotation_and_mirror_keep_the_length_of_every_vector(windows):
    changed = apply(windows, rotation=40, mirror=0.5)
    torch.testing.assert_close(lengths(changed), lengths(windows))


def test_a_mirrored_turn_is_the_turn_of_the_mirrored_movement(windows):
    """The reflection of r(t) in the y-z plane has acceleration (-x, y, z) and angular rate (x, -y, -z)."""
    raw, mirrored = windows * STD + MEAN, apply(windows, mirror=1) * STD + MEAN
    torch.testing.assert_close(mirrored, raw * torch.tensor([-1, 1, 1, 1, -1, -1]))


def cross_matrices(vectors):
    x, y, z = vectors.unbind(1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).view(-1, 3, 3)


def test_no_rotation_is_the_identity():
    torch.testing.assert_close(rotations(torch.zeros(1, 3))[0], torch.eye(3))


def test_a_window_changes_alike_whoever_else_shares_the_batch(windows):
    strengths = dict.fromkeys(OFF, 0.3)
    whole = apply(windows, **strengths)
    parts = [apply(windows, rows=rows, **strengths) for rows in (slice(0, 3), slice(3, 8), slice(8, 8))]
    torch.testing.assert_close(torch.cat(parts), whole)


def test_rotations_are_rotations_of_the_asked_size():
    vectors = math.radians(20) * torch.randn(2000, 3, generator=torch.Generator().manual_seed(0))
    rotation = rotations(vectors)
    torch.testing.assert_close(rotation, torch.linalg.matrix_exp(cross_matrices(vectors)), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        rotation @ rotation.transpose(1, 2), torch.eye(3).expand(2000, 3, 3), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(2000), atol=1e-5, rtol=0)
    angle = torch.acos((rotation.diagonal(dim1=1, dim2=2).sum(1).clamp(-1, 3) - 1) / 2)
    assert angle.square().mean().sqrt().item() == pytest.approx(math.radians(20) * math.sqrt(3), rel=0.05)


def test_without_vectors_only_the_changes_for_all_features_apply(windows):
    torch.testing.assert_close(apply(windows, vectors=[], rotation=40, mirror=1, gain=0.5), windows)
    assert not torch.allclose(apply(windows, vectors=[], stretch=0.3), windows)


def test_a_window_of_one_row_is_neither_stretched_nor_shifted():
    row = torch.randn(4, 1, 6)
    torch.testing.assert_close(apply(row, stretch=0.5, shift=0.5), row)


def test_a_stretched_ramp_stays_within_its_range():
    ramp = torch.linspace(0, 1, 50)[None, :, None].expand(8, 50, 6)
    changed = apply(ramp, vectors=[], stretch=0.3, shift=0.2)
    assert changed.min() >= -1e-6
    assert changed.max() <= 1 + 1e-6
