import sys

import pytest

PACKAGE = """
from typing import TYPE_CHECKING

from bostruct.runtime.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from probe_package import inner as inner
    from probe_package.inner import value as renamed
    from probe_package.broken import nothing as nothing
else:
    __getattr__, __dir__ = lazy_exports(__name__)
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a module, and one whose import fails."""
    folder = tmp_path / "probe_package"
    folder.mkdir()
    (folder / "__init__.py").write_text(PACKAGE)
    (folder / "inner.py").write_text("value = 7\n")
    (folder / "broken.py").write_text("raise RuntimeError('of its own')\n")
    monkeypatch.syspath_prepend(tmp_path)
    import probe_package

    yield probe_package
    for name in [name for name in sys.modules if name.startswith("probe_package")]:
        del sys.modules[name]


def test_names_are_imported_at_their_first_use(package):
    assert {"inner", "renamed", "nothing"} <= set(dir(package))
    assert "probe_package.inner" not in sys.modules
    assert package.renamed == 7
    assert package.inner is sys.modules["probe_package.inner"]
    assert vars(package)["renamed"] == 7  # the next use asks nobody
    from probe_package import renamed

    assert renamed == 7


def test_an_unknown_name_is_an_attribute_error(package):
    with pytest.raises(AttributeError, match="'probe_package' has no attribute 'missing'"):
        _ = package.missing
    assert not hasattr(package, "missing")


def test_an_import_that_fails_says_why(package):
    with pytest.raises(RuntimeError, match="of its own"):
        _ = package.nothing
