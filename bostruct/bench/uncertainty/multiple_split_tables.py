"""The scores of several splits as tables: means, and from where to where they go."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bostruct.bench.uncertainty.score_rows import CALIBRATED, CALIBRATED_RANGE
from bostruct.bench.uncertainty.scores import CONFORMAL_MISCOVERAGE
from bostruct.bench.uncertainty.split_statistics import SplitStatistics
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

StatisticsCell = Callable[[SplitStatistics], str]
NumberFormatter = Callable[[float], str]

STATISTICS_COLUMNS_LEGEND = (
    "Means over the splits; in brackets from the smallest to the largest. σ: root "
    "mean variance; α: factor of σ from the calibration set (26), and the robust one. "
    "z²: mean squared error over variance, ideally 1; means of z² and α are geometric. "
    "ENCE (28) beside its floor for calibrated data. area: signed miscalibration area, "
    "negative is overconfident. inside: share of truths within the 50, 90, 95 % "
    f"intervals. conformal: share within conformal {1 - CONFORMAL_MISCOVERAGE:.0%} intervals, and in how "
    "many splits within the band that chance allows; ± their mean half width, beside "
    "it that of intervals of one width. Cᵥ: sd(σ) / mean(σ); ρ: Spearman correlation "
    "of |error| and σ. Before → after calibration; NLL, CRPS and σ after."
)
STATISTICS_VERDICT_LEGEND = (
    "honest, ✓: the mean of z² after calibration within {}-{} in domain, {}-{} on a "
    "shifted set; behind it in how many splits it is."
).format(*CALIBRATED_RANGE[True], *CALIBRATED_RANGE[False])
STATISTICS_LEGEND = (STATISTICS_COLUMNS_LEGEND, STATISTICS_VERDICT_LEGEND)


def statistics_tables(statistics: Sequence[SplitStatistics]) -> list[ScoreTable]:
    """Return the tables of several splits.

    Args:
        statistics: Of all methods, sets and quantities.
    """
    first = overview_columns(
        statistics,
        rmse=_range_cell("rmse", format_number),
        sharpness=_mean_cell("sharpness", format_number),
        z2=_statistics_z2_cell,
        fit=_mean_cell("fit_seconds", format_number),
        cost=_cost_cell,
        force_cost=_mean_cell("cost", format_number),
    )
    return build_tables(
        statistics, first, STATISTICS_ERROR_BAR_COLUMNS, STATISTICS_INTERVAL_COLUMNS
    )


def _mean_cell(name: str, formatter: NumberFormatter) -> StatisticsCell:
    """Return what writes the mean of a number."""

    def cell(one: SplitStatistics) -> str:
        value = one.ranges[name]
        return MISSING if value is None else formatter(value.mean)

    return cell


def _range_cell(name: str, formatter: NumberFormatter) -> StatisticsCell:
    """Return what writes the mean of a number and its ends."""

    def cell(one: SplitStatistics) -> str:
        value = one.ranges[name]
        if value is None:
            return MISSING
        return f"{formatter(value.mean)} ({formatter(value.smallest)}-{formatter(value.largest)})"

    return cell


def _means_cell(formatter: NumberFormatter, *names: str) -> StatisticsCell:
    """Return what writes several means beside each other."""
    cells = [_mean_cell(name, formatter) for name in names]
    return lambda one: " ".join(cell(one) for cell in cells)


def _change_cell(name: str, sign: str = "") -> StatisticsCell:
    """Return what writes a mean before and after calibration."""

    def cell(one: SplitStatistics) -> str:
        if not one.has_scores:
            return MISSING
        return format_change(one[f"{name}_before"].mean, one[name].mean, sign)

    return cell


def _cost_cell(statistics: SplitStatistics) -> str:
    return (
        f"{format_number(statistics['predict_ms'].mean)} ({format_number(statistics['cost'].mean)})"
    )


def _statistics_z2_cell(statistics: SplitStatistics) -> str:
    """Return z² after calibration, what it says, and in how many splits."""
    if not statistics.has_scores:
        return MISSING
    mark = " ✓" if statistics.verdict == CALIBRATED else ""
    return f"{_range_cell('z2', format_two_decimals)(statistics)}{mark} {statistics.n_calibrated}/{statistics.n_scored}"


def _ence_cell(statistics: SplitStatistics) -> str:
    if not statistics.has_scores:
        return MISSING
    return f"{_change_cell('ence')(statistics)} ({statistics['ence_floor'].mean:.2f})"


def _conformal_band_cell(statistics: SplitStatistics) -> str:
    low, high = statistics["conformal_low"].mean, statistics["conformal_high"].mean
    return f"{statistics.n_in_band}/{statistics.n_scored} ({format_percent(low)}-{format_percent(high)})"


def _verdict_cell(statistics: SplitStatistics) -> str:
    return (
        f"{statistics.verdict} {statistics.n_calibrated}/{statistics.n_scored}"
        if statistics.has_scores
        else ""
    )


STATISTICS_ERROR_BAR_COLUMNS: Sequence[Column[SplitStatistics]] = (
    Column("method", lambda one: one.method),
    Column("RMSE", _range_cell("rmse", format_number)),
    Column("σ", _mean_cell("sharpness", format_number)),
    Column("α", _range_cell("alpha", format_number)),
    Column("robust", _mean_cell("alpha_robust", format_number)),
    Column("z² before", _mean_cell("z2_before", format_two_decimals)),
    Column("z² after", _range_cell("z2", format_two_decimals)),
    Column("ENCE (floor)", _ence_cell),
    Column("area", _change_cell("area", "+")),
    Column("Cᵥ", _mean_cell("dispersion", format_two_decimals)),
    Column("ρ", _mean_cell("spearman", format_two_decimals)),
    Column("", _verdict_cell),
)

STATISTICS_INTERVAL_COLUMNS: Sequence[Column[SplitStatistics]] = (
    Column("method", lambda one: one.method),
    Column(
        "inside 50 90 95 % before",
        _means_cell(format_percent, "inside50_before", "inside90_before", "inside95_before"),
    ),
    Column("after", _means_cell(format_percent, "inside50", "inside90", "inside95")),
    Column("conformal", _range_cell("conformal", format_percent)),
    Column("in the band", _conformal_band_cell),
    Column("±", _mean_cell("half_width", format_number)),
    Column("one width", _mean_cell("half_width_plain", format_number)),
    Column("NLL", _mean_cell("nll", format_number)),
    Column("CRPS", _range_cell("crps", format_number)),
    Column("MAE", _mean_cell("mae", format_number)),
)
