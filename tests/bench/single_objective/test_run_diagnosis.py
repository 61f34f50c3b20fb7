from dataclasses import asdict

from bostruct.bench.single_objective.run_diagnosis import RunDiagnosis


def test_what_is_not_known_is_left_open():
    found = asdict(RunDiagnosis("a", "bostruct", 3, None, "error", None))
    assert found["looks"] == found["agree"] == 0
    assert found["z"] is None
    assert list(found)[:5] == ["task", "method", "seed", "evaluations", "cause"]
