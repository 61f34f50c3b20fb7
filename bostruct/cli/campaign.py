"""Commands on one campaign: run, show, front, retract, export, verify."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bostruct.campaign import campaign_file, stop
from bostruct.campaign.log import retraction
from bostruct.campaign.log.from_description import open_log
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.verify import verify_log as check
from bostruct.campaign.report import export as files
from bostruct.campaign.report import pareto_text
from bostruct.campaign.report import text as text
from bostruct.campaign.report.export_front import write_front_files
from bostruct.campaign.report.summary import summarize
from bostruct.errors import LogError, check_count

FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The run folder.")]


CampaignFileOption = Annotated[
    Path | None,
    typer.Option("--file", metavar="FILE", help="Its campaign file, for parts of your own."),
]


def run(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A campaign file.")],
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="The run folder. [default: runs/FILE-SEED]"),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Of all that is random. [default: that of the folder, or 0]"),
    ] = None,
    evaluations: Annotated[
        int | None,
        typer.Option(help="Stop after so many, instead of what the file says."),
    ] = None,
    device: Annotated[str, typer.Option(help="Of the tensor work: auto, cpu or cuda.")] = "auto",
) -> None:
    """Run the campaign in FILE; on the same folder again, resume it."""
    if evaluations is not None:
        check_count("evaluations", evaluations)
    campaign = campaign_file.load_campaign(path)
    if seed is None:
        seed = _seed_of_folder(folder)
    if folder is None:
        folder = Path("runs") / f"{path.stem}-{seed}"
    rule = campaign.stop
    if evaluations is not None:
        rule = stop.with_evaluations(rule, evaluations)
    log = campaign.run(folder, seed, device, stop=rule)
    typer.echo(text.final_text(summarize(log)))


def show(
    folder: FolderArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show where the campaign in DIR stands."""
    found = summarize(open_log(folder))
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, allow_nan=False, indent=1))
    else:
        typer.echo(text.summary_text(found))


def front(
    folder: FolderArgument,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write tables, structures and pictures there."),
    ] = None,
    path: CampaignFileOption = None,
) -> None:
    """Print the Pareto front of the campaign in DIR, and with --out write it."""
    log = open_log(folder) if path is None else campaign_file.load_campaign(path).read(folder)
    found = log.pareto_front()
    names = files.trial_formulas(log, [point.trial for point in found.points])
    heights = files.trial_energies_above_hull(log)
    for line in pareto_text.front_lines(found, names, heights):
        typer.echo(line)
    if out is not None:
        written = write_front_files(log, out, heights)
        typer.echo(f"{out}: {', '.join(written)}")


def retract(
    folder: FolderArgument,
    trial: Annotated[int, typer.Argument(metavar="TRIAL", help="Its number, as `show` prints it.")],
    reason: Annotated[str, typer.Option(help="One sentence for who reads the log.")],
) -> None:
    """Take back what TRIAL found: nothing is learnt from it any more."""
    retraction.retract_trial(folder, trial, reason)
    typer.echo(f"{folder}: trial {trial} is retracted, {reason}")


def export(
    folder: FolderArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The suffix says the format.")],
    include_all: Annotated[
        bool, typer.Option("--all", help="All that was evaluated, not the best alone.")
    ] = False,
) -> None:
    """Write the best structure in DIR, or its front, to OUT in any format of ASE."""
    log = Log(folder)
    images = files.images_to_export(log, include_all)
    files.write_structures(images, out)
    count = f"{len(images)} structures" if include_all else "the best structure"
    if log.optimization_config is not None and not include_all:
        count = f"the {len(images)} structures on the front"
    typer.echo(f"{out}: {count} of {folder}")


def verify(
    folder: FolderArgument,
    path: CampaignFileOption = None,
) -> None:
    """Read the log in DIR again and compare every posterior with what it was."""
    log = open_log(folder) if path is None else campaign_file.load_campaign(path).read(folder)
    verdict = check(log)
    for problem in (*verdict.problems, *verdict.skipped):
        typer.echo(problem, err=True)
    typer.echo(
        f"{folder}: {verdict.n_trials} trials and {verdict.n_posteriors} posteriors read, "
        f"{verdict.n_rebuilt} rebuilt and compared, {len(verdict.problems)} problems"
    )
    if not verdict.is_valid:
        raise typer.Exit(1)


def _seed_of_folder(folder: Path | None) -> int:
    """Return the seed of the campaign in a folder, 0 if there is none."""
    if folder is None:
        return 0
    try:
        return Log(folder).seed
    except LogError:
        return 0
