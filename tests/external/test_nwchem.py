"""NWChem, a real program of files: every recorded energy is that of its structure."""

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from ase.calculators.nwchem import NWChem

import bostruct as bo
from bostruct.campaign.campaign_file import load_campaign
from bostruct.structures import to_ase

pytestmark = [
    pytest.mark.external,
    pytest.mark.skipif(shutil.which("nwchem") is None, reason="nwchem is not installed"),
]

ROOT = Path(__file__).parents[2]
CAMPAIGN_FILE = ROOT / "campaigns" / "li4h4_cluster_nwchem.py"
N_EVALUATIONS = 40


def make_campaign():
    """Make the campaign of the file with a search that takes less time than the program."""
    example = load_campaign(CAMPAIGN_FILE)
    return bo.Campaign(
        space=example.space,
        evaluator=example.evaluator,
        batch_size=4,
        executor=bo.executors.Workers(4, time_limit=300.0),
        search=bo.candidates.BasinHopping(n_rounds=1),
        stop=bo.stop.Evaluations(N_EVALUATIONS),
    )


def assert_energies_are_those_of_their_structures(log, folder):
    trials = log.trials("done")
    assert len(trials) + len(log.trials("failed")) == N_EVALUATIONS
    assert len(trials) >= 0.9 * N_EVALUATIONS
    arguments = make_campaign().evaluator.arguments
    for trial in trials:
        atoms = to_ase(trial.structures)[0]
        atoms.calc = NWChem(directory=folder / str(trial.number), **arguments)
        assert atoms.get_potential_energy() == pytest.approx(trial.energy, abs=1e-6)


def programs_below(folder):
    """Return the processes that work in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def wait_until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def test_worker_processes_killed_in_between(tmp_path):
    folder = tmp_path / "run"
    script = "from tests.external.test_nwchem import make_campaign; import sys\n"
    script += "if __name__ == '__main__': make_campaign().run(sys.argv[1], seed=0)\n"
    file = tmp_path / "script.py"
    file.write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, str(file), str(folder)], env=environment) as driver:
        evaluated = folder / "evaluations" / "000013"
        assert wait_until(lambda: evaluated.exists() or driver.poll() is not None, 300)
        assert wait_until(lambda: programs_below(folder), 30)
        driver.send_signal(signal.SIGKILL)
    assert wait_until(lambda: not programs_below(folder), 10)
    log = make_campaign().run(folder, seed=0)
    assert log.sessions()[0]["ended"] is None
    assert_energies_are_those_of_their_structures(log, tmp_path)


def test_threads(tmp_path):
    with ThreadPoolExecutor(4) as executor:
        log = make_campaign().run(tmp_path / "run", seed=1, executor=executor)
    assert_energies_are_those_of_their_structures(log, tmp_path)
