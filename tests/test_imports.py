"""Imports inside bostruct go one way, lazy and type-checking ones included.

A module may import from the lines of LAYERS below its own and from its own folder, not from
others on its line. ase and pymatgen are imported only where structures and energies come from or
go to. The tests mirror the tree one to one.
"""

import ast
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "bostruct"

LAYERS = [
    {"__main__"},
    {"cli"},
    {"bench", "testing"},
    {"campaign"},
    {"candidates", "surrogates"},
    {"spaces", "evaluators", "uncertainty", "descriptors"},
    {"structures", "acquisition", "plotting"},
    {"objectives"},
    {"runtime"},
    {"errors"},
]
HEIGHT = {name: -i for i, layer in enumerate(LAYERS) for name in layer}

# ase reads and writes files of the log, of `bostruct export` and of initial structures, and
# relaxes structures in a final relaxation.
OUTSIDE = ("ase", "pymatgen")
OUTSIDE_ALLOWED = (
    "bostruct.structures.constrained_forces",
    "bostruct.structures.convert",
    "bostruct.structures.energy_labels",
    "bostruct.structures.entries_file",
    "bostruct.structures.partial_occupancy",
    "bostruct.structures.read",
    "bostruct.structures.structure_file",
    "bostruct.evaluators",
    "bostruct.spaces",
    "bostruct.surrogates.pretrained",
    "bostruct.campaign.log.ase_rows",
    "bostruct.campaign.report.export",
    "bostruct.campaign.relaxation.optimizer_replay",
    "bostruct.campaign.initial_structures",
    "bostruct.cli",
    "bostruct.bench",
)

# Test files that test many modules at once.
WHOLE = {f"{folder}/test_contract.py" for folder in ("acquisition", "evaluators", "surrogates")}
WHOLE |= {"external/test_nwchem.py"}


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(module):
    """Yield `(name, line, inside a function)` of every import of a module."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, functions)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [base])])
            # `from bostruct.x import y` imports the module y, or x for its name y.
            names = [
                name if (name := f"{base}.{alias.name}") in MODULES else base
                for alias in node.names
            ]
        else:
            continue
        for name in names:
            yield name, node.lineno, id(node) in inside


def layer(module):
    """Return the folder or file below `bostruct` that a module belongs to."""
    return module.split(".")[1] if "." in module else ""


def is_own(name):
    return name.split(".")[0] == "bostruct"


@pytest.mark.parametrize("module", [m for m in MODULES if m != "bostruct"])
def test_imports_go_down(module):
    own_layer = layer(module)
    assert own_layer in HEIGHT, f"give `{own_layer}` a line in LAYERS"
    for name, line, lazy in imports(module):
        if not is_own(name):
            continue
        where = f"{MODULES[module]}:{line}: import of {name}"
        other_layer = layer(name)
        assert not lazy, f"{where} inside a function is a cycle in disguise"
        assert other_layer, f"{where}: import the module that defines the name"
        assert other_layer == own_layer or HEIGHT[other_layer] < HEIGHT[own_layer], where


def test_there_are_no_cycles():
    graph = {
        module: {name for name, _, _ in imports(module) if name in MODULES} - {module}
        for module in MODULES
    }
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("module", MODULES)
def test_ase_and_pymatgen_are_imported_at_the_border(module):
    if module.startswith(OUTSIDE_ALLOWED):
        return
    for name, line, _ in imports(module):
        where = f"{MODULES[module]}:{line}: import of {name}"
        assert name.split(".")[0] not in OUTSIDE, where


def test_tests_mirror_the_tree():
    """A test file tests the module of its name.

    `__init__` and `__main__` hold no code of their own; `testing` holds contract tests.
    """
    tests = {
        path.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("test_*.py")
    }
    modules = {
        path.relative_to(PACKAGE).with_name(f"test_{path.name}").as_posix()
        for path in MODULES.values()
        if path.name not in ("__init__.py", "__main__.py") and path.parent.name != "testing"
    }
    project = {name for name in tests if "/" not in name}
    assert modules - tests == set(), "modules without a test file"
    assert tests - modules - project - WHOLE == set(), "test files without a module"


def test_a_lazy_import_is_seen(tmp_path, monkeypatch):
    """Relative, lazy and type-checking imports are found."""
    path = tmp_path / "probe.py"
    path.write_text(
        "from typing import TYPE_CHECKING\n"
        "from ..structures import Structures\n"
        "if TYPE_CHECKING:\n    import bostruct.campaign\n"
        "def f():\n    from bostruct import cli\n"
    )
    monkeypatch.setitem(MODULES, "bostruct.spaces.probe", path)
    monkeypatch.setitem(MODULES, "bostruct.cli", path)
    assert set(imports("bostruct.spaces.probe")) == {
        ("typing", 1, False),
        ("bostruct.structures", 2, False),
        ("bostruct.campaign", 4, False),
        ("bostruct.cli", 6, True),
    }
