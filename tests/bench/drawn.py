"""Panels of a picture, kept for a look after they were written."""

from contextlib import contextmanager

from bostruct import plotting


def keep(module, monkeypatch):
    """Return a list that the panels of the next picture of a module will be in."""
    found = []

    @contextmanager
    def kept(titles, path):
        with plotting.bench_panels(titles, path) as drawn:
            found.extend(drawn)
            yield drawn

    monkeypatch.setattr(module, "bench_panels", kept)
    return found
