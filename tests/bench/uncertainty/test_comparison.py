import csv
import json

import pytest
import torch

from bostruct.bench.uncertainty import plots, split_run
from bostruct.bench.uncertainty.comparison import compare
from bostruct.bench.uncertainty.method_predictions import evaluate_method
from bostruct.bench.uncertainty.score_rows import score_row as line
from bostruct.bench.uncertainty.split import split_structures
from bostruct.errors import InputError, LogError
from tests.bench.uncertainty.fakes import Fake, dimers

METHODS = {
    "right": Fake(error=0.1, claim=0.1),
    "too sure": Fake(error=0.2, claim=0.05),
    "shy": Fake(forces=False),
}
SIZES = {"n_train": 20, "n_calibrate": 60}


@pytest.fixture(scope="module")
def data():
    return dimers(250)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """They take seconds, and have tests of their own."""

    def draw(outcomes, rows, quantity, path):
        path.touch()

    monkeypatch.setattr(plots, "draw_page", draw)


def test_every_method_set_and_quantity_has_a_row():
    hot = {"hot": dimers(40, 1, 2.0)}
    found = compare(dimers(1000), METHODS, n_train=20, n_calibrate=300, shifted=hot)
    keys = [(row.quantity, row.dataset, row.method) for row in found.rows]
    assert keys == [
        (quantity, place, method)
        for quantity in ("energy", "forces")
        for place in ("test", "hot")
        for method in METHODS
    ]
    table = {key: row for key, row in zip(keys, found.rows, strict=True)}
    sure = table["energy", "test", "too sure"].scores
    assert sure.alpha == pytest.approx(4.0, rel=0.1)
    assert sure.z2_before == pytest.approx(16.0, rel=0.2)
    for row in found.rows:
        if row.dataset == "test" and row.scores:
            assert row.verdict == "calibrated"
            assert row.scores.conformal_coverage_low <= row.scores.conformal_coverage
            assert row.scores.conformal_coverage <= row.scores.conformal_coverage_high
    assert table["forces", "test", "shy"].scores is None
    assert min(row.cost for row in found.rows if row.quantity == "energy") == 1.0


def test_the_same_again_whatever_other_methods_there_are(data):
    one = compare(data, {"right": METHODS["right"]}, **SIZES)
    both = compare(data, METHODS, **SIZES)
    mine = [row.scores for row in both.rows if row.method == "right"]
    assert [row.scores for row in one.rows] == mine
    other = compare(data, {"right": METHODS["right"]}, seed=1, **SIZES)
    assert [row.scores for row in other.rows] != mine


def test_everything_is_on_disk(data, tmp_path):
    out = tmp_path / "new" / "folder"
    found = compare(data, METHODS, out=out, **SIZES)
    names = {path.name for path in out.iterdir()}
    assert names == {
        "comparison.csv",
        "comparison.json",
        "comparison.md",
        "energy.png",
        "forces.png",
        "methods",
    }
    values = json.loads((out / "comparison.json").read_text())
    assert values["split"]["sizes"]["calibrate"] == 60
    assert values["units"]["forces"] == "eV/Å"
    assert values["versions"]["bostruct"]
    assert len(values["rows"]) == len(found.rows) == 12
    with (out / "comparison.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert float(lines[0]["z2"]) == found.rows[0].scores.z2
    assert lines[0]["method"] == "right"
    assert "too sure" in (out / "comparison.md").read_text()


def test_the_same_command_goes_on(data, tmp_path):
    told = []
    first = compare(data, {"right": Fake()}, out=tmp_path / "o", on_progress=told.append, **SIZES)
    again = compare(data, METHODS, out=tmp_path / "o", on_progress=told.append, **SIZES)
    assert told == ["right", "too sure", "shy"]
    assert again.rows[0].scores == first.rows[0].scores
    assert again.rows[0].predict_ms == first.rows[0].predict_ms
    changed = {"right": Fake(error=0.3)}
    compare(data, changed, out=tmp_path / "o", on_progress=told.append, **SIZES)
    assert told[3:] == ["right"]


def test_what_is_known_survives_an_interruption(data, tmp_path, monkeypatch):
    measure = split_run.evaluate_method

    def interrupted(name, method, sets):
        if name == "too sure":
            raise KeyboardInterrupt
        return measure(name, method, sets)

    monkeypatch.setattr(split_run, "evaluate_method", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare(data, METHODS, out=tmp_path / "o", **SIZES)
    monkeypatch.undo()
    told = []
    compare(data, METHODS, out=tmp_path / "o", on_progress=told.append, **SIZES)
    assert told == ["too sure", "shy"]


def test_one_split_says_what_methods_say_of_it(data):
    """No more and no less than each would say alone."""
    found = compare(data, METHODS, seed=3, **SIZES)
    sets = split_structures(data, seed=3, **SIZES)
    by_hand = [
        line(said, place, quantity, 1.0, 3)
        for quantity in ("energy", "forces")
        for place in ("test", "high energy")
        for said in (evaluate_method(name, one, sets) for name, one in METHODS.items())
    ]
    assert [one.scores for one in found.rows] == [one.scores for one in by_hand]
    assert [one.rmse for one in found.rows] == [one.rmse for one in by_hand]
    many = compare(data, METHODS, seed=3, n_splits=2, **SIZES)
    assert [one.scores for one in many.rows[:12]] == [one.scores for one in found.rows]


def test_splits_differ_and_come_again():
    data, mine = dimers(100), {"right": Fake()}
    sizes = {"n_train": 20, "n_calibrate": 30, "shift": "none"}
    first, again = (compare(data, mine, n_splits=3, **sizes) for _ in range(2))
    digests = [one.description["digest"] for one in first.split_runs]
    assert len(set(digests)) == 3
    assert [one.seed for one in first.split_runs] == [0, 1, 2]
    assert [one.description["digest"] for one in again.split_runs] == digests
    assert [one.scores for one in again.rows] == [one.scores for one in first.rows]
    rmse = [one.rmse for one in first.rows]
    assert len(set(rmse)) == len(rmse)
    # Each is what it is alone.
    third = compare(data, mine, seed=2, **sizes)
    assert [one.scores for one in third.rows] == [one.scores for one in first.rows if one.seed == 2]
    assert [len(one.rows) for one in first.statistics] == [3] * 2


def test_more_splits_compute_the_new_ones(data, tmp_path):
    told = []
    two = {"right": METHODS["right"], "shy": METHODS["shy"]}
    one = compare(data, two, out=tmp_path / "o", on_progress=told.append, **SIZES)
    many = compare(data, two, n_splits=3, out=tmp_path / "o", on_progress=told.append, **SIZES)
    assert told == [
        "right",
        "shy",
        "right, split 2 of 3",
        "shy, split 2 of 3",
        "right, split 3 of 3",
        "shy, split 3 of 3",
    ]
    assert [row.predict_ms for row in many.split_runs[0].rows] == [
        row.predict_ms for row in one.rows
    ]
    (tmp_path / "o" / "methods" / "seed-1" / "shy.npz").unlink()
    compare(data, two, n_splits=3, out=tmp_path / "o", on_progress=told.append, **SIZES)
    assert told[6:] == ["shy, split 2 of 3"]
    values = json.loads((tmp_path / "o" / "comparison.json").read_text())
    assert len(values["rows"]) == 3 * len(one.rows) == 24
    assert [part["seed"] for part in values["splits"]] == [0, 1, 2]
    spread = values["statistics"][0]
    z2 = [r["z2"] for r in values["rows"] if r["method"] == "right"][::4]
    assert spread["z2"][1:] == [min(z2), max(z2)]
    assert spread["z2"][0] == pytest.approx((z2[0] * z2[1] * z2[2]) ** (1 / 3))
    with (tmp_path / "o" / "comparison.csv").open() as file:
        assert {line["seed"] for line in csv.DictReader(file)} == {"0", "1", "2"}


def test_notes_name_the_split(data):
    gold = dimers(12, numbers=(79, 79))
    known = {"right": METHODS["right"]}
    found = compare(data, known, n_splits=2, shifted={"gold": gold}, **SIZES)
    assert found.notes[0].endswith("given; 2 splits, seeds 0 to 1.")
    same, refused = found.notes[1:3], found.notes[3:]
    for seed in (0, 1):
        start = f"Duplicates of training structures, seed {seed}: "
        assert same[seed].startswith(start)
        assert refused[seed].startswith(f"right refused gold, seed {seed}: ")


def test_notes_say_what_is_to_be_known(data):
    gold = dimers(12, numbers=(79, 79))
    found = compare(data, METHODS, shifted={"gold": gold, "old": data}, **SIZES)
    sizes, same, *refused = found.notes
    assert sizes.startswith("Structures: train 20, calibrate 60, test 170, gold 12")
    assert sizes.endswith("shifted: gold, old, given; seed 0.")
    assert same.startswith("Duplicates of training structures: ")
    assert "of old" in same
    assert len(refused) == 3
    assert refused[0] == "right refused gold: `numbers` must be known, got {79}."
    assert "right refused gold" in found.markdown()


def test_an_infinite_width_is_no_number_in_json(data, tmp_path):
    found = compare(data, {"right": Fake()}, n_train=20, n_calibrate=8)
    assert found.rows[0].scores.conformal_half_width == float("inf")
    found.write(tmp_path)
    values = json.loads((tmp_path / "comparison.json").read_text())
    assert values["rows"][0]["conformal_half_width"] is None


def test_refuses_with_a_sentence(data, tmp_path):
    with pytest.raises(InputError, match="`methods` must be at least one"):
        compare(data, {})
    with pytest.raises(InputError, match="`n_splits` must be an integer of at least 1"):
        compare(data, METHODS, n_splits=0)
    with pytest.raises(InputError, match=r"`methods` must be able to learn .* none: `n"):
        compare(data, {"none": Fake(species=())}, **SIZES)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(LogError, match="not the folder of a comparison and not empty"):
        compare(data, METHODS, out=tmp_path / "full", **SIZES)
    compare(data, {"right": Fake()}, out=tmp_path / "o", **SIZES)
    with pytest.raises(LogError, match=r"other structures \(train 20, .* seed 0\)"):
        compare(data, {"right": Fake()}, out=tmp_path / "o", seed=1, **SIZES)
    with pytest.raises(LogError, match="could not make"):
        compare(data, METHODS, out=tmp_path / "full" / "file" / "o", **SIZES)


def test_gradients_are_left_alone(data):
    assert torch.is_grad_enabled()
    compare(data, {"right": Fake()}, **SIZES)
    assert torch.is_grad_enabled()
