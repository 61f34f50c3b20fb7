import math
from dataclasses import replace

import pytest

from bostruct.campaign import FinalRelaxation
from bostruct.campaign.log.retraction import retract_trial
from bostruct.campaign.report.assessment import Assessment
from bostruct.campaign.report.summary import summarize
from bostruct.campaign.report.text import final_text, summary_text
from bostruct.campaign.stop import WallTime
from bostruct.evaluators import Function
from tests.campaign.standin import campaign


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """Return the log of a campaign with 30 predictions."""
    return campaign(n=34).run(tmp_path_factory.mktemp("long") / "run")


def test_ending_says_what_was_found_and_where(log, folder):
    text = final_text(summarize(log))
    energy = min(trial.energy for trial in log.trials())
    assert f"Best energy {energy:.6f} eV, evaluation " in text
    assert "of 8 (0 failed)" in text
    assert "Ended by 8 evaluations." in text
    assert f"Results are in {folder}\n" in text


def test_show(log):
    text = summary_text(summarize(log))
    assert "status       finished, 8 evaluations" in text
    assert "mean z²" in text
    assert " ± " in text
    assert len(text.splitlines()) == 30


def test_show_says_when_there_are_too_few_predictions(log):
    text = summary_text(summarize(log))
    assert "4 predictions tested: calibrating σ takes 8, until then it is only" in text
    assert "4 predictions tested: intervals of 90% need at least 9." in text
    assert "90 %: predicted ±" not in text


def test_show_says_how_honest_sigma_was(long):
    text, found = summary_text(summarize(long)), long.calibration()
    low, high = found.alpha_interval
    assert (
        f"calibration  σ × {found.alpha:.2f} (90 %: {low:.2f} to {high:.2f}) "
        "by the last 20 of 30 predictions\n"
    ) in text
    share, low, high = found.coverage()
    assert f"mean z² {found.mean_z2:.2f}, mean z {found.bias:+.2f}, within 1σ" in text
    assert f"within 1σ {share:.0%} ({low:.0%} to {high:.0%}), within 2σ" in text
    held = [each.covered for each in long.predictions() if each.covered is not None]
    assert (
        f"intervals    90 %: predicted ± {found.quantile():.2f} σ; "
        f"{sum(held)} of 21 earlier ones covered the energy ("
    ) in text
    each = long.predictions()[-1].prediction
    raw = f"{each.mean:.4f} ± {each.sigma:.4f}"
    (line,) = [x for x in text.splitlines() if raw in x]
    assert f"  ± {each.calibrated_sigma:.4f}  " in line


def test_show_says_what_may_be_better(tmp_path):
    summary = summarize(campaign(n=16).run(tmp_path / "run"))
    energy = summary.energy
    first = energy.assessment.unevaluated[0].prediction
    line = f"best {first.mean:.4f} ± {first.calibrated_sigma:.4f} eV, by drawn; 90 %: "
    line = f"unevaluated  {line}{first.low:.4f} to {first.high:.4f}, "
    assert line in summary_text(summary)
    for value, verdict in ((first.low + 1, "may"), (first.low - 1, "would not")):
        best = replace(energy.best, energy=value)
        other = replace(summary, energy=replace(energy, best=best))
        assert f", {verdict} be below the best\n" in summary_text(other)
    for changes, text in (
        ({"unevaluated": ()}, "the last search found no other candidates\n"),
        ({"missing_reason": "they are your own"}, "not known: they are your own\n"),
    ):
        assessment = replace(energy.assessment, **changes)
        other = replace(summary, energy=replace(energy, assessment=assessment))
        assert f"unevaluated  {text}" in summary_text(other)


def test_show_ranks_the_best(long):
    found = Assessment.from_log(long)
    lines = summary_text(summarize(long)).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("trial  energy, eV"))
    for each, line in zip(found.best, lines[at + 1 :], strict=False):
        assert line.startswith(f"{each.trial:5d}  {each.energy:.6f}")
    assert lines[at + 1].rstrip().endswith("the best")
    second, expected = lines[at + 2], found.differences[0].prediction
    assert f"  {found.best[1].energy_above_best:.4f}  " in second
    assert f"  {expected.mean:.4f} ± {expected.calibrated_sigma:.4f}, " in second
    assert second.endswith(f"{expected.low:.4f} to {expected.high:.4f}")


def test_with_nothing_to_show(tmp_path):
    log = campaign(stop=WallTime(1e-9)).run(tmp_path / "run")
    assert "best         none yet" in summary_text(summarize(log))
    assert "no prediction was tested yet" in summary_text(summarize(log))
    assert final_text(summarize(log)).startswith("No energy in 0 evaluations.")


def test_failures_show_their_reason(tmp_path):
    log = campaign(Function(lambda atoms: math.nan), n=2).run(tmp_path / "run")
    text = summary_text(summarize(log))
    assert "failed" in text
    assert "the energy is not finite: nan eV" in text


def test_what_others_wrote_does_nothing_to_a_terminal(log):
    found = replace(
        summarize(log),
        reason="\x1b[2Jgone\nstatus       fine",
        device="\x9b31m",
        status="\u202edne",
    )
    for text in (summary_text(found), final_text(found)):
        assert all(line.isprintable() for line in text.split("\n"))
        assert "\\x1b[2Jgone\\nstatus       fine" in text


def test_a_folder_is_named_from_the_current_one(log, folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    text = final_text(summarize(log))
    assert f"Results are in {folder.name}\n  bostruct show {folder.name}\n" in text
    monkeypatch.chdir(folder)
    assert "Results are in .\n" in final_text(summarize(log))


def test_a_network_file_system_is_said(log):
    found = replace(summarize(log), journal="TRUNCATE: nfs4 is a network file system")
    assert "Journal TRUNCATE: nfs4 is a network file system." in final_text(found)


def test_a_check_shows_what_it_found(tmp_path):
    mine = campaign(n=12, final_relaxation=FinalRelaxation(fmax=1e-6, max_steps=3))
    log = mine.run(tmp_path / "run", stop=WallTime(1e-9))
    assert "relaxation   not begun" in summary_text(summarize(log))
    log = mine.run(tmp_path / "run")
    (checked,) = log.relaxations()
    (line,) = [x for x in summary_text(summarize(log)).splitlines() if x.startswith("relaxation ")]
    assert f"trial {checked.trial}, {checked.energy:.6f} -> " in line
    assert f"{checked.relaxed_energy:.6f} eV at trial {checked.relaxed_trial}" in line
    assert f"{checked.n_evaluations} evaluations, largest force " in line
    assert line.endswith(f"eV/Å (tolerance 1e-06), {checked.state}")
    assert f"Final relaxation: trial {checked.trial}, " in final_text(summarize(log))
    found = summarize(log).energy.final_relaxation
    assert (found.fmax, found.n_converged) == (1e-6, 0)
    assert found.structures == (checked,)
    assert summarize(campaign(n=1).run(tmp_path / "none")).energy.final_relaxation is None


def test_show_says_what_was_retracted(log):
    retract_trial(log.folder, 3, "not converged")
    assert "retracted    trial 3: not converged\n" in summary_text(summarize(log))
