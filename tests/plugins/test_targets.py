"""Which sinks can come to write one file."""

import glob
import os
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from platforms import Platform

from elspeth_dagster.plugins.targets import Target, Targets, could_be_watched
from elspeth_dagster.settings.partitions import Cadence, is_safe_key, with_partition

_DAILY, _HOURLY = Cadence.DAILY, Cadence.HOURLY
_PLACES = st.lists(st.sampled_from(["a", "b", "1", ".", "/", "{partition}"]), min_size=1, max_size=6).map(
    "".join
)
_KEYS = st.text("ab1.", min_size=1, max_size=4).filter(is_safe_key)


def meet(first: Target, second: Target) -> bool:
    targets = Targets()
    assert targets.take(first) is None
    return targets.take(second) == first


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (Target("o/{partition}", "x"), Target("o/{partition}.rej", "y"), True),
        (Target("o/{partition}.csv", "x"), Target("o/{partition}.rej", "y"), False),
        (Target("o/{partition}", "x"), Target("o/t.csv", "y"), True),
        (Target("o/{partition}", "x"), Target("o/t/u.csv", "y"), False),
        (Target("o/{partition}/x.csv", "x"), Target("o/{partition}/y.csv", "y"), False),
        (Target("o/a{partition}", "x"), Target("o/{partition}b", "y"), True),
        (Target("o/a{partition}", "x"), Target("o/b{partition}", "y"), False),
        (Target("o/{partition}.csv", "x"), Target("o/.csv", "y"), False),
        (Target("t@sqlite:o/{partition}", "x"), Target("t@sqlite:o/x.db", "y"), True),
        (Target("o/{partition}.csv", "x", _DAILY), Target("o/{partition}.rejected.csv", "y", _DAILY), False),
        (Target("o/{partition}.csv", "x", _DAILY), Target("o/2026-01-31.csv", "y"), True),
        (Target("o/{partition}.csv", "x", _DAILY), Target("o/all.csv", "y"), False),
        (Target("o/{partition}.csv", "x", _DAILY), Target("o/{partition}.csv", "y", _HOURLY), False),
        (Target("o/{partition}.csv", "x", _HOURLY), Target("o/2026-01-31-23:00.csv", "y"), True),
        (Target("o/{partition}", "x", _HOURLY), Target("o/{partition}-23:00", "y", _DAILY), True),
    ],
)  # fmt: skip
def test_targets_that_can_be_one(first: Target, second: Target, expected: bool) -> None:
    assert meet(first, second) is expected
    assert meet(second, first) is expected


@given(_PLACES, _PLACES, _KEYS, _KEYS)
def test_two_partitions_that_write_one_file_are_always_found(a: str, b: str, key: str, other: str) -> None:
    if with_partition(a, key) == with_partition(b, other):
        assert meet(Target(a, "x"), Target(b, "y"))


@given(_PLACES, _PLACES)
def test_targets_without_a_key_are_one_when_they_are_the_same(a: str, b: str) -> None:
    a, b = a.replace("{partition}", "p"), b.replace("{partition}", "p")
    assert meet(Target(a, "x"), Target(b, "y")) is (a == b)


@pytest.mark.parametrize("cadence", list(Cadence))
def test_a_key_of_time_is_of_the_shape_that_is_compared(cadence: Cadence) -> None:
    definition = {
        Cadence.HOURLY: dg.HourlyPartitionsDefinition("2026-01-31-00:00"),
        Cadence.DAILY: dg.DailyPartitionsDefinition("2026-01-31"),
        Cadence.WEEKLY: dg.WeeklyPartitionsDefinition("2026-01-31"),
        Cadence.MONTHLY: dg.MonthlyPartitionsDefinition("2026-01-31"),
    }[cadence]
    key = definition.get_first_partition_key()
    assert key is not None
    assert meet(Target("{partition}", "x", cadence), Target(key, "y"))
    assert not meet(Target("{partition}", "x", cadence), Target(f"{key}0", "y"))


def settings(sinks: dict[str, str], **dagster: Any) -> dict[str, Any]:
    return {
        "source": {
            "plugin": "csv",
            "on_success": "out",
            "options": {"path": "in/any.csv", "on_validation_failure": next(reversed(sinks))},
        },
        "sinks": {name: {"plugin": "csv", "options": {"path": path}} for name, path in sinks.items()},
        "dagster": dagster,
    }


def test_two_sinks_of_which_one_can_write_the_file_of_the_other(platform: Platform) -> None:
    sensor = {"watch": "in/*"}
    wrong = settings({"out": "o/{partition}", "rej": "o/{partition}.rej"}, sensor=sensor)
    answer = platform.elspeth("validate", platform.pipeline("s", wrong))
    assert answer.code == 2
    assert (
        "sinks.rej.options.path: the sink 'out' can come to write the same file: it writes o/{" in answer.err
    )
    assert "put one of the two into a folder of its own" in answer.err
    apart = settings({"out": "o/{partition}", "rej": "rej/{partition}"}, sensor=sensor)
    assert platform.elspeth("validate", platform.pipeline("s", apart)).code == 0
    daily = settings({"out": "o/{partition}.csv", "rej": "o/{partition}.rej.csv"}, partitions="daily")
    assert platform.elspeth("validate", platform.pipeline("s", daily)).code == 0


@pytest.mark.parametrize(
    ("path", "pattern", "expected"),
    [
        ("in/{partition}", "in/*.csv", True),
        ("in/x.csv", "in/*.csv", True),
        ("in/../in/x.csv", "in/*.csv", True),
        ("in/{partition}", "in/../in/*.csv", True),
        ("in/done/{partition}.csv", "in/*.csv", False),
        ("in/done/{partition}.csv", "in/**/*.csv", True),
        ("in/done/{partition}", "in/**/*.csv", True),
        ("in/{partition}", "in/**/*.csv", True),
        ("in/{partition}/out.csv", "in/**", True),
        ("in/{partition}/out.csv", "in/**/done/*.csv", True),
        ("in/{partition}/out.csv", "in/**/a/b/*.csv", False),
        ("in/x-{partition}.json", "in/*.csv", False),
        ("in/x-{partition}", "in/y-*.csv", False),
        ("in/2026-{partition}", "in/202[56]-?.csv", True),
        ("in/2027-{partition}", "in/202[56]-?.csv", False),
        ("in/[{partition}", "in/[*.csv", True),
        ("in/.done/{partition}", "in/**/*.csv", False),
        ("in/.{partition}", "in/*.csv", False),
        ("in/.{partition}", "in/.*.csv", True),
        ("out/{partition}.csv", "in/**/*.csv", False),
        ("/in/{partition}", "/in/*.csv", True),
        ("/in/{partition}", "in/*.csv", False),
    ],
)  # fmt: skip
def test_sinks_that_would_be_watched(path: str, pattern: str, expected: bool) -> None:
    assert could_be_watched(path, pattern) is expected


_PATTERNS = st.lists(
    st.sampled_from(["a", "b", "*", "?", "[ab]", "[!a]", ".", "/", "**/", "/**"]), min_size=1, max_size=6
).map("".join)


@given(_PLACES, _PATTERNS, _KEYS)
def test_what_a_pattern_finds_is_always_known(
    tmp_path_factory: pytest.TempPathFactory, place: str, pattern: str, key: str
) -> None:
    written = os.path.normpath(with_partition(place, key).lstrip("/"))
    pattern = os.path.normpath(pattern.lstrip("/"))
    if written.startswith(".") or pattern.startswith(".."):
        return
    root = tmp_path_factory.mktemp("found")
    Path(root, written).parent.mkdir(parents=True, exist_ok=True)
    Path(root, written).touch()
    if written in glob.glob(pattern, root_dir=root, recursive=True):  # noqa: PTH207 - as the sensor finds it
        assert could_be_watched(place.lstrip("/"), pattern)
