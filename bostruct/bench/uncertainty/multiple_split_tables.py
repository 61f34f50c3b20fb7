"""The scores of several splits as tables: means, and from where to where they go."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bostruct.bench.uncertainty.score_rows import HONEST, HONESTY
from bostruct.bench.uncertainty.scores import EPS
from bostruct.bench.uncertainty.split_statistics import Spread
from bostruct.bench.uncertainty.tables import (
    MISSING,
    Column,
    Sheet,
    change,
    glance,
    layout,
    number,
    percent,
    two,
)

Cell = Callable[[Spread], str]
Text = Callable[[float], str]

MEANING = (
    "Means over the splits; in brackets from the smallest to the largest. σ: root "
    "mean variance; α: factor of σ from the calibration set (26), and the robust one. "
    "z²: mean squared error over variance, ideally 1; means of z² and α are geometric. "
    "ENCE (28) beside its floor for calibrated data. area: signed miscalibration area, "
    "negative is overconfident. inside: share of truths within the 50, 90, 95 % "
    f"intervals. conformal: share within conformal {1 - EPS:.0%} intervals, and in how "
    "many splits within the band that chance allows; ± their mean half width, beside "
    "it that of intervals of one width. Cᵥ: sd(σ) / mean(σ); ρ: Spearman correlation "
    "of |error| and σ. Before → after calibration; NLL, CRPS and σ after."
)
VERDICTS = (
    "honest, ✓: the mean of z² after calibration within {}-{} in domain, {}-{} on a "
    "shifted set; behind it in how many splits it is."
).format(*HONEST[True], *HONEST[False])
LEGEND = (MEANING, VERDICTS)


def sheets(spreads: Sequence[Spread]) -> list[Sheet]:
    """Return the tables of several splits.

    Args:
        spreads: Of all methods, sets and quantities.
    """
    first = glance(
        spreads,
        rmse=_range("rmse", number),
        sharp=_mean("sharpness", number),
        robust=_robust,
        fit=_mean("fit_seconds", number),
        cost=_cost,
        forces=_mean("cost", number),
    )
    return layout(spreads, first, BARS, INTERVALS)


def _mean(name: str, text: Text) -> Cell:
    """Return what writes the mean of a number."""

    def cell(one: Spread) -> str:
        value = one.numbers[name]
        return MISSING if value is None else text(value.mean)

    return cell


def _range(name: str, text: Text) -> Cell:
    """Return what writes the mean of a number and its ends."""

    def cell(one: Spread) -> str:
        value = one.numbers[name]
        if value is None:
            return MISSING
        return f"{text(value.mean)} ({text(value.smallest)}-{text(value.largest)})"

    return cell


def _means(text: Text, *names: str) -> Cell:
    """Return what writes several means beside each other."""
    cells = [_mean(name, text) for name in names]
    return lambda one: " ".join(cell(one) for cell in cells)


def _changes(name: str, sign: str = "") -> Cell:
    """Return what writes a mean before and after calibration."""

    def cell(one: Spread) -> str:
        if not one.scored:
            return MISSING
        return change(one[f"{name}_before"].mean, one[name].mean, sign)

    return cell


def _cost(one: Spread) -> str:
    return f"{number(one['predict_ms'].mean)} ({number(one['cost'].mean)})"


def _robust(one: Spread) -> str:
    """Return z² after calibration, what it says, and in how many splits."""
    if not one.scored:
        return MISSING
    mark = " ✓" if one.verdict == HONESTY else ""
    return f"{_range('z2', two)(one)}{mark} {one.honest}/{one.judged}"


def _ence(one: Spread) -> str:
    if not one.scored:
        return MISSING
    return f"{_changes('ence')(one)} ({one['ence_floor'].mean:.2f})"


def _band(one: Spread) -> str:
    low, high = one["conformal_low"].mean, one["conformal_high"].mean
    return f"{one.banded}/{one.judged} ({percent(low)}-{percent(high)})"


def _said(one: Spread) -> str:
    return f"{one.verdict} {one.honest}/{one.judged}" if one.scored else ""


BARS: Sequence[Column[Spread]] = (
    Column("method", lambda one: one.method),
    Column("RMSE", _range("rmse", number)),
    Column("σ", _mean("sharpness", number)),
    Column("α", _range("alpha", number)),
    Column("robust", _mean("alpha_robust", number)),
    Column("z² before", _mean("z2_before", two)),
    Column("z² after", _range("z2", two)),
    Column("ENCE (floor)", _ence),
    Column("area", _changes("area", "+")),
    Column("Cᵥ", _mean("dispersion", two)),
    Column("ρ", _mean("spearman", two)),
    Column("", _said),
)

INTERVALS: Sequence[Column[Spread]] = (
    Column("method", lambda one: one.method),
    Column(
        "inside 50 90 95 % before",
        _means(percent, "inside50_before", "inside90_before", "inside95_before"),
    ),
    Column("after", _means(percent, "inside50", "inside90", "inside95")),
    Column("conformal", _range("conformal", percent)),
    Column("in the band", _band),
    Column("±", _mean("half_width", number)),
    Column("one width", _mean("half_width_plain", number)),
    Column("NLL", _mean("nll", number)),
    Column("CRPS", _range("crps", number)),
    Column("MAE", _mean("mae", number)),
)
