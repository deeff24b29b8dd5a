"""Runs every example pipeline with `dagster job execute` and shows what came out."""

import json
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
PIPELINES = ("claims", "payouts", "support", "tenders", "readings")
"""In this order, since payouts reads what claims writes."""

PYTHON = [sys.executable, "-m"]


def main() -> int:
    """Runs the examples one after another; gives the exit code."""
    home = Path(os.environ["DAGSTER_HOME"])
    if not home.exists():
        home.mkdir(parents=True)
        (home / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    console = Console(width=None if sys.stdout.isatty() else 150)
    for pipeline in PIPELINES:
        console.print(f"dagster job execute -f definitions.py -j {pipeline} …", style="dim")
        command = [*PYTHON, "dagster", "job", "execute", "-f", "definitions.py", "-j", pipeline]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            console.print(done.stderr[-4000:], markup=False)
            console.print(f"{pipeline} failed", style="red")
            return 1
    _show(console, _latest_runs())
    return 0


def _latest_runs() -> list[dict[str, object]]:
    """The newest run of each example, as `elspeth runs` tells it."""
    runs = []
    for pipeline in PIPELINES:
        command = [*PYTHON, "elspeth_dagster.cli", "runs", "--json", "--limit", "1", "--pipeline", pipeline]
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        runs += json.loads(answer.stdout)["runs"]
    return runs


def _show(console: Console, runs: list[dict[str, object]]) -> None:
    table = Table(title="What the example pipelines did", title_justify="left")
    table.add_column("pipeline", no_wrap=True)
    for name in ("rows in", "succeeded", "failed", "quarantined"):
        table.add_column(name, justify="right")
    table.add_column("outputs")
    for run in runs:
        figures = [str(run[key]) for key in ("rows_in", "succeeded", "failed", "quarantined")]
        sinks: dict[str, dict[str, object]] = run["sinks"]
        where = [f"{_relative(str(sink['uri']))} ({sink['rows']})" for sink in sinks.values()]
        table.add_row(str(run["pipeline"]), *figures, "\n".join(where))
    console.print(table)
    console.print(
        "\nNext:\n"
        "  make dev                      the same in the Dagster UI, on http://localhost:3000\n"
        "  .venv/bin/elspeth runs        every run with its counts\n"
        "  .venv/bin/elspeth validate pipelines/claims/settings.yaml\n"
        "  docs/guide/write-a-pipeline.md   a pipeline of your own, from a CSV file of your own",
        markup=False,
        highlight=False,
    )


def _relative(uri: str) -> str:
    path = Path(uri)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else uri


if __name__ == "__main__":
    sys.exit(main())
