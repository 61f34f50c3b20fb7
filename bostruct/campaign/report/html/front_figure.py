"""Figure of the Pareto front of a campaign: each pair of objectives."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from bostruct import plotting
from bostruct.campaign.analysis.pareto_front import EvaluatedPoint, ParetoFront
from bostruct.campaign.report.html.report_figure import MUTED, Marks, ReportFigure
from bostruct.campaign.report.labels import axis_label, split_unit
from bostruct.campaign.report.pareto_plots import format_axis

GROUP_LOOKS: Mapping[str, dict[str, Any]] = {
    "infeasible": {"marker": "x", "s": 16, "color": MUTED, "linewidth": 0.8, "label": "infeasible"},
    "dominated": {"s": 18, "color": plotting.SKY_BLUE, "linewidth": 0, "label": "dominated"},
    "front": {"s": 26, "color": plotting.VERMILION, "linewidth": 0, "label": "on the front"},
}


def front_figures(front: ParetoFront) -> list[ReportFigure]:
    """Return a figure of each pair of objectives; none without a result or with one objective."""
    config = front.optimization_config
    names = [part.name for part in config.objectives]
    known = [p for p in front.evaluated if None not in p.raw_outcomes.values()]
    if not known:
        return []
    return [
        _pair_figure(front, known, pair, f"front-{i}")
        for i, pair in enumerate(itertools.combinations(names, 2), 1)
    ]


def _pair_figure(
    front: ParetoFront, known: Sequence[EvaluatedPoint], pair: tuple[str, str], name: str
) -> ReportFigure:
    config = front.optimization_config
    groups = {
        "infeasible": [p for p in known if not p.is_feasible],
        "dominated": [p for p in known if p.is_feasible and not p.is_non_dominated],
        "front": [p for p in known if p.is_non_dominated],
    }

    def draw(figure: Any) -> Marks:  # noqa: ANN401 - matplotlib
        axes = figure.subplots()
        marks: dict[str, list[int]] = {}
        for kind, points in groups.items():
            if points:
                gid = f"{name}-{kind}"
                x, y = ([_value(p, outcome) for p in points] for outcome in pair)
                axes.scatter(x, y, gid=gid, zorder=3, **GROUP_LOOKS[kind])
                marks[gid] = [p.trial for p in points]
        for which, outcome in zip("xy", pair, strict=True):
            format_axis(axes, which, outcome, config, [_value(p, outcome) for p in known])
        return marks

    labels = [axis_label(outcome, config) for outcome in pair]
    words = " and ".join(split_unit(outcome)[0] for outcome in pair)
    n = len(groups["front"])
    more = ""
    if len(config.objectives) > 2:
        more = " With more than two objectives one on the front may look dominated here."
    return ReportFigure(
        name=name,
        title=f"Pareto front: {words}",
        caption=f"All evaluated structures; arrows point to the better direction.{more}",
        alt=f"{n} of {len(known)} structures are on the front, here by {' and '.join(labels)}.",
        columns=("trial", "structure", "on the front", "feasible", *labels),
        rows=tuple(
            (
                p.trial,
                p.name,
                "yes" if p.is_non_dominated else "no",
                "yes" if p.is_feasible else "no",
                *(p.raw_outcomes[outcome] for outcome in pair),
            )
            for p in known
        ),
        draw=draw,
    )


def _value(point: EvaluatedPoint, name: str) -> float:
    value = point.raw_outcomes[name]
    assert value is not None
    return value
