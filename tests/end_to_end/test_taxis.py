"""Real trips of New York taxis through a whole pipeline, held against pandas."""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from platforms import Platform

REPOSITORY = Path(__file__).parents[2]
NUMBERS = ("distance", "fare", "tip", "tolls", "total")
TEXTS = (
    "pickup",
    "dropoff",
    "color",
    "payment",
    "pickup_zone",
    "dropoff_zone",
    "pickup_borough",
    "dropoff_borough",
)

COMPLETE = '''
from typing import Any

from elspeth_dagster.plugins import RowError, RowTransform


class Complete(RowTransform):
    """Rejects trips of which something is missing."""

    def process(self, row: dict[str, Any]) -> dict[str, Any] | RowError:
        missing = [name for name, value in row.items() if value == ""]
        return RowError("missing_value", {"fields": missing}) if missing else row
'''


@pytest.fixture
def trips() -> Path:
    folder = Path(os.environ.get("ELSPETH_SHARED_DATA") or REPOSITORY.parent / "shared" / "data")
    path = folder / "taxis.csv"
    if not path.is_file():
        pytest.skip("taxis.csv is not here; name its folder in ELSPETH_SHARED_DATA to run this test")
    return path


def settings_for(trips: Path) -> dict[str, Any]:
    fields = ["pickup: str", "dropoff: str", "passengers: int", *(f"{name}: float" for name in NUMBERS)]
    fields += [f"{name}: str" for name in TEXTS[2:]]
    return {
        "source": {"plugin": "csv", "on_success": "trips",
                   "options": {"path": str(trips), "on_validation_failure": "incomplete",
                               "schema": {"mode": "fixed", "fields": fields}}},
        "transforms": [{"name": "whole", "plugin": "complete", "input": "trips",
                        "on_success": "complete_trips", "on_error": "incomplete"}],
        "gates": [
            {"name": "way_of_payment", "input": "complete_trips", "condition": "row['payment'] == 'cash'",
             "routes": {"true": "cash", "false": "by_card"}},
            {"name": "size", "input": "by_card",
             "condition": "row['total'] >= 20 and row['pickup_borough'] != row['dropoff_borough']",
             "routes": {"true": "far", "false": "near"}},
        ],
        "sinks": {
            "cash": {"plugin": "csv", "options": {"path": "output/cash.csv"}},
            "far": {"plugin": "csv", "options": {"path": "output/far.csv"}},
            "near": {"plugin": "parquet", "options": {"path": "output/near.parquet"}},
            "incomplete": {"plugin": "json", "options": {"path": "output/incomplete.jsonl"}},
        },
        "checkpoint": {"frequency": "every_n", "checkpoint_interval": 1000},
    }  # fmt: skip


@pytest.mark.may_skip
def test_sums_and_counts_of_real_trips_agree_with_pandas(platform: Platform, trips: Path) -> None:
    platform.plugin("complete", COMPLETE)
    facts = platform.completed(platform.pipeline("taxis", settings_for(trips)))

    frame = pd.read_csv(trips, dtype=dict.fromkeys(TEXTS, "str"), keep_default_na=False, na_values=[""])
    missing = frame.isna().any(axis=1)
    whole = frame[~missing]
    cash = whole["payment"] == "cash"
    far = ~cash & (whole["total"] >= 20) & (whole["pickup_borough"] != whole["dropoff_borough"])
    expected = {"cash": whole[cash], "far": whole[far], "near": whole[~cash & ~far]}

    got = {
        "cash": pd.read_csv(platform.path("output/cash.csv"), dtype=dict.fromkeys(TEXTS, "str")),
        "far": pd.read_csv(platform.path("output/far.csv"), dtype=dict.fromkeys(TEXTS, "str")),
        "near": pd.read_parquet(platform.path("output/near.parquet")),
    }
    for name, trips_there in expected.items():
        assert facts["sinks"][name]["rows"] == len(trips_there) > 100
        assert got[name]["passengers"].sum() == trips_there["passengers"].sum()
        for column in NUMBERS:
            assert got[name][column].tolist() == trips_there[column].tolist()
        for column in TEXTS:
            assert got[name][column].tolist() == trips_there[column].tolist()

    rejected = [json.loads(line) for line in platform.read("output/incomplete.jsonl").splitlines()]
    assert [trip["pickup"] for trip in rejected] == frame[missing]["pickup"].tolist()
    assert facts["rows_in"] == len(frame)
    assert facts["outcomes"] == {"quarantined": int(missing.sum()), "routed": int((~missing).sum())}
    assert platform.outcomes(facts["run_id"]) == facts["outcomes"]
    fields = platform.sql("SELECT count(*) AS n FROM errors WHERE reason LIKE '%missing_value%'")
    assert fields == [{"n": int(missing.sum())}]
