"""Docstrings of the package begin with a noun phrase or a verb, and arguments stand alone."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "bostruct"
FILES = sorted(PACKAGE.rglob("*.py"))
QUESTION = re.compile(r"(What|How|Which|Who|Whose|Whether|Where|When|Why|That|Those)\b")
"""A docstring that begins so is a clause, and says less than a term of the field."""

DEPENDENT = re.compile(
    r"(Of|Its|Their|Those|That|The same|As|For those|See|Likewise|What|How|Which|Who|Whether|Where)"
    r"\b",
    re.IGNORECASE,
)
"""The text of an argument that begins so needs the line above it."""

SECTIONS = ("Args:", "Attributes:")


def docstrings(text):
    """Yield line number and docstring of a module and all that it defines."""
    for node in ast.walk(ast.parse(text)):
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, kinds) and (docstring := ast.get_docstring(node)):
            yield node.body[0].lineno, docstring


def arguments(docstring):
    """Yield name and text of each documented argument and attribute."""
    inside = False
    for line in docstring.splitlines():
        if line in SECTIONS:
            inside = True
        elif inside and line and not line.startswith(" "):
            inside = False
        elif inside and (match := re.match(r" {4}(\*{0,2}\w+)(?: \([^)]*\))?: (.*)", line)):
            yield match[1], match[2]


def faults(text):
    """Return line and sentence of each docstring that breaks the rules."""
    sentences = []
    for line, docstring in docstrings(text):
        if QUESTION.match(docstring):
            sentences.append(f"{line}: {docstring.splitlines()[0]}")
        sentences += [
            f"{line}: {name}: {text}"
            for name, text in arguments(docstring)
            if DEPENDENT.match(text.lstrip("`"))
        ]
    return sentences


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_docstrings_stand_alone(path):
    assert faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("docstring", "count"),
    [
        ("Log marginal likelihood and its gradient.", 0),
        ("What is believed.", 1),
        ("Sum.\n\nArgs:\n    a: Of the tensor work.\n    b: Number of atoms.", 1),
        ("Sum.\n\nArgs:\n    a (int): the same.\n\nReturns:\n    Of no concern.", 1),
    ],
)
def test_faults_are_seen(docstring, count):
    assert len(faults(f'"""{docstring}"""\n')) == count
