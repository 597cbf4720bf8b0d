"""Progress of training runs on the terminal."""

from __future__ import annotations

from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from iter_bench import terminal
from iter_bench.cli.notes import lines_of
from iter_bench.settings import RunSettings

console = terminal.console(stderr=True, log_path=False)


def label(run: RunSettings) -> str:
    """A run in a few words."""
    fold = "" if run.data.fold is None else f" fold {run.data.fold}"
    return f"{run.data.dataset}{fold} {run.system} {run.encoder} seed {run.seed}"


class RunProgress:
    """A bar of the runs of a matrix, one of the steps of each run that trains now; a line for each epoch and run that ends."""

    def __init__(self, runs: int):
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._runs = self._bars.add_task("runs", total=runs)
        self._steps: dict[str, TaskID] = {}
        self._noted: set[str] = set()

    def __enter__(self) -> RunProgress:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def report(self, run: RunSettings, event: dict[str, Any]) -> None:
        """Takes an event of ``execution.execute_all``."""
        if "step" in event:
            name = " ".join(filter(None, (label(run), event.get("stage"))))
            if run.run_id not in self._steps:
                self._steps[run.run_id] = self._bars.add_task("")
            self._bars.update(self._steps[run.run_id], description=name, total=event["steps"], completed=event["step"])
        elif "loss" in event:
            dev = "".join(f"  dev {name} {100 * value:.1f}" for name, value in event.get("dev", {}).items())
            loss = sum(event["loss"].values())
            stage = f"  {event['stage']}" if "stage" in event else ""
            console.log(f"{label(run)}{stage}  epoch {event['epoch'] + 1}  loss {loss:.2f}{dev}  {event['seconds']:.0f} s")
        elif "killed" in event:
            console.log(Text("begun again", "yellow"), f"{label(run)}: {event['killed']}")
        else:
            self._bars.advance(self._runs)
            if (steps := self._steps.pop(run.run_id, None)) is not None:
                self._bars.remove_task(steps)
            if "failed" in event:
                console.log(Text("failed", "red"), f"{label(run)}: {event['failed']}")
            else:
                for data in event["finished"].data.values():
                    self._note([f"{run.data.dataset} {line}" for line in lines_of(data)])
                scores = event["finished"].scores.test["strict"]
                console.log(f"done {label(run)}  " + "  ".join(f"{c} {100 * s.f1:.1f}" for c, s in scores.items()))

    def _note(self, lines: list[str]) -> None:
        """Logs what wasn't logged before: seeds have the same data."""
        for line in lines:
            if line not in self._noted:
                self._noted.add(line)
                console.log(line)
