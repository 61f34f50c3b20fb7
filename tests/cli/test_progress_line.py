import pytest

from bostruct.cli.progress_line import progress_line


def test_nothing_is_shown_where_stderr_is_no_terminal(capsys):
    with progress_line() as line:
        line.update("3 of 4 runs")
    assert capsys.readouterr() == ("", "")


def test_it_is_removed_after_an_error(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    lines = []

    def fail():
        with progress_line() as line:
            lines.append(line)
            assert line._live.is_started
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not lines[0]._live.is_started
