"""The documents say what is so: commands, options, errors, links, and code that runs."""

import ast
import contextlib
import doctest
import importlib.util
import inspect
import io
import itertools
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer.cli
import typer.main

import bostruct
from bostruct import errors
from bostruct.bench.uncertainty import METHODS
from bostruct.cli.app import typer_app

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
}
TEXT = "\n".join(PAGES.values())
GENERATED = "docs/reference/cli.md"
ROOT_COMMAND = typer.main.get_command(typer_app)
COMMANDS = {
    f"{name} {inner}" if inner else name: command
    for name, outer in ROOT_COMMAND.commands.items()
    for inner, command in getattr(outer, "commands", {"": outer}).items()
}
ERRORS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.BostructError)
]
MODULES = sorted((ROOT / "bostruct").rglob("*.py"))


def blocks(text, language):
    """Return the fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def shell_lines(text):
    """Return the commands in the shell blocks of a page, continued lines joined."""
    return "\n".join(blocks(text, "sh")).replace("\\\n", "").splitlines()


def options(command):
    return {option for parameter in command.params for option in parameter.opts}


def readme_command(ending):
    """Return the README's one line that makes `.venv` and has this ending."""
    start = "python3.11 -m venv .venv && "
    (line,) = [x for x in shell_lines(README) if x.startswith(start) and x.endswith(ending)]
    return line


# Commands and errors


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_shown_in_a_shell_block(name):
    lines = [line for text in PAGES.values() for line in shell_lines(text)]
    assert any(f"{line} ".startswith(f"bostruct {name} ") for line in lines)


@pytest.mark.parametrize(
    "option",
    sorted({o for c in COMMANDS.values() for o in options(c) if o.startswith("--")}),
)
def test_every_option_is_in_the_documents(option):
    assert re.search(rf"(?<![\w-]){option}(?![\w-])", TEXT)


def shown_commands():
    """Yield page and words of each `bostruct` command in the documents."""
    for page, text in PAGES.items():
        for line in shell_lines(text):
            if line.startswith("bostruct "):
                yield page, shlex.split(line, comments=True)[1:]


@pytest.mark.parametrize(("page", "words"), list(shown_commands()), ids=str)
def test_every_command_shown_exists_with_its_options(page, words):
    name = next(n for n in (" ".join(words[:2]), words[0]) if n in COMMANDS)
    used = {word for word in words if word.startswith("--")}
    assert used <= options(COMMANDS[name])


def test_the_reference_of_the_command_line_is_that_of_the_code():
    """Else: typer --app typer_app bostruct.cli.app utils docs --name bostruct
    --title "Command line" --output docs/reference/cli.md
    """
    context = typer.Context(ROOT_COMMAND)
    context.obj = {"TYPER_RICH_MARKUP_MODE": typer_app.rich_markup_mode}
    text = typer.cli.get_docs_for_click(
        obj=ROOT_COMMAND, ctx=context, name="bostruct", title="Command line"
    )
    assert PAGES[GENERATED] == f"{text.strip()}\n", (
        "renew it: typer --app typer_app bostruct.cli.app utils docs --name bostruct "
        '--title "Command line" --output docs/reference/cli.md'
    )


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_is_listed_with_its_builtin(kind):
    page = PAGES["docs/concepts/errors.md"]
    if kind is errors.BostructError:
        assert "`BostructError`" in page
        return
    builtin = next(base for base in kind.__mro__ if base.__module__ == "builtins")
    assert f"| `{kind.__name__}` | `{builtin.__name__}` |" in page


def test_methods_in_the_tables_are_those_of_the_comparison():
    """The measured tables name each method as `--method` takes it."""
    shown = set(re.findall(r"^\| (\w[\w-]*) \|", PAGES["docs/uncertainty.md"], re.MULTILINE))
    named = {word for word in shown if word.startswith("LocalGP") or word in METHODS}
    assert named == set(METHODS)


# Shell


@pytest.mark.parametrize("page", PAGES)
def test_every_sh_block_is_valid_shell(page):
    for block in blocks(PAGES[page], "sh"):
        subprocess.run(["bash", "-n"], input=block, text=True, check=True)


def test_the_two_commands_are_one_line_each():
    search = shlex.split(readme_command("cu15_cluster.py"))
    assert (ROOT / search[-1]).is_file()
    assert "constraints.txt" in search
    tests = shlex.split(readme_command("/pytest"))
    for tool in ("ruff", "mypy", "pytest"):
        assert any(word.endswith(f"/{tool}") for word in tests), tool


def test_ci_runs_the_command_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (pattern,) = re.findall(r"grep -E '(.*)' README.md", script)
    lines = [line for line in README.splitlines() if re.search(pattern, line)]
    assert lines == [readme_command("/pytest")]
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)


# Python


def functions(block):
    """Return the names of the functions that a block defines at its top level."""
    return {node.name for node in ast.parse(block).body if isinstance(node, ast.FunctionDef)}


def uses(block):
    """Return the names that a block reads, outside the functions of these names."""
    nodes = [node for node in ast.parse(block).body if not isinstance(node, ast.FunctionDef)]
    return {x.id for node in nodes for x in ast.walk(node) if isinstance(x, ast.Name)}


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(PAGES[page], "python")])
def test_python_of_a_page_runs(page, tmp_path, monkeypatch):
    """All blocks of a page one after the other, as one script in an empty folder."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for block in blocks(PAGES[page], "python"):
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(block, page, "exec"), names)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(PAGES[page], "python")])
def test_every_function_shown_is_used(page):
    shown = blocks(PAGES[page], "python")
    assert set().union(*map(functions, shown)) <= set().union(*map(uses, shown))


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


# Names


def find(name):
    """Return the object of a dotted name below `bostruct`, importing packages on the way."""
    value = bostruct
    for part in name.split("."):
        if not hasattr(value, part):
            importlib.import_module(f"{value.__name__}.{part}")
        value = getattr(value, part)
    return value


NAMED = sorted(set(re.findall(r"\bbo\.((?:\w+\.)*\w+)", TEXT)))
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split("Stored names")[0]
RENAMED = re.findall(r"^\| `(\w+\.[\w.]+)` \| (?:`([\w.]+)`)? ?\| (.*)\|$", CHANGELOG, re.MULTILINE)


@pytest.mark.parametrize("name", NAMED)
def test_every_name_in_the_documents_exists(name):
    assert find(name) is not None


@pytest.mark.parametrize(("before", "now", "rest"), RENAMED, ids=[row[0] for row in RENAMED])
def test_every_new_name_of_the_changelog_exists(before, now, rest):
    """Classes and functions; and of arguments and attributes that one of them has the name."""
    value = find(now or before)
    if inspect.isclass(value):
        words = set(dir(value)) | set(getattr(value, "__annotations__", ()))
        words |= {p for _, f in inspect.getmembers(value, callable) for p in parameters(f)}
    else:
        words = set(parameters(value))
    source = inspect.getsource(value)
    for new in re.findall(r"→ `(\w+)(?:\((.*?)\))?`", rest):
        for word in (new[0], *filter(None, new[1].split(", "))):
            assert word in words or re.search(rf"\b{word}\b", source), word


def parameters(function):
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []


# The site


def test_the_site_builds(tmp_path):
    """Strictly: no broken link, no page outside the menu, no name that cannot be found."""
    run = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert run.returncode == 0, run.stderr
    pages = sorted(tmp_path.rglob("*.html"))
    assert len(pages) > len(PAGES)
    for path in pages:
        html = path.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="(https?://[^"]*)"', html)
        assert not loaded, f"{path.name} loads {loaded}"


def hooks():
    spec = importlib.util.spec_from_file_location("hooks", DOCS / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_has_every_package_that_bostruct_exports():
    module = hooks()
    names = re.findall(
        r"^from bostruct import (\w+) as \1$",
        (ROOT / "bostruct" / "__init__.py").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert set(names) <= set(module.SOURCES)
    for path in module.SOURCES.values():
        assert module.public_names(path), path


# What is installed


def test_constraints_pin_every_dependency():
    """Each one that pyproject names has one tested version."""
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"].values()
    named = [*project["project"]["dependencies"], *itertools.chain(*extras)]
    assert canonical(named) <= canonical(pin for pin in pins if "==" in pin)


def test_the_tools_of_the_site_come_with_those_of_the_tests():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    assert set(extras["docs"]) <= set(extras["test"])


def canonical(requirements):
    names = (re.split(r"[^\w.-]", text, maxsplit=1)[0] for text in requirements)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}
