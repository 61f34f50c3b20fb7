"""The page of the formulas: none without a function, none that does not say which it is."""

import importlib.util
import inspect
import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[1] / "docs" / "rows.md").read_text(encoding="utf-8")
TABLE = re.search(r"<!-- rows -->\n(.*)<!-- end -->", TEXT, re.DOTALL)[1].splitlines()[2:]
CELLS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in TABLE]
ROWS = [(key, re.findall("`(.*?)`", names), places) for key, _, places, names, _ in CELLS]
KEYS = [f"U{n}" for n in (*range(1, 9), *range(10, 25), 34, 35)]
SURVEY = re.compile(r"Digital\s+Discovery\s+(2025,\s+4,\s+2654|4,\s+2654\s+\(2025\))")
NAMES = sorted((key, name) for key, names, _ in ROWS for name in names)
EACH_ROW = pytest.mark.parametrize(("key", "names", "places"), ROWS, ids=[row[0] for row in ROWS])


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


def names_place(text, place):
    """Return whether a text names an equation, "(7)", or a section of the survey, "Sec. 2.1"."""
    section = place.removeprefix("Sec. ")
    return (
        place in text
        if section == place
        else bool(re.search(rf"[Ss]ec(tion|\.)\s+{section}", text))
    )


def test_every_row_is_there_once_and_in_order():
    assert [key for key, _, _ in ROWS] == KEYS
    assert all(names for _, names, _ in ROWS)


@pytest.mark.parametrize(("key", "name"), NAMES)
def test_every_name_has_a_docstring_that_names_the_survey(key, name):
    found, _ = find(name)
    assert callable(found)
    assert inspect.getdoc(found), f"{name} has no docstring"
    assert SURVEY.search(documentation(name)), f"{name} does not name the survey"


@EACH_ROW
def test_every_equation_is_named_where_it_is(key, names, places):
    texts = {name: documentation(name) for name in names}
    for place in places.split(", "):
        assert any(names_place(text, place) for text in texts.values()), place
    for name, text in texts.items():
        assert any(names_place(text, place) for place in places.split(", ")), name


@EACH_ROW
def test_what_is_public_is_exported(key, names, places):
    for name in names:
        package, (first, *_) = split_package(name)
        assert re.search(rf"\b{first} as {first}\b", inspect.getsource(package)), name
