"""Commands on one campaign: run, show, report, front, landscape, export, verify, corrections."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from bostruct import cli
from bostruct.errors import InputError, LogError, check_count, error_message
from bostruct.runtime.control_characters import visible_json, visible_lines, visible_text

HEAD_LENGTH = 16
"""Number of hexadecimal digits of the head of a hash chain that are printed."""

FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Run folder.")]

CampaignFileOption = Annotated[
    Path | None,
    typer.Option(
        "--file",
        metavar="FILE",
        help="Campaign file, for a space or a surrogate that bostruct does not have.",
    ),
]

ReferencesOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--references",
        metavar="FILE",
        help="Known phases to put on the convex hull: structures with energies in any format of "
        "ASE, or entries of pymatgen as JSON; may be repeated.",
    ),
]

WindowOption = Annotated[
    float | None,
    typer.Option(
        "--energy-window",
        help="Highest energy of a minimum above the lowest, eV.",
        show_default="10 kT",
    ),
]
TemperatureOption = Annotated[float, typer.Option(help="Temperature of the Boltzmann weights, K.")]
RMSDOption = Annotated[
    float | None,
    typer.Option(
        "--rmsd",
        help="RMSD of heavy atoms, Å, up to which conformers of one molecule are one.",
        show_default="duplicates of the space only",
    ),
]

TrialArgument = Annotated[
    int, typer.Argument(metavar="TRIAL", help="Number of the trial, as `show` prints it.")
]
ReasonOption = Annotated[str, typer.Option(help="Reason, one sentence for the log.")]


def run(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Campaign file.")],
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Run folder.", show_default="runs/FILE-SEED")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of the campaign.", show_default="that of the folder, or 0"),
    ] = None,
    evaluations: Annotated[
        int | None, typer.Option(help="Number of evaluations, instead of that of the file.")
    ] = None,
    device: Annotated[
        str, typer.Option(help="Device of the tensor work: auto, cpu or cuda.")
    ] = "auto",
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Where energies are computed: in-process, processes, dask, or the address of a "
            "Dask scheduler.",
            show_default="that of the file",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Number of worker processes of the engine.", show_default="the batch size"
        ),
    ] = None,
) -> None:
    """Run the campaign in FILE; resume it on the same folder."""
    if evaluations is not None:
        check_count("evaluations", evaluations)
    campaign = cli.campaign_file.load_campaign(path)
    if seed is None:
        seed = _seed_of_folder(folder)
    if folder is None:
        folder = Path("runs") / f"{path.stem}-{seed}"
    criterion = campaign.stop
    if evaluations is not None:
        criterion = cli.stop.with_evaluations(criterion, evaluations)
    executor = None
    if engine is not None or workers is not None:
        n_workers = campaign.components.batch_size if workers is None else workers
        executor = cli.make_engine("processes" if engine is None else engine, n_workers)
    log = campaign.run(folder, seed, device, executor=executor, stop=criterion)
    summary = cli.summarize(log)
    typer.echo(cli.final_text(summary))
    if summary.n_evaluations and summary.n_evaluations == summary.n_failed:
        raise typer.Exit(1)


def show(
    folder: FolderArgument,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="PNG", help="Picture of the convex hull of two elements to write."),
    ] = None,
    references: ReferencesOption = None,
    minima: Annotated[
        bool, typer.Option("--minima", help="All distinct minima of low energy, instead.")
    ] = False,
    window: WindowOption = None,
    temperature: TemperatureOption = 298.15,
    rmsd: RMSDOption = None,
    path: CampaignFileOption = None,
) -> None:
    """Show the state and the results of the campaign in DIR."""
    if minima:
        with cli.refuse_malformed(folder):
            found = cli.Minima.from_log(_open_log(folder, path), window, temperature, rmsd)
        typer.echo(visible_lines("\n".join(cli.minima_lines(found))))
        return
    summary = cli.summarize(_with_references(cli.open_log(folder), references))
    with cli.refuse_malformed(folder):
        if as_json:
            text = json.dumps(summary.to_json(), ensure_ascii=False, allow_nan=False, indent=1)
            text = visible_json(text)
        else:
            text = cli.summary_text(summary)
    typer.echo(text)
    if plot is not None:
        cli.plot_hull(None if summary.energy is None else summary.energy.hull, plot)


def list_folder(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder in which campaigns are looked for.")
    ] = Path(),
) -> None:
    """List all campaigns in FOLDER and below it, a line each."""
    for line in cli.list_lines(cli.list_campaigns(folder)):
        typer.echo(visible_text(line))


def report(
    folder: FolderArgument,
    out: Annotated[
        Path | None,
        typer.Option(metavar="HTML", help="Page to write.", show_default="NAME-report.html"),
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder for the figures as single files.")
    ] = None,
    picture_format: Annotated[
        Literal["svg", "png"], typer.Option("--format", help="Format of these files.")
    ] = "svg",
    references: ReferencesOption = None,
    path: CampaignFileOption = None,
) -> None:
    """Write a report of the campaign in DIR: one HTML page that needs no network.

    It has the best structures in a rotatable viewer, the figures, the failures, a methods paragraph
    and all settings. The campaign may be running.
    """
    log = _with_references(_open_log(folder, path), references)
    out = Path(f"{log.folder.name}-report.html") if out is None else out
    written = cli.write_report(log, out, pictures, f".{picture_format}")
    n = written.summary.n_evaluations
    typer.echo(visible_text(f"{out}: {written.subject}, {n} evaluations"))
    if pictures is not None:
        typer.echo(visible_text(f"{pictures}: {len(written.figures)} figures"))


def front(
    folder: FolderArgument,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder for tables, structures and plots.")
    ] = None,
    path: CampaignFileOption = None,
) -> None:
    """Print the Pareto front of the campaign in DIR, and write it with --out."""
    log = _open_log(folder, path)
    pareto_front = log.pareto_front()
    formulas = cli.trial_formulas(log, [point.trial for point in pareto_front.points])
    e_above_hull = cli.trial_energies_above_hull(log)
    with cli.refuse_malformed(folder):
        lines = cli.front_lines(pareto_front, formulas, e_above_hull)
    typer.echo("\n".join(lines))
    if out is not None:
        names = ", ".join(cli.write_front_files(log, out, e_above_hull))
        typer.echo(visible_text(f"{out}: {names}"))


def landscape(
    folder: FolderArgument,
    coordinates: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="COORDINATES",
            help="One or two coordinates of the slice.",
            show_default="the first two",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Picture of the slice to write.")
    ] = None,
    temperature: Annotated[
        float, typer.Option(help="Temperature of the Boltzmann weights, K.")
    ] = 298.15,
    path: CampaignFileOption = None,
) -> None:
    """Print the minima of the surrogate in DIR over few coordinates, and draw it with --out."""
    log = _open_log(folder, path)
    with cli.refuse_malformed(folder):
        found = cli.Landscape.from_log(log, coordinates or (), temperature)
    typer.echo(visible_lines("\n".join(found.minima_lines())))
    if out is not None:
        cli.plot_landscape(found, out)
        typer.echo(visible_text(str(out)))


def retry(
    folder: FolderArgument,
    trials: Annotated[
        list[int] | None,
        typer.Argument(
            metavar="TRIALS",
            help="Numbers of failed trials, as `show` prints them.",
            show_default="all that have failed",
        ),
    ] = None,
) -> None:
    """Plan failed trials again after a repair: the next run evaluates them first."""
    numbers = ", ".join(map(str, cli.retry_trials(folder, trials or None)))
    typer.echo(f"{folder}: planned again, trial {numbers}")


def retract(folder: FolderArgument, trial: TrialArgument, reason: ReasonOption) -> None:
    """Retract the result of TRIAL: nothing is learned from it any more."""
    cli.retract_trial(folder, trial, reason)
    typer.echo(visible_text(f"{folder}: trial {trial} is retracted, {reason}"))


def trust(folder: FolderArgument, trial: TrialArgument, reason: ReasonOption) -> None:
    """Trust the result of TRIAL: the doubt about it is dismissed."""
    cli.trust_trial(folder, trial, reason)
    typer.echo(visible_text(f"{folder}: trial {trial} is trusted, {reason}"))


def export(
    folder: FolderArgument,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="File to write; its suffix sets the format.")
    ],
    include_all: Annotated[
        bool, typer.Option("--all", help="All evaluated structures, not only the best.")
    ] = False,
    references: ReferencesOption = None,
    minima: Annotated[
        bool,
        typer.Option("--minima", help="All distinct minima of low energy, lowest first."),
    ] = False,
    window: WindowOption = None,
    temperature: TemperatureOption = 298.15,
    rmsd: RMSDOption = None,
    relax: Annotated[
        bool,
        typer.Option(
            "--relax", help="Relax these minima first with the evaluator of the campaign file."
        ),
    ] = False,
    path: CampaignFileOption = None,
    chemiscope: Annotated[
        bool,
        typer.Option("--chemiscope", help="All with results as a map for chemiscope, .json.gz."),
    ] = False,
) -> None:
    """Write the best structure in DIR, or its front, to OUT in any format of ASE."""
    if chemiscope:
        count = cli.write_chemiscope(_with_references(_open_log(folder, path), references), out)
        typer.echo(visible_text(f"{out}: {count} structures of {folder}"))
        return
    if relax and (path is None or not minima):
        condition = "come with --minima, and with the --file whose evaluator it takes"
        value = "none of the file" if path is None else "none of --minima"
        raise InputError(error_message("--relax", condition, value))
    if minima:
        if relax and path is not None:
            campaign = cli.campaign_file.load_campaign(path)
            campaign.relax_minima(folder, window, temperature, rmsd_threshold=rmsd)
        with cli.refuse_malformed(folder):
            found = cli.Minima.from_log(_open_log(folder, path), window, temperature, rmsd)
        cli.write_structures(cli.minima_images(found), out)
        n_relaxed = sum(minimum.is_relaxed for minimum in found.minima)
        text = f"{out}: {len(found.minima)} minima of {folder}, {n_relaxed} relaxed"
        typer.echo(visible_text(text))
        return
    log = _with_references(cli.open_log(folder), references) if references else cli.Log(folder)
    images = cli.images_to_export(log, include_all)
    cli.write_structures(images, out)
    contents = f"{len(images)} structures" if include_all else "the best structure"
    if len(images) > 1 and not include_all:
        contents = f"the {len(images)} stable phases"
    if log.optimization_config is not None and not include_all:
        contents = f"the {len(images)} structures on the front"
    typer.echo(visible_text(f"{out}: {contents} of {folder}"))


def verify(folder: FolderArgument, path: CampaignFileOption = None) -> None:
    """Verify the log in DIR: hash chain, files, structures, and restored posteriors.

    The head of the hash chain stands for the whole log: cited, it tells any later change.
    """
    report = cli.verify_log(_open_log(folder, path))
    for sentence in (*report.problems, *report.skipped):
        typer.echo(visible_text(sentence), err=True)
    counts = (
        f"{folder}: {report.n_trials} trials and {report.n_posteriors} posteriors read, "
        f"{report.n_rebuilt} rebuilt and compared, {len(report.problems)} problems"
    )
    typer.echo(visible_text(counts))
    if report.head:
        typer.echo(f"head of the hash chain: {report.head[:HEAD_LENGTH]}")
    if not report.is_valid:
        raise typer.Exit(1)


def _open_log(folder: Path, path: Path | None) -> cli.Log:
    """Return the log with the parts of the campaign file, or of its description without one."""
    return (
        cli.open_log(folder) if path is None else cli.campaign_file.load_campaign(path).read(folder)
    )


def _with_references(log: cli.Log, references: list[Path] | None) -> cli.Log:
    """Return a log with the phases in some files on its hull."""
    return log.with_references(list(references)) if references else log


def _seed_of_folder(folder: Path | None) -> int:
    """Return the seed of the campaign in a folder, 0 if there is none."""
    if folder is None:
        return 0
    try:
        return cli.Log(folder).seed
    except LogError:
        return 0
