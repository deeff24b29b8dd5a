"""Two hundred pipelines load quickly, and a broken settings file among them takes none of them down."""

import json
import sys

from platforms import Platform

_SETTINGS = """
    source:
      plugin: csv
      on_success: read
      options:
        path: in/{name}/any.csv
        on_validation_failure: discard
        schema: {{mode: fixed, fields: ["id: int", "name: str", "amount: float"]}}
    transforms:
      - name: tidy
        plugin: field_mapper
        input: read
        on_success: tidied
        on_error: discard
        options: {{mapping: {{amount: amount_eur}}}}
    gates:
      - name: size
        input: tidied
        condition: "row['amount_eur'] < 1500 and row['id'] > 2"
        routes: {{"true": small, "false": large}}
    sinks:
      small: {{plugin: csv, options: {{path: "output/{name}/small/{{partition}}"}}}}
      large: {{plugin: json, options: {{path: "output/{name}/large/{{partition}}"}}}}
    dagster:
      schedule: "0 6 * * *"
      timezone: Europe/Berlin
      sensor: {{watch: "in/{name}/*.csv"}}
      checks: {{max_quarantined_fraction: 0.1, max_failed: 0, min_rows: 1}}
    """
# Processor time, since the wall's is also that of whatever else runs on the machine.
_MEASURED = """
import json, time
import dagster
began = time.process_time()
from elspeth_dagster.orchestration.definitions import build_definitions
built = build_definitions("pipelines")
seconds = time.process_time() - began
built.get_repository_def().load_all_definitions()
dagster_s = time.process_time() - began - seconds
paths = [spec.key.path for spec in built.resolve_all_asset_specs()]
print(json.dumps({
    "seconds": seconds,
    "dagster_s": dagster_s,
    "jobs": [job.name for job in built.jobs],
    "schedules": len(built.schedules),
    "sensors": len(built.sensors),
    "broken": [path for path in paths if path[0] == "broken_settings"],
}))
"""
_LIMIT_S = 3.0
_DAGSTER_S = 1.8
"""What Dagster itself then takes for its jobs, on a quiet machine; a busy one is given its share more."""
_PIPELINES = 200


def test_two_hundred_pipelines_load_within_three_seconds_beyond_dagster(platform: Platform) -> None:
    names = [f"p{number:03}" for number in range(_PIPELINES)]
    for name in names:
        platform.pipeline(name, _SETTINGS.format(name=name))
    platform.pipeline("spoilt", "source: {plugin: csvv}\n")
    loaded = platform.execute(sys.executable, "-c", _MEASURED)
    assert loaded.code == 0, loaded.err
    found = json.loads(loaded.out)
    assert found.pop("seconds") < _LIMIT_S * max(1, found.pop("dagster_s") / _DAGSTER_S)
    assert found == {
        "jobs": [*names, "spoilt"],
        "schedules": _PIPELINES,
        "sensors": _PIPELINES,
        "broken": [["broken_settings", "pipelines", "spoilt.yaml"]],
    }
