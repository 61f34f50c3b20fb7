import re
from dataclasses import replace

import pytest

from bostruct.campaign.analysis.calibration import CalibratedPrediction
from bostruct.campaign.analysis.pareto_front import EvaluatedPoint
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.retraction import retract_trial
from bostruct.campaign.report import pareto_text
from bostruct.campaign.report.pareto_summary import FrontStructure
from bostruct.campaign.report.summary import summarize
from bostruct.campaign.report.text import final_text, summary_text
from bostruct.objectives import Objective, OptimizationConfig
from tests.campaign import alloys


def test_show_says_what_was_wanted_and_found(screened):
    text = summary_text(summarize(screened))
    broken = screened.trial_records()[5]
    for line in (
        "evaluations  15, 1 failed, 0 pending\n",
        "objectives   minimize enthalpy, eV/atom\n",
        "objectives   maximize modulus, GPa\n",
        "objectives   minimize price, $/kg (as log10)\n",
        "constraints  enthalpy <= -0.01\n",
        "not trusted  1 value in quarantine\n",
        f"trial 5 ({broken.member}), modulus: -2992 is outside its valid range, 1 to 600\n",
        "(of the last step)\n",
    ):
        assert line in text, text
    front = screened.pareto_front()
    assert f"front        {len(front.points)} structures\n" in text
    count = front.history.n_feasible[-1]
    assert f"feasible     {count} of 15 ({count / 15:.0%})\n" in text
    assert "best energy" not in text.lower()


def test_show_says_how_honest_each_sigma_was(screened):
    text, found = (
        summary_text(summarize(screened)),
        screened.calibration(outcome="modulus"),
    )
    low, high = found.alpha_interval
    assert (
        f"calibration  modulus: σ × {found.alpha:.2f} (90 %: {low:.2f} to {high:.2f}) "
        f"by {found.n} predictions"
    ) in text


def test_the_table_of_the_front(screened):
    text = summary_text(summarize(screened))
    point = screened.pareto_front().points[-1]
    (line,) = re.findall(rf"^{point.trial} +Cu\w+ .*", text, re.MULTILINE)
    told = point.predictions["modulus"]
    off = (point.raw_outcomes["modulus"] - told.mean) / told.calibrated_sigma
    assert f"({off:+.1f}σ)" in line
    assert line.endswith("*"), "the price is exact"
    assert pareto_text.ERROR_NOTE in text


def test_the_last_steps(screened):
    lines = summary_text(summarize(screened)).splitlines()
    trial = screened.trial_records()[-1]
    start = next(i for i, x in enumerate(lines) if re.match(rf"{trial.step} +14 ", x))
    told = screened.predictions(outcome="enthalpy")[-1].prediction
    z = (trial.properties["enthalpy"] - told.mean) / told.sigma
    assert lines[start].endswith(f"{z:+.2f}")
    assert "log10 price  exact" in lines[start + 2]


def test_what_was_retracted_is_told(screened):
    retract_trial(screened.folder, 6, "the wrong cell")
    text = summary_text(summarize(screened))
    assert "1 value in quarantine and 1 trial retracted\n" in text
    assert re.search(r"trial 6 \(\w+\), retracted: the wrong cell\n", text)
    assert "status       paused, trial 6 was retracted\n" in text


def test_ending(screened):
    text = final_text(summarize(screened))
    size = len(screened.pareto_front().points)
    assert f"Front of {size} structures by 15 evaluations (1 failed), hyp" in text
    assert "Not trusted: 1 value in quarantine." in text
    assert f"bostruct front {screened.folder} --out {screened.folder}/front" in text
    assert f"bostruct export {screened.folder} front.extxyz" in text
    assert "nergy" not in text


def test_before_there_is_anything(tmp_path):
    with alloys.campaign().open(tmp_path / "run"):
        pass
    found = summarize(Log(tmp_path / "run"))
    assert final_text(found).startswith("No structure on the front in 0 evaluations")
    text = summary_text(found)
    assert "front        0 structures" in text
    assert "no prediction was tested yet" in text
    assert "hypervolume" not in text


def test_few_predictions_and_long_fronts(screened, monkeypatch):
    summary = summarize(screened)
    calibration = replace(
        summary.pareto.calibration["modulus"],
        alpha=None,
        alpha_interval=None,
        sigma_factor=1.25,
        n_predictions=3,
        n_intervals=0,
    )
    pareto = replace(summary.pareto, calibration={"modulus": calibration})
    monkeypatch.setattr(pareto_text, "MAX_FRONT_ROWS", 2)
    text = summary_text(replace(summary, pareto=pareto))
    assert "calibration  modulus: σ × 1.25, 3 tested\n" in text
    more = len(screened.pareto_front().points) - 2
    assert f"and {more} more: bostruct front {screened.folder}\n" in text


def test_a_whole_front(screened):
    front = screened.pareto_front({"enthalpy": 0.0, "modulus": 140.0, "price": 4e4})
    lines = pareto_text.front_lines(front, {front.points[0].trial: "Cu2Pd2"}, {})
    text = "\n".join(lines)
    assert "reference    enthalpy 0, modulus 140.00, price 40000 (given)" in text
    assert "not trusted  1 value in quarantine" in text
    assert f"{len(front.points)} structures by 15 evaluations" in text
    assert sum(line.endswith("*") for line in lines) == len(front.points)
    assert "Cu2Pd2" in text


def test_the_energy_above_the_hull_is_the_last_column(mixed):
    text = summary_text(summarize(mixed))
    titles = next(line for line in text.splitlines() if line.startswith("trial"))
    assert titles.endswith("price, $/kg  above hull, eV/atom")
    front = mixed.pareto_front()
    heights = {point.trial: 0.0123 for point in front.points[1:]}
    lines = pareto_text.front_lines(front, {}, heights)
    assert lines[-2:] == [pareto_text.ERROR_NOTE, pareto_text.HULL_NOTE]
    lines = lines[-len(front.points) - 2 : -2]
    assert [line.split()[-1] for line in lines] == ["-"] + ["0.01230"] * len(heights)
    assert pareto_text.front_lines(front, {}, {})[-1] == pareto_text.ERROR_NOTE


@pytest.mark.parametrize("count", [0, 1])
def test_a_value_without_a_prediction(count):
    goals = OptimizationConfig((Objective("a", "maximize"),))
    point = EvaluatedPoint(
        trial=0,
        evaluation=1,
        step=0,
        generator="random",
        state="done",
        raw_outcomes={"a": 2.0},
        exact_names=frozenset(),
        predictions={"a": CalibratedPrediction(1.0, 0.0, 0.0, None, None)} if count else {},
        is_feasible=True,
        is_non_dominated=True,
    )
    table = pareto_text.format_front_table(goals, [FrontStructure(point, "Cu", None)])
    assert table[1].split() == ["0", "Cu", "2.0000"]


def test_aligned():
    assert pareto_text.align_columns([("a", "bb"), ("ccc", "d")]) == [
        "a    bb",
        "ccc  d",
    ]
