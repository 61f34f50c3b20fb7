"""Report of a campaign as one HTML page, which needs no network and can be mailed.

The page refuses every request by its content security policy. Texts of the log are escaped. Of a
campaign that runs it shows what is known so far; nothing is written into the run folder.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, final

from bostruct.campaign.analysis.predictions import LoggedPrediction
from bostruct.campaign.log.malformed_log import reads_log
from bostruct.campaign.log.reader import Log
from bostruct.campaign.report.html.acquisition_figure import acquisition_figure, read_acquisitions
from bostruct.campaign.report.html.calibration_figure import calibration_figure
from bostruct.campaign.report.html.descriptor_map import DescriptorMap, map_figure
from bostruct.campaign.report.html.front_figure import front_figures
from bostruct.campaign.report.html.hull_figure import hull_figure
from bostruct.campaign.report.html.methods_text import MethodsText, methods_text, subject_text
from bostruct.campaign.report.html.parity_figure import parity_figure
from bostruct.campaign.report.html.progress_figure import (
    energy_progress_figure,
    hypervolume_progress_figure,
)
from bostruct.campaign.report.html.report_figure import ReportFigure, inline_svg, write_picture
from bostruct.campaign.report.html.report_trials import (
    ReportTrial,
    ReportTrials,
    read_report_trials,
)
from bostruct.campaign.report.html.structure_viewer import decoded_trials, viewer_structures
from bostruct.campaign.report.html.time_figure import duration_text, time_figure
from bostruct.campaign.report.hull_summary import HullSummary
from bostruct.campaign.report.labels import axis_label, format_number, format_objective
from bostruct.campaign.report.summary import CampaignSummary, summarize
from bostruct.errors import InputError, LogError, error_message
from bostruct.runtime.atomic_write import write_atomically
from bostruct.structures import Structures

PICTURE_SUFFIXES = (".png", ".svg")

MAX_LISTED, MAX_MAPPED, MAX_TABLE_ROWS = 60, 1000, 1000
"""Largest numbers of structures in the list and on the map, and of rows in a table."""

MAX_SETTING_CHARACTERS = 1200
"""Length of one part of the description, beyond which it is cut."""

RELAXATION = "relaxation"
"""Generator of the structures of a final relaxation."""

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)
"""Content security policy of the page: nothing is loaded from anywhere."""


@final
@dataclass(frozen=True, eq=False)
class Report:
    """All that a page shows.

    Attributes:
        summary: Summary of the campaign.
        trials: Trials of the campaign.
        figures: Figures, in their order.
        structures: Structures for the viewer by trial, as JSON values.
        methods: Methods paragraph.
        subject: Structures that were searched, in a few words.
        time: Unix time at which the log was read.
    """

    summary: CampaignSummary
    trials: ReportTrials
    figures: tuple[ReportFigure, ...]
    structures: Mapping[int, Mapping[str, Any]]
    methods: MethodsText
    subject: str
    time: float


@reads_log
def read_report(log: Log) -> Report:
    """Return the report of a log.

    Args:
        log: Log, opened with its space for structures and the map.
    """
    read_at = time.time()
    trials = read_report_trials(log)
    summary = summarize(log)
    mapped = [t.number for t in trials.ranked]
    rest = [t.number for t in trials.trials if t.value is None and t.evaluation is not None]
    pending = [t.number for t in trials.trials if t.evaluation is None and t.value is None]
    numbers = [*mapped, *rest][:MAX_MAPPED]
    structures = viewer_structures(log, [*numbers, *pending])
    formula = ""
    figures: list[ReportFigure | None] = []
    if log.optimization_config is None:
        figures += [energy_progress_figure(trials), hull_figure(HullSummary.from_log(log))]
        label = trials.relative_quantity if trials.quantity == "energy (eV)" else "energy (eV)"
        predictions = {label: log.predictions()}
    else:
        front = log.pareto_front()
        figures += [*front_figures(front), hypervolume_progress_figure(front)]
        predictions = {
            axis_label(name, log.optimization_config): log.predictions(outcome=name)
            for name in front.learned_names
        }
    figures += _search_figures(log, summary, trials, predictions)
    found = decoded_trials(log, numbers)
    if found:
        decoded = Structures.cat([t.structures for t in found if t.structures is not None])
        place = DescriptorMap.from_structures(
            decoded.without_results(), [trial.number for trial in found]
        )
        figures.append(None if place is None else map_figure(place, trials))
        formulas = set(decoded.formulas())
        formula = formulas.pop() if len(formulas) == 1 else ""
    figures.append(time_figure(trials, log.steps(), summary.seconds))
    n_without_model = sum(
        t.evaluation is not None and t.acquisition is None and t.generator != RELAXATION
        for t in trials.trials
    )
    return Report(
        summary=summary,
        trials=trials,
        figures=tuple(figure for figure in figures if figure is not None),
        structures=structures,
        methods=methods_text(summary, formula, n_without_model),
        subject=subject_text(summary.description, formula),
        time=read_at,
    )


def _search_figures(
    log: Log,
    summary: CampaignSummary,
    trials: ReportTrials,
    predictions: Mapping[str, Sequence[LoggedPrediction]],
) -> list[ReportFigure | None]:
    described = summary.description.get("acquisition")
    name = described.get("type", "") if isinstance(described, Mapping) else ""
    return [
        parity_figure(predictions, trials.origin if trials.quantity == "energy (eV)" else 0.0),
        calibration_figure(predictions),
        acquisition_figure(trials, read_acquisitions(log, trials), str(name) or "Acquisition"),
    ]


def write_report(log: Log, out: Path, pictures: Path | None = None, suffix: str = ".svg") -> Report:
    """Write the report of a log.

    Args:
        log: Log of the campaign.
        out: HTML file to write.
        pictures: Folder for the figures as single files; None for no such files.
        suffix: Format of these files, ".png" or ".svg".

    Returns:
        The report.

    Raises:
        InputError: a format is not known.
        LogError: a file cannot be written.
    """
    if suffix not in PICTURE_SUFFIXES:
        raise InputError(error_message("format", "be png or svg", suffix.removeprefix(".")))
    if out.suffix.lower() not in (".html", ".htm"):
        hint = "For example report.html."
        raise InputError(error_message("out", "be an HTML file", out.name, hint))
    report = read_report(log)
    page = report_page(report).encode(errors="replace")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if pictures is not None:
            pictures.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LogError(f"could not write {out}: {error.strerror or error}") from error
    write_atomically(out, page)
    if pictures is not None:
        for figure in report.figures:
            write_picture(figure, pictures / f"{figure.name}{suffix}")
    return report


def report_page(report: Report) -> str:
    """Return a report as the text of an HTML page."""
    figures = "".join(_figure_section(figure) for figure in report.figures)
    body = [
        _header(report),
        _viewer_section(report),
        f'<div class="grid">{figures}</div>' if figures else "",
        _failures_section(report),
        _methods_section(report.methods),
        _settings_section(report.summary),
        _licence_section(),
    ]
    title = escape(f"{report.subject}: report of a bostruct campaign")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{title}</title><link rel="icon" href="data:,">'
        f"<style>{_data_file('page.css')}</style></head>\n<body><main>{''.join(body)}"
        f'{_footer(report)}</main>\n<div id="tip" hidden></div>\n'
        f'<script type="application/json" id="report-data">{_json_data(report)}</script>\n'
        f"<script>{_data_file('3Dmol-min.js') if report.structures else ''}</script>\n"
        f"<script>{_data_file('page.js')}</script>\n</body></html>\n"
    )


def _header(report: Report) -> str:
    summary = report.summary
    state = escape(summary.status)
    if summary.status == "running":
        state = '<span class="live">running</span>'
    counts = f"{summary.n_failed} failed, {summary.n_pending} pending"
    if summary.n_initial_data:
        counts += f", {summary.n_initial_data} given"
    facts = [("state", state, escape(summary.reason))]
    facts.append(("evaluations", str(summary.n_evaluations), counts))
    facts += _best_facts(report)
    total = sum(summary.seconds.values())
    evaluate = duration_text(summary.seconds.get("evaluate", 0.0))
    facts.append(("time", duration_text(total), f"{evaluate} of it evaluations"))
    cells = "".join(
        f"<div><dt>{name}</dt><dd>{value}<small>{note}</small></dd></div>"
        for name, value, note in facts
    )
    warnings = [summary.contradiction, *summary.diagnoses]
    notes = "".join(f'<p class="warning">{_prose(text)}</p>' for text in warnings if text)
    goals = ""
    if summary.pareto is not None:
        config = summary.pareto.optimization_config
        parts = [format_objective(part) for part in config.objectives]
        goals = "; ".join(parts + [format_objective(part) for part in config.constraints])
    lead = goals or (report.methods.sentences[0] if report.methods.sentences else "")
    return (
        '<header><p class="kicker">bostruct campaign</p>'
        f'<h1>{escape(report.subject)}</h1><p class="lead">{_prose(lead)}</p>'
        f'<dl class="facts">{cells}</dl>{notes}</header>'
    )


def _best_facts(report: Report) -> list[tuple[str, str, str]]:
    summary = report.summary
    if summary.pareto is not None:
        n = len(summary.pareto.structures)
        volume = format_number(summary.pareto.hypervolume)
        return [("on the front", str(n), f"hypervolume {volume}")]
    best = None if summary.energy is None else summary.energy.best
    if best is None or summary.energy is None:
        return [("best", "–", "no energy yet")]
    value, unit = f"{best.value:.6g}", "eV" if best.energy_above_hull is None else "eV/atom"
    if best.energy_above_hull is None:
        value = f"{best.value:.4f}"
    where = "given" if best.evaluation is None else f"evaluation {best.evaluation}"
    name = summary.names.get(best.trial, "")
    note = escape(", ".join(filter(None, [where, name, best.generator])))
    label = report.trials.quantity.split(" (")[0]
    facts = [(f"lowest {label}", f"{value.replace('-', '−')} {unit}", note)]
    if summary.energy.hull is not None:
        stable = summary.energy.hull.stable
        names = ", ".join(phase.formula for phase in stable)
        facts = [("stable phases", str(len(stable)), escape(names))]
    calibration = summary.energy.calibration
    if calibration.n_predictions:
        facts.append(
            (
                "calibration",
                f"σ × {calibration.sigma_factor:.2f}",
                f"by {calibration.n_predictions} predictions",
            )
        )
    crystal = summary.energy.crystals.get(best.trial)
    if crystal is not None:
        group = "layer group" if crystal.is_layer else "space group"
        symbol = re.sub(r"_(\d)", r"<sub>\1</sub>", escape(crystal.space_group))
        facts.append((group, symbol, f"no. {crystal.space_group_number}"))
    return facts


def _viewer_section(report: Report) -> str:
    listed = _listed(report)
    if not listed:
        return ""
    origin = report.trials.origin
    items = "".join(
        f'<li><button type="button" data-trial="{t.number}"><span class="g">trial {t.number}</span>'
        f"<span>{escape(t.name or t.generator)}</span>"
        f'<span class="v">{_relative_text(t, origin)}</span></button></li>'
        for t in listed
    )
    total = len(report.trials.ranked)
    more = f" The best {len(listed)} of {total}." if len(listed) < total else ""
    what = "On the front first, then by" if report.summary.pareto is not None else "By"
    return (
        "<section><h2>Structures</h2>"
        '<div class="viewer"><div><div class="stage"><div id="canvas" role="img" '
        'aria-label="Rotatable picture of the chosen structure"></div></div><div class="bar">'
        '<output id="shown"></output><button type="button" id="repeat" aria-pressed="false" hidden>'
        'repeat cell</button><button type="button" id="save">save as extxyz</button></div></div>'
        f'<div><ul class="list">{items}</ul><p class="note">'
        f"{what} {escape(report.trials.relative_quantity)}.{more}</p></div></div></section>"
    )


def _relative_text(trial: ReportTrial, origin: float) -> str:
    """Return the value of a trial less the origin."""
    assert trial.value is not None
    return format_number(trial.value - origin).replace("-", "−")


def _listed(report: Report) -> list[ReportTrial]:
    """Return the trials of the list, the best first."""
    shown = [trial for trial in report.trials.ranked if trial.number in report.structures]
    return shown[:MAX_LISTED]


def _figure_section(figure: ReportFigure) -> str:
    wide = ' class="wide"' if figure.size[0] > 5.5 else ""
    return (
        f'<section{wide} id="{figure.name}"><h2>{escape(figure.title)}</h2><figure>'
        f"{inline_svg(figure)}<figcaption>{escape(figure.caption)}</figcaption></figure>"
        f"{_table('Numbers', figure.columns, figure.rows)}</section>"
    )


def _table(summary: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    body = "".join(
        f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows[:MAX_TABLE_ROWS]
    )
    left_out = len(rows) - MAX_TABLE_ROWS
    note = f"<p>{left_out} further rows are left out.</p>" if left_out > 0 else ""
    return (
        f'<details><summary>{escape(summary)}</summary><div class="scroll" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}</div></details>"
    )


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f'<td class="n">{format_number(value).replace("-", "−")}</td>'
    return f"<td>{'' if value is None else escape(str(value))}</td>"


def _failures_section(report: Report) -> str:
    bad = [t for t in report.trials.trials if t.state in ("failed", "retracted", "doubted")]
    quarantined = () if report.summary.pareto is None else report.summary.pareto.quarantined
    if not bad and not quarantined:
        return ""
    rows: list[tuple[object, ...]] = [
        (t.number, t.name, t.state, t.generator, t.reason) for t in bad
    ]
    rows += [
        (q.trial, "", f"quarantined {q.name}", "", f"{format_number(q.value)}: {q.reason}")
        for q in quarantined
    ]
    columns = ("trial", "structure", "state", "proposed by", "reason")
    table = _table(f"{len(rows)} trials", columns, rows).replace("<details>", "<details open>")
    return f"<section><h2>Failures and doubts</h2>{table}</section>"


def _methods_section(methods: MethodsText) -> str:
    items = "".join(
        f"<li>{_linked(citation.text, citation.link)}</li>" for citation in methods.references
    )
    return (
        f"<section><h2>Methods</h2><p>{_prose(' '.join(methods.sentences))}</p>"
        f'<ol class="references">{items}</ol></section>'
    )


def _linked(text: str, link: str) -> str:
    """Return a text, with its link if it has one."""
    return f'<a href="{escape(link)}">{escape(text)}</a>' if link else escape(text)


def _prose(text: str) -> str:
    """Return a text with what stands between backticks as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{p}</code>" if i % 2 else p for i, p in enumerate(parts))


def _settings_section(summary: CampaignSummary) -> str:
    blocks = []
    for name, value in summary.description.items():
        shown = _setting(value)
        blocks.append(f"<dl><dt>{escape(name.replace('_', ' '))}</dt><dd>{shown}</dd></dl>")
    versions = ", ".join(f"{name} {v}" for name, v in (summary.versions or {}).items())
    run = (
        f"seed {summary.seed}; device {summary.device}; threads {summary.threads}; "
        f"{summary.n_sessions} session{'' if summary.n_sessions == 1 else 's'}; {versions}"
    )
    blocks.append(f"<dl><dt>run</dt><dd>{escape(run)}</dd></dl>")
    return (
        "<section><h2>Settings and versions</h2>"
        f'<div class="settings">{"".join(blocks)}</div></section>'
    )


def _setting(value: object) -> str:
    if isinstance(value, Mapping):
        parts = [f"{k} = {_plain(v)}" for k, v in value.items() if k != "type" and v is not None]
        text = f"{value.get('type', '')}({', '.join(parts)})"
    else:
        text = _plain(value)
    if len(text) > MAX_SETTING_CHARACTERS:
        text = f"{text[:MAX_SETTING_CHARACTERS]} … (cut; all of it: bostruct show --json)"
    return escape(text)


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value, ensure_ascii=False)


def _licence_section() -> str:
    text = escape(_data_file("3Dmol-LICENSE.txt"))
    return (
        "<details><summary>Licence of the structure viewer, 3Dmol.js</summary>"
        f"<pre>{text}</pre></details>"
    )


def _footer(report: Report) -> str:
    stamp = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(report.time))
    version = escape(str((report.summary.versions or {}).get("bostruct", "")))
    live = " while the campaign was running" if report.summary.status == "running" else ""
    return (
        f"<footer>Read from the log on {stamp}{live}. bostruct {version}, "
        f"<code>bostruct report {escape(Path(report.summary.folder).name)}</code>. "
        "This page loads nothing from a network.</footer>"
    )


def _json_data(report: Report) -> str:
    listed = _listed(report)
    trials = {}
    for trial in report.trials.trials:
        values = list(trial.outcomes.items())
        if not trial.outcomes and trial.value is not None:
            values = [(report.trials.quantity, trial.value)]
        trials[trial.number] = {
            "name": trial.name,
            "generator": trial.generator,
            "step": trial.step,
            "state": trial.state,
            "reason": trial.reason,
            "values": values,
            "mean": trial.mean,
            "sigma": trial.sigma,
        }
    data = {
        "trials": trials,
        "structures": report.structures,
        "first": listed[0].number if listed else None,
    }
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _data_file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
