from dataclasses import asdict

from bostruct.bench.single_objective.run_diagnosis import RunDiagnosis


def test_what_is_not_known_is_left_open():
    found = asdict(RunDiagnosis("a", "bostruct", 3, None, "error", None))
    assert found["n_diagnosed_steps"] == found["n_agreeing_steps"] == 0
    assert found["z_score"] is None
    assert list(found)[:5] == ["task", "method", "seed", "evaluations_to_success", "cause"]
