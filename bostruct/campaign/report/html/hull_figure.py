"""Figure of the convex hull of a campaign in which compositions vary."""

from __future__ import annotations

from typing import Any

from bostruct.campaign.report.html.report_figure import Marks, ReportFigure
from bostruct.campaign.report.hull_plot import draw_hull
from bostruct.campaign.report.hull_summary import HullSummary


def hull_figure(hull: HullSummary | None) -> ReportFigure | None:
    """Return the figure of a hull of two elements; None of others, and while an end is missing."""
    if hull is None or len(hull.elements) != 2 or not hull.phases:
        return None

    def draw(figure: Any) -> Marks:  # noqa: ANN401 - matplotlib
        draw_hull(figure.subplots(), hull)
        return {}

    stable = ", ".join(phase.formula for phase in hull.stable)
    return ReportFigure(
        name="hull",
        title="Convex hull",
        caption="Formation energies of all evaluated structures; phases on the line are stable.",
        alt=f"Convex hull of {'-'.join(hull.elements)}; stable are {stable}.",
        columns=("phase", "trial", "formation energy (eV/atom)", "above the hull (eV/atom)"),
        rows=tuple(
            (p.formula, p.trial, p.formation_energy, p.energy_above_hull) for p in hull.phases
        ),
        draw=draw,
    )
