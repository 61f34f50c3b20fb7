"""Panels of a picture, kept for a look after they were written."""

from contextlib import contextmanager

from bostruct import plotting


def keep(module, monkeypatch):
    """Return a list that the panels of the next picture of a module will be in."""
    found = []

    @contextmanager
    def kept(*arguments, **options):
        with plotting.saved_figure(*arguments, **options) as drawn:
            found.extend(drawn)
            yield drawn

    monkeypatch.setattr(module, "saved_figure", kept)
    return found
