import statistics
from types import SimpleNamespace

import pytest

from bostruct.bench.performance import worker_occupancy
from bostruct.bench.performance.worker_occupancy import BEGIN, busy_share, evaluation_seconds


def test_the_times_of_evaluations_are_as_stated():
    plain = [evaluation_seconds(trial, has_tail=False) for trial in range(2000)]
    assert min(plain) >= 30
    assert max(plain) <= 90
    assert statistics.mean(plain) == pytest.approx(60, abs=1.5)
    tail = [evaluation_seconds(trial, has_tail=True) for trial in range(2000)]
    ratios = [slow / fast for slow, fast in zip(tail, plain, strict=True)]
    assert {round(ratio, 9) for ratio in ratios} == {1.0, 20.0}
    assert 0.03 < sum(ratio > 2 for ratio in ratios) / 2000 < 0.07


def test_the_share_is_that_of_the_time_in_which_there_is_work():
    """Two workers: one busy for 10 s of 10, the other for 6; what follows does not count."""
    spans = [(0.0, 4.0), (0.0, 12.0), (5.0, 2.0), (10.0, 60.0)]
    trials = [SimpleNamespace(properties={BEGIN: b}, seconds=s) for b, s in spans]
    log = SimpleNamespace(trials=lambda state: trials)
    assert busy_share(log, 2) == pytest.approx((10 + 6) / 20)


def test_a_table_is_printed_in_which_nobody_waits_for_the_slowest(monkeypatch):
    rows = []
    monkeypatch.setattr(worker_occupancy, "print_numbers", lambda given, _: rows.extend(given))
    options = "--workers 3 --evaluations 10 --speedup 1200 --planning 1 --more 1"
    worker_occupancy.main(options.split())
    assert [row["schedule"] for row in rows] == ["in steps", "asynchronous"] * 2
    assert [row["in flight"] for row in rows] == [3, 4, 3, 4]
    assert all(0 < row["busy %"] <= 100 for row in rows)
    assert all(row["planning s"] >= 1 for row in rows)
