"""The scores as tables: on a terminal, and in Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bostruct.compare.outcome import ENERGY, FORCES
from bostruct.compare.row import HONEST, Row
from bostruct.compare.score import EPS, Scores
from bostruct.compare.split import TEST

Cell = Callable[[Row], str]
Scored = Callable[[Scores], str]

MISSING = "–"

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


@final
@dataclass(frozen=True)
class Column:
    """A heading and what stands below it."""

    head: str
    cell: Cell


def number(value: float | None) -> str:
    """Return three digits, without an exponent where that can be read.

    >>> number(0.0123), number(0.65), number(1234.5), number(1.5e9)
    ('0.0123', '0.650', '1234', '1.5e+09')
    """
    if value is None:
        return MISSING
    size = abs(value)
    if size == 0 or math.isinf(size):
        return f"{value:g}"
    if not 1e-3 <= size < 1e5:
        return f"{value:.1e}"
    return f"{value:.0f}" if size >= 100 else f"{value:#.3g}"


def terminal(rows: Sequence[Row], notes: Sequence[str]) -> RenderableType:
    """Return the tables for a terminal.

    Args:
        rows: Of all methods, sets and quantities.
        notes: What there is to say about the data.
    """
    parts: list[RenderableType] = [Text(note) for note in notes]
    for title, columns, group in _tables(rows):
        grid = Table(*(column.head for column in columns), title=title)
        grid.title_justify = "left"
        for found in grid.columns[1:]:
            found.justify = "right"
        for one in group:
            grid.add_row(*(column.cell(one) for column in columns))
        parts.append(grid)
    return Group(*parts, Text(MEANING), Text(VERDICTS))


def markdown(rows: Sequence[Row], notes: Sequence[str]) -> str:
    """Return the tables as Markdown.

    Args:
        rows: Of all methods, sets and quantities.
        notes: What there is to say about the data.
    """
    lines = [*(f"- {note}" for note in notes), ""]
    for title, columns, group in _tables(rows):
        rest = "---:|" * (len(columns) - 1)
        lines += [f"**{title}**", "", _line(column.head for column in columns)]
        lines += [f"|---|{rest}"]
        lines += [_line(column.cell(one) for column in columns) for one in group]
        lines += [""]
    return "\n".join([*lines, MEANING, "", VERDICTS, ""])


def place_name(place: str) -> str:
    """Return what a set is called in a heading."""
    return "in domain" if place == TEST else f"shifted: {place}"


def _tables(
    rows: Sequence[Row],
) -> list[tuple[str, Sequence[Column], Sequence[Row]]]:
    """Return titles, columns and rows of every table."""
    found: list[tuple[str, Sequence[Column], Sequence[Row]]] = []
    if rows:
        heads = list(dict.fromkeys(row.method for row in rows))
        first = {row.method: row for row in reversed(rows)}
        found.append(("At a glance", _glance(rows), [first[name] for name in heads]))
    for quantity in (ENERGY, FORCES):
        mine = [row for row in rows if row.quantity == quantity]
        for place in dict.fromkeys(row.place for row in mine):
            group = [row for row in mine if row.place == place]
            title = f"{quantity.capitalize()}, {place_name(place)}, {group[0].unit}"
            found.append((f"{title}: error bars", BARS, group))
            scored = [row for row in group if row.scores]
            if scored:
                found.append((f"{title}: intervals and scores", INTERVALS, scored))
    return found


def _glance(rows: Sequence[Row]) -> list[Column]:
    """Return columns for the desiderata: accurate, precise, robust, cheap."""
    table = {(row.method, row.quantity, row.place): row for row in rows}

    def of(row: Row, quantity: str, place: str, text: Cell) -> str:
        found = table.get((row.method, quantity, place))
        return MISSING if found is None else text(found)

    def rmse(quantity: str) -> Cell:
        return lambda row: of(row, quantity, TEST, lambda found: number(found.rmse))

    def robust(place: str) -> Cell:
        def said(found: Row) -> str:
            return _z2(found) + (" ✓" if found.verdict == "honest" else "")

        return lambda row: of(row, ENERGY, place, said)

    shifted = dict.fromkeys(row.place for row in rows if row.shifted)
    return [
        Column("method", lambda row: row.method),
        Column("accurate: RMSE, meV/atom", rmse(ENERGY)),
        Column("eV/Å", rmse(FORCES)),
        Column(
            "precise: σ, meV/atom", lambda row: of(row, ENERGY, TEST, _scored(_sharp))
        ),
        Column("z² in domain", robust(TEST)),
        *(Column(f"robust: {place}", robust(place)) for place in shifted),
        Column("cheap: fit, s", lambda row: number(row.fit_seconds)),
        Column(
            "ms (× cheapest)",
            lambda row: of(
                row,
                ENERGY,
                TEST,
                lambda r: f"{number(r.predict_ms)} ({number(r.cost)})",
            ),
        ),
        Column(
            "σ of forces, ×",
            lambda row: of(
                row, FORCES, TEST, lambda r: number(r.cost) if r.scores else MISSING
            ),
        ),
    ]


def _scored(text: Scored) -> Cell:
    return lambda row: MISSING if row.scores is None else text(row.scores)


def _change(before: float, after: float, sign: str = "") -> str:
    if max(abs(before), abs(after)) >= 100:
        return f"{number(before)} → {number(after)}"
    return f"{before:{sign}.2f} → {after:{sign}.2f}"


def _sharp(scores: Scores) -> str:
    return number(scores.sharpness)


def _z2(row: Row) -> str:
    return MISSING if row.scores is None else _two(row.scores.z2)


def _two(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 100 else number(value)


def _inside(*shares: float) -> str:
    return " ".join(f"{100 * share:.0f}" for share in shares)


BARS: Sequence[Column] = (
    Column("method", lambda row: row.method),
    Column("RMSE", lambda row: number(row.rmse)),
    Column("σ", _scored(_sharp)),
    Column(
        "α (robust)",
        _scored(lambda s: f"{number(s.alpha)} ({number(s.alpha_robust)})"),
    ),
    Column("z² before", _scored(lambda s: _two(s.z2_before))),
    Column(
        "z² after",
        _scored(lambda s: f"{_two(s.z2)} ({_two(s.z2_low)}-{_two(s.z2_high)})"),
    ),
    Column(
        "ENCE (floor)",
        _scored(lambda s: f"{_change(s.ence_before, s.ence)} ({s.ence_floor:.2f})"),
    ),
    Column("area", _scored(lambda s: _change(s.area_before, s.area, "+"))),
    Column("Cᵥ", _scored(lambda s: f"{s.dispersion:.2f}")),
    Column(
        "ρ",
        _scored(lambda s: MISSING if s.spearman is None else f"{s.spearman:.2f}"),
    ),
    Column("", lambda row: row.verdict),
)

INTERVALS: Sequence[Column] = (
    Column("method", lambda row: row.method),
    Column(
        "inside 50 90 95 % before",
        _scored(
            lambda s: _inside(s.inside50_before, s.inside90_before, s.inside95_before)
        ),
    ),
    Column("after", _scored(lambda s: _inside(s.inside50, s.inside90, s.inside95))),
    Column(
        "conformal (band)",
        _scored(
            lambda s: (
                f"{_inside(s.conformal)} ({_inside(s.conformal_low)}-"
                f"{_inside(s.conformal_high)})"
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


def _line(cells: object) -> str:
    assert hasattr(cells, "__iter__")
    return "| " + " | ".join(cells) + " |"
