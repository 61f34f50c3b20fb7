"""Command `bench`: evaluations until the known answer of each task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bostruct import cli
from bostruct.cli.progress_line import progress_line
from bostruct.errors import InputError, check_count, error_message

CONSOLE_WIDTH = 120
"""Columns of the table where the output is no terminal."""


def bench(
    tasks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TASKS",
            help='Names, groups ("all", "matter", "crystals", "phase-diagrams", "conformers"), or '
            "Python files that define tasks.",
            show_default="lj7 lj13 cu15",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Number of seeds.")] = 20,
    first_seed: Annotated[int, typer.Option(help="First of the seeds.")] = 0,
    evaluations: Annotated[
        int, typer.Option(help="Maximum of evaluations; a campaign that needs more has failed.")
    ] = 100,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the results.")] = Path(
        "runs/bench"
    ),
    jobs: Annotated[int, typer.Option(help="Number of parallel runs, each on one core.")] = 1,
    effort: Annotated[
        list[str] | None,
        typer.Option(
            help="Setting of the campaign: quick, default, thorough, asynchronous-4, "
            "asynchronous-8, without-MOVE, without-stress, ablations for all without one thing, "
            "or one that a Python file defines; may be repeated.",
            show_default="default",
        ),
    ] = None,
    baseline_evaluations: Annotated[
        int,
        typer.Option(
            help="Maximum of evaluations of random search, of random symmetric crystals too, and "
            "of basin hopping, in named coordinates too; 0 omits them."
        ),
    ] = 1000,
    beacon_seconds: Annotated[
        float,
        typer.Option(
            help="Maximum of CPU seconds of a run of BEACON, of the package ase-gpatom; 0 omits it."
        ),
    ] = 0.0,
    beacon_seeds: Annotated[int, typer.Option(help="Number of seeds of BEACON, at most.")] = 5,
    boss_seconds: Annotated[
        float,
        typer.Option(
            help="Maximum of CPU seconds of a run of BOSS, of the package aalto-boss, on tasks of "
            "named coordinates; 0 omits it."
        ),
    ] = 0.0,
    boss_seeds: Annotated[int, typer.Option(help="Number of seeds of BOSS, at most.")] = 5,
    device: Annotated[
        str, typer.Option(help="Device of the tensor work: auto, cpu or cuda.")
    ] = "cpu",
    list_only: Annotated[
        bool, typer.Option("--list", help="Print the named tasks and exit.")
    ] = False,
) -> None:
    """Count the evaluations until the known answer of each task; resume on the same DIR."""
    console = cli.result_console(CONSOLE_WIDTH)
    if list_only:
        rows = (
            (task.name, f"{task.reference_energy:.6f}", f"{task.tolerance:g}", task.source)
            for task in cli.NAMED_TASKS.values()
        )
        frame = cli.data_frame(rows, ("task", "lowest, eV", "solved within, eV", "source"))
        console.print(cli.terminal_table(frame, left=("task", "source")))
        return
    for name, count in (("seeds", seeds), ("evaluations", evaluations), ("jobs", jobs)):
        check_count(name, count)
    named_tasks, settings = cli.load_tasks_and_settings(tasks or [], effort or ["default"])
    missing = [task for task in named_tasks if not task.is_available]
    named_tasks = [task for task in named_tasks if task.is_available]
    if not named_tasks:
        modules = ", ".join(dict.fromkeys(task.required_module for task in missing))
        extras = ",".join(dict.fromkeys(task.required_extra for task in missing))
        way_out = f"Install {modules}, for example by pip install 'bostruct[{extras}]'."
        condition = "include one whose calculator is installed"
        raise InputError(error_message("tasks", condition, "none", way_out))
    cli.resolve_device(device)
    methods: list[cli.Method] = [
        cli.CampaignMethod(setting, evaluations, device) for setting in settings
    ]
    if check_count("baseline_evaluations", baseline_evaluations, 0):
        methods += [
            cli.random_search(baseline_evaluations),
            cli.symmetric_search(baseline_evaluations),
            cli.basin_hopping(baseline_evaluations),
            cli.CoordinateHopping(baseline_evaluations),
        ]
    fewer_seeds = {}
    if beacon_seconds:
        beacon = cli.Beacon(evaluations, beacon_seconds)
        methods.append(beacon)
        fewer_seeds[beacon.name] = min(seeds, check_count("beacon_seeds", beacon_seeds))
    if boss_seconds:
        boss = cli.Boss(evaluations, boss_seconds)
        methods.append(boss)
        fewer_seeds[boss.name] = min(seeds, check_count("boss_seeds", boss_seeds))
    for task in missing:
        console.print(
            f"{task.name} is skipped: {task.required_module} is not installed; "
            f"`pip install 'bostruct[{task.required_extra}]'` installs it.",
            markup=False,
            soft_wrap=True,
        )
    with progress_line() as line:

        def print_results(results: cli.Results) -> None:
            line.stop()
            console.print(cli.summary_table(results))
            console.print(f"Results are in {out}", soft_wrap=True)

        cli.run_energy_benchmark(
            named_tasks,
            methods,
            seeds,
            out,
            first_seed=first_seed,
            fewer_seeds=fewer_seeds,
            n_workers=jobs,
            on_progress=lambda results: line.update(progress_text(results)),
            on_end=print_results,
        )


def progress_text(results: cli.Results) -> str:
    """Return the number of finished runs in one line."""
    n_finished = sum(run.is_finished for run in results.runs)
    return f"{n_finished} of {len(results.runs)} runs"
