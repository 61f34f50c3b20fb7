import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import pytest
import torch
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from monty.serialization import dumpfn
from pymatgen.analysis.phase_diagram import PDEntry
from pymatgen.core import Composition
from typer.testing import CliRunner

from bostruct.campaign import campaign_file, stop
from bostruct.campaign.engines import engine
from bostruct.campaign.log.reader import Log
from bostruct.cli.app import typer_app
from tests.campaign import alloys, chemical_systems
from tests.campaign.log.test_doubt import hole
from tests.campaign.log.test_doubt import run as run_spoiled
from tests.campaign.standin import campaign

ROOT = Path(__file__).parents[2]


FILE = "from tests.campaign.standin import campaign\nmine = campaign(n={n})\n"


SLOW = """
import time
from bostruct.evaluators import Function
from tests.campaign.standin import campaign, energy

def slowly(atoms):
    time.sleep(0.02)
    return energy(atoms)

mine = campaign(Function(slowly), n=20)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder with a campaign file, to stand in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    (tmp_path / "mine.py").write_text(FILE.format(n=6))
    yield tmp_path
    sys.modules.pop(campaign_file.MODULE_NAME, None)


def bostruct(*arguments):
    return CliRunner().invoke(typer_app, [str(argument) for argument in arguments])


def test_run_show_export_verify(here):
    done = bostruct("run", "mine.py", "--dir", "out", "--seed", 3)
    assert done.exit_code == 0, done.output
    assert "Best energy" in done.stdout
    assert "Results are in out\n" in done.stdout
    found = json.loads(bostruct("show", "out", "--json").stdout)
    assert (found["status"], found["seed"], found["n_evaluations"]) == ("finished", 3, 6)
    assert found["pareto"] is None
    energy = found["energy"]
    assert set(energy["best"]) >= {"energy", "evaluation", "step"}
    coverage = {"coverage_1sigma", "coverage_2sigma"}
    names = {"n_predictions", "mean_z2", "alpha", "conformal_quantile", *coverage}
    assert set(energy["calibration"]) >= names
    parts = {"best", "differences", "unevaluated", "missing_reason"}
    assert set(energy["assessment"]) == parts
    assert set(found["seconds"]) == {"fit", "search", "evaluate", "log"}
    text = bostruct("show", "out").stdout
    assert "status       finished, 6 evaluations" in text
    assert bostruct("export", "out", "best.extxyz").exit_code == 0
    assert ase.io.read("best.extxyz").get_potential_energy() == pytest.approx(
        min(energy["energies"])
    )
    done = bostruct("export", "out", "all.db", "--all")
    assert "all.db: 6 structures of out" in done.stdout
    assert len(ase.io.read("all.db", index=":")) == 6
    done = bostruct("verify", "out", "--file", "mine.py")
    assert done.exit_code == 0, done.output
    assert "6 trials and 2 posteriors read, 2 rebuilt and compared" in done.stdout
    done = bostruct("front", "out")
    refused(done, "must be one of a campaign with objectives, got that of one that")


def test_report_and_list(here):
    assert bostruct("run", "mine.py", "--dir", "out").exit_code == 0
    done = bostruct("report", "out", "--pictures", "figures", "--format", "svg")
    assert done.exit_code == 0, done.output
    assert "out-report.html: Box, 6 evaluations" in done.stdout
    assert (here / "figures" / "progress.svg").is_file()
    done = bostruct("report", "out", "--out", "page.html", "--file", "mine.py")
    assert "page.html: Box Cu3, 6 evaluations" in done.stdout
    assert 'id="canvas"' in (here / "page.html").read_text()
    lines = bostruct("list", ".").stdout.splitlines()
    assert lines[1].split()[:4] == ["out", "Box", "finished", "0"]
    done = bostruct("export", "out", "map.json.gz", "--chemiscope", "--file", "mine.py")
    assert "map.json.gz: 6 structures of out" in done.stdout
    refused(bostruct("list", "missing"), "is no folder")
    refused(bostruct("report", "out", "--out", "page.png"), "`out` must be an HTML file")


def test_front_and_retract(here):
    own = "from tests.campaign.alloys import campaign\nmine = campaign()\n"
    (here / "own.py").write_text(own)
    screened = alloys.campaign().run(here / "run", stop=stop.Evaluations(7))
    done = bostruct("front", screened.folder)
    assert done.exit_code == 0, done.output
    assert "objectives   minimize price, $/kg (as log10)\n" in done.stdout
    points = screened.pareto_front().points
    for point in points:
        assert f"\n{point.trial}  " in done.stdout
    done = bostruct("front", screened.folder, "--out", "out", "--file", "own.py")
    assert done.exit_code == 0, done.output
    assert "out: front.csv, evaluations.csv, front.extxyz, front.db" in done.stdout
    assert (here / "out" / "pareto3d.png").stat().st_size > 10000
    done = bostruct("export", screened.folder, "best.extxyz")
    assert f"the {len(points)} structures on the front of" in done.stdout
    best = points[0].trial
    done = bostruct("retract", screened.folder, best, "--reason", "the wrong cell")
    assert f"trial {best} is retracted, the wrong cell" in done.stdout
    shown = bostruct("show", screened.folder).stdout
    assert re.search(rf"trial {best} \(\w+\), retracted: the wrong cell", shown)
    done = bostruct("verify", screened.folder, "--file", "own.py")
    assert done.exit_code == 0, done.output
    done = bostruct("retract", screened.folder, best, "--reason", "again")
    refused(done, "must have a result")


def test_known_phases_from_files_are_put_on_the_hull(here):
    """Of structures with energies and of entries of pymatgen, for what is shown and exported."""
    chemical_systems.campaign().run("run", stop=stop.Evaluations(3), progress=False)
    compound = bulk("CuAu", "rocksalt", a=5.0)
    compound.calc = SinglePointCalculator(compound, energy=-20.0)
    ase.io.write("compound.extxyz", compound)
    dumpfn([PDEntry(Composition("Cu2"), -30.0)], "copper.json")
    files = ("--references", "compound.extxyz", "--references", "copper.json")
    shown = bostruct("show", "run", *files)
    assert shown.exit_code == 0, shown.output
    assert re.search(r"\nCuAu +given", shown.stdout)
    assert re.search(r"\nCu2 +given", shown.stdout)
    assert "given" not in bostruct("show", "run").stdout
    assert bostruct("export", "run", "all.extxyz", "--all", *files).exit_code == 0
    above = [image.info["above_hull_eV_per_atom"] for image in ase.io.read("all.extxyz", ":")]
    assert max(above) > 5
    refused(bostruct("show", "run", "--references", "absent.json"), "`references` must be a file")
    refused(bostruct("export", "run", "x.extxyz", "--references", "absent.cif"), "`references`")
    campaign(n=4).run("cluster", progress=False)
    refused(bostruct("show", "cluster", "--references", "copper.json"), "come with a ChemicalSys")


def test_show_and_trust(here):
    folder = run_spoiled(here / "run", hole).folder
    shown = bostruct("show", folder).stdout
    assert "\ndoubted      trial 9: its energy, -" in shown
    assert "If one is right: bostruct trust run 9 --reason" in shown
    assert "If it is wrong: bostruct retract run 9 --reason" in shown
    assert "\nbest         -" not in shown
    assert '"doubted": {\n  "9":' in bostruct("show", folder, "--json").stdout
    assert bostruct("export", folder, "best.extxyz").exit_code == 0
    assert "trial=9 " not in Path("best.extxyz").read_text(encoding="utf-8")
    assert bostruct("export", folder, "all.extxyz", "--all").exit_code == 0
    assert Path("all.extxyz").read_text(encoding="utf-8").count("doubt=") == 1
    done = bostruct("trust", folder, 9, "--reason", "computed twice")
    assert f"{folder}: trial 9 is trusted, computed twice" in done.stdout
    assert "\nbest         -" in bostruct("show", folder).stdout
    refused(bostruct("trust", folder, 9, "--reason", "again"), "must have a doubted result")


def test_the_second_run_resumes(here):
    whole = campaign(n=9).run(here / "whole").fingerprint()
    assert bostruct("run", "mine.py", "--dir", "out").exit_code == 0
    done = bostruct("run", "mine.py", "--dir", "out", "--evaluations", 9)
    assert "of 9 (0 failed)" in done.stdout
    assert Log(here / "out").fingerprint() == whole
    done = bostruct("run", "mine.py", "--dir", "out")
    assert "Ended by 9 evaluations." in done.stdout


def test_defaults_of_folder_and_seed(here):
    done = bostruct("run", "mine.py", "--seed", 2, "--evaluations", 1)
    assert "Results are in runs/mine-2" in done.stdout
    assert bostruct("run", "mine.py", "--evaluations", 1).exit_code == 0
    assert (here / "runs" / "mine-0").is_dir()
    done = bostruct("run", "mine.py", "--dir", "runs/mine-2", "--evaluations", 2)
    assert done.exit_code == 0, "the seed is that of the folder"


def refused(done, message):
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert done.stderr.startswith("bostruct: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert message in done.stderr


def test_refused_with_a_sentence_and_nothing_written(here, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (here / "none.py").write_text("x = 1\n")
    (here / "two.py").write_text(FILE.format(n=6) + "other = campaign()\n")
    (here / "element.py").write_text(
        "from bostruct.spaces import Cluster\nspace = Cluster('Xq5')\n"
    )
    (here / "foreign").mkdir()
    (here / "foreign" / "data").touch()
    before = sorted(here.rglob("*"))
    run = ("run", "mine.py", "--dir", "out")
    refused(bostruct(*run, "--evaluations", 0), "`evaluations` must be an integer of")
    refused(bostruct(*run, "--device", "cuda"), "`device` must be one that exists")
    refused(bostruct(*run, "--device", "gpu"), "`device` must be auto, cpu or cuda")
    refused(bostruct(*run, "--seed", "-1"), "`seed` must be an integer of at least 0")
    refused(bostruct("run", "none.py"), "exactly one Campaign at module level, got non")
    refused(bostruct("run", "two.py"), "exactly one Campaign at module level, got mine")
    refused(bostruct("run", "element.py"), "element.py, line 2: ")
    refused(bostruct("run", "absent.py"), "`file` must exist, got absent.py")
    refused(bostruct("run", "mine.py", "--dir", "foreign"), "not a run folder and not")
    refused(bostruct("run", "mine.py", "--dir", "mine.py"), "is a file, not a folder")
    refused(bostruct("show", "foreign"), "is not a run folder")
    refused(bostruct("show", "absent"), "absent holds no campaign")
    refused(bostruct("export", "absent", "a.cif"), "absent holds no campaign")
    refused(bostruct("verify", "absent"), "absent holds no campaign")
    after = [path for path in sorted(here.rglob("*")) if "__pycache__" not in str(path)]
    assert after == before


def test_the_folder_of_another_campaign_is_refused(here):
    bostruct("run", "mine.py", "--dir", "out", "--evaluations", 1)
    before = {p: p.read_bytes() for p in (here / "out").rglob("*") if p.is_file()}
    (here / "mine.py").write_text(FILE.replace("n={n}", "batch_size=2"))
    done = bostruct("run", "mine.py", "--dir", "out")
    refused(done, "out holds another campaign: batch_size is 1 there and 2 here")
    done = bostruct("run", "mine.py", "--dir", "out", "--seed", 5)
    refused(done, "seed is 0 there and 5 here")
    after = {p: p.read_bytes() for p in (here / "out").rglob("*") if p.is_file()}
    assert after == before


def test_export_refuses_formats(here):
    bostruct("run", "mine.py", "--dir", "out")
    refused(bostruct("export", "out", "a.nonsense"), "`out` must have a suffix of a fo")


def test_verify_finds_damage(here):
    bostruct("run", "mine.py", "--dir", "out")
    path = next((here / "out" / "posteriors").iterdir())
    path.write_bytes(path.read_bytes()[:-3])
    done = bostruct("verify", "out", "--file", "mine.py")
    assert done.exit_code == 1
    assert "its sha256 differs" in done.stderr
    assert "1 problems" in done.stdout


def test_verify_prints_the_head_of_the_hash_chain_and_run_refuses_another(here):
    bostruct("run", "mine.py", "--dir", "out")
    done = bostruct("verify", "out", "--file", "mine.py")
    assert done.exit_code == 0, done.output
    (line,) = [line for line in done.stdout.splitlines() if "hash chain" in line]
    head = line.removeprefix("head of the hash chain: ")
    assert len(head) == 16
    assert int(head, 16) >= 0
    connection = sqlite3.connect(here / "out" / "campaign.db")
    connection.execute("UPDATE bostruct_campaign SET units = '{}'")
    connection.commit()
    connection.close()
    done = bostruct("verify", "out", "--file", "mine.py")
    assert done.exit_code == 1
    assert "`units` of the campaign is not what was written" in done.stderr
    done = bostruct("run", "mine.py", "--dir", "out", "--evaluations", 9)
    assert done.exit_code != 0
    assert "is not as it was written, so nothing is evaluated in it" in done.stderr


def test_verify_says_where_it_needs_the_file(here):
    """Parts that bostruct does not have cannot be rebuilt from their descriptions."""
    bostruct("run", "mine.py", "--dir", "out")
    done = bostruct("verify", "out")
    assert done.exit_code == 1
    assert "give the campaign file" in done.stderr
    assert "0 rebuilt and compared, 0 problems" in done.stdout


def test_terminal_escapes_are_shown(here):
    """Names, reasons and provenance come from the folder, whoever made it."""
    bostruct("run", "mine.py", "--dir", "out")
    attack = "\x1b[2J\x9b\u202e"
    connection = sqlite3.connect("out/campaign.db", isolation_level=None)
    connection.execute("UPDATE bostruct_trial SET generator = ?, reason = ?", (attack, attack))
    connection.execute("UPDATE bostruct_session SET reason = ?, device = ?", (attack, attack))
    connection.close()
    for arguments in (("show", "out"), ("show", "out", "--json"), ("verify", "out")):
        done = bostruct(*arguments)
        assert done.exit_code in (0, 1), done.output
        assert all(line.isprintable() for line in done.output.split("\n"))
    connection = sqlite3.connect("out/campaign.db", isolation_level=None)
    connection.execute("UPDATE bostruct_posterior SET file = file || ?", (attack,))
    connection.close()
    done = bostruct("verify", "out")
    assert "\\x1b[2J" in done.output
    assert all(line.isprintable() for line in done.output.split("\n"))
    done = bostruct("show", f"no{attack}where")
    assert done.exit_code == 2
    assert done.stderr == "bostruct: " + done.stderr[10:-1] + "\n"
    assert done.stderr[:-1].isprintable()


def test_a_real_process_killed_and_started_again(here):
    """The command as a user types it; SIGKILL in its middle, then the same again."""
    (here / "mine.py").write_text(SLOW)
    command = [sys.executable, "-m", "bostruct", "run", "mine.py", "--dir", "out"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=here, env=environment)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and _done(here / "out") < 5:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 5 <= _done(here / "out") < 20
    ended = subprocess.run(
        command, cwd=here, env=environment, capture_output=True, text=True, check=True
    )
    assert "Results are in out" in ended.stdout
    lines = ended.stderr.splitlines()
    assert lines[-1].startswith("evaluation 20, trial 19, ")
    assert all(line.startswith("evaluation ") for line in lines)
    other = campaign_file.load_campaign(here / "mine.py").run(here / "whole")
    assert Log(here / "out").fingerprint() == other.fingerprint()


def _done(folder):
    return len(Log(folder).trials("done")) if (folder / "campaign.db").exists() else 0


BROKEN = """
import pathlib
from bostruct.evaluators import Function
from tests.campaign.standin import campaign, energy

def licensed(atoms):
    if not pathlib.Path("licence").exists():
        raise RuntimeError("no licence server")
    return energy(atoms)

mine = campaign(Function(licensed), n={n})
"""


def test_a_calculator_that_always_fails_and_its_repair(here):
    (here / "mine.py").write_text(BROKEN.format(n=60))
    run = ("run", "mine.py", "--dir", "out")
    done = bostruct(*run)
    assert done.exit_code == 1
    assert "\nbostruct: 10 failures in a row. The last ones: trial 9: " in done.stderr
    assert "RuntimeError: no licence server" in done.stderr
    assert "export" not in done.output
    assert "evaluated already" not in done.output
    text = bostruct("show", "out").stdout
    assert "status       failed, EvaluationError: 10 failures in a row" in text
    assert "failed       trial 9: the evaluator raised RuntimeError: no licence server" in text
    done = bostruct("retry", "out", 3, 4)
    assert done.stdout == "out: planned again, trial 3, 4\n"
    assert bostruct("retry", "out").stdout.startswith("out: planned again, trial 0, 1, 2, 5")
    refused(bostruct("retry", "out"), "/out, where none is left to evaluate")
    refused(bostruct("retry", "out", 70), "`trial` must have failed, got 70, none of the ")
    (here / "licence").touch()
    done = bostruct(*run, "--evaluations", 14)
    assert done.exit_code == 0
    assert "of 14 (0 failed)" in done.stdout
    assert "bostruct retry" not in done.stdout
    assert "0 problems" in bostruct("verify", "out", "--file", "mine.py").stdout


def test_a_run_that_ends_without_a_result(here):
    """By its criterion, before there were many failures in a row."""
    (here / "mine.py").write_text(BROKEN.format(n=3))
    done = bostruct("run", "mine.py", "--dir", "out")
    assert done.exit_code == 1
    assert "No energy in 3 evaluations." in done.stdout
    assert "trial 2: the evaluator raised RuntimeError: no licence server." in done.stdout
    assert "Failed ones are evaluated again by: bostruct retry out" in done.stdout
    assert "export" not in done.stdout


def test_show_draws_the_hull_of_a_chemical_system(here):
    own = "from tests.campaign.chemical_systems import campaign\nmine = campaign()\n"
    (here / "mine.py").write_text(own)
    done = bostruct("run", "mine.py", "--dir", "out", "--evaluations", 5)
    assert done.exit_code == 0, done.output
    assert "eV/atom above the hull" in done.stdout
    assert "stable phases: " in done.stdout
    done = bostruct("show", "out", "--plot", "hull.png")
    assert done.exit_code == 0, done.output
    assert "formation, eV/atom" in done.stdout
    assert (here / "hull.png").stat().st_size > 1000
    done = bostruct("export", "out", "stable.extxyz")
    stable = ase.io.read("stable.extxyz", index=":")
    assert f"the {len(stable)} stable phases of out" in done.stdout
    done = bostruct("verify", "out")
    assert done.exit_code == 0, done.output


def test_the_engine_of_one_run(here, monkeypatch):
    made = []

    def make_engine(name, n_workers):
        made.append((name, n_workers))
        return engine.make_engine("in-process")

    monkeypatch.setattr("bostruct.cli.make_engine", make_engine)
    for arguments in (
        [],
        ["--engine", "dask"],
        ["--workers", 3],
        ["--engine", "x", "--workers", 2],
    ):
        result = bostruct("run", "mine.py", "--dir", here / "run", *arguments)
        assert result.exit_code == 0, result.output
    assert made == [("dask", 1), ("processes", 3), ("x", 2)]
    monkeypatch.setattr("bostruct.cli.make_engine", engine.make_engine)
    result = bostruct("run", "mine.py", "--dir", here / "run", "--engine", "ray")
    assert result.exit_code == 2
    assert "`engine` must be one of in-process, processes, dask" in result.output


CONFORMERS = """
import bostruct as bo
from tests.campaign.molecular_mechanics import butane, conformers

mine = bo.Campaign(
    space=conformers(),
    evaluator=bo.evaluators.Function(butane),
    search=bo.candidates.BasinHopping(n_candidates=8, n_rounds=2, max_time_fraction=1e-9),
    n_initial=8,
    stop=bo.stop.Evaluations(10),
)
"""


def test_minima_are_shown_relaxed_and_exported(here):
    Path("butane.py").write_text(CONFORMERS)
    assert bostruct("run", "butane.py", "--dir", "out", "--seed", 1).exit_code == 0
    shown = bostruct("show", "out", "--minima", "--temperature", 400)
    assert "within 0.3447 eV of the lowest" in shown.stdout
    assert "at 400 K" in shown.stdout
    done = bostruct(
        "export", "out", "min.extxyz", "--minima", "--energy-window", 0.3, "--rmsd", 0.1
    )
    assert done.exit_code == 0, done.output
    assert "0 relaxed" in done.stdout
    refused = bostruct("export", "out", "min.extxyz", "--minima", "--relax")
    assert refused.exit_code == 2
    assert "`--relax` must come with --minima, and with the --file" in refused.stderr
    done = bostruct("export", "out", "min.extxyz", "--minima", "--relax", "--file", "butane.py")
    assert done.exit_code == 0, done.output
    images = ase.io.read("min.extxyz", ":")
    assert all(image.info["relaxed"] for image in images)
    assert images[0].get_potential_energy() == min(image.get_potential_energy() for image in images)
    assert bostruct("verify", "out").exit_code == 0
