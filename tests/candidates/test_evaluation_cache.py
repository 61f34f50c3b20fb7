"""Nothing is asked twice, under whichever name."""

import torch

from bostruct.candidates.evaluation_cache import ScoredMembers


class Rounds:
    """Whole numbers; what rounds to one is it."""

    def canonical(self, X):
        return X.round()


class Counting:
    def __init__(self, function=lambda X: X[:, 0]):
        self.function, self.seen = function, []

    def __call__(self, X):
        assert not torch.is_grad_enabled()
        self.seen.append(X.clone())
        return self.function(X)


def column(*values):
    return torch.tensor(values, dtype=torch.float64).unsqueeze(-1)


def test_each_member_is_asked_about_once():
    value = Counting()
    asked = ScoredMembers(value, Rounds(), column(), chunk_size=2)
    rows = asked.score(column(1.1, 3.0, 0.9, 2.0), ["a", "b", "c", "d"])
    assert rows.tolist() == [0, 1, 0, 2]
    assert asked.score(column(2.1, 4.0), ["e", "f"]).tolist() == [2, 3]
    assert [part.flatten().tolist() for part in value.seen] == [[1, 3], [2], [4]]
    assert asked.X.flatten().tolist() == [1, 3, 2, 4]
    assert asked.acq_value.tolist() == [1, 3, 2, 4]
    assert asked.generator_names(rows) == ["a", "b", "a", "d"]
    assert len(asked) == 4
    assert asked.score(column(), []).tolist() == []


def test_the_best_is_new_and_finite():
    odd = {5.0: torch.nan, 6.0: torch.inf, 1.0: -torch.inf}
    value = Counting(lambda X: torch.tensor([odd.get(x, x) for x in X[:, 0].tolist()]))
    asked = ScoredMembers(value, Rounds(), column(4.2), chunk_size=8)
    asked.score(column(1, 2, 3, 4, 5, 6, 3), ["a"] * 7)
    assert asked.best_new(9).tolist() == [2, 1]
    assert asked.best_new(1).tolist() == [2]
    assert asked.new_values.isfinite().tolist() == [False, True, True] + [False] * 3
    found = asked.candidates()
    assert found.acq_value.isnan().tolist() == [False] * 4 + [True, False]
    assert found.n_steps.tolist() == [0] * 6
    assert found.converged.all()
    assert list(found.generator_names) == ["a"] * 6


def test_equal_ones_keep_their_order():
    asked = ScoredMembers(lambda X: 0 * X[:, 0], Rounds(), column(), chunk_size=8)
    asked.score(column(3, 1, 2), ["a"] * 3)
    assert asked.best_new(2).tolist() == [0, 1]
