"""Plots of a Pareto front, of its history and of its outcomes.

Raw values are drawn, on logarithmic axes where the objective is logarithmic. Evaluated structures
have no error bars; candidates have the calibrated σ of their predictions. matplotlib is imported
when something is drawn.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bostruct import plotting
from bostruct.campaign.analysis.calibration import CalibratedPrediction
from bostruct.campaign.analysis.pareto_front import EvaluatedPoint, ParetoFront
from bostruct.campaign.report.labels import axis_label, split_unit
from bostruct.campaign.report.unevaluated_candidates import FrontCandidate
from bostruct.objectives import OptimizationConfig

LEGEND_LABELS = {
    "front": "on the front",
    "feasible": "evaluated, dominated",
    "infeasible": "evaluated, infeasible",
    "bound": "bound of a constraint",
    "edge": "front of these two alone",
    "predicted": "predicted, not evaluated (±σ)",
}

BOUND_STYLE = {"color": "0.3", "linewidth": 0.7, "linestyle": "--", "zorder": 1}

TEXT_BOX_STYLE = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.6}
"""Background of numbers that lines cross."""

PointList = list[tuple[float, ...]]


def plot_objective_pairs(
    front: ParetoFront, candidates: Sequence[FrontCandidate], path: Path
) -> bool:
    """Draw each pair of objectives; return whether there are two.

    Dashed lines are bounds of constraints. The thin line is the front of the two objectives alone:
    where there are more, structures on the front lie behind it as well.
    """
    names = [part.name for part in front.optimization_config.objectives]
    both = list(itertools.combinations(names, 2))
    if not both:
        return False
    with plotting.saved_figure(len(both), path) as panels:
        for axes, (x, y) in zip(panels, both, strict=True):
            groups = _group_points(front, (x, y))
            _scatter_points(axes, groups)
            drawn = [*itertools.chain(*groups.values())]
            drawn += _plot_predictions(axes, front.optimization_config, candidates, (x, y))
            _plot_pairwise_front(
                axes, front.optimization_config, groups["front"] + groups["feasible"], (x, y)
            )
            for which, name, values in zip("xy", (x, y), zip(*drawn, strict=True), strict=False):
                bounds = _constraint_bounds(front.optimization_config, name)
                draw = axes.axvline if which == "x" else axes.axhline
                for value in bounds:
                    draw(value, **BOUND_STYLE, label=LEGEND_LABELS["bound"])
                every = [*values, *bounds]
                format_axis(axes, which, name, front.optimization_config, every)
    return True


def plot_three_objectives(
    front: ParetoFront, candidates: Sequence[FrontCandidate], path: Path
) -> bool:
    """Draw three objectives at once; return whether there are three."""
    names = [part.name for part in front.optimization_config.objectives]
    if len(names) != 3:
        return False
    goals = front.optimization_config
    groups = {
        kind: [_to_outcome_space(goals, names, point) for point in points]
        for kind, points in _group_points(front, names).items()
    }
    with plotting.saved_figure(1, path, (4.4, 3.4), projection="3d") as (axes,):
        predictions = [
            [candidate.predictions[name] for name in names]
            for candidate in candidates
            if all(name in candidate.predictions for name in names)
        ]
        centres = [tuple(prediction.mean for prediction in trio) for trio in predictions]
        every = [*itertools.chain(*groups.values()), *centres]
        floor = min(point[2] for point in every) if every else 0.0
        for point in groups["front"]:
            ends = [[value, value] for value in point[:2]]
            axes.plot(*ends, [floor, point[2]], color="0.8", linewidth=0.5, zorder=0)
        _scatter_points(axes, groups, depthshade=False)
        for trio, centre in zip(predictions, centres, strict=True):
            for i, prediction in enumerate(trio):
                line = [[value, value] for value in centre]
                sigma = prediction.calibrated_sigma
                line[i] = [prediction.mean - sigma, prediction.mean + sigma]
                axes.plot(*line, color=PREDICTED_COLOR, linewidth=0.7)
        if centres:
            marks = {"marker": "D", "s": 12, "facecolor": "white"}
            axes.scatter(
                *zip(*centres, strict=True),
                **marks,
                edgecolor=PREDICTED_COLOR,
                linewidth=0.8,
                label=LEGEND_LABELS["predicted"],
                depthshade=False,
            )
        for which, name, values in zip("xyz", names, zip(*every, strict=True)):  # noqa: B905
            label = directed_axis_label(name, goals)
            getattr(axes, f"set_{which}label")(label, labelpad=3 + 8 * label.count("\n"))
            axis = getattr(axes, f"{which}axis")
            axis.set_tick_params(pad=3 if which == "z" else 0)
            if name in goals.log_outcomes:
                _set_power_ticks(axis, 10.0 ** min(values), 10.0 ** max(values))
            else:
                plotting.set_linear_ticks(axis)
        axes.view_init(elev=22, azim=-58)
        axes.set_box_aspect((1.25, 1.25, 1.0), zoom=0.98)
    return True


def plot_hypervolume_history(
    front: ParetoFront, candidates: Sequence[FrontCandidate], path: Path
) -> bool:
    """Draw hypervolume and front size against evaluations; return whether there are any."""
    from matplotlib.ticker import MaxNLocator

    del candidates
    series = front.history
    if not len(series):
        return False
    counts = range(1, len(series) + 1)
    random = _n_before_model(front)
    with plotting.saved_figure(2, path, (2.9, 2.0)) as (left, right):
        left.step(counts, series.hypervolume, where="post", color=FRONT_COLOR)
        left.set_ylabel("hypervolume")
        right.step(
            counts, series.n_front, where="post", color=FRONT_COLOR, label=LEGEND_LABELS["front"]
        )
        right.step(
            counts,
            series.n_feasible,
            where="post",
            color=plotting.BLUE,
            linewidth=0.9,
            label="feasible",
        )
        right.set_ylabel("structures")
        right.yaxis.set_major_locator(MaxNLocator(6, integer=True, steps=plotting.TICK_STEPS))
        for axes in (left, right):
            axes.set_xlabel("evaluations")
            axes.set_ylim(bottom=0)
            axes.set_xlim(0, len(series) + 1)
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=plotting.TICK_STEPS))
            if random:
                shade = {"color": "0.93", "linewidth": 0, "zorder": 0}
                axes.axvspan(0, random + 0.5, label="before the model", **shade)
    return True


def plot_parallel_coordinates(
    front: ParetoFront, candidates: Sequence[FrontCandidate], path: Path
) -> bool:
    """Draw each structure of the front as a line over its outcomes.

    Up is better on the axis of an objective, and larger on that of a constraint alone. Return
    whether there is a front of two outcomes.
    """
    from matplotlib import colormaps

    del candidates
    goals, names = front.optimization_config, front.optimization_config.outcome_names
    best = [_known_outcomes(point, names) for point in front.points]
    rest = [
        _known_outcomes(point, names) for point in front.evaluated if not point.is_non_dominated
    ]
    lines = [_to_outcome_space(goals, names, values) for values in best if values]
    grey = [_to_outcome_space(goals, names, values) for values in rest if values]
    if not lines or len(names) < 2:
        return False
    down = {part.name for part in goals.objectives if part.direction == "minimize"}
    columns = list(zip(*lines, *grey, strict=True))
    spans = [(min(column), max(column)) for column in columns]

    def height(i: int, value: float) -> float:
        low, high = spans[i]
        share = (value - low) / (high - low) if high > low else 0.5
        return 1 - share if names[i] in down else share

    with plotting.saved_figure(1, path, (max(3.6, 1.75 * len(names)), 2.6)) as (axes,):
        places = range(len(names))
        first = [height(0, line[0]) for line in lines]
        colours = colormaps["viridis_r"]
        text = "evaluated, not on the front"
        for line in grey:
            heights = [height(i, value) for i, value in enumerate(line)]
            axes.plot(places, heights, color="0.8", linewidth=0.5, label=text)
            text = ""
        text = f"{LEGEND_LABELS['front']}, by {split_unit(names[0])[0]}"
        for line, start in zip(lines, first, strict=True):
            heights = [height(i, value) for i, value in enumerate(line)]
            look = {"color": colours(start), "linewidth": 1.1, "zorder": 2.5}
            axes.plot(places, heights, label=text, **look)
            text = ""
        for i, name in enumerate(names):
            axes.axvline(i, color="0.2", linewidth=0.8, zorder=3)
            side = 1 if i + 1 == len(names) else -1  # the last has room on the right
            for value in _round_tick_values(spans[i], name in goals.log_outcomes):
                y = height(i, goals.transform(name, value))
                end = i + 0.015 * side
                axes.plot([end, i], [y, y], color="0.2", linewidth=0.8, zorder=3)
                axes.text(
                    i + 0.03 * side,
                    y,
                    plotting.format_tick(value),
                    horizontalalignment="left" if side > 0 else "right",
                    verticalalignment="center",
                    fontsize=6,
                    bbox=TEXT_BOX_STYLE,
                    zorder=4,
                )
        labels = [directed_axis_label(name, goals, 24) for name in names]
        axes.set_xticks(list(places), labels)
        axes.set_xlim(-0.25, len(names) - 0.75)
        axes.set_ylim(-0.04, 1.04)
        axes.set_yticks([])
        axes.tick_params(axis="x", length=0)
        axes.spines[["left", "bottom"]].set_visible(False)
    return True


def _known_outcomes(point: EvaluatedPoint, names: Sequence[str]) -> tuple[float, ...] | None:
    """Return the raw outcomes of a point; None where one is unknown."""
    known = [value for name in names if (value := point.raw_outcomes[name]) is not None]
    return tuple(known) if len(known) == len(names) else None


def _group_points(front: ParetoFront, names: Sequence[str]) -> dict[str, PointList]:
    """Return the evaluated structures by feasibility and dominance, at these outcomes.

    Structures with unknown outcomes are not drawn: their feasibility is unknown.
    """
    groups: dict[str, PointList] = {kind: [] for kind in ("infeasible", "feasible", "front")}
    for point in front.evaluated:
        values = _known_outcomes(point, names)
        if values is None or None in point.raw_outcomes.values():
            continue
        kind = "feasible" if point.is_feasible else "infeasible"
        groups["front" if point.is_non_dominated else kind].append(values)
    return groups


def _scatter_points(axes: Any, groups: dict[str, PointList], **options: object) -> None:  # noqa: ANN401
    looks: dict[str, dict[str, Any]] = {
        "infeasible": {"marker": "x", "s": 11, "color": INFEASIBLE_COLOR, "linewidth": 0.8},
        "feasible": {"marker": "o", "s": 12, "color": FEASIBLE_COLOR, "linewidth": 0},
        "front": {"marker": "s", "s": 14, "color": FRONT_COLOR, "linewidth": 0},
    }
    for order, (kind, points) in enumerate(groups.items()):
        if points:
            axes.scatter(
                *zip(*points, strict=True),
                **looks[kind],
                **options,
                label=LEGEND_LABELS[kind],
                zorder=3 + order,
            )


def _plot_predictions(
    axes: Any,  # noqa: ANN401 - matplotlib
    optimization_config: OptimizationConfig,
    candidates: Sequence[FrontCandidate],
    names: tuple[str, str],
) -> PointList:
    """Draw the predictions of candidates; return the ends of their error bars."""
    ends: PointList = []
    for candidate in candidates:
        if not all(name in candidate.predictions for name in names):
            continue
        (x, dx), (y, dy) = (
            _raw_prediction(optimization_config, name, candidate.predictions[name])
            for name in names
        )
        axes.errorbar(
            [x],
            [y],
            xerr=[[dx[0]], [dx[1]]],
            yerr=[[dy[0]], [dy[1]]],
            fmt="D",
            markersize=3.2,
            markerfacecolor="white",
            markeredgewidth=0.8,
            color=PREDICTED_COLOR,
            linewidth=0.7,
            label=None if ends else LEGEND_LABELS["predicted"],
            zorder=6,
        )
        ends += [(x - dx[0], y - dy[0]), (x + dx[1], y + dy[1])]
    return ends


def _raw_prediction(
    optimization_config: OptimizationConfig, name: str, prediction: CalibratedPrediction
) -> tuple[float, tuple[float, float]]:
    """Return a prediction in raw values: its centre, and the lengths of its two error bars."""
    mean, sigma = prediction.mean, prediction.calibrated_sigma
    if name not in optimization_config.log_outcomes:
        return mean, (sigma, sigma)
    centre = 10.0**mean
    return centre, (centre - 10.0 ** (mean - sigma), 10.0 ** (mean + sigma) - centre)


def _plot_pairwise_front(
    axes: Any,  # noqa: ANN401 - matplotlib
    optimization_config: OptimizationConfig,
    points: PointList,
    names: tuple[str, str],
) -> None:
    """Draw the front of two objectives alone as steps."""
    signs = {part.name: part.sign for part in optimization_config.objectives}
    x, y = (signs[name] for name in names)
    best: PointList = []
    for point in sorted(points, key=lambda p: (-x * p[0], -y * p[1])):
        if not best or y * point[1] > y * best[-1][1]:
            best.append(point)
    if len(best) > 1:
        corners = list(best[:1])
        for before, after in itertools.pairwise(best):
            corners += [(after[0], before[1]), after]
        alone = len(optimization_config.objectives) == 2
        axes.plot(
            *zip(*corners, strict=True),
            color=FRONT_COLOR if alone else "0.35",
            linewidth=0.6,
            label=None if alone else LEGEND_LABELS["edge"],
            zorder=2,
        )


def _constraint_bounds(optimization_config: OptimizationConfig, name: str) -> list[float]:
    return [
        bound
        for constraint in optimization_config.constraints
        if constraint.name == name
        for bound in (constraint.upper, constraint.lower)
        if bound is not None
    ]


def _n_before_model(front: ParetoFront) -> int:
    """Return the number of evaluations before the first that a model selected."""
    for point in front.evaluated:
        if point.predictions and point.evaluation is not None:
            return point.evaluation - 1
    return 0


def _to_outcome_space(
    optimization_config: OptimizationConfig, names: Sequence[str], point: tuple[float, ...]
) -> tuple[float, ...]:
    """Return raw values in outcome space."""
    pairs = zip(names, point, strict=True)
    return tuple(optimization_config.transform(name, value) for name, value in pairs)


def _set_power_ticks(axis: Any, low: float, high: float) -> None:  # noqa: ANN401 - matplotlib
    """Label an axis of logarithms with raw values."""
    from matplotlib.ticker import FixedFormatter, FixedLocator

    places = plotting.log_tick_values(low, high)
    axis.set_major_locator(FixedLocator([math.log10(value) for value in places]))
    axis.set_major_formatter(FixedFormatter([plotting.format_tick(value) for value in places]))


def _round_tick_values(span: tuple[float, float], log: bool) -> list[float]:
    """Return round raw values within a span of outcome space."""
    low, high = span
    if log:
        return plotting.log_tick_values(10.0**low, 10.0**high) or [10.0**low]
    return [low] if low == high else plotting.linear_tick_values(low, high)


FRONT_COLOR, FEASIBLE_COLOR = plotting.VERMILION, plotting.SKY_BLUE
INFEASIBLE_COLOR, PREDICTED_COLOR = "0.6", plotting.GREEN


def directed_axis_label(
    name: str,
    optimization_config: OptimizationConfig,
    max_characters: int = plotting.MAX_LABEL_CHARACTERS,
) -> str:
    """Return the label of an outcome's axis in lines, with an arrow in the better direction."""
    better = {part.name: part.direction for part in optimization_config.objectives}.get(name)
    arrow = {"minimize": " ↓", "maximize": " ↑", None: ""}[better]
    label = f"{axis_label(name, optimization_config)}{arrow}"
    return plotting.wrap_label(label, max_characters)


def format_axis(
    axes: Any,  # noqa: ANN401 - matplotlib
    axis: str,
    name: str,
    optimization_config: OptimizationConfig,
    values: Sequence[float],
) -> None:
    """Label one axis of a panel, and make it logarithmic where the objective is.

    Args:
        axes: matplotlib axes of the panel.
        axis: "x" or "y".
        name: Name of the outcome.
        optimization_config: Objectives and constraints of the campaign.
        values: Raw values along the axis.
    """
    set_: Callable[[str], Callable[..., object]]
    set_ = lambda what: getattr(axes, f"set_{axis}{what}")  # noqa: E731
    set_("label")(directed_axis_label(name, optimization_config))
    if not values:
        return
    low, high = min(values), max(values)
    if name in optimization_config.log_outcomes:
        set_("scale")("log")
        margin = (high / low) ** 0.06 if high > low else 1.1
        low, high = low / margin, high * margin
        set_("lim")(low, high)
        plotting.set_log_ticks(getattr(axes, f"{axis}axis"))
    else:
        margin = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
        set_("lim")(low - margin, high + margin)
        # Numbers need more room side by side than one above the other.
        plotting.set_linear_ticks(getattr(axes, f"{axis}axis"), 4 if axis == "x" else 6)
