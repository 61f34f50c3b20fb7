import pytest

from bostruct.cli.progress_line import progress_line


def test_nothing_is_shown_where_stderr_is_no_terminal(capsys):
    with progress_line() as line:
        line.update("3 of 4 runs")
    assert capsys.readouterr() == ("", "")


def test_it_is_removed_after_an_error(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with pytest.raises(ZeroDivisionError), progress_line() as line:
        assert line.console.is_terminal
        _ = 1 / 0
    assert not line._live.is_started
