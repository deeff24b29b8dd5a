"""Forks, joins, batches, explodes and chains, each at two sizes, against the same work without a record.

    python benchmarks/graph.py [ROWS ...]

Prints for each rows/s, the cost per row at each size and their ratio (1 when cost does not grow), peak
memory, and the speed in proportion to a plain script that runs in between.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from measure import Measured, baseline, generate, lines, pipeline

SOURCE = """\
source:
  plugin: csv
  on_success: read
  options:
    path: input.csv
    on_validation_failure: discard
    schema:
      mode: fixed
      fields: ["id: int", "name: str", "value: float", "colour: str", "note: str"]
"""
SINK = """\
sinks:
  out: {{plugin: {plugin}, options: {{path: out/{name}}}}}
"""

JOIN = """\
gates:
  - name: part
    input: read
    condition: "True"
    routes: {"true": fork, "false": out}
    fork_to: [one, two]
transforms:
  - name: rename
    plugin: field_mapper
    input: one
    on_success: one_done
    on_error: discard
    options: {mapping: {value: amount}}
  - name: shorten
    plugin: truncate
    input: two
    on_success: two_done
    on_error: discard
    options: {fields: {note: 10}}
coalesce:
  - name: join
    branches: {one: one_done, two: two_done}
    merge: nested
    on_success: out
"""
BATCHES = """\
aggregations:
  - name: stats
    plugin: batch_stats
    input: read
    on_success: out
    on_error: discard
    trigger: {{count: {count}}}
    options: {{value_field: value}}
"""
EXPLODE = """\
source:
  plugin: json
  on_success: read
  options: {path: explode.jsonl, on_validation_failure: discard}
transforms:
  - name: each
    plugin: json_explode
    input: read
    on_success: out
    on_error: discard
    options: {array_field: items}
"""
GATES = 20
GATE = """\
  - name: gate_{number}
    input: {source}
    condition: "row['value'] >= {limit}.0"
    routes: {{"true": {next}, "false": low}}
"""

READ = """
import pandas as pd
frame = pd.read_csv("input.csv", dtype=str)
frame["value"] = pd.to_numeric(frame["value"], errors="coerce")
frame["id"] = frame["id"].astype("int64")
frame = frame[frame["value"].notna()].reset_index(drop=True)
"""
PLAIN_JOIN = """
import csv, json
with open("input.csv", newline="") as source, open("plain.jsonl", "w") as out:
    for row in csv.DictReader(source):
        try:
            row["value"] = float(row["value"])
        except ValueError:
            continue
        row["id"] = int(row["id"])
        one = dict(row)
        one["amount"] = one.pop("value")
        two = {**row, "note": row["note"][:10]}
        out.write(json.dumps({"one": one, "two": two}) + "\\n")
"""
PLAIN_BATCHES = """
groups = frame["value"].groupby(frame.index // {count})
made = pd.DataFrame({{"count": groups.count(), "sum": groups.sum(), "mean": groups.mean()}})
made.to_csv("plain.csv", index=False)
"""
PLAIN_EXPLODE = """
import json
with open("explode.jsonl") as source, open("plain.jsonl", "w") as out:
    for line in source:
        row = json.loads(line)
        items = row.pop("items")
        for number, item in enumerate(items):
            out.write(json.dumps({**row, "item": item, "item_index": number}) + "\\n")
"""
PLAIN_GATES = """
high, low = frame, []
for limit in range(20):
    passed = high["value"] >= limit
    low.append(high[~passed])
    high = high[passed]
high.to_csv("plain.csv", index=False)
pd.concat(low).to_csv("plain_low.csv", index=False)
"""

COLUMNS = ("rows", "rows/s", "us/row", "CPU us/row", "peak MB", "of plain", "plain MB")


@dataclass(frozen=True)
class Scenario:
    """A pipeline, and a script that does its work.

    Attributes:
        title: What it does.
        settings: Of the pipeline.
        script: The script; its output is `plain.csv` or `plain.jsonl`.
        output: Name of the pipeline's file.
    """

    title: str
    settings: str
    script: str
    output: str


def scenarios(rows: int) -> list[Scenario]:
    """All that are measured, for a number of rows."""
    table, records = SINK.format(plugin="csv", name="out.csv"), SINK.format(plugin="json", name="out.jsonl")
    low = "  low: {plugin: csv, options: {path: out/low.csv}}\n"
    found = [Scenario("fork, two transforms, nested join", SOURCE + JOIN + records, PLAIN_JOIN, "out.jsonl")]
    for title, count in (("100", 100), ("100,000", 100_000), ("run", max(rows, 1) * 2)):
        settings = SOURCE + BATCHES.format(count=count) + table
        script = READ + PLAIN_BATCHES.format(count=count)
        found.append(Scenario(f"batch_stats per {title}", settings, script, "out.csv"))
    found.append(Scenario("explode 1 to 10", EXPLODE + records, PLAIN_EXPLODE, "out.jsonl"))
    gates = "gates:\n" + "".join(
        GATE.format(
            number=number,
            source=f"step_{number}" if number else "read",
            limit=number,
            next=f"step_{number + 1}" if number + 1 < GATES else "out",
        )
        for number in range(GATES)
    )
    found.append(
        Scenario(f"chain of {GATES} gates", SOURCE + gates + table + low, READ + PLAIN_GATES, "out.csv")
    )
    return found


def measure(scenario: Scenario, folder: Path) -> tuple[Measured, Measured]:
    """The pipeline and the script, which must have made the same number of rows."""
    (folder / "graph.yaml").write_text(scenario.settings)
    plain = baseline(scenario.script, folder)
    ours = pipeline(folder, "graph.yaml")
    expected = folder / f"plain{Path(scenario.output).suffix}"
    assert lines(folder / "out" / scenario.output) == lines(expected), scenario.title
    return ours, plain


def main() -> None:
    """Measures and prints."""
    sizes = [int(text) for text in sys.argv[1:]] or [100_000, 1_000_000]
    costs: dict[str, list[float]] = {}
    print(f"{'':<36}" + "".join(f"{name:>11}" for name in COLUMNS))
    for rows in sizes:
        for place in range(len(scenarios(rows))):
            with tempfile.TemporaryDirectory(prefix="elspeth-graph-") as name:
                folder = Path(name)
                scenario = scenarios(rows)[place]
                write_input(scenario, folder, rows)
                ours, plain = measure(scenario, folder)
            cost = ours.seconds / rows * 1e6
            costs.setdefault(scenario.title, []).append(cost)
            figures = (
                f"{rows:,}",
                f"{rows / ours.seconds:,.0f}",
                f"{cost:.1f}",
                f"{ours.cpu_s / rows * 1e6:.1f}",
                f"{ours.peak_mb:.0f}",
                f"{plain.seconds / ours.seconds:.2f}",
                f"{plain.peak_mb:.0f}",
            )
            print(f"{scenario.title:<36}" + "".join(f"{figure:>11}" for figure in figures), flush=True)
    if len(sizes) > 1:
        print(f"\ncost per row at {sizes[-1]:,} rows / at {sizes[0]:,}")
        for title, found in costs.items():
            print(f"{title:<36}{found[-1] / found[0]:>8.2f}")


def write_input(scenario: Scenario, folder: Path, rows: int) -> None:
    """Writes what a scenario reads: for the explode a tenth of the rows, with ten items each."""
    if scenario.script != PLAIN_EXPLODE:
        generate(folder / "input.csv", rows)
        return
    with (folder / "explode.jsonl").open("w") as file:
        for number in range(rows):
            items = ", ".join(f'"item {number * 10 + item}"' for item in range(10))
            file.write(f'{{"id": {number}, "name": "name {number % 9973}", "items": [{items}]}}\n')


if __name__ == "__main__":
    main()
