"""Shared by the benchmarks: runs scripts and pipelines in processes of their own, and measures them."""

import csv
import json
import os
import random
import string
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COLOURS = ["red", "green", "blue", "yellow", "black"]
HEADER = ["id", "name", "value", "colour", "note"]

RESOURCES = """
import resource
def _used(who):
    use = resource.getrusage(who)
    return use.ru_utime + use.ru_stime, use.ru_maxrss / 1024
"""

SCRIPT = (
    RESOURCES
    + """
import json, time
began = time.perf_counter()
{code}
print(json.dumps([time.perf_counter() - began, *_used(resource.RUSAGE_SELF)]))
"""
)

PIPELINE = (
    RESOURCES
    + """
import json, subprocess, sys
done = subprocess.run([sys.executable, "-m", "elspeth_dagster.cli", "run", sys.argv[1], "--json"],
                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
sys.stderr.write(done.stderr if done.returncode else "")
print(json.dumps([json.loads(done.stdout or "null"), *_used(resource.RUSAGE_CHILDREN)]))
sys.exit(done.returncode)
"""
)


@dataclass(frozen=True)
class Measured:
    """What a process took.

    Attributes:
        seconds: Without the start of the interpreter.
        cpu_s: Seconds that processors were busy with it, the start of the interpreter included.
        peak_mb: Most memory that was resident.
        facts: What `run --json` says, for a pipeline.
    """

    seconds: float
    cpu_s: float
    peak_mb: float
    facts: dict[str, Any] = field(default_factory=dict)


def generate(path: Path, rows: int) -> None:
    """Writes the input: an int, a text, a float (1 % bad), one of five, 40 characters."""
    chance = random.Random(20260101)
    letters = string.ascii_letters + string.digits
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for number in range(rows):
            value = "n/a" if chance.random() < 0.01 else repr(round(chance.uniform(0, 1000), 3))
            note = "".join(chance.choices(letters, k=40))
            writer.writerow([number, f"name {number % 9973}", value, chance.choice(COLOURS), note])


def baseline(code: str, folder: Path) -> Measured:
    """Runs a script in its own process."""
    command = [sys.executable, "-c", SCRIPT.replace("{code}", code)]
    done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    seconds, cpu_s, peak_mb = json.loads(done.stdout)
    return Measured(seconds, cpu_s, peak_mb)


def pipeline(folder: Path, settings: str) -> Measured:
    """Runs the pipeline of a settings file in its own process."""
    environment = os.environ | {
        "ELSPETH_ROOT": str(folder),
        "ELSPETH_LANDSCAPE": str(folder / "landscape"),
        "DAGSTER_HOME": str(folder / "dagster_home"),
    }
    command = [sys.executable, "-c", PIPELINE, settings]
    done = subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    facts, cpu_s, peak_mb = json.loads(done.stdout)
    assert facts["status"] == "completed", facts
    return Measured(float(facts["seconds"]), cpu_s, peak_mb, facts)


def query(folder: Path, sql: str) -> list[dict[str, Any]]:
    """Asks the landscape of the pipelines that ran in a folder."""
    command = [sys.executable, "-m", "elspeth_dagster.cli", "sql", sql, "--json"]
    command += ["--landscape", str(folder / "landscape")]
    answer = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    rows: list[dict[str, Any]] = json.loads(answer.stdout)["rows"]
    return rows


def lines(path: Path) -> int:
    """How many lines a file has."""
    with path.open("rb") as file:
        return sum(1 for _ in file)
