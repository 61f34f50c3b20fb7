from bostruct.campaign.report.hull_summary import HullSummary, Phase
from bostruct.campaign.report.hull_text import hull_lines, phase_lines


def phase(formula, x, formation, above, trial=None):
    n, group = (None, "") if trial is None else (4, "Fm-3m")
    return Phase(formula, (1 - x, x), formation, above, trial, n, group)


PHASES = (
    phase("Cu", 0.0, 0.0, 0.0, 3),
    phase("AuCu3", 0.25, -0.02, 0.0),
    phase("Au", 1.0, 0.0, 0.0, 5),
    *(phase(f"Au{k}Cu", 0.5, 0.0, 0.01 * k, k) for k in range(1, 15)),
)


def test_tells_stable_phases():
    hull = HullSummary(("Cu", "Au"), PHASES, last_lowered=3)
    assert hull_lines(hull) == ["3 stable phases: Cu, AuCu3, Au; lowered last by trial 3"]
    lines = phase_lines(hull)
    assert sum("stable" in line for line in lines) == 3
    assert "given" in next(line for line in lines if line.startswith("AuCu3"))
    assert "-0.0200" in next(line for line in lines if line.startswith("AuCu3"))
    assert "0.0100" in next(line for line in lines if line.startswith("Au1Cu"))
    assert lines[-1] == "and 5 other compositions farther above the hull"


def test_tells_what_is_missing():
    hull = HullSummary(("Cu", "Au"), (), ("Au",))
    assert hull_lines(hull) == ["not known before there is an energy of Au"]
    assert phase_lines(hull) == []
    assert hull_lines(None) == phase_lines(None) == []
