"""The scores of one split as tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bostruct.bench.uncertainty.score_rows import CALIBRATED, CALIBRATED_RANGE, ScoreRow
from bostruct.bench.uncertainty.scores import CONFORMAL_MISCOVERAGE, Scores
from bostruct.bench.uncertainty.tables import (
    MISSING,
    Column,
    ScoreTable,
    build_tables,
    format_change,
    format_number,
    format_percent,
    format_two_decimals,
    overview_columns,
)

RowCell = Callable[[ScoreRow], str]
ScoresFormatter = Callable[[Scores], str]

SPLIT_COLUMNS_LEGEND = (
    "σ: root mean variance; α: factor of σ from the calibration set (26), beside it "
    "the robust one. z²: mean squared error over variance, ideally 1, with a 95 % "
    "interval. ENCE (28) beside its floor for calibrated data. area: signed "
    "miscalibration area, negative is overconfident. inside: share of truths within "
    f"the 50, 90, 95 % intervals. conformal: share within conformal {1 - CONFORMAL_MISCOVERAGE:.0%} "
    "intervals, beside the band that chance allows; ± their mean half width, in "
    "brackets that of intervals of one width. Cᵥ: sd(σ) / mean(σ); ρ: Spearman "
    "correlation of |error| and σ. Before → after calibration; NLL, CRPS and σ after."
)
SPLIT_VERDICT_LEGEND = (
    "honest, ✓: z² after calibration within {}-{} in domain, {}-{} on a shifted set."
).format(*CALIBRATED_RANGE[True], *CALIBRATED_RANGE[False])
SPLIT_LEGEND = (SPLIT_COLUMNS_LEGEND, SPLIT_VERDICT_LEGEND)


def split_tables(rows: Sequence[ScoreRow]) -> list[ScoreTable]:
    """Return the tables of one split.

    Args:
        rows: Of all methods, sets and quantities.
    """
    first = overview_columns(
        rows,
        rmse=lambda row: format_number(row.rmse),
        sharpness=_scores_cell(_format_sharpness),
        z2=_z2_cell,
        fit=lambda row: format_number(row.fit_seconds),
        cost=lambda row: f"{format_number(row.predict_ms)} ({format_number(row.cost)})",
        force_cost=lambda row: format_number(row.cost),
    )
    return build_tables(rows, first, SPLIT_ERROR_BAR_COLUMNS, SPLIT_INTERVAL_COLUMNS)


def _scores_cell(formatter: ScoresFormatter) -> RowCell:
    return lambda row: MISSING if row.scores is None else formatter(row.scores)


def _format_sharpness(scores: Scores) -> str:
    return format_number(scores.sharpness)


def _z2_cell(row: ScoreRow) -> str:
    """Return z² after calibration, and whether it is honest."""
    mark = " ✓" if row.verdict == CALIBRATED else ""
    return f"{_scores_cell(lambda scores: format_two_decimals(scores.z2))(row)}{mark}"


SPLIT_ERROR_BAR_COLUMNS: Sequence[Column[ScoreRow]] = (
    Column("method", lambda row: row.method),
    Column("RMSE", lambda row: format_number(row.rmse)),
    Column("σ", _scores_cell(_format_sharpness)),
    Column(
        "α (robust)",
        _scores_cell(lambda s: f"{format_number(s.alpha)} ({format_number(s.alpha_robust)})"),
    ),
    Column("z² before", _scores_cell(lambda s: format_two_decimals(s.z2_before))),
    Column(
        "z² after",
        _scores_cell(
            lambda s: (
                f"{format_two_decimals(s.z2)} ({format_two_decimals(s.z2_low)}-{format_two_decimals(s.z2_high)})"
            )
        ),
    ),
    Column(
        "ENCE (floor)",
        _scores_cell(lambda s: f"{format_change(s.ence_before, s.ence)} ({s.ence_floor:.2f})"),
    ),
    Column(
        "area",
        _scores_cell(
            lambda s: format_change(s.miscalibration_area_before, s.miscalibration_area, "+")
        ),
    ),
    Column("Cᵥ", _scores_cell(lambda s: f"{s.dispersion:.2f}")),
    Column(
        "ρ",
        _scores_cell(lambda s: MISSING if s.spearman is None else f"{s.spearman:.2f}"),
    ),
    Column("", lambda row: row.verdict),
)

SPLIT_INTERVAL_COLUMNS: Sequence[Column[ScoreRow]] = (
    Column("method", lambda row: row.method),
    Column(
        "inside 50 90 95 % before",
        _scores_cell(
            lambda s: format_percent(
                s.coverage_50_before, s.coverage_90_before, s.coverage_95_before
            )
        ),
    ),
    Column(
        "after",
        _scores_cell(lambda s: format_percent(s.coverage_50, s.coverage_90, s.coverage_95)),
    ),
    Column(
        "conformal (band)",
        _scores_cell(
            lambda s: (
                f"{format_percent(s.conformal_coverage)} ({format_percent(s.conformal_coverage_low)}-"
                f"{format_percent(s.conformal_coverage_high)})"
            )
        ),
    ),
    Column(
        "± (one width)",
        _scores_cell(
            lambda s: (
                f"{format_number(s.conformal_half_width)} ({format_number(s.unnormalized_half_width)})"
            )
        ),
    ),
    Column("NLL", _scores_cell(lambda s: format_number(s.nll))),
    Column("CRPS", _scores_cell(lambda s: format_number(s.crps))),
    Column("MAE", _scores_cell(lambda s: format_number(s.mae))),
)
