"""Branches that wait on something outside: side by side, in the order of who answered first, asked once."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from platforms import BIN, Platform, Start, kill, wait_for

SLOW = '''
import os
import time
from pathlib import Path
from typing import Any

from elspeth_dagster.plugins import RowError, RowTransform


class Slow(RowTransform):
    """Waits as long as the row says, and notes that it was asked."""

    waits = True
    field = "slow_ms"

    def process(self, row: dict[str, Any]) -> dict[str, Any] | RowError:
        """Gives the row with who answered."""
        root = Path(os.environ["ELSPETH_ROOT"])
        with (root / "asked.log").open("a") as log:
            log.write(f"{self.field} {row['id']}\\n")
        while row["id"] == 7 and (root / "hang").exists() and self.field == "slow_ms":
            (root / "reached").touch()
            time.sleep(0.02)
        wait_ms = row[self.field]
        time.sleep(abs(wait_ms) / 1000)
        if wait_ms < 0:
            return RowError("no_answer")
        row["by"] = self.field
        return row
'''
QUICK = '''
import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("slow_shared", Path(__file__).with_name("slow.py"))
_slow = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_slow)


class Quick(_slow.Slow):
    """The same, for another field."""

    field = "quick_ms"
'''


def write(
    platform: Platform, rows: list[tuple[int, int]], *, chunk: int = 100, shards: int = 1, **join: Any
) -> Path:
    """A fork into two branches that wait; each row says how long in which (negative: and then in vain)."""
    cells = "".join(f"{number},{slow},{quick}\n" for number, (slow, quick) in enumerate(rows))
    platform.write("rows.csv", "id,slow_ms,quick_ms\n" + cells)
    platform.plugin("slow", SLOW)
    platform.plugin("quick", QUICK)
    return platform.pipeline("asking", {
        "source": {"plugin": "csv", "on_success": "read",
                   "options": {"path": "rows.csv", "on_validation_failure": "discard",
                               "schema": {"mode": "fixed",
                                          "fields": ["id: int", "slow_ms: int", "quick_ms: int"]}}},
        "gates": [{"name": "ask", "input": "read", "condition": "True", "routes": {"true": "fork"},
                   "fork_to": ["slow", "quick"]}],
        "transforms": [
            {"name": "ask_slow", "plugin": "slow", "input": "slow", "on_success": "slow_done",
             "on_error": "discard"},
            {"name": "ask_quick", "plugin": "quick", "input": "quick", "on_success": "quick_done",
             "on_error": "discard"},
        ],
        "coalesce": [{"name": "join", "branches": {"slow": "slow_done", "quick": "quick_done"},
                      "merge": "nested", "on_success": "out", **join}],
        "sinks": {"out": {"plugin": "json", "options": {"path": "output/out.jsonl"}}},
        "checkpoint": {"frequency": "every_n", "checkpoint_interval": chunk},
        "concurrency": {"max_workers": 8},
        "dagster": {"shards": shards},
    })  # fmt: skip


def winners(platform: Platform) -> dict[int, list[str]]:
    """Per row the branches that are in the join."""
    rows = [json.loads(line) for line in platform.read("output/out.jsonl").splitlines()]
    return {next(iter(row.values()))["id"]: list(row) for row in rows}


CLEAN = """
from elspeth_dagster.plugins import RowTransform


class Clean(RowTransform):
    \"\"\"Has a mistake in one row.\"\"\"

    def process(self, row):
        row["quick_ms"] = MISTAKE if row["id"] == 2 else row["quick_ms"]
        return row
"""
SCORE = """
from elspeth_dagster.plugins import RowTransform


class Score(RowTransform):
    \"\"\"Does not get along with the mistake.\"\"\"

    def process(self, row):
        row["score"] = 10 // row["quick_ms"]
        return row
"""


@pytest.mark.parametrize("mended", ["3", "row['quick_ms']"])
def test_after_a_fix_before_a_waiting_transform_it_is_asked_about_the_mended_rows(
    platform: Platform, mended: str
) -> None:
    settings = write(platform, [(0, 1)] * 5)
    document = yaml.safe_load(settings.read_text())
    document["source"]["on_success"] = "raw"
    document |= {"gates": [], "coalesce": [], "transforms": [
        {"name": "clean", "plugin": "clean", "input": "raw", "on_success": "cleaned", "on_error": "discard"},
        {"name": "ask", "plugin": "slow", "input": "cleaned", "on_success": "asked", "on_error": "discard"},
        {"name": "score", "plugin": "score", "input": "asked", "on_success": "out", "on_error": "discard"},
    ]}  # fmt: skip
    settings = platform.pipeline("asking", document)
    platform.plugin("score", SCORE)
    platform.plugin("clean", CLEAN.replace("MISTAKE", "0"))
    answer = platform.run(settings)
    assert "ZeroDivisionError" in answer.err
    platform.plugin("clean", CLEAN.replace("MISTAKE", mended))
    run_id = answer.json["run_id"]
    answer = platform.resume(run_id)
    assert answer.code == 0, answer.err
    rows = [json.loads(line) for line in platform.read("output/out.jsonl").splitlines()]
    assert [row["score"] for row in rows] == [10, 10, 3 if mended == "3" else 10, 10, 10]
    told = platform.elspeth("explain", run_id, "2", "--json").json["tokens"][0]["states"]
    assert told[2]["output_hash"] == told[3]["input_hash"]
    assert platform.resume(run_id).code == 0


MEETING = """        (root / f"{self.field} {row['id']}").touch()
        # Each call goes on once that of the other branch, and that of the next row, are under way.
        others = [f"{field} {id}" for field in ("slow_ms", "quick_ms") for id in {row["id"], row["id"] ^ 1}]
        deadline = time.monotonic() + 60
        while not all((root / other).exists() for other in others):
            if time.monotonic() > deadline:
                raise TimeoutError("nobody else is under way")
            time.sleep(0.005)
        wait_ms"""


def test_branches_wait_side_by_side_and_calls_of_a_branch_too(platform: Platform) -> None:
    settings = write(platform, [(20, 20)] * 8)
    platform.plugin("slow", SLOW.replace("        wait_ms", MEETING, 1))
    run = platform.completed(settings)
    assert run["outcomes"] == {"coalesced": 16, "completed": 8, "forked": 8}
    calls = platform.sql(
        "SELECT node, count(*) AS n, min(elapsed_us) AS least FROM calls GROUP BY 1 ORDER BY 1"
    )
    assert [(row["node"], row["n"]) for row in calls] == [("ask_quick", 8), ("ask_slow", 8)]
    assert all(row["least"] >= 20_000 for row in calls)


@pytest.mark.parametrize("shards", [1, 2])
def test_the_first_answer_wins_whichever_branch_it_is(platform: Platform, shards: int) -> None:
    settings = write(
        platform, [(3000, 0), (0, 3000), (-1, 3000), (0, -3000)], policy="first", chunk=2, shards=shards
    )
    run = platform.completed(settings, process=shards > 1)
    assert winners(platform) == {0: ["quick"], 1: ["slow"], 2: ["quick"], 3: ["slow"]}
    assert run["outcomes"] == {"coalesced": 6, "completed": 4, "forked": 4, "quarantined": 2}
    ended = platform.sql("""SELECT "row", label FROM states WHERE node = 'join' AND label = 'superseded'""")
    assert sorted(row["row"] for row in ended) == [0, 1]
    told = platform.elspeth("explain", run["run_id"], "2", "--json").json["tokens"]
    calls = {call["node"]: call for token in told for call in token["calls"]}
    assert calls["ask_quick"]["elapsed_us"] >= 3_000_000 > calls["ask_slow"]["elapsed_us"]
    assert calls["ask_slow"]["error"]["reason"] == "no_answer"
    assert (calls["ask_quick"]["error"], calls["ask_quick"]["failed_tries"]) == (None, [])
    waited = f"waited {calls['ask_quick']['elapsed_us'] / 1e6:.3f} s"
    assert waited in platform.elspeth("explain", run["run_id"], "2").out


def test_best_effort_goes_without_those_that_are_too_late(platform: Platform) -> None:
    rows = [(0, 0), (0, 8000), (-1, 8000), (0, -1), (-1, -1)]
    settings = write(platform, rows, policy="best_effort", timeout_seconds=4)
    run = platform.completed(settings)
    assert winners(platform) == {0: ["slow", "quick"], 1: ["slow"], 3: ["slow"]}
    assert run["outcomes"] == {"coalesced": 4, "completed": 3, "failed": 2, "forked": 5, "quarantined": 4}
    reasons = platform.sql("""SELECT "row", reason FROM errors WHERE node = 'join' ORDER BY 1""")
    assert [(row["row"], "too_late" in row["reason"], "join_failed" in row["reason"]) for row in reasons] == [
        (1, True, False), (2, False, True),
    ]  # fmt: skip
    (joined,) = platform.sql(
        """SELECT reads FROM states WHERE node = 'join' AND "to" = 'out' AND "row" = 0"""
    )
    assert '"arrived_us":{"quick":' in joined["reads"]


def test_require_all_and_quorum_fail_past_their_timeout(platform: Platform) -> None:
    settings = write(platform, [(0, 0), (0, 8000), (8000, 0)], timeout_seconds=4)
    run = platform.completed(settings)
    assert winners(platform) == {0: ["slow", "quick"]}
    assert run["outcomes"] == {"coalesced": 2, "completed": 1, "failed": 4, "forked": 3}


def test_a_killed_run_decides_the_same_and_asks_nothing_twice_that_was_answered(
    platform: Platform, start: Start
) -> None:
    rows = [(30, 0), (0, 30)] * 8
    settings = write(platform, rows, policy="first", chunk=5)
    platform.path("hang").touch()
    process = start(BIN / "elspeth", "run", settings)
    wait_for(lambda: platform.path("reached").exists(), "the plugin to reach its row")
    answered = "SELECT count(*) AS n FROM calls WHERE node = 'ask_quick'"
    wait_for(lambda: platform.sql(answered)[0]["n"] >= 10, "the quick branch's answers on record")
    kill(process)
    platform.path("hang").unlink()
    (run,) = platform.runs()

    resumed = platform.resume(run["run_id"], process=True)

    assert resumed.code == 0, resumed.err
    asked = platform.read("asked.log").decode().splitlines()
    assert [asked.count(f"quick_ms {number}") for number in range(16)] == [1] * 16
    assert [asked.count(f"slow_ms {number}") for number in range(5)] == [1] * 5
    calls = platform.sql("""SELECT "row", elapsed_us, node FROM calls ORDER BY 1, 2 DESC, 3""")
    assert winners(platform) == {call["row"]: [call["node"].removeprefix("ask_")] for call in calls}
    assert list(platform.path("landscape/segments").rglob("*.arrow")) == []


def test_the_first_error_wins_and_the_other_branch_is_not_waited_for_in_vain(platform: Platform) -> None:
    settings = write(platform, [(0, 5)] * 50)
    platform.plugin(
        "slow", SLOW.replace("wait_ms = row[self.field]", "wait_ms = 1 / 0 if self.field == 'slow_ms' else 5")
    )
    failed = platform.run(settings)
    assert failed.code == 1
    assert "node 'ask_slow', row 0: the plugin raised ZeroDivisionError" in failed.err
    assert not platform.path("output").exists()
