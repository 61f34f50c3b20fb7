from dataclasses import dataclass

from bostruct.compare.glance import glance
from bostruct.compare.sheet import MISSING


@dataclass(frozen=True)
class Line:
    method: str
    quantity: str
    place: str
    value: float
    scored: bool = True
    unit: str = ""

    @property
    def shifted(self):
        return self.place == "hot"


def written(lines, one):
    def text(line):
        return f"{line.method} {line.place} {line.value:g}"

    names = "rmse", "sharp", "robust", "fit", "cost", "forces"
    columns = glance(lines, **dict.fromkeys(names, text))
    return {column.head: column.cell(one) for column in columns}


def test_a_line_gathers_all_that_is_known_of_a_method():
    lines = [
        Line("a", "energy", "test", 1),
        Line("b", "energy", "test", 2),
        Line("a", "energy", "hot", 3),
        Line("a", "forces", "test", 4),
    ]
    assert written(lines, lines[0]) == {
        "method": "a",
        "accurate: RMSE, meV/atom": "a test 1",
        "eV/Å": "a test 4",
        "precise: σ, meV/atom": "a test 1",
        "z² in domain": "a test 1",
        "robust: hot": "a hot 3",
        "cheap: fit, s": "a test 1",
        "ms (× cheapest)": "a test 1",
        "σ of forces, ×": "a test 4",
    }
    other = written(lines, lines[1])
    assert other["robust: hot"] == other["eV/Å"] == MISSING
    assert other["z² in domain"] == "b test 2"


def test_forces_without_a_variance_have_no_cost():
    lines = [Line("a", "forces", "test", 4, scored=False)]
    assert written(lines, lines[0])["σ of forces, ×"] == MISSING
    assert written(lines, lines[0])["eV/Å"] == "a test 4"
