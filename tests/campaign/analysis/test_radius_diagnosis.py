from bostruct.campaign.analysis.radius_diagnosis import radius_sentence
from bostruct.campaign.records import Step
from bostruct.spaces import Cluster

SPACE = Cluster("Au2Cu3")


def model(number, **factors):
    metrics = {f"radius_factor_{symbol}": value for symbol, value in factors.items()}
    return Step(number, "model", (), {"noise": 1.0} | metrics, {})


def test_it_says_when_and_how():
    steps = [Step(0, "random", (), {}, {}), model(1), model(2, Cu=0.8), model(3, Cu=0.75, Au=1.5)]
    assert radius_sentence(SPACE, steps) == (
        "the atomic radii do not fit the contacts of the lowest structures, and are corrected from "
        "step 2 on: Au 1.36 -> 2.04 Å, Cu 1.32 -> 0.99 Å; give "
        '`atomic_radii={"Au": 2.04, "Cu": 0.99}` to begin with these.'
    )


def test_radii_that_fit_need_no_words():
    assert radius_sentence(SPACE, []) == ""
    assert radius_sentence(SPACE, [Step(0, "random", (), {}, {}), model(1)]) == ""
