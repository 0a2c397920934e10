"""Every metric against a value worked out by hand, or against scipy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import entropy

from scamo.metrics import (
    Gaussian,
    Interval,
    codebook_use,
    diversity,
    fid,
    foot_slide,
    jitter,
    matching_score,
    mpjpe,
    multimodality,
    normalised_loss,
    r_precision,
    repeated,
    roughness_score,
)


def test_mpjpe_by_hand() -> None:
    truth = np.zeros((2, 3, 3))
    guess = truth.copy()
    guess[:, :, 0] += 1.0  # the whole body one metre off
    guess[0, 1, 1] += 3.0  # one joint three metres up in one frame
    assert mpjpe(guess, truth) == pytest.approx(3.0 / 6)
    assert mpjpe(guess, truth, aligned=False) == pytest.approx((5 + np.sqrt(10)) / 6)
    assert mpjpe(guess, truth, reduce=False) == pytest.approx([1.0, 0.0])
    with pytest.raises(ValueError, match="one length"):
        mpjpe(guess[:1], truth)


def test_codebook_use_by_hand_and_by_scipy() -> None:
    use = codebook_use(np.array([[0, 0], [1, 3]]), 8)
    assert use.usage == 3 / 8
    assert use.entropy == pytest.approx(2 * np.sqrt(2))  # exp of H(1/2, 1/4, 1/4) = 1.5 ln 2
    tokens = np.random.default_rng(0).integers(0, 50, 400)
    assert codebook_use(tokens, 50).entropy == pytest.approx(np.exp(entropy(np.bincount(tokens))))
    for bad in ([], [-1], [8]):
        with pytest.raises(ValueError, match="ids from 0 to 7"):
            codebook_use(np.array(bad, dtype=int), 8)


def test_normalised_loss_by_hand() -> None:
    # The model gives 1/2 and 1/8 where the corpus has 1/4 and 1/4: -(log 2 + log 1/2) / 2 = 0.
    assert normalised_loss(np.log([0.5, 0.125]), np.log([0.25, 0.25])) == pytest.approx(0.0)
    assert normalised_loss(np.log([1.0]), np.log([0.25])) == pytest.approx(-np.log(4))


def test_fid_by_hand_and_against_sqrtm() -> None:
    # Commuting covariances: |m|^2 + sum (sqrt(a) - sqrt(b))^2 = 25 + (2 - 1)^2 + (3 - 5)^2.
    a = Gaussian(np.array([3.0, 4.0]), np.diag([4.0, 9.0]))
    b = Gaussian(np.zeros(2), np.diag([1.0, 25.0]))
    assert fid(a, b) == pytest.approx(30.0)
    draw = np.random.default_rng(1)
    x, y = draw.normal(size=(60, 7)) @ draw.normal(size=(7, 7)), draw.normal(size=(80, 7)) + 0.5
    s, t = np.cov(x.T), np.cov(y.T)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s + t - 2 * sqrtm(s @ t).real)
    assert fid(x, y) == pytest.approx(expected)
    assert fid(x, x) == pytest.approx(0, abs=1e-9)
    few = draw.normal(size=(4, 7))  # singular covariance
    assert fid(few, few) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="different evaluators"):
        fid(x, y[:, :3])
    with pytest.raises(ValueError, match="at least two"):
        fid(x, y[:1])


def test_r_precision_by_hand() -> None:
    texts = np.arange(4.0)[:, None] * 10
    motions = np.array([[0.0], [19.0], [21.0], [-500.0]])
    # Distances of text 0: 0 19 21 500 -> own first. 1: 10 9 11 510 -> own first. 2: 20 1 1 520 -> own ties, so second.
    # 3: 30 11 9 530 -> own fourth.
    assert r_precision(texts, motions, seed=0, pool=4) == pytest.approx([0.5, 0.75, 0.75])
    assert matching_score(texts, motions) == pytest.approx((0 + 9 + 1 + 530) / 4)
    alike = np.zeros((4, 1))
    assert r_precision(texts, alike, seed=0, pool=4) == pytest.approx([0, 0, 0])
    with pytest.raises(ValueError, match="pools of 32"):
        r_precision(texts, motions, seed=0)
    with pytest.raises(ValueError, match="one text for each"):
        matching_score(texts, motions[:3])


def test_r_precision_against_scikit_learn() -> None:
    from sklearn.metrics import top_k_accuracy_score
    from sklearn.metrics.pairwise import euclidean_distances

    draw = np.random.default_rng(2)
    motions = draw.normal(size=(32, 5))
    texts = motions + 0.8 * draw.normal(size=(32, 5))
    scores = -euclidean_distances(texts, motions)
    expected = [top_k_accuracy_score(np.arange(32), scores, k=k) for k in (1, 2, 3)]
    assert r_precision(texts, motions, seed=5) == pytest.approx(expected)


def test_r_precision_leaves_out_what_fills_no_pool_and_depends_on_the_seed() -> None:
    draw = np.random.default_rng(3)
    motions, texts = draw.normal(size=(2, 70, 4))
    found = {tuple(r_precision(texts, motions, seed)) for seed in range(8)}
    assert len(found) > 1
    assert all(abs(value * 64 - round(value * 64)) < 1e-9 for row in found for value in row)


def test_diversity_and_multimodality_by_hand() -> None:
    # Two points: a pair is equal or 5 apart; over seeds half of the draws pair each with the other.
    two = np.array([[0.0, 0.0], [3.0, 4.0]])
    values = [diversity(two, seed) for seed in range(200)]
    assert set(values) == {0.0, 5.0}
    assert np.mean(values) == pytest.approx(2.5, abs=0.6)
    many = np.random.default_rng(4).normal(size=(2000, 3))
    everything = np.linalg.norm(many[:, None] - many[None, :500], axis=-1).mean()
    assert np.mean([diversity(many, s) for s in range(20)]) == pytest.approx(everything, rel=0.03)
    samples = np.stack([two, 2 * two])  # two texts with two motions each: 5 and 10 apart
    assert {multimodality(samples, seed) for seed in range(20)} == {0.0, 7.5}
    with pytest.raises(ValueError, match="at least two samples"):
        multimodality(samples[:, :1], 0)


def test_jitter_of_a_cubic() -> None:
    t = np.arange(12) / 20
    joints = np.zeros((12, 22, 3))
    joints[:, :, 1] = (t**3)[:, None]  # third derivative 6 everywhere
    assert jitter(joints) == pytest.approx(6.0)
    joints[:, :, 1] = (t**2)[:, None]
    assert jitter(joints) == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(ValueError, match="4 frames"):
        jitter(joints[:3])


def test_foot_slide_by_hand() -> None:
    joints = np.zeros((5, 22, 3))
    joints[:, 10, 0] = np.arange(5) * 0.1  # the left toe slides on the floor at 2 m/s, the right one stands
    assert foot_slide(joints) == pytest.approx(1.0)
    joints[1::2, 10, 1] = 1.0  # in the air at one end of every step
    assert foot_slide(joints) == pytest.approx(0.0)


def test_roughness_score_weighs_slide_and_jitter_alike() -> None:
    assert roughness_score([0.1, 0.3], [30.0, 10.0]) == pytest.approx([1.0, 1.0])
    assert roughness_score([0.1, 0.3], [10.0, 10.0]) == pytest.approx([0.75, 1.25])
    assert roughness_score([100.0, 300.0], [10.0, 10.0]) == pytest.approx([0.75, 1.25])  # units do not count
    assert roughness_score([0.0, 0.0], [1.0, 3.0]) == pytest.approx([0.25, 0.75])
    assert roughness_score([0.0], [0.0]) == pytest.approx([0.0])  # no figure moves


def test_intervals() -> None:
    assert Interval.of([1.0, 3.0]) == pytest.approx((2.0, 1.96 / np.sqrt(2)))
    found = repeated(lambda number: {"a": float(number), "b": 1.0}, times=4)
    assert found["a"] == pytest.approx((1.5, 1.96 * np.sqrt(1.25) / 2))
    assert found["b"] == (1.0, 0.0)
