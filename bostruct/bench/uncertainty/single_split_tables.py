"""The scores of one split as tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bostruct.bench.uncertainty.score_rows import HONEST, HONESTY, Row
from bostruct.bench.uncertainty.scores import EPS, Scores
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

Cell = Callable[[Row], str]
Scored = Callable[[Scores], str]

MEANING = (
    "σ: root mean variance; α: factor of σ from the calibration set (26), beside it "
    "the robust one. z²: mean squared error over variance, ideally 1, with a 95 % "
    "interval. ENCE (28) beside its floor for calibrated data. area: signed "
    "miscalibration area, negative is overconfident. inside: share of truths within "
    f"the 50, 90, 95 % intervals. conformal: share within conformal {1 - EPS:.0%} "
    "intervals, beside the band that chance allows; ± their mean half width, in "
    "brackets that of intervals of one width. Cᵥ: sd(σ) / mean(σ); ρ: Spearman "
    "correlation of |error| and σ. Before → after calibration; NLL, CRPS and σ after."
)
VERDICTS = (
    "honest, ✓: z² after calibration within {}-{} in domain, {}-{} on a shifted set."
).format(*HONEST[True], *HONEST[False])
LEGEND = (MEANING, VERDICTS)


def sheets(rows: Sequence[Row]) -> list[Sheet]:
    """Return the tables of one split.

    Args:
        rows: Of all methods, sets and quantities.
    """
    first = glance(
        rows,
        rmse=lambda row: number(row.rmse),
        sharp=_scored(_sharp),
        robust=_robust,
        fit=lambda row: number(row.fit_seconds),
        cost=lambda row: f"{number(row.predict_ms)} ({number(row.cost)})",
        forces=lambda row: number(row.cost),
    )
    return layout(rows, first, BARS, INTERVALS)


def _scored(text: Scored) -> Cell:
    return lambda row: MISSING if row.scores is None else text(row.scores)


def _sharp(scores: Scores) -> str:
    return number(scores.sharpness)


def _robust(row: Row) -> str:
    """Return z² after calibration, and whether it is honest."""
    mark = " ✓" if row.verdict == HONESTY else ""
    return f"{_scored(lambda scores: two(scores.z2))(row)}{mark}"


BARS: Sequence[Column[Row]] = (
    Column("method", lambda row: row.method),
    Column("RMSE", lambda row: number(row.rmse)),
    Column("σ", _scored(_sharp)),
    Column(
        "α (robust)",
        _scored(lambda s: f"{number(s.alpha)} ({number(s.alpha_robust)})"),
    ),
    Column("z² before", _scored(lambda s: two(s.z2_before))),
    Column(
        "z² after",
        _scored(lambda s: f"{two(s.z2)} ({two(s.z2_low)}-{two(s.z2_high)})"),
    ),
    Column(
        "ENCE (floor)",
        _scored(lambda s: f"{change(s.ence_before, s.ence)} ({s.ence_floor:.2f})"),
    ),
    Column("area", _scored(lambda s: change(s.area_before, s.area, "+"))),
    Column("Cᵥ", _scored(lambda s: f"{s.dispersion:.2f}")),
    Column(
        "ρ",
        _scored(lambda s: MISSING if s.spearman is None else f"{s.spearman:.2f}"),
    ),
    Column("", lambda row: row.verdict),
)

INTERVALS: Sequence[Column[Row]] = (
    Column("method", lambda row: row.method),
    Column(
        "inside 50 90 95 % before",
        _scored(
            lambda s: percent(s.inside50_before, s.inside90_before, s.inside95_before)
        ),
    ),
    Column("after", _scored(lambda s: percent(s.inside50, s.inside90, s.inside95))),
    Column(
        "conformal (band)",
        _scored(
            lambda s: (
                f"{percent(s.conformal)} ({percent(s.conformal_low)}-"
                f"{percent(s.conformal_high)})"
            )
        ),
    ),
    Column(
        "± (one width)",
        _scored(lambda s: f"{number(s.half_width)} ({number(s.half_width_plain)})"),
    ),
    Column("NLL", _scored(lambda s: number(s.nll))),
    Column("CRPS", _scored(lambda s: number(s.crps))),
    Column("MAE", _scored(lambda s: number(s.mae))),
)
