"""The gate pipeline against the same work in plain pandas and in the plain csv module, neither with a record.

    python benchmarks/gate.py [ROWS]

source -> field_mapper -> gate -> two CSV sinks, with a JSONL quarantine. Prints rows/s of each, the ratios,
peak memory, landscape bytes per row, and where the pipeline's time went.
"""

import sys
import tempfile
import time
from pathlib import Path

from measure import Measured, baseline, generate, lines, pipeline, query

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

PANDAS = """
import pandas as pd
frame = pd.read_csv("input.csv", dtype=str)
value = pd.to_numeric(frame["value"], errors="coerce")
bad = value.isna()
frame[bad].to_json("pandas_bad.jsonl", orient="records", lines=True)
good = frame[~bad].assign(value=value[~bad]).rename(columns={"value": "amount"})
high = good["amount"] >= 500.0
good[high].to_csv("pandas_high.csv", index=False)
good[~high].to_csv("pandas_low.csv", index=False)
"""

PLAIN = """
import csv, json
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
"""

PHASES = """\
select node, epoch(max(logged_at)) - epoch(min(logged_at)) as s
from phases group by node order by min(logged_at)
"""


def main() -> None:
    """Measures and prints."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    with tempfile.TemporaryDirectory(prefix="elspeth-gate-") as name:
        folder = Path(name)
        generate(folder / "input.csv", rows)
        (folder / "gate.yaml").write_text(SETTINGS)
        pandas, plain = baseline(PANDAS, folder), baseline(PLAIN, folder)
        began = time.perf_counter()
        ours = pipeline(folder, "gate.yaml")
        whole_s = time.perf_counter() - began
        _check(folder, ours, rows)
        record = sum(path.stat().st_size for path in (folder / "landscape").rglob("*") if path.is_file())
        print(f"{rows:,} rows, {(folder / 'input.csv').stat().st_size / rows:.0f} bytes each")
        for what, run in (("pandas", pandas), ("csv module", plain), ("pipeline", ours)):
            rate = rows / run.seconds
            print(f"{what:<11}{rate:>12,.0f} rows/s {run.seconds:>8.2f} s {run.peak_mb:>8.0f} MB peak")
        print(f"pipeline / pandas      {pandas.seconds / ours.seconds:.2f}")
        print(f"pipeline / csv module  {plain.seconds / ours.seconds:.2f}")
        print(f"with interpreter start {whole_s:.2f} s")
        print(f"landscape              {record / rows:.0f} bytes/row")
        for phase in query(folder, PHASES):
            print(f"  {phase['node']:<18}{float(phase['s']):>7.2f} s")


def _check(folder: Path, ours: Measured, rows: int) -> None:
    """The pipeline must have done the same work as the scripts."""
    assert ours.facts["rows_in"] == rows
    for name, plain in (
        ("high.csv", "plain_high.csv"),
        ("low.csv", "plain_low.csv"),
        ("bad.jsonl", "plain_bad.jsonl"),
    ):
        assert lines(folder / "out" / name) == lines(folder / plain), name


if __name__ == "__main__":
    main()
