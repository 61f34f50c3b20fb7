"""Commands on one campaign: run, show, front, retract, export, verify."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bostruct.campaign import campaign_file, stop
from bostruct.campaign.log import retraction
from bostruct.campaign.log.from_description import reopen
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.verify import verify as check
from bostruct.campaign.report import export as files
from bostruct.campaign.report import pareto_text
from bostruct.campaign.report import text as text
from bostruct.campaign.report.export_front import publish
from bostruct.campaign.report.summary import summary
from bostruct.errors import LogError, check_count

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The run folder.")]


CampaignFile = Annotated[
    Path | None,
    typer.Option(
        "--file", metavar="FILE", help="Its campaign file, for parts of your own."
    ),
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
    device: Annotated[
        str, typer.Option(help="Of the tensor work: auto, cpu or cuda.")
    ] = "auto",
) -> None:
    """Run the campaign in FILE; on the same folder again, resume it."""
    if evaluations is not None:
        check_count("evaluations", evaluations)
    campaign = campaign_file.load(path)
    if seed is None:
        seed = _seed(folder)
    if folder is None:
        folder = Path("runs") / f"{path.stem}-{seed}"
    rule = campaign.stop
    if evaluations is not None:
        rule = stop.limit(rule, evaluations)
    log = campaign.run(folder, seed, device, stop=rule)
    typer.echo(text.ending(summary(log)))


def show(
    folder: Folder,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show where the campaign in DIR stands."""
    found = summary(reopen(folder))
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, allow_nan=False, indent=1))
    else:
        typer.echo(text.show(found))


def front(
    folder: Folder,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Write tables, structures and pictures there."
        ),
    ] = None,
    path: CampaignFile = None,
) -> None:
    """Print the Pareto front of the campaign in DIR, and with --out write it."""
    log = reopen(folder) if path is None else campaign_file.load(path).read(folder)
    found = log.front()
    names = files.formulas(log, [point.trial for point in found.points])
    heights = files.above_hull(log)
    for line in pareto_text.front(found, names, heights):
        typer.echo(line)
    if out is not None:
        written = publish(log, out, heights)
        typer.echo(f"{out}: {', '.join(written)}")


def retract(
    folder: Folder,
    trial: Annotated[
        int, typer.Argument(metavar="TRIAL", help="Its number, as `show` prints it.")
    ],
    reason: Annotated[str, typer.Option(help="One sentence for who reads the log.")],
) -> None:
    """Take back what TRIAL found: nothing is learnt from it any more."""
    retraction.retract(folder, trial, reason)
    typer.echo(f"{folder}: trial {trial} is retracted, {reason}")


def export(
    folder: Folder,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The suffix says the format.")
    ],
    every: Annotated[
        bool, typer.Option("--all", help="All that was evaluated, not the best alone.")
    ] = False,
) -> None:
    """Write the best structure in DIR, or its front, to OUT in any format of ASE."""
    log = Log(folder)
    images = files.images(log, every)
    files.export(images, out)
    count = f"{len(images)} structures" if every else "the best structure"
    if log.goals is not None and not every:
        count = f"the {len(images)} structures on the front"
    typer.echo(f"{out}: {count} of {folder}")


def verify(
    folder: Folder,
    path: CampaignFile = None,
) -> None:
    """Read the log in DIR again and compare every posterior with what it was."""
    log = reopen(folder) if path is None else campaign_file.load(path).read(folder)
    verdict = check(log)
    for problem in (*verdict.problems, *verdict.skipped):
        typer.echo(problem, err=True)
    typer.echo(
        f"{folder}: {verdict.trials} trials and {verdict.posteriors} posteriors read, "
        f"{verdict.rebuilt} rebuilt and compared, {len(verdict.problems)} problems"
    )
    if not verdict.good:
        raise typer.Exit(1)


def _seed(folder: Path | None) -> int:
    """Return the seed of the campaign in a folder, 0 if there is none."""
    if folder is None:
        return 0
    try:
        return Log(folder).seed
    except LogError:
        return 0
