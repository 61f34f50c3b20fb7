"""Every file is named after a term of `docs/glossary.md`, and no name means two things."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "bostruct"
ROW = re.compile(r"^\| (?P<term>[^|]+) \| (?P<meaning>(?:\\\||[^|])+) \| (?P<source>[^|]+) \|$")
TEXT = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
TABLE = [line for line in TEXT.splitlines() if line.startswith("| ")][1:]
ROWS = [ROW.match(line) for line in TABLE]
TERMS = {part.lower() for row in ROWS if row for part in row["term"].split(", ")}
FILES = sorted(p for p in PACKAGE.rglob("*.py") if p.stem not in {"__init__", "__main__"})
FOLDERS = sorted(p.parent for p in PACKAGE.rglob("__init__.py") if p.parent != PACKAGE)


def missing(paths):
    """Return the paths that are not named after a term."""
    return [
        path.relative_to(ROOT).as_posix()
        for path in paths
        if path.stem.replace("_", " ") not in TERMS
    ]


def test_every_file_and_folder_is_named_after_a_term():
    names = missing([*FILES, *FOLDERS])
    assert not names, f"take a term of docs/glossary.md or add a line for: {', '.join(names)}"


def test_a_file_that_is_no_term_is_seen():
    assert missing([PACKAGE / "cholesky.py", PACKAGE / "riddles.py"]) == ["bostruct/riddles.py"]


def test_every_line_has_a_term_a_meaning_and_a_source():
    for line, row in zip(TABLE, ROWS, strict=True):
        assert row, line
        assert row["meaning"].endswith("."), line


def test_terms_stand_in_alphabetical_order_and_once():
    terms = [row["term"].lower().replace("_", " ") for row in ROWS]
    assert terms == sorted(set(terms))


def clashes(path):
    """Return the exported names of a package that are stems of its own modules.

    Sub-packages and modules re-exported as themselves are none.
    """
    package = path.parent.relative_to(ROOT).as_posix().replace("/", ".")
    stems = {p.stem for p in path.parent.iterdir() if p.suffix == ".py" or p.is_dir()}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    defined = [node.name for node in tree.body if hasattr(node, "name")]
    imported = [
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if node.module != package
    ]
    return sorted(stems.intersection(defined + imported))


@pytest.mark.parametrize(
    "path",
    sorted(PACKAGE.rglob("__init__.py")),
    ids=lambda path: path.parent.relative_to(ROOT).as_posix(),
)
def test_no_exported_name_is_that_of_a_module(path):
    assert clashes(path) == []
