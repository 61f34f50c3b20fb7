"""What the command line asks for: the benchmark with its progress and its table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from rich.console import Console
from rich.status import Status

from bostruct.bench.energy_benchmark import run_energy_benchmark
from bostruct.bench.single_objective.baselines import basin_hopping, random_search
from bostruct.bench.single_objective.campaign_method import CampaignMethod
from bostruct.bench.single_objective.load import load_tasks_and_settings
from bostruct.bench.single_objective.method import Method
from bostruct.bench.single_objective.named_tasks import TASKS
from bostruct.bench.single_objective.results import Results
from bostruct.bench.single_objective.table import summary_table
from bostruct.bench.tables import data_frame, result_console, terminal_table
from bostruct.errors import check_count
from bostruct.runtime.device import resolve_device

CONSOLE_WIDTH = 120
"""Columns of the table where the output is no terminal."""


@final
@dataclass(frozen=True)
class EnergyBenchmarkOptions:
    """What is to be run.

    Args:
        task_names: Tasks, or files that hold them.
        setting_names: Settings of the campaign.
        seeds: How many.
        evaluations: Cap of the campaigns.
        baseline_evaluations: Cap of the others; 0 leaves them out.
        jobs: Runs at the same time.
        device: Of the campaigns' tensor work.
        out: The folder.
    """

    task_names: Sequence[str]
    setting_names: Sequence[str]
    seeds: int
    evaluations: int
    baseline_evaluations: int
    jobs: int
    device: str
    out: Path


def run_benchmark(options: EnergyBenchmarkOptions) -> None:
    """Run the benchmark; print the table, of an interrupted one as well."""
    tasks, settings = load_tasks_and_settings(options.task_names, options.setting_names)
    resolve_device(options.device)
    methods: list[Method] = [
        CampaignMethod(setting, options.evaluations, options.device) for setting in settings
    ]
    if check_count("baseline_evaluations", options.baseline_evaluations, 0):
        methods.append(random_search(options.baseline_evaluations))
        methods.append(basin_hopping(options.baseline_evaluations))
    stderr, stdout = Console(stderr=True), result_console(CONSOLE_WIDTH)
    line = Status("starting", console=stderr)
    if stderr.is_terminal:
        line.start()

    def end(results: Results) -> None:
        line.stop()
        stdout.print(summary_table(results))
        stdout.print(f"Results are in {options.out}", soft_wrap=True)

    try:
        run_energy_benchmark(
            tasks,
            methods,
            options.seeds,
            options.out,
            n_workers=options.jobs,
            on_progress=lambda results: line.update(progress_text(results)),
            on_end=end,
        )
    finally:
        line.stop()


def progress_text(results: Results) -> str:
    """Return how far it is, in one line."""
    ended = sum(run.is_finished for run in results.runs)
    return f"{ended} of {len(results.runs)} runs"


def print_tasks() -> None:
    """Print the named tasks."""
    rows = (
        (task.name, f"{task.reference_energy:.6f}", f"{task.tolerance:g}", task.source)
        for task in TASKS.values()
    )
    frame = data_frame(rows, ("task", "lowest, eV", "solved within, eV", "source"))
    result_console(CONSOLE_WIDTH).print(terminal_table(frame, left=("task", "source")))
