"""The law's fit finds what a made-up world was made with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from scamo import flops
from training.measure.scaling_fit import (
    TrainedModel,
    fit_laws,
    fit_line,
    markdown,
    plot,
    predictions,
    select_isoflop,
    synthetic_runs,
)

BUDGETS = [10.0**exponent for exponent in np.linspace(13, 18, 8)]
VOCABULARY, PARAMETERS = flops.PowerLaw(-3.1, 0.6), flops.PowerLaw(-0.5, 0.5)


def world(noise: float = 0.0, grid: int = 21, seed: int = 0) -> list[TrainedModel]:
    return synthetic_runs(lambda c: 9.0 - 0.8 * np.log10(c), VOCABULARY, PARAMETERS, BUDGETS, grid, noise, seed)


def test_known_coefficients_are_found_again() -> None:
    best = select_isoflop(world())
    assert [run.flops for run in best] == pytest.approx(BUDGETS)
    loss, vocabulary, parameters, tokens, ratio = fit_laws(best)
    assert (loss.slope, loss.intercept, loss.r2) == pytest.approx((-0.8, 9.0, 1.0))
    assert (vocabulary.slope, vocabulary.intercept) == pytest.approx((0.6, -3.1))
    assert (parameters.slope, parameters.intercept) == pytest.approx((0.5, -0.5))
    assert ratio.slope == pytest.approx(0.6 / 0.5)
    assert ratio.intercept == pytest.approx(-3.1 + 0.5 * 0.6 / 0.5)
    d = [np.log10(c / (6 * (VOCABULARY(c) + PARAMETERS(c)))) for c in BUDGETS]
    assert tokens.slope == pytest.approx(np.polyfit(np.log10(BUDGETS), d, 1)[0])
    assert loss.paper == pytest.approx((-1.062, 13.839))
    assert vocabulary.paper == (0.75, -5.29)


def test_noise_moves_the_fit_within_its_interval() -> None:
    inside = 0
    for seed in range(10):
        found = fit_laws(select_isoflop(world(noise=0.01, seed=seed)))
        for fit, truth, reach in zip(found[:3], (-0.8, 0.6, 0.5), (0.02, 0.1, 0.1), strict=True):
            assert fit.slope == pytest.approx(truth, abs=reach)
            assert fit.slope_interval is not None and fit.r2 is not None and 0.9 < fit.r2 < 1
            inside += fit.slope_interval[0] <= truth <= fit.slope_interval[1]
    assert inside >= 20  # of 30; a bootstrap of few points promises 95 % and keeps somewhat less


def test_the_line_is_scikit_learns() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=30)
    y = 2 * x + draw.normal(size=30)
    fit = fit_line("test", x.tolist(), y.tolist(), (0, 0))
    other = LinearRegression().fit(x[:, None], y)
    expected = (other.coef_[0], other.intercept_, other.score(x[:, None], y))
    assert (fit.slope, fit.intercept, fit.r2) == pytest.approx(expected)
    # The bootstrap's width is about that of the textbook's standard error.
    rest = y - other.predict(x[:, None])
    error = np.sqrt((rest**2).sum() / 28 / ((x - x.mean()) ** 2).sum())
    assert fit.slope_interval is not None
    assert (fit.slope_interval[1] - fit.slope_interval[0]) / (2 * 1.96 * error) == pytest.approx(1, abs=0.35)


def test_too_few_budgets_are_said_and_constants_have_no_r2() -> None:
    run = TrainedModel(1e6, 1e5, 1e6, -1.0)
    with pytest.raises(ValueError, match="more budgets"):
        fit_laws([run])
    two = [run, TrainedModel(1e6, 1e5, 1e7, -2.0)]
    found = fit_laws(two)
    assert len(found) == 4  # one size was best everywhere: no law of N_v on N_nv
    assert found[1].r2 is None and found[1].slope_interval is None
    assert (
        select_isoflop([*two, TrainedModel(2e6, 1e5, 0.55e6, -1.5)])[0].loss == -1.5
    )  # about the first budget, and better


def test_table_and_plot(tmp_path: Path) -> None:
    runs = world(grid=5)
    best = select_isoflop(runs)
    words = markdown(runs, best, fit_laws(best))
    assert "| L_u on log10 C | -0.8" in words and "-1.062, 13.839" in words
    plot(runs, best, fit_laws(best), tmp_path / "law.png")
    assert (tmp_path / "law.png").stat().st_size > 10_000


def test_what_the_laws_predict_for_other_budgets() -> None:
    """Of a made-up world that keeps to its laws the predictions are right."""
    best = select_isoflop(world())
    rows = predictions(fit_laws(best[:-1]), best[-1:])
    assert [row["flops"] for row in rows] == pytest.approx(BUDGETS[-1:])
    for key in ("loss", "vocabulary", "non_vocabulary"):
        assert rows[0][f"predicted_{key}"] == pytest.approx(rows[0][key])
    words = markdown(world(), best[:-1], fit_laws(best[:-1]), rows)
    assert "Predicted from the budgets above" in words and f"| {rows[0]['loss']:.3f} |" in words
    assert "Predicted" not in markdown(world(), best, fit_laws(best))
