import csv
import io
import json

import ase.db
import ase.io
import pytest
from monty.json import MontyDecoder

from bostruct import Constraint, stop
from bostruct.campaign.analysis.pareto_front import ParetoFront
from bostruct.campaign.log.retraction import retract_trial
from bostruct.campaign.report import export
from bostruct.campaign.report.export_front import points_to_csv, write_front_files
from bostruct.errors import LogError
from bostruct.evaluators.alloys.convex_hull import ENERGY_ABOVE_HULL
from tests.campaign import alloys
from tests.campaign.analysis.test_hypervolume_history import GOALS

FILES = [
    "front.csv",
    "evaluations.csv",
    "front.extxyz",
    "front.db",
    "entries.json",
    "pareto.png",
    "pareto3d.png",
    "hypervolume.png",
    "parallel.png",
]


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_everything_is_written_and_says_the_same(screened, tmp_path):
    out = tmp_path / "new" / "front"
    assert write_front_files(screened, out) == FILES
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    front = screened.pareto_front()
    best = [point.trial for point in front.points]
    found = table((out / "front.csv").read_text())
    assert ENERGY_ABOVE_HULL not in found[0], "no evaluation has a mixing enthalpy"
    assert [int(row["trial"]) for row in found] == best
    images = ase.io.read(out / "front.extxyz", index=":")
    with ase.db.connect(out / "front.db") as db:
        kept = [row.key_value_pairs for row in db.select()]
    entries = json.loads((out / "entries.json").read_text(), cls=MontyDecoder)
    for i, point in enumerate(front.points):
        for name, value in point.raw_outcomes.items():
            assert float(found[i][name]) == value
            assert images[i].info[name] == pytest.approx(value)
            assert kept[i][name] == pytest.approx(value)
        assert kept[i]["trial"] == images[i].info["trial"] == point.trial
        assert bool(kept[i]["front"])
        assert found[i]["formula"] == images[i].get_chemical_formula()
        each = entries["computed_entries"][i]
        assert each.energy == images[i].get_potential_energy()
        assert each.data["modulus"] == point.raw_outcomes["modulus"]
        assert each.entry_id == f"alloys-{point.trial}"


def test_predictions_in_a_table_are_those_from_before(screened):
    front = screened.pareto_front()
    (row,) = table(points_to_csv(front, front.points[-1:], {}, {}))
    told = front.points[-1].predictions["modulus"]
    assert float(row["modulus_predicted"]) == told.mean
    assert float(row["modulus_sigma"]) == told.calibrated_sigma
    assert not any(name.startswith(("price_", "log10")) for name in row), "exact"


def test_all_evaluations_with_what_became_of_them(screened):
    front = screened.pareto_front()
    found = table(points_to_csv(front, front.evaluated, {0: "Cu"}, {}, include_all=True))
    assert len(found) == 15
    assert found[0]["formula"] == "Cu"
    assert found[2]["state"] == "failed"
    assert (found[2]["modulus"], found[2]["front"]) == ("", "False")
    assert (found[5]["state"], found[5]["modulus"]) == ("done", "")
    assert found[5]["quarantined"] == "modulus: -2992 is outside its valid range, 1 to 600"
    volumes = [float(row["hypervolume"]) for row in found]
    assert volumes == list(front.history.hypervolume)
    assert [row["front"] == "True" for row in found] == [
        p.is_non_dominated for p in front.evaluated
    ]


def test_energies_above_the_hull_are_in_every_file(mixed, tmp_path):
    write_front_files(mixed, tmp_path)
    heights = export.trial_energies_above_hull(mixed)
    found = table((tmp_path / "front.csv").read_text())
    images = ase.io.read(tmp_path / "front.extxyz", index=":")
    with ase.db.connect(tmp_path / "front.db") as db:
        kept = [row.key_value_pairs for row in db.select()]
    points = mixed.pareto_front().points
    for point, *places in zip(points, found, (image.info for image in images), kept, strict=True):
        for place in places:
            assert float(place[ENERGY_ABOVE_HULL]) == pytest.approx(heights[point.trial])
    rows = table((tmp_path / "evaluations.csv").read_text())
    assert {int(r["trial"]) for r in rows if r[ENERGY_ABOVE_HULL]} == set(heights)


def test_no_rows():
    assert points_to_csv(ParetoFront.from_trials([], [], [], GOALS), (), {}, {}) == ""


def test_files_are_replaced_and_what_was_retracted_is_gone(screened, tmp_path):
    write_front_files(screened, tmp_path / "out")
    best = screened.pareto_front().points[0].trial
    retract_trial(screened.folder, best, "no")
    write_front_files(screened, tmp_path / "out")
    found = table((tmp_path / "out" / "front.csv").read_text())
    assert str(best) not in {row["trial"] for row in found}
    with ase.db.connect(tmp_path / "out" / "front.db") as db:
        assert best not in {row.trial for row in db.select()}
    everything = table((tmp_path / "out" / "evaluations.csv").read_text())
    assert everything[best]["state"] == "retracted"
    assert everything[best]["quarantined"] == "all: no"
    assert everything[best]["modulus"] == ""


def test_refused(screened, tmp_path):
    with alloys.campaign().open(tmp_path / "run") as campaign:
        with pytest.raises(LogError, match="has no evaluation yet"):
            write_front_files(campaign.log, tmp_path / "out")
        assert not (tmp_path / "out").exists()
    (tmp_path / "file").touch()
    with pytest.raises(LogError, match="could not write in"):
        write_front_files(screened, tmp_path / "file" / "out")


def test_a_campaign_without_a_front_has_a_table(tmp_path):
    impossible = [Constraint("enthalpy", upper=-100.0)]
    run = alloys.campaign(constraints=impossible, stop=stop.Evaluations(3))
    log = run.run(tmp_path / "run")
    written = write_front_files(log, tmp_path / "out")
    assert "front.extxyz" not in written
    assert "pareto.png" in written
    assert len(table((tmp_path / "out" / "evaluations.csv").read_text())) == 3
    assert (tmp_path / "out" / "front.csv").read_text() == ""
    with pytest.raises(LogError, match="nothing on its front: use --all"):
        export.images_to_export(log)
    assert len(export.images_to_export(log, include_all=True)) == 3
