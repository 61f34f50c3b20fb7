"""Fixtures of the tests of reports."""

from contextlib import contextmanager

import pytest

from bostruct import plotting


@pytest.fixture
def drawn(monkeypatch):
    """The panels of the last figure."""
    seen = []
    original = plotting.saved_figure

    @contextmanager
    def figure(*arguments, **options):
        with original(*arguments, **options) as panels:
            seen[:] = panels
            yield panels

    monkeypatch.setattr(plotting, "saved_figure", figure)
    return seen
