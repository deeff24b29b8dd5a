"""The gate pipeline against the same work in plain pandas and in the plain csv module, neither with a record.

    python benchmarks/gate.py [ROWS]

source -> field_mapper -> gate -> two CSV sinks, with a JSONL quarantine. Prints rows/s of each, the ratios,
peak memory, landscape bytes per row, and where the pipeline's time went.
"""

import csv
import json
import os
import random
import string
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COLOURS = ["red", "green", "blue", "yellow", "black"]
HEADER = ["id", "name", "value", "colour", "note"]
THRESHOLD = 500.0

SETTINGS = """\
source:
  plugin: csv
  on_success: read
  options:
    path: input.csv
    on_validation_failure: bad
    schema:
      mode: fixed
      fields: ["id: int", "name: str", "value: float", "colour: str", "note: str"]
transforms:
  - name: rename
    plugin: field_mapper
    input: read
    on_success: renamed
    on_error: discard
    options:
      mapping: {value: amount}
gates:
  - name: size
    input: renamed
    condition: "row['amount'] >= 500.0"
    routes: {"true": high, "false": low}
sinks:
  high: {plugin: csv, options: {path: out/high.csv}}
  low: {plugin: csv, options: {path: out/low.csv}}
  bad: {plugin: json, options: {path: out/bad.jsonl}}
"""


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


PANDAS = """
import sys, time, resource
import pandas as pd
began = time.perf_counter()
frame = pd.read_csv("input.csv", dtype=str)
value = pd.to_numeric(frame["value"], errors="coerce")
bad = value.isna()
frame[bad].to_json("pandas_bad.jsonl", orient="records", lines=True)
good = frame[~bad].assign(value=value[~bad]).rename(columns={"value": "amount"})
high = good["amount"] >= 500.0
good[high].to_csv("pandas_high.csv", index=False)
good[~high].to_csv("pandas_low.csv", index=False)
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""

PLAIN = """
import csv, json, time, resource
began = time.perf_counter()
with open("input.csv", newline="") as source, open("plain_high.csv", "w", newline="") as high, \\
        open("plain_low.csv", "w", newline="") as low, open("plain_bad.jsonl", "w") as bad:
    reader = csv.DictReader(source)
    names = ["amount" if name == "value" else name for name in reader.fieldnames]
    writers = {True: csv.DictWriter(high, names), False: csv.DictWriter(low, names)}
    for writer in writers.values():
        writer.writeheader()
    for row in reader:
        try:
            amount = float(row["value"])
        except ValueError:
            bad.write(json.dumps(row) + "\\n")
            continue
        del row["value"]
        row["amount"] = amount
        writers[amount >= 500.0].writerow(row)
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""

PIPELINE = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, "-m", "elspeth_dagster.cli", "run", "gate.yaml", "--json"],
                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
sys.stderr.write(done.stderr if done.returncode else "")
print(done.stdout.strip())
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""


def baseline(code: str, folder: Path) -> tuple[float, float]:
    """Runs a script in its own process; gives its seconds and its peak memory in MB."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, check=True, capture_output=True, text=True
    )
    seconds, peak_kb = done.stdout.split()
    return float(seconds), float(peak_kb) / 1024


def pipeline(folder: Path) -> tuple[dict[str, object], float]:
    """Runs the pipeline in its own process; gives what `run --json` says, and its peak memory in MB."""
    environment = os.environ | {
        "ELSPETH_ROOT": str(folder),
        "ELSPETH_LANDSCAPE": str(folder / "landscape"),
        "DAGSTER_HOME": str(folder / "dagster_home"),
    }
    done = subprocess.run(
        [sys.executable, "-c", PIPELINE],
        cwd=folder,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    facts, peak_kb = done.stdout.strip().splitlines()
    return json.loads(facts), float(peak_kb) / 1024


def phases(folder: Path) -> list[tuple[str, float]]:
    """Seconds per phase, from the landscape's own log."""
    sql = (
        "select node, epoch(max(logged_at)) - epoch(min(logged_at)) as s "
        "from phases group by node order by min(logged_at)"
    )
    command = [
        sys.executable,
        "-m",
        "elspeth_dagster.cli",
        "sql",
        sql,
        "--json",
        "--landscape",
        str(folder / "landscape"),
    ]
    answer = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return [(row["node"], float(row["s"])) for row in json.loads(answer.stdout)["rows"]]


def main() -> None:
    """Measures and prints."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    with tempfile.TemporaryDirectory(prefix="elspeth-gate-") as name:
        folder = Path(name)
        generate(folder / "input.csv", rows)
        (folder / "gate.yaml").write_text(SETTINGS)
        pandas_s, pandas_mb = baseline(PANDAS, folder)
        plain_s, plain_mb = baseline(PLAIN, folder)
        began = time.perf_counter()
        facts, peak_mb = pipeline(folder)
        whole_s = time.perf_counter() - began
        seconds = float(str(facts["seconds"]))
        _check(folder, facts, rows)
        record = sum(path.stat().st_size for path in (folder / "landscape").rglob("*") if path.is_file())
        print(f"{rows:,} rows, {(folder / 'input.csv').stat().st_size / rows:.0f} bytes each")
        for what, took, peak in (
            ("pandas", pandas_s, pandas_mb),
            ("csv module", plain_s, plain_mb),
            ("pipeline", seconds, peak_mb),
        ):
            print(f"{what:<11}{rows / took:>12,.0f} rows/s {took:>8.2f} s {peak:>8.0f} MB peak")
        print(f"pipeline / pandas      {pandas_s / seconds:.2f}")
        print(f"pipeline / csv module  {plain_s / seconds:.2f}")
        print(f"with interpreter start {whole_s:.2f} s")
        print(f"landscape              {record / rows:.0f} bytes/row")
        for node, took in phases(folder):
            print(f"  {node:<18}{took:>7.2f} s")


def _check(folder: Path, facts: dict[str, object], rows: int) -> None:
    """The pipeline must have done the same work as the scripts."""
    assert facts["status"] == "completed"
    assert facts["rows_in"] == rows
    for ours, theirs in (
        ("high.csv", "plain_high.csv"),
        ("low.csv", "plain_low.csv"),
        ("bad.jsonl", "plain_bad.jsonl"),
    ):
        with (folder / "out" / ours).open("rb") as one, (folder / theirs).open("rb") as other:
            assert sum(1 for _ in one) == sum(1 for _ in other), ours


if __name__ == "__main__":
    main()
