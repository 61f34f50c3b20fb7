"""Working folders: new, absolute, kept as asked, and quoted when a program fails."""

import os
import socket
import threading
from pathlib import Path

import pytest
from ase import Atoms

from bostruct.evaluators import Evaluation, EvaluationContext, Failure, current_context, evaluate
from bostruct.evaluators.evaluation_context import (
    newest_folder,
    remove_running_marks,
    running_process,
    working_folder,
)
from bostruct.structures import from_ase

PAIR = from_ase([Atoms("Cu2", positions=[[0, 0, 0], [2.3, 0, 0]])])


def context(tmp_path, **fields):
    return EvaluationContext(3, 2, tmp_path / "evaluations" / "000003", **fields)


def writes(result, text="step 1\nstep 2\nerror: no convergence\n"):
    def evaluator(structures):
        (current_context().folder / "code.out").write_text(text)
        if isinstance(result, Exception):
            raise result
        return result

    return evaluator


def test_an_evaluator_may_ask_for_trial_attempt_member_and_folder(tmp_path):
    seen = []

    def evaluator(structures):
        seen.append(current_context())
        return Evaluation(1.0)

    evaluate(evaluator, PAIR, context=context(tmp_path, member="mp-30"))
    evaluate(evaluator, PAIR)
    first, alone = seen
    assert (first.trial, first.attempt, first.member) == (3, 2, "mp-30")
    assert first.folder == tmp_path / "evaluations" / "000003"
    assert alone is None
    assert current_context() is None


@pytest.mark.parametrize(
    ("keep", "failed", "done"),
    [("failed", True, False), ("all", True, True), ("none", False, False)],
)
def test_folders_are_kept_as_asked(tmp_path, keep, failed, done):
    for result, kept in ((RuntimeError("x"), failed), (Evaluation(1.0), done)):
        place = context(tmp_path / type(result).__name__)
        evaluate(writes(result), PAIR, context=place, keep=keep)
        assert place.folder.exists() == kept


def test_an_empty_folder_is_removed(tmp_path):
    evaluate(lambda _: Failure("no"), PAIR, context=context(tmp_path))
    assert not context(tmp_path).folder.exists()


def test_a_folder_is_never_used_twice(tmp_path):
    place = context(tmp_path)
    folders = []

    def evaluator(structures):
        folders.append(current_context().folder)
        assert list(folders[-1].iterdir()) == []
        (folders[-1] / "old.out").write_text("energy -1.0")
        return Failure("no")

    for _ in range(3):
        evaluate(evaluator, PAIR, context=place)
    names = ["000003", "000003.2", "000003.3"]
    assert [folder.name for folder in folders] == names
    assert all((folder / "old.out").exists() for folder in folders)


def test_who_died_while_it_computed_is_known(tmp_path):
    place, seen = context(tmp_path), []

    def evaluator(structures):
        seen.append(running_process(place.folder))
        return Failure("no")

    for _ in range(2):
        evaluate(evaluator, PAIR, context=place)
    assert seen == [(socket.gethostname(), os.getpid())] * 2
    assert running_process(place.folder) is None
    mark = place.folder.with_name("000003.running")
    for text in ("", "[1]", "{}", "3", '["host", 1]'):
        mark.write_text(text)
        assert running_process(place.folder) == (("host", 1) if "host" in text else None)
    remove_running_marks(mark.parent)
    assert not mark.exists()
    remove_running_marks(tmp_path / "none")


def test_the_newest_folder_of_a_trial(tmp_path):
    place = context(tmp_path)
    assert newest_folder(place.folder) is None
    for name in ("000003", "000003.9", "000003.10", "000003.x", "0000031"):
        (tmp_path / name).mkdir()
    assert newest_folder(tmp_path / "000003").name == "000003.10"


@pytest.mark.parametrize("error", [None, RuntimeError("x")])
def test_the_current_directory_is_put_back(tmp_path, monkeypatch, error):
    monkeypatch.chdir(tmp_path)

    def evaluator(structures):
        os.chdir(current_context().folder)
        if error:
            raise error
        return Evaluation(1.0)

    evaluate(evaluator, PAIR, context=context(tmp_path), keep="none")
    assert Path.cwd() == tmp_path


def test_threads_have_contexts_of_their_own(tmp_path):
    barrier, seen = threading.Barrier(4), {}

    def evaluator(structures):
        barrier.wait(10)
        place = current_context()
        seen[place.trial] = place.folder.name
        return Evaluation(1.0)

    def run(trial):
        place = EvaluationContext(trial, 1, tmp_path / f"{trial:06d}")
        evaluate(evaluator, PAIR, context=place)

    threads = [threading.Thread(target=run, args=(trial,)) for trial in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {trial: f"{trial:06d}" for trial in range(4)}


def test_no_working_folder_is_made_behind_a_link(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "evaluations").mkdir()
    (tmp_path / "evaluations" / "000003").symlink_to(elsewhere)
    with working_folder(context(tmp_path)) as lent:
        assert lent.folder == tmp_path / "evaluations" / "000003.2"
    (tmp_path / "evaluations" / "000003.2").rmdir()
    (tmp_path / "evaluations" / "000003").unlink()
    (tmp_path / "evaluations").rmdir()
    (tmp_path / "evaluations").symlink_to(elsewhere)
    result = evaluate(lambda _: Evaluation(1.0), PAIR, context=context(tmp_path))
    assert "evaluations is a link, not a folder" in result.reason
    assert list(elsewhere.iterdir()) == []


def test_no_mark_is_written_through_a_link(tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("precious")
    (tmp_path / "evaluations").mkdir()
    (tmp_path / "evaluations" / "000003.running").symlink_to(mine)
    result = evaluate(lambda _: Evaluation(1.0), PAIR, context=context(tmp_path))
    assert "000003.running is a link, not a file" in result.reason
    assert mine.read_text() == "precious"
    assert running_process(context(tmp_path).folder) is None


@pytest.mark.parametrize("text", ["[" * 1024, "{}", "[1]", '["host"]', '["host", []]', "\xff"])
def test_a_mark_that_somebody_else_wrote_names_no_process(tmp_path, text):
    (tmp_path / "000003.running").write_text(text, encoding="latin-1")
    assert running_process(tmp_path / "000003") is None
