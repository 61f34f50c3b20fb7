"""Nothing written can lie: commands, options, errors and code of the documents."""

import doctest
import itertools
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import typer.main

from bostruct import errors
from bostruct.cli.app import typer_app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(typer_app).commands
NESTED = {
    f"{name} {inner}" if inner else name: command
    for name, outer in COMMANDS.items()
    for inner, command in getattr(outer, "commands", {"": outer}).items()
}
ERRORS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.BostructError)
]
MODULES = sorted((ROOT / "bostruct").rglob("*.py"))


def blocks(language):
    """Return the fenced blocks of the README in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def command(ending):
    """Return the README's one line that makes `.venv` and ends so."""
    start = "python3.11 -m venv .venv && "
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    (found,) = [x for x in lines if x.startswith(start) and x.endswith(ending)]
    return found


@pytest.mark.parametrize("name", NESTED)
def test_every_command_is_in_the_readme(name):
    assert f"bostruct {name} " in README


@pytest.mark.parametrize(
    "option",
    sorted({o for c in NESTED.values() for p in c.params for o in p.opts if "--" in o}),
)
def test_every_option_is_in_the_readme(option):
    assert option in README


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_is_in_the_readme_with_its_builtin(kind):
    if kind is errors.BostructError:
        assert "`BostructError`" in README
        return
    builtin = next(base for base in kind.__mro__ if base.__module__ == "builtins")
    assert f"| `{kind.__name__}` | `{builtin.__name__}` |" in README


def test_readme_names_no_command_that_is_not_there():
    named = set(re.findall(r"^bostruct (\w+)", "\n".join(blocks("sh")), re.MULTILINE))
    assert named == set(COMMANDS)


def test_every_sh_block_is_valid_shell():
    for block in blocks("sh"):
        subprocess.run(["bash", "-n"], input=block, text=True, check=True)


@pytest.mark.parametrize("block", blocks("python"), ids=lambda text: text[:30])
def test_python_in_the_readme_runs(block):
    """Without its `__main__` part: that searches."""
    if ">>>" in block:
        parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
        test = parser.get_doctest(block, {}, "README", "README.md", 0)
        assert runner.run(test).failed == 0
        return
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})


def test_the_two_commands_are_one_line_each():
    search = shlex.split(command("cu15_cluster.py"))
    assert (ROOT / search[-1]).is_file()
    assert "constraints.txt" in search
    tests = shlex.split(command("/pytest"))
    for tool in ("ruff", "mypy", "pytest"):
        assert any(word.endswith(f"/{tool}") for word in tests), tool


def test_ci_runs_the_command_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (pattern,) = re.findall(r"grep -E '(.*)' README.md", script)
    found = [line for line in README.splitlines() if re.search(pattern, line)]
    assert found == [command("/pytest")]
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_doctests(path):
    """Run the examples in the docstrings of a module."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    if ">>> " not in path.read_text(encoding="utf-8"):
        return
    module = __import__(name.removesuffix(".__init__"), fromlist=["_"])
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_constraints_pin_every_dependency():
    """Each one that pyproject names has one tested version."""
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"].values()
    named = [*project["project"]["dependencies"], *itertools.chain(*extras)]
    assert canonical(named) <= canonical(pin for pin in pins if "==" in pin)


def canonical(requirements):
    names = (re.split(r"[^\w.-]", text, maxsplit=1)[0] for text in requirements)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}
