"""Scripts that start processes, with and without `if __name__ == "__main__":`."""

import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType

import pytest

from bostruct.errors import InputError
from bostruct.runtime.executors import InProcess, Workers
from bostruct.runtime.main_guard import check_main_guard, imports_main

ROOT = Path(__file__).parent.parent.parent
SENTENCE = r"""must call this under `if __name__ == "__main__":`, as worker processes import it"""
CHECK = "check_main_guard(starts_processes=True)"
SPAWN = "ProcessPoolExecutor(1, mp_context=get_context('spawn'))"
CAMPAIGN = """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from bostruct.runtime.executors import Workers
from tests.campaign.standin import campaign
made = campaign(executor={executor})
made.run("run", seed=0)
print(len(made.log.trials("done")))
"""


def run_script(folder, text):
    """Run a script in a folder."""
    (folder / "script.py").write_text(text)
    return subprocess.run(
        [sys.executable, "script.py"],
        capture_output=True,
        check=False,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        timeout=300,
    )


def as_main(monkeypatch, path, text, **attributes):
    """Run text as the main module of this process."""
    module = ModuleType("__main__")
    vars(module).update(check_main_guard=check_main_guard, **attributes)
    monkeypatch.setitem(sys.modules, "__main__", module)
    exec(compile(text, str(path), "exec"), vars(module))


REFUSED = {
    "plain": (f"\n\n{CHECK}\n", 3),
    "in a function": (f"def main():\n    {CHECK}\n\nmain()\n", 4),
    "in a block": (f"try:\n    {CHECK}\nfinally:\n    pass\n", 2),
    "on another condition": (f"if 1 < 2:\n    {CHECK}\n", 2),
    "below the guard": (f"if __name__ == '__main__':\n    pass\n{CHECK}\n", 3),
    "behind an exit": (f"if __name__ == '__mp_main__':\n    raise SystemExit\n{CHECK}\n", 3),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_script_without_the_guard_is_refused(case, tmp_path, monkeypatch):
    text, line = REFUSED[case]
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"mine.py` {SENTENCE}, got a call in line {line}\."):
        as_main(monkeypatch, path, text, __file__=str(path))


@pytest.mark.parametrize(
    "guard",
    [
        "if __name__ == '__main__':",
        "if '__main__' == __name__ and True:",
        "if multiprocessing.parent_process() is None:",
    ],
)
def test_a_guard_of_any_form_is_seen(guard, tmp_path, monkeypatch):
    text = f"import multiprocessing\n{guard}\n    for k in range(2):\n        {CHECK}\n"
    path = tmp_path / "mine.py"
    path.write_text(text)
    as_main(monkeypatch, path, text, __file__=str(path))


def test_without_a_file_to_import_there_is_nothing_to_guard(tmp_path, monkeypatch):
    as_main(monkeypatch, "<ipython-input-1>", CHECK)  # a notebook or a console
    package = type("Spec", (), {"name": "package.__main__"})
    path = tmp_path / "__main__.py"
    path.write_text(CHECK)
    as_main(monkeypatch, path, CHECK, __file__=str(path), __spec__=package)
    path.write_bytes(b"\0compiled")  # no source
    as_main(monkeypatch, path, CHECK, __file__=str(path))
    as_main(monkeypatch, "<cell>", CHECK, __file__=str(path))  # a script that runs text


def test_a_script_from_the_standard_input_is_to_be_saved(monkeypatch):
    match = "`script` must be a file, as worker processes import it, got <stdin>. Save it"
    with pytest.raises(InputError, match=match):
        as_main(monkeypatch, "<stdin>", CHECK, __file__="<stdin>")


def test_only_processes_that_import_need_the_guard():
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        assert not imports_main(pool)
    for method in ("spawn", "forkserver"):
        with ProcessPoolExecutor(1, mp_context=get_context(method)) as pool:
            assert imports_main(pool)
    with ThreadPoolExecutor(1) as threads:
        assert not imports_main(threads)
        threads.submit(check_main_guard, starts_processes=True).result()
    assert not imports_main(InProcess())
    check_main_guard(starts_processes=True)  # the test runner has one


def test_workers_are_refused_before_one_starts(tmp_path, monkeypatch):
    path = tmp_path / "mine.py"
    path.write_text("workers.submit(abs, -1)")
    workers = Workers(1)
    with pytest.raises(InputError, match=SENTENCE):
        as_main(monkeypatch, path, path.read_text(), __file__=str(path), workers=workers)
    assert workers._pool is None


@pytest.mark.parametrize("executor", ["Workers(2)", pytest.param(SPAWN, marks=pytest.mark.slow)])
def test_doing_what_the_sentence_says_runs_the_campaign(executor, tmp_path):
    text = CAMPAIGN.format(executor=executor)
    process = run_script(tmp_path, text)
    last = process.stderr.splitlines()[-1]
    assert process.returncode == 1
    assert SENTENCE in last
    assert process.stderr.count("Traceback") == 1
    assert not (tmp_path / "run").exists()
    line = int(last.partition("a call in line ")[2].partition(".")[0]) - 1
    lines = text.splitlines()
    lines[line:] = ['if __name__ == "__main__":', *(f"    {code}" for code in lines[line:])]
    if executor == SPAWN:
        return  # one of both is followed, as each takes seconds
    process = run_script(tmp_path, "\n".join(lines))
    assert (process.returncode, int(process.stdout) > 1) == (0, True), process.stderr


@pytest.mark.slow
def test_a_process_that_imports_the_script_runs_no_campaign(tmp_path):
    """The pool is the script's own: nothing can be refused before its processes start."""
    pool = f"with {SPAWN} as pool:\n    pool.submit(abs, 1).result()\n"
    process = run_script(tmp_path, CAMPAIGN.format(executor=None) + pool)
    assert process.returncode == 1
    assert SENTENCE in process.stderr
    assert "BrokenProcessPool" in process.stderr.splitlines()[-1]
