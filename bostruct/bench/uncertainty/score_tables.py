"""Scores of uncertainty estimates as tables: Markdown, and for a terminal.

A column is a template over the numbers of a row. `{z2}` has three digits, `{z2:2}` two decimals and
`{z2:%}` percent; an "r" before, as in `{z2:r2}`, adds the range over several splits in brackets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

from rich.console import Group, RenderableType
from rich.text import Text

from bostruct.bench.tables import data_frame, markdown_table, terminal_table
from bostruct.bench.uncertainty.method_predictions import ENERGY, FORCES, QUANTITIES
from bostruct.bench.uncertainty.score_rows import CALIBRATED, CALIBRATED_RANGE
from bostruct.bench.uncertainty.scores import CONFORMAL_MISCOVERAGE
from bostruct.bench.uncertainty.split import TEST
from bostruct.bench.uncertainty.split_statistics import Range, SplitStatistics

if TYPE_CHECKING:
    from pandas import DataFrame

MISSING = "–"

Templates = Mapping[str, str]
"""Templates of the cells by the header of the column."""

ERROR_BARS = {
    "method": "{method}",
    "RMSE": "{rmse:r}",
    "σ": "{sharpness}",
    "α": "{alpha:r}",
    "robust": "{alpha_robust}",
    "z² before": "{z2_before:2}",
    "z² after": "{z2_interval:r2}",
    "ENCE (floor)": "{ence_change} ({ence_floor:2})",
    "area": "{miscalibration_area_change}",
    "Cᵥ": "{dispersion:2}",
    "ρ": "{spearman:2}",
    "": "{verdict}{n_calibrated}",
}
INTERVALS = {
    "method": "{method}",
    "inside 50 90 95 % before": (
        "{coverage_50_before:%} {coverage_90_before:%} {coverage_95_before:%}"
    ),
    "after": "{coverage_50:%} {coverage_90:%} {coverage_95:%}",
    "conformal": "{conformal_coverage:r%}",
    "in the band": (
        "{n_in_band}/{n_scored} ({conformal_coverage_low:%}-{conformal_coverage_high:%})"
    ),
    "±": "{conformal_half_width}",
    "one width": "{unnormalized_half_width}",
    "NLL": "{nll}",
    "CRPS": "{crps:r}",
    "MAE": "{mae}",
}

LEGEND = (
    "Means over the splits; in brackets from the smallest to the largest, of z² of one split a "
    "95 % interval. σ: root mean variance; α: factor of σ from the calibration set (26), and the "
    "robust one. z²: mean squared error over variance, ideally 1; means of z² and α are geometric. "
    "ENCE (28) beside its floor for calibrated data. area: signed miscalibration area, negative is "
    "overconfident. inside: fraction of true values within the 50, 90, 95 % intervals. conformal: "
    f"fraction within conformal {1 - CONFORMAL_MISCOVERAGE:.0%} intervals, and number of splits "
    "within the band of chance; ± their mean half width, beside that of intervals of one width. "
    "Cᵥ: sd(σ) / mean(σ); ρ: Spearman correlation of |error| and σ. Before → after calibration; "
    "NLL, CRPS and σ after.",
    "calibrated, ✓: mean of z² after calibration within {}-{} in domain, {}-{} on a shifted set; "
    "behind it the number of calibrated splits, where there are several.".format(
        *CALIBRATED_RANGE[True], *CALIBRATED_RANGE[False]
    ),
)


def score_tables(rows: Sequence[SplitStatistics]) -> dict[str, DataFrame]:
    """Return an overview, and two tables for every quantity and set, by title.

    Args:
        rows: Statistics of each quantity, set and method.
    """
    tables = {"At a glance": _overview(rows)} if rows else {}
    for quantity in QUANTITIES:
        by_quantity = [row for row in rows if row.quantity == quantity]
        for dataset in dict.fromkeys(row.dataset for row in by_quantity):
            group = [row for row in by_quantity if row.dataset == dataset]
            title = f"{quantity.capitalize()}, {dataset_title(dataset)}, {group[0].unit}"
            tables[f"{title}: error bars"] = _table(group, ERROR_BARS)
            scored = [row for row in group if row.has_scores]
            if scored:
                tables[f"{title}: intervals and scores"] = _table(scored, INTERVALS)
    return tables


def render_terminal(
    tables: Mapping[str, DataFrame], notes: Sequence[str], legend: Sequence[str]
) -> RenderableType:
    """Return tables for a terminal.

    Args:
        tables: Tables by title.
        notes: Paragraphs before the tables.
        legend: Paragraphs after the tables.
    """
    parts: list[RenderableType] = [Text(note) for note in notes]
    parts += [terminal_table(frame, title) for title, frame in tables.items()]
    return Group(*parts, *map(Text, legend))


def render_markdown(
    tables: Mapping[str, DataFrame], notes: Sequence[str], legend: Sequence[str]
) -> str:
    """Return tables as Markdown.

    Args:
        tables: Tables by title.
        notes: Items of a list before the tables.
        legend: Paragraphs after the tables.
    """
    blocks = ["\n".join(f"- {note}" for note in notes)]
    for title, frame in tables.items():
        blocks += [f"**{title}**", markdown_table(frame)]
    return "\n\n".join([*blocks, *legend]) + "\n"


def dataset_title(dataset: str) -> str:
    """Return the name of a set in a heading."""
    return "in domain" if dataset == TEST else f"shifted: {dataset}"


def format_number(value: float) -> str:
    """Return three digits, without an exponent where the number stays readable.

    >>> format_number(0.0123), format_number(0.65), format_number(1234.5), format_number(1.5e9)
    ('0.0123', '0.650', '1234', '1.5e+09')
    """
    size = abs(value)
    if size == 0 or math.isinf(size):
        return f"{value:g}"
    if not 1e-3 <= size < 1e5:
        return f"{value:.1e}"
    return f"{value:.0f}" if size >= 100 else f"{value:#.3g}"


def format_two_decimals(value: float) -> str:
    """Return two decimals, and three digits of large numbers."""
    return f"{value:.2f}" if abs(value) < 100 else format_number(value)


def format_change(before: float, after: float, sign: str = "") -> str:
    """Return the text "before → after"."""
    if max(abs(before), abs(after)) >= 100:
        return f"{format_number(before)} → {format_number(after)}"
    return f"{before:{sign}.2f} → {after:{sign}.2f}"


FORMATS: Mapping[str, Callable[[float], str]] = {
    "": format_number,
    "2": format_two_decimals,
    "%": lambda value: f"{100 * value:.0f}",
}


class _MissingValue(Exception):  # noqa: N818 - the cell becomes a dash
    """A template has a number that the row lacks."""


@final
class _Number:
    """Mean and range of a number, with the formats of the templates."""

    def __init__(self, value: Range | None) -> None:
        self.value = value

    def __format__(self, spec: str) -> str:
        if self.value is None:
            raise _MissingValue
        text = FORMATS[spec.removeprefix("r")]
        mean, ends = text(self.value.mean), (self.value.smallest, self.value.largest)
        has_range = spec.startswith("r") and ends[0] < ends[1]
        return f"{mean} ({'-'.join(map(text, ends))})" if has_range else mean


def _table(rows: Sequence[SplitStatistics], columns: Templates) -> DataFrame:
    cells = ([_cell(template, row) for template in columns.values()] for row in rows)
    return data_frame(cells, list(columns))


def _overview(rows: Sequence[SplitStatistics]) -> DataFrame:
    """Return accuracy, precision, robustness and cost, with a line for each method."""
    by_key = {(row.method, row.quantity, row.dataset): row for row in rows}
    first = {row.method: row for row in reversed(rows)}
    shifted = dict.fromkeys(row.dataset for row in rows if row.is_shifted)
    z2 = "{z2:r2}{mark}{n_calibrated}"
    columns = {
        "accurate: RMSE, meV/atom": (ENERGY, TEST, "{rmse:r}"),
        "eV/Å": (FORCES, TEST, "{rmse:r}"),
        "precise: σ, meV/atom": (ENERGY, TEST, "{sharpness}"),
        "z² in domain": (ENERGY, TEST, z2),
        **{f"robust: {name}": (ENERGY, name, z2) for name in shifted},
        "cheap: fit, s": ("", "", "{fit_seconds}"),
        "ms (× cheapest)": (ENERGY, TEST, "{predict_ms} ({cost})"),
        "σ of forces, ×": (FORCES, TEST, "{force_cost}"),
    }
    lines = []
    for method in dict.fromkeys(row.method for row in rows):
        cells = [method]
        for quantity, dataset, template in columns.values():
            row = by_key.get((method, quantity, dataset)) if quantity else first[method]
            cells.append(MISSING if row is None else _cell(template, row))
        lines.append(cells)
    return data_frame(lines, ["method", *columns])


def _cell(template: str, row: SplitStatistics) -> str:
    """Return a filled template, a dash where the row lacks one of its numbers."""
    try:
        return template.format_map(_values(row))
    except _MissingValue:
        return MISSING


def _values(row: SplitStatistics) -> dict[str, Any]:
    """Return the values of the templates."""
    values: dict[str, Any] = {name: _Number(value) for name, value in row.ranges.items()}
    values |= {
        "method": row.method,
        "verdict": row.verdict,
        "z2_interval": values["z2"] if len(row.rows) > 1 else _z2_interval(row),
        "mark": " ✓" if row.verdict == CALIBRATED else "",
        "n_calibrated": f" {row.n_calibrated}/{row.n_scored}" if row.n_scored > 1 else "",
        "n_scored": row.n_scored,
        "n_in_band": row.n_in_band,
        "force_cost": values["cost"] if row.has_scores else _Number(None),
    }
    for name, sign in (("ence", ""), ("miscalibration_area", "+")):
        before, after = row.ranges[f"{name}_before"], row.ranges[name]
        if before is not None and after is not None:
            values[f"{name}_change"] = format_change(before.mean, after.mean, sign)
        else:
            values[f"{name}_change"] = _Number(None)
    return values


def _z2_interval(row: SplitStatistics) -> _Number:
    """Return mean z² of one split with its 95 % interval in place of a range."""
    z2, low, high = (row.ranges[name] for name in ("z2", "z2_low", "z2_high"))
    if z2 is None or low is None or high is None:
        return _Number(None)
    return _Number(Range(z2.mean, low.mean, high.mean))
