import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest

from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.retraction import retract_trial
from bostruct.campaign.report.html.report_page import read_report, report_page, write_report
from bostruct.errors import InputError, LogError
from bostruct.evaluators import evaluate
from tests.campaign.standin import GP, Box, campaign


class Page(HTMLParser):
    """Tags, attributes, texts and scripts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.loaded, self.links, self.scripts, self.text = [], [], [], [], []
        self.open = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.open = tag
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")
        for name, value in attrs:
            if name not in ("src", "href", "srcset", "action", "data", "xlink:href", "poster"):
                continue
            if tag == "a":
                self.links.append(value)
            elif not value.startswith(("#", "data:")):
                self.loaded.append((tag, value))

    def handle_data(self, data):
        if self.open == "script":
            self.scripts[-1] += data
        else:
            self.text.append(data)

    def handle_endtag(self, tag):
        self.open = ""


def data_of(page):
    text = page.split('id="report-data">')[1].split("</script>")[0]
    return json.loads(text)


@pytest.mark.parametrize("which", ["page", "screened_page"])
def test_the_page_loads_nothing(which, request):
    text = request.getfixturevalue(which)
    page = Page(text)
    assert page.loaded == []
    assert page.links
    assert all(link.startswith("https://") for link in page.links)
    (policy,) = [a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a]
    assert "default-src 'none'" in policy
    assert "connect-src" not in policy
    _, viewer, own = page.scripts
    assert len(viewer) > 100_000
    for call in ("fetch(", "XMLHttpRequest", "http", "import(", "WebSocket", "sendBeacon"):
        assert call not in own
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style
    assert len(text.encode()) < 1_500_000


def test_every_part_is_there(page, log):
    text = page
    for name in ("progress", "parity", "calibration", "acquisition", "map", "time"):
        assert f'id="{name}"' in text
    assert "Failures and doubts" not in text
    assert "Methods" in text
    assert "seed 0" in text
    assert "University of Pittsburgh" in text  # the licence
    found = data_of(text)
    best = min(log.trials(), key=lambda t: t.energy)
    assert found["first"] == best.number
    assert len(found["structures"]) == len(found["trials"]) == 8
    assert f"{best.energy:.4f}".replace("-", "−") in text


def test_every_figure_has_words_and_a_table(screened_page):
    page = Page(screened_page)
    pictures = [a for t, a in page.tags if t == "svg"]
    assert len(pictures) == 9
    assert all(a["role"] == "img" and a["aria-label"] for a in pictures)
    assert sum(t == "table" for t, _ in page.tags) >= len(pictures)
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_failures_have_their_reasons(screened_page):
    text = "".join(Page(screened_page).text)
    assert "it broke" in text
    assert "quarantined modulus" in text


def test_texts_of_the_log_are_escaped(folder, log):
    hostile = "</script><script>alert(1)</script><img src=https://x.org/a.png>"
    retract_trial(folder, 3, hostile)
    text = report_page(read_report(log))
    assert "<script>alert" not in text
    assert "<img" not in text
    assert Page(text).loaded == []
    assert data_of(text)["trials"]["3"]["reason"] == hostile


def test_a_log_without_a_space_has_no_viewer(folder):
    text = report_page(read_report(Log(folder)))
    assert 'id="canvas"' not in text
    assert 'id="progress"' in text


def test_a_campaign_that_runs_is_read_and_left_alone(tmp_path):
    """A page is written while a process has the folder, and before there is a surrogate."""
    running = campaign()
    with running.open(tmp_path / "run", seed=0):
        for _ in range(2):
            (trial,) = running.ask(1)
            running.tell(trial, evaluate(running.evaluator, trial.structures))
        running.ask(1)
        before = Log(tmp_path / "run").fingerprint()
        report = write_report(Log(tmp_path / "run", Box(), GP()), tmp_path / "live.html")
        assert report.summary.status == "running"
        assert Log(tmp_path / "run").fingerprint() == before
    text = (tmp_path / "live.html").read_text()
    assert '<span class="live">running</span>' in text
    assert "while the campaign was running" in text
    assert "2 pending" in text


def test_pictures_are_written_beside(log, tmp_path):
    report = write_report(log, tmp_path / "a" / "r.html", tmp_path / "figures", ".png")
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {f"{figure.name}.png" for figure in report.figures}


def test_what_is_no_page_is_refused(log, tmp_path):
    with pytest.raises(InputError, match="`out` must be an HTML file, got campaign"):
        write_report(log, tmp_path / "campaign.db")
    with pytest.raises(InputError, match="`format` must be png or svg, got gif"):
        write_report(log, tmp_path / "a.html", suffix=".gif")
    (tmp_path / "file").write_text("")
    with pytest.raises(LogError, match="could not write"):
        write_report(log, tmp_path / "file" / "a.html")


def test_the_viewer_comes_with_its_licence():
    folder = files("bostruct.campaign.report.html")
    assert "BSD-3-Clause" in folder.joinpath("3Dmol-LICENSE.txt").read_text()
    assert "3dmol v2.5.5" in folder.joinpath("3Dmol-min.js.LICENSE.txt").read_text()
    script = Path(str(folder)) / "3Dmol-min.js"
    assert b"</script" not in script.read_bytes()


@pytest.mark.slow
def test_a_page_of_two_hundred_evaluations_can_be_mailed(tmp_path):
    campaign(n=200).run(tmp_path / "run")
    write_report(Log(tmp_path / "run", Box(), GP()), tmp_path / "a.html")
    assert (tmp_path / "a.html").stat().st_size < 5_000_000
