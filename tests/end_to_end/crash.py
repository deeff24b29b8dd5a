"""Kills real runs at random instants, continues them, and compares with a run that was left alone.

    python tests/end_to_end/crash.py --kills 1000 --seed 7

A run is started as a process, killed at an instant drawn over all its durable effects (each write, fsync,
rename, removal and commit has one before it and one behind), continued, killed again at random, and at last
left alone. What then stands must be what an undisturbed run leaves: bytes of all files, rows of tables,
outcomes, lineage, tallies, content digests of commits, counts, and no files beside them. A failure prints the
case, which `--case` replays.
"""

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from crash_cases import Case, drawn
from crash_yard import (
    Yard,
    continuing,
    differing,
    laid_out,
    signal_group,
    starting,
    state_of,
)
from dagster_dev import FINISHED, dagster_dev
from platforms import Platform, kill_group, wait_for

REFUSED = 1
"""The exit code of a resume that is refused."""

Undisturbed = dict[tuple[str, int, str], tuple[dict[str, Any], int]]
"""By pipeline, shards and table what a run that was left alone left, and how many effects it had."""


def undisturbed(folder: Path, case: Case) -> tuple[dict[str, Any], int]:
    """What a run that is left alone leaves, and how many effects it has."""
    alone = Case(case.pipeline, case.shards, "elspeth", (), table=case.table)
    with laid_out(folder, alone) as yard:
        code, _ = yard.start(starting(alone))
        assert code == 0, yard.log
        return state_of(yard), yard.effects


def differences(case: Case, folder: Path, expected: Mapping[str, Any], effects: int) -> list[str]:
    """Does to a run what the case says; gives what is not as it should be in the end."""
    with laid_out(folder, case) as yard:
        words = starting(case)
        for number, (share, by, who) in enumerate(case.kills):
            at = str(max(1, round(share * effects)))
            if case.way == "dev" and number == 0:
                kill_through_dagster_dev(yard, case, at, by, who)
            elif case.orphans == "killed":
                _, group = yard.start(words, at, by, who)
                kill_group(group)
            else:
                kill_parent(yard, words, at, wake=case.orphans == "asleep")
            words = continuing(yard, words)
            if case.forget:
                yard.forget_dagster()
        code, _ = yard.start(words)
        if code != 0:
            return [f"the last start ended with {code}:\n{yard.log[-3000:]}"]
        return differing(state_of(yard), dict(expected))


def kill_parent(yard: Yard, words: list[str], at: str, *, wake: bool) -> None:
    """Kills just the process that hands out the steps; its orphans fall asleep.

    With `wake`, the run is continued to its end meanwhile, since Dagster was told that it is over, as
    somebody may do in the UI who does not know of the orphans. Then they go on, and may change nothing.
    Without it, the run cannot be continued before they are dead.
    """
    _, group = yard.start(words, at, "SIGKILL", "asleep")
    if yard.is_alive() and wake:
        yard.cancel_in_dagster()
        code, _ = yard.start(continuing(yard, words))
        assert code == 0, yard.log
        signal_group(group, signal.SIGCONT)
        wait_for(lambda: not yard.is_alive(), "the end of the orphans")
    elif yard.is_alive():
        code, _ = yard.start(continuing(yard, words))
        refused = (code, "is alive on" in yard.log) == (REFUSED, True)
        # Orphans that found out that their parent is gone end by themselves, some behind their last effect.
        over = code == 0 and (not yard.is_alive() or "is completed already" in yard.log)
        assert refused or over, yard.log
    kill_group(group)


def kill_through_dagster_dev(yard: Yard, case: Case, at: str, by: str, who: str) -> None:
    """Launches the run through a `dagster dev`, which ends together with all that is left of the run."""
    environ = yard.disturbing(at, by, who)
    with dagster_dev(Platform(yard.root), yard.root / "home", environ) as server:
        dagster_run_id = server.launch(case.pipeline)

        def over() -> bool:
            try:
                return server.status(dagster_run_id) in FINISHED
            except (urllib.error.URLError, ConnectionError):
                return True

        wait_for(over, "the end of the run, or of what it was launched through")


def run_cases(seeds: range, folder: Path, known: Undisturbed) -> list[str]:
    """Runs the cases of some seeds; gives the failures, each with its case."""
    return [text for seed in seeds if (text := run_case(f"case-{seed}", drawn(seed), folder, known))]


def run_case(name: str, case: Case, folder: Path, known: Undisturbed) -> str:
    """Runs a case; gives what differs."""
    key = (case.pipeline, case.shards, case.table)
    if key not in known:
        known[key] = undisturbed(folder / "-".join(("undisturbed", *map(str, key))), case)
    expected, effects = known[key]
    try:
        found = differences(case, folder / name, expected, effects)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        found = [str(error)[-5000:]]
    if found:
        return f"{name}: {asdict(case)}\n  " + "\n  ".join(found)
    shutil.rmtree(folder / name)
    return ""


def main() -> int:
    """The long mode."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100, help="at least so many kills")
    parser.add_argument("--seed", type=int, default=0, help="of the first case")
    parser.add_argument("--case", type=int, help="just this case, kept for a look")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="elspeth-crash-"))
    known: Undisturbed = {}
    kills, seed, failed = 0, chosen.seed if chosen.case is None else chosen.case, 0
    while kills < chosen.kills and (chosen.case is None or kills == 0):
        failures = run_cases(range(seed, seed + 1), folder / str(seed), known)
        kills += len(drawn(seed).kills)
        failed += len(failures)
        sys.stdout.write("\n".join(failures) if failures else f"case {seed} agrees ({kills} kills)\n")
        sys.stdout.flush()
        seed += 1
    sys.stdout.write(f"{kills} kills, {failed} cases differ; {folder}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
