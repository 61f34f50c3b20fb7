"""No formula without a function, no function that does not say which formula it is."""

import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bostruct.errors import InputError
from bostruct.uncertainty.survey_table import (
    SURVEY_ROWS,
    TABLE_MARKERS,
    markdown_table,
    update_document,
)

PAGE = Path(__file__).parents[2] / "docs" / "rows.md"
KEYS = [f"U{n}" for n in (*range(1, 9), *range(10, 25), 34, 35)]
SURVEY = re.compile(r"Digital\s+Discovery\s+(2025,\s+4,\s+2654|4,\s+2654\s+\(2025\))")
NAMES = sorted({(row.key, name) for row in SURVEY_ROWS for name in row.public_names})


def split_package(name):
    """Return the innermost package of a public name, and the path below it."""
    package, path = importlib.import_module("bostruct"), name.split(".")
    while importlib.util.find_spec(f"{package.__name__}.{path[0]}"):
        package = importlib.import_module(f"{package.__name__}.{path.pop(0)}")
    return package, path


def find(name):
    """Return the object, and the class that it is a method of or itself."""
    value, path = split_package(name)
    for part in path:
        owner, value = value, getattr(value, part)
    return value, owner


def documentation(name):
    """Return the docstrings of an object, of its module, its class and its methods."""
    value, owner = find(name)
    parts = [inspect.getmodule(value), value]
    if inspect.isclass(owner):
        parts.append(owner)
    if inspect.isclass(value):
        parts += [member for key, member in vars(value).items() if key[0] != "_"]
        parts += [getattr(value, key) for key in vars(value) if key[0] != "_"]
    return "\n".join(inspect.getdoc(part) or "" for part in parts)


def test_every_row_is_there_once_and_in_order():
    assert [row.key for row in SURVEY_ROWS] == KEYS


@pytest.mark.parametrize(("key", "name"), NAMES)
def test_every_name_has_a_docstring_that_names_the_survey(key, name):
    found, _ = find(name)
    assert callable(found)
    assert inspect.getdoc(found), f"{name} has no docstring"
    assert SURVEY.search(documentation(name)), f"{name} does not name the survey"


@pytest.mark.parametrize("row", SURVEY_ROWS, ids=lambda row: row.key)
def test_every_equation_is_named_where_it_is(row):
    texts = {name: documentation(name) for name in row.public_names}
    for place in row.references:
        assert any(place in text for text in texts.values()), place
    for name, text in texts.items():
        assert any(place in text for place in row.references), name


@pytest.mark.parametrize("row", SURVEY_ROWS, ids=lambda row: row.key)
def test_what_is_public_is_exported(row):
    for name in row.public_names:
        package, (first, *_) = split_package(name)
        assert re.search(rf"\b{first} as {first}\b", inspect.getsource(package)), name


def test_the_page_is_that_of_the_code():
    """Else: `python -m bostruct.uncertainty.survey_table docs/rows.md`."""
    text = PAGE.read_text(encoding="utf-8")
    assert update_document(text) == text
    assert markdown_table() in text


def test_a_page_is_written_between_its_marks(tmp_path):
    path = tmp_path / "rows.md"
    path.write_text(f"before {TABLE_MARKERS[0]} old {TABLE_MARKERS[1]} after\n")
    command = [sys.executable, "-m", "bostruct.uncertainty.survey_table", str(path)]
    subprocess.run(command, check=True, cwd=PAGE.parents[1])
    assert (
        path.read_text()
        == f"before {TABLE_MARKERS[0]}\n{markdown_table()}\n{TABLE_MARKERS[1]} after\n"
    )
    with pytest.raises(InputError, match="`text` must have <!-- rows --> and <!-- end"):
        update_document("no marks")
