"""Reference pages of the site: one for each package, with all names that it exports."""

import ast
import re
from pathlib import Path

import griffe
from mkdocs.structure.files import File

ROOT = Path(__file__).parent.parent
SOURCES = {
    "bostruct": "bostruct/__init__.py",
    "stop": "bostruct/campaign/stop.py",
    "executors": "bostruct/runtime/executors.py",
    "errors": "bostruct/errors.py",
    "bench-uncertainty": "bostruct/bench/uncertainty/__init__.py",
} | {
    name: f"bostruct/{name}/__init__.py"
    for name in (
        "acquisition",
        "bench",
        "campaign",
        "candidates",
        "descriptors",
        "evaluators",
        "objectives",
        "spaces",
        "structures",
        "surrogates",
        "uncertainty",
    )
}
"""Page below `reference/` to the file it documents."""


def module_name(path):
    """Return the dotted name of a source file."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def public_names(path):
    """Return where each public name of a package or module is defined, in order.

    Those of a package are its imports from the package itself, without its modules; those
    of a module are its classes and functions.
    """
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    names = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            names[node.name] = f"{module_name(path)}.{node.name}"
        if not path.endswith("__init__.py") or not isinstance(node, ast.ImportFrom):
            continue
        home = node.module or ""
        for alias in node.names:
            place = ROOT / home.replace(".", "/") / alias.name
            if home.startswith("bostruct") and not (
                place.is_dir() or place.with_suffix(".py").is_file()
            ):
                names[alias.asname or alias.name] = f"{home}.{alias.name}"
    return names


def page(path):
    """Return the Markdown of one reference page: the docstring of the package, then its names."""
    docstring = ast.get_docstring(ast.parse((ROOT / path).read_text(encoding="utf-8")))
    paragraphs = (
        f"```text\n{text}\n```" if "\n    " in text else text for text in docstring.split("\n\n")
    )
    names = (f"::: {home}" for home in public_names(path).values())
    return "\n\n".join([f"# {module_name(path)}", *paragraphs, *names])


def on_files(files, config):
    """Add the pages to those of `docs/`."""
    for name, path in SOURCES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=page(path)))
    return files


class FencedDoctests(griffe.Extension):
    """Show the interactive examples of docstrings as code."""

    DOCTEST = re.compile(r"^>>> .*(?:\n(?!\n).+)*", re.MULTILINE)

    def on_object(self, *, obj, **kwargs):
        """Put fences around each example."""
        if obj.docstring:
            obj.docstring.value = self.DOCTEST.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)
