"""`import bostruct`, and that of all its names, changes nothing and costs little.

Importing botorch by itself does change things: linear_operator's and gpytorch's solver
settings (the log-likelihood of an exact GP of 1200 rows then differs by 1 per point),
and, through scipy and threadpoolctl, two warning filters and an environment variable.
What is compared here is therefore strict: a process that has imported torch and
gpytorch, before and after it imports bostruct, which imports botorch. A process that
had imported botorch first keeps its settings.
"""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.campaign.standin import Wells, campaign

ROOT = Path(__file__).parent.parent

SNAPSHOT = """
import json, locale, logging, os, random, signal, sys, threading, warnings
import gpytorch, linear_operator, numpy, torch

def changes(statement, first):
    exec(first)
    before = snapshot()
    exec(statement)
    after = snapshot()
    keys = [key for key in after if before.get(key) != after[key]]
    return {key: (before.get(key), after[key]) for key in keys}

def snapshot():
    settings = {
        f"{module.__name__}.{kind.__name__}.{name}": repr(value)
        for module in (linear_operator.settings, gpytorch.settings)
        for kind in vars(module).values() if isinstance(kind, type)
        for name, value in vars(kind).items()
        if not name.startswith("__") and not callable(value)
        and not isinstance(value, (classmethod, staticmethod, property))
    }
    environment = {f"${name}": value for name, value in os.environ.items()}
    return settings | environment | {
        "default dtype": repr(torch.get_default_dtype()),
        "default device": repr(torch.get_default_device()),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "gradients": torch.is_grad_enabled(),
        "matmul": torch.get_float32_matmul_precision(),
        "torch generator": torch.get_rng_state().tolist(),
        "numpy generator": repr(numpy.random.get_state()),
        "random generator": repr(random.getstate()),
        "torch print": repr(torch._tensor_str.PRINT_OPTS),
        "numpy print": repr(numpy.get_printoptions()),
        "numpy errors": repr(numpy.geterr()),
        "filters": repr(warnings.filters),
        "showwarning": repr(warnings.showwarning),
        "root handlers": repr(logging.root.handlers),
        "root level": logging.root.level,
        "log class": repr(logging.getLoggerClass()),
        "folder": os.getcwd(),
        "home": sorted(os.listdir(os.environ["HOME"])),
        "here": sorted(os.listdir()),
        "path": sys.path[:],
        "hooks": repr([sys.excepthook, sys.displayhook, sys.getrecursionlimit()]),
        "signals": repr([signal.getsignal(s) for s in (2, 15)]),
        "locale": repr(locale.setlocale(locale.LC_ALL)),
        "thread count": threading.active_count(),
    }
"""

# Small, and needed to hand a campaign around; everything else waits for its first use.
ALLOWED = {"bostruct", "cloudpickle", "safetensors"}
BASE = (
    "import torch, gpytorch, botorch, botorch.models, botorch.acquisition.monte_carlo, "
    "botorch.acquisition.logei, botorch.fit, botorch.posteriors"
)
TRIES = 3
# Of the time that torch, gpytorch and botorch take; about 0.1 s is expected of 3 s.
SHARE = 0.5


def python(script, folder):
    """Run `script` in a process with an empty home, in an empty folder."""
    home, here = folder / "home", folder / "here"
    home.mkdir(exist_ok=True)
    here.mkdir(exist_ok=True)
    environment = {**os.environ, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PYTHONPATH"] = str(ROOT)
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=here,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    assert run.stderr == ""
    return json.loads(run.stdout)


def names_of(*parts):
    """Return the names that a package exports."""
    tree = ast.parse(ROOT.joinpath("bostruct", *parts, "__init__.py").read_text())
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = [alias.name for node in nodes for alias in node.names]
    return [n for n in names if n not in ("TYPE_CHECKING", "lazy_exports", "botorch_import")]


def everything_of(package):
    return f"from bostruct.{package} import {', '.join(names_of(package))}"


PACKAGES = (
    *("acquisition", "campaign", "candidates", "descriptors", "evaluators", "objectives"),
    *("spaces", "surrogates", "uncertainty"),
)
GUARDED = ("acquisition", "campaign", "objectives", "surrogates", "uncertainty")
NAMES = names_of()
EVERYTHING = "\n".join(
    (f"from bostruct import {', '.join(NAMES)}", *(everything_of(each) for each in PACKAGES))
)


def test_a_package_is_imported_at_its_first_use(tmp_path):
    found = python(
        """import json, sys
import bostruct
early = [name for name in ("torch", "numpy", "ase") if name in sys.modules]
names = dir(bostruct)
bostruct.Campaign
print(json.dumps([early, names, "torch" in sys.modules]))
""",
        tmp_path,
    )
    assert found[0] == []
    assert set(NAMES) <= set(found[1])
    assert found[2]


def test_import_changes_nothing(tmp_path):
    """Of each package of its own, of all names, and after botorch, each in a fork."""
    statements = {package: (everything_of(package), "") for package in GUARDED}
    statements |= {"all": (EVERYTHING, ""), "after botorch": (EVERYTHING, "import botorch")}
    found = python(
        f"""{SNAPSHOT}
def in_fork(*arguments):
    reader, writer = os.pipe()
    if not os.fork():
        os.write(writer, json.dumps(changes(*arguments)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        text = file.read()
    os.wait()
    return json.loads(text)

print(json.dumps({{name: in_fork(*each) for name, each in {statements!r}.items()}}))
""",
        tmp_path,
    )
    assert found == {name: {} for name in statements}


def test_logs_are_read_without_models(tmp_path):
    """`show` imports what it reads: no BoTorch, no compiler."""
    campaign(n=14, space=Wells()).run(tmp_path / "run")
    found = python(
        f"""import json, sys
from bostruct import cli
summary = cli.summarize(cli.Log({str(tmp_path / "run")!r}, build_surrogate=exit))
text = cli.summary_text(summary)
heavy = ("ase.db", "botorch", "gpytorch", "linear_operator", "numba", "sympy")
print(json.dumps([text, [name for name in heavy if name in sys.modules]]))
""",
        tmp_path,
    )
    assert "calibration  σ ×" in found[0]
    assert found[1] == []


def test_import_brings_no_heavy_package(tmp_path):
    """ASE, pymatgen, matplotlib and the like are imported when they are first used."""
    new = python(
        f"""{BASE}
import json, sys
before = {{name.partition(".")[0] for name in sys.modules}}
{EVERYTHING}
after = {{name.partition(".")[0] for name in sys.modules}}
print(json.dumps(sorted(after - before - sys.stdlib_module_names)))
""",
        tmp_path,
    )
    assert {name for name in new if not name.startswith("_")} <= ALLOWED


@pytest.mark.slow
def test_import_takes_no_longer_than_its_dependencies(tmp_path):
    """The best of a few tries, as the machine may be busy."""
    shares = []
    for _ in range(TRIES):
        theirs, ours = python(
            f"""
import json, time
start = time.perf_counter()
{BASE}
middle = time.perf_counter()
{EVERYTHING}
print(json.dumps([middle - start, time.perf_counter() - middle]))
""",
            tmp_path,
        )
        shares.append(ours / theirs)
        if shares[-1] < SHARE:
            return
    pytest.fail(f"import bostruct takes {shares} of what its dependencies take")
