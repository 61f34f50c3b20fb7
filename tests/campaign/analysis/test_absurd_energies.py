import numpy as np
import pytest
import torch

from bostruct.campaign.analysis.absurd_energies import absurd_sentence
from bostruct.campaign.records import Trial
from bostruct.campaign.report.summary import summarize
from bostruct.evaluators import Function
from tests.campaign.standin import campaign


def evaluated(*reasons):
    return [
        Trial(k, k, f"{k}", 1, "failed" if r else "done", "random", torch.zeros(3), reason=r)
        for k, r in enumerate(reasons)
    ]


ABSURD = "the energy is absurd: 1e+09 eV for 3 atoms is more than ..."


def test_many_absurd_ones_at_first():
    sentence = absurd_sentence(evaluated(ABSURD, "", ABSURD, ABSURD, "no licence", ""))
    assert sentence.startswith("3 of the first 5 evaluations gave absurd energies or forces: ")
    assert absurd_sentence(evaluated(ABSURD, ABSURD, ABSURD)).startswith("3 of the first 3 ")


@pytest.mark.parametrize(
    "reasons",
    [
        (),
        (ABSURD, ABSURD, "", "", "", ABSURD, ABSURD),
        ("no licence",) * 5,
        ("", "", "", "", "", ABSURD, ABSURD, ABSURD),
    ],
)
def test_few_or_late_ones_are_bad_luck(reasons):
    assert absurd_sentence(evaluated(*reasons)) == ""


def explosive(atoms):
    return 1.0, np.full((len(atoms), 3), 1e9)


def test_results_that_the_evaluators_refuse_count(tmp_path):
    log = campaign(Function(explosive), n=4).run(tmp_path / "run")
    (sentence,) = summarize(log).diagnoses
    assert sentence.startswith("4 of the first 4 evaluations gave absurd energies or forces")
