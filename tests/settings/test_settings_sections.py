"""The sections about running and showing a pipeline: values, limits, and what has no effect here."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from elspeth_dagster.settings import (
    Cadence,
    CheckSettings,
    CountLimit,
    FractionLimit,
    SensorSettings,
    Severity,
)
from elspeth_dagster.settings import engine_sections as engine
from elspeth_dagster.settings.checks import FreshnessSettings
from elspeth_dagster.settings.dagster_section import DagsterSettings
from elspeth_dagster.settings.sections import MAPPINGS, TOP_LEVEL

BASE = "source: {plugin: 'null', on_success: out}\nsinks: {out: {plugin: csv}}\n"

ACCEPTED: list[tuple[str, str, str, Any]] = [
    ("retry", "max_attempts", "5", 5),
    ("retry", "initial_delay_seconds", "0.01", 0.01),
    ("retry", "max_delay_seconds", "1", 1.0),
    ("retry", "exponential_base", "'1.5'", 1.5),
    ("concurrency", "max_workers", "2", 2),
    ("payload_store", "backend", "filesystem", "filesystem"),
    ("payload_store", "base_path", "x", "x"),
    ("payload_store", "retention_days", "1", 1),
    ("checkpoint", "enabled", "yes", True),
    ("checkpoint", "frequency", "aggregation_only", engine.CheckpointFrequency.AGGREGATION_ONLY),
    ("checkpoint", "checkpoint_interval", "10", 10),
    ("checkpoint", "aggregation_boundaries", "off", False),
    ("rate_limit", "enabled", "false", False),
    ("rate_limit", "default_requests_per_minute", "6", 6),
    ("rate_limit", "persistence_path", "x.db", "x.db"),
    (
        "rate_limit",
        "services",
        "{Web_1: {requests_per_minute: 3}}",
        {"web_1": engine.ServiceRate(requests_per_minute=3)},
    ),
    ("telemetry", "enabled", "false", False),
    ("telemetry", "granularity", "full", "full"),
    ("telemetry", "backpressure_mode", "drop", "drop"),
    ("telemetry", "fail_on_total_exporter_failure", "false", False),
    ("telemetry", "max_consecutive_failures", "1", 1),
    ("telemetry", "exporters", "[{name: console}]", (engine.ExporterSettings(name="console"),)),
    ("landscape", "enabled", "true", True),
    ("landscape", "backend", "postgresql", "postgresql"),
    ("landscape", "url", "sqlite:///x", "sqlite:///x"),
    ("landscape", "encryption_key_env", "X", "X"),
    ("landscape", "dump_to_jsonl", "true", True),
    ("landscape", "dump_to_jsonl_path", "x", "x"),
    ("landscape", "dump_to_jsonl_fail_on_error", "true", True),
    ("landscape", "dump_to_jsonl_include_payloads", "true", True),
    ("landscape", "dump_to_jsonl_payload_base_path", "x", "x"),
    (
        "landscape",
        "export",
        "{sink: out, format: json, sign: true}",
        engine.ExportSettings(sink="out", format="json", sign=True),
    ),
    ("dagster", "group", "finance", "finance"),
    ("dagster", "owners", "[team:risk, a.b@example.org]", ("team:risk", "a.b@example.org")),
    ("dagster", "tags", "{Tier: gold, acme/x: ''}", {"Tier": "gold", "acme/x": ""}),
    ("dagster", "schedule", "'0 6 * * *'", "0 6 * * *"),
    ("dagster", "timezone", "Europe/Berlin", "Europe/Berlin"),
    ("dagster", "partitions", "daily", Cadence.DAILY),
    ("dagster", "partitions_start", "2026-02-28", "2026-02-28"),
    ("dagster", "sensor", "{watch: in/*.csv}", SensorSettings(watch="in/*.csv", settle_seconds=5.0)),
    ("dagster", "shards", "64", 64),
    ("dagster", "progress_rows", "1", 1),
    ("dagster", "progress_seconds", "0.5", 0.5),
    ("dagster", "max_retries", "0", 0),
    (
        "dagster",
        "checks",
        "{max_quarantined_fraction: 0.05, min_rows: {limit: 3, severity: warn}}",
        CheckSettings(
            max_quarantined_fraction=FractionLimit(limit=0.05),
            min_rows=CountLimit(limit=3, severity=Severity.WARN),
        ),
    ),
    (
        "dagster",
        "freshness",
        "{warn_after: 26h, fail_after: 2.5d}",
        FreshnessSettings(warn_after=timedelta(hours=26), fail_after=timedelta(hours=60)),
    ),
]
MODELS = {
    "retry": engine.RetrySettings,
    "concurrency": engine.ConcurrencySettings,
    "payload_store": engine.PayloadStoreSettings,
    "checkpoint": engine.CheckpointSettings,
    "rate_limit": engine.RateLimitSettings,
    "telemetry": engine.TelemetrySettings,
    "landscape": engine.LandscapeSettings,
    "dagster": DagsterSettings,
}


@pytest.mark.parametrize(("section", "key", "text", "value"), ACCEPTED)
def test_values_that_are_accepted(load: Any, section: str, key: str, text: str, value: Any) -> None:
    found = getattr(getattr(load(f"{BASE}{section}: {{{key}: {text}}}\n"), section), key)
    assert found == value
    assert type(found) is type(value)


def test_every_key_of_every_section_has_a_case() -> None:
    tried = {(section, key) for section, key, _, _ in ACCEPTED}
    fields = {(s, field.name) for s, model in MODELS.items() for field in dataclasses.fields(model)}
    assert tried == fields
    assert {*MODELS, "secrets"} == set(MAPPINGS)
    assert set(MAPPINGS) <= set(TOP_LEVEL)


def test_defaults(load: Any) -> None:
    settings = load(BASE + "".join(f"{section}:\n" for section in MAPPINGS))
    for section, model in MODELS.items():
        assert getattr(settings, section) == model()
    assert settings.retry == engine.RetrySettings(
        max_attempts=3, initial_delay_seconds=1.0, max_delay_seconds=60.0, exponential_base=2.0
    )
    assert settings.chunk_rows is None
    assert settings.dagster.shards == 1
    assert settings.export.enabled is False
    assert settings.warnings == ()


@pytest.mark.parametrize(
    ("check", "blocks"),
    [("3", True), ("{limit: 3}", True), ("{limit: 3, severity: warn}", False),
     ("{limit: 3, blocking: no}", False), ("{limit: 3, severity: error, blocking: yes}", True)],
)  # fmt: skip
def test_a_check_blocks_unless_it_is_a_warning_or_says_otherwise(load: Any, check: str, blocks: bool) -> None:
    checks = load(f"{BASE}dagster: {{checks: {{max_failed: {check}}}}}\n").dagster.checks
    ((name, limit),) = checks.limits()
    assert (name, limit.limit, limit.blocks) == ("max_failed", 3, blocks)


def test_sections_are_frozen(load: Any) -> None:
    settings = load(BASE)
    for part in (settings, settings.dagster, settings.retry, settings.source):
        with pytest.raises(dataclasses.FrozenInstanceError):
            part.pipeline = "x"


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("retry: {max_attempts: 0}", "retry.max_attempts: expected more than 0, found the number 0"),
        ("retry: {max_attempts: 32768}", "retry.max_attempts: expected at most 32767"),
        ("retry: {initial_delay_seconds: 0.009}", "expected at least 0.01, found the number 0.009"),
        ("retry: {max_delay_seconds: 0.05}", "retry.max_delay_seconds: expected at least 0.1"),
        ("retry: {exponential_base: 1}", "retry.exponential_base: expected more than 1, found the number 1"),
        ("retry: {exponential_base: nan}", "retry.exponential_base: expected a finite number, found 'nan'"),
        ("retry: {max_attempts: true}", "retry.max_attempts: expected a whole number, found true"),
        ("retry: {exponential_base: true}", "retry.exponential_base: expected a number, found true"),
        (
            "retry: {attempts: 3}",
            "unknown key 'attempts'; accepted: max_attempts, initial_delay_seconds, max_delay",
        ),
        ("retry: {attempts: 3}", "did you mean 'max_attempts'?"),
        ("retry: [3]", "3: retry: expected a mapping, found a list"),
        ("concurrency: {max_workers: 0}", "concurrency.max_workers: expected more than 0"),
        ("payload_store: {backend: s3}", "payload_store.backend: found 's3'; accepted: filesystem"),
        ("payload_store: {retention_days: 0}", "payload_store.retention_days: expected more than 0"),
        (
            "payload_store: {base_path: ''}",
            "payload_store.base_path: found ''; a text that is not blank is needed",
        ),
        ("checkpoint: {frequency: every_n}", "checkpoint.frequency: 'every_n' needs 'checkpoint_interval'"),
        (
            "checkpoint: {frequency: every}",
            "checkpoint.frequency: found 'every'; accepted: every_row, every_n, agg",
        ),
        ("checkpoint: {checkpoint_interval: 0}", "checkpoint.checkpoint_interval: expected more than 0"),
        ("checkpoint: {enabled: maybe}", "checkpoint.enabled: expected true or false, found 'maybe'"),
        ("rate_limit: {default_requests_per_minute: 0}", "expected more than 0, found the number 0"),
        (
            "rate_limit: {services: {1a: {}}}",
            "rate_limit.services.1a: found '1a'; a service's name is a letter",
        ),
        (
            "rate_limit: {services: {a: {rpm: 1}}}",
            "rate_limit.services.a.rpm: unknown key 'rpm'; accepted: requests_p",
        ),
        ("telemetry: {enabled: true}", "telemetry.enabled: telemetry is not supported yet; accepted: false"),
        (
            "telemetry: {granularity: row}",
            "found 'row'; accepted: lifecycle, rows, full; did you mean 'rows'?",
        ),
        ("telemetry: {backpressure_mode: slow}", "'slow' is not supported; accepted: block, drop"),
        (
            "telemetry: {exporters: [{name: x}]}",
            "telemetry.exporters[0].name: found 'x'; accepted: console, otlp",
        ),
        ("telemetry: {exporters: [{}]}", "telemetry.exporters[0]: the required key 'name' is missing"),
        (
            "telemetry: {exporters: [{nme: x}]}",
            "unknown key 'nme'; accepted: name, options; did you mean 'name'?",
        ),
        ("landscape: {enabled: false}", "landscape.enabled: recording is not optional; accepted: true"),
        ("landscape: {enabled: 'off'}", "landscape.enabled: recording is not optional; accepted: true"),
        (
            "landscape: {enabled: '${X:-false}'}",
            "landscape.enabled: recording is not optional; accepted: true",
        ),
        (
            "landscape: {backend: sqlcipher}",
            "landscape.backend: an encrypted landscape is not supported; accepted",
        ),
        (
            "landscape: {backend: mysql}",
            "landscape.backend: found 'mysql'; accepted: sqlite, sqlcipher, postgresql",
        ),
        ("landscape: {urll: x}", "did you mean 'url'?"),
        (
            "landscape: {export: {enabled: true, sink: out}}",
            "landscape.export.enabled: an export after the run is not",
        ),
        ("landscape: {export: {enabled: true}}", "landscape.export: the required key 'sink' is missing"),
        (
            "landscape: {export: {enabled: true, sink: ot}}",
            "there is no sink 'ot'; accepted: out; did you mean 'out'?",
        ),
        ("landscape: {export: {format: xml}}", "landscape.export.format: found 'xml'; accepted: csv, json"),
        (
            "landscape: {export: {formt: csv}}",
            "unknown key 'formt'; accepted: enabled, sink, format, sign; did you",
        ),
        ("run_mode: replay", "run_mode: 'replay' needs 'replay_from', the run to replay"),
        ("{run_mode: verify, replay_from: x}", "run_mode: 'verify' is not supported yet; accepted: live"),
        (
            "run_mode: repaly",
            "run_mode: found 'repaly'; accepted: live, replay, verify; did you mean 'replay'?",
        ),
        ("replay_from: 5", "replay_from: expected text, found the number 5"),
        (
            "depends_on: [{name: a, settings: b}]",
            "depends_on: 'depends_on' is not supported yet; leave it out",
        ),
        ("depends_on: [{name: a}]", "depends_on[0]: the required key 'settings' is missing"),
        ("depends_on: {a: b}", "depends_on: expected a list, found a mapping"),
        ("depends_on: [" + "5," * 21 + "]", "depends_on: takes at most 20 entries, found 21"),
        (
            "commencement_gates: [{name: a, condition: b}]",
            "'commencement_gates' is not supported yet; leave it out",
        ),
        ("commencement_gates: [{name: a}]", "commencement_gates[0]: the required key 'condition' is missing"),
        ("collection_probes: [{collection: a, provider: b}]", "'collection_probes' is not supported yet"),
        (
            "collection_probes: [{collection: a}]",
            "collection_probes[0]: the required key 'provider' is missing",
        ),
        ("secrets: {source: keyvault}", "secrets.source: 'keyvault' is not supported yet; accepted: env"),
        ("secrets: {source: keyvault}", "secrets: 'source: keyvault' needs 'vault_url'"),
        ("secrets: {source: keyvault}", "secrets: 'source: keyvault' needs 'mapping'"),
        ("secrets: {source: keyvault, vault_url: '${V}'}", "secrets.vault_url: expected an https:// address"),
        (
            "secrets: {source: keyvault, vault_url: http://x}",
            "secrets.vault_url: expected an https:// address",
        ),
        ("secrets: {src: env}", "secrets.src: unknown key 'src'; accepted: source, vault_url, mapping"),
        ("dagster: {shards: 0}", "dagster.shards: expected at least 1, found the number 0"),
        ("dagster: {shards: 65}", "dagster.shards: expected at most 64, found the number 65"),
        (
            "dagster: {shard: 2}",
            "dagster.shard: unknown key 'shard'; accepted: group, owners, tags, schedule, timez",
        ),
        ("dagster: {shard: 2}", "did you mean 'shards'?"),
        (
            "dagster: {owners: [risk]}",
            "dagster.owners[0]: found 'risk'; an owner is 'team:NAME' or an email address",
        ),
        ("dagster: {owners: team:risk}", "dagster.owners: expected a list, found 'team:risk'"),
        (
            "dagster: {tags: {a b: c}}",
            "dagster.tags: found a mapping; the tag 'a b' is not accepted; a tag is made of",
        ),
        ("dagster: {tags: {a: }}", "dagster.tags.a: expected text, found nothing"),
        ("rate_limit: {services: {a: }}", "rate_limit.services.a: expected a mapping, found nothing"),
        ("dagster: {tags: {a: 1}}", "dagster.tags.a: expected text, found the number 1; put it in quotes"),
        ("dagster: {schedule: daily}", "dagster.schedule: found 'daily'; a schedule has five fields"),
        ("dagster: {schedule: '61 * * * *'}", "'61' is no minute; accepted: 0 to 59, ranges, '*' and steps"),
        ("dagster: {schedule: '0 6 * * xyz'}", "'xyz' is no day of the week"),
        ("dagster: {schedule: '*/0 * * * *'}", "'*/0' is no minute"),
        (
            "dagster: {schedule: '0 0 31 2 *'}",
            "no month that it names has such a day, so it would never come",
        ),
        ("dagster: {schedule: '0 0 30-31 2 *'}", "no month that it names has such a day"),
        ("dagster: {schedule: '0 0 31 Apr,6,9,11 *'}", "no month that it names has such a day"),
        (
            "dagster: {tags: {a: b, tier: 'a b!'}}",
            "dagster.tags.tier: found 'a b!'; a tag's value is made of",
        ),
        (
            "dagster: {tags: {tier: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}}",
            "up to 63",
        ),
        ("dagster: {partitions: yearly}", "dagster.partitions: "),
        ("dagster: {partitions_start: 2026-02-30}", "a day is written like 2026-01-31"),
        (
            "dagster: {timezone: Europe/Berln}",
            "found 'Europe/Berln'; a time zone has a name such as 'Europe/Berlin'",
        ),
        ("dagster: {sensor: {}}", "dagster.sensor: the required key 'watch' is missing"),
        (
            "dagster: {sensor: {watch: x, settle_seconds: -1}}",
            "dagster.sensor.settle_seconds: expected at least 0",
        ),
        ("dagster: {progress_rows: 0}", "dagster.progress_rows: expected more than 0"),
        ("dagster: {max_retries: -1}", "dagster.max_retries: expected at least 0"),
        ("dagster: {checks: {max_quarantined_fraction: 1.1}}", "expected at most 1, found the number 1.1"),
        ("dagster: {checks: {max_quarantined: 1}}", "did you mean 'max_quarantined_fraction'?"),
        ("dagster: {checks: {max_failed: {limit: -1}}}", "checks.max_failed.limit: expected at least 0"),
        ("dagster: {checks: {max_failed: 1.5}}", "expected a whole number, found the number 1.5"),
        ("dagster: {checks: {min_rows: {severity: warn}}}", "the required key 'limit' is missing"),
        ("dagster: {checks: {min_rows: {limit: 1, block: no}}}", "did you mean 'blocking'?"),
        (
            "dagster: {checks: {min_rows: {limit: 1, severity: bad}}}",
            "min_rows.severity: found 'bad'; accepted: error, warn",
        ),
        (
            "dagster: {checks: {min_rows: {limit: 1, severity: warn, blocking: true}}}",
            "a check of severity 'warn' lets everything pass",
        ),
        ("dagster: {freshness: {warn_after: 1h}}", "the required key 'fail_after' is missing"),
        ("dagster: {freshness: {fail_after: 26}}", "found the number 26; a duration is a number with a unit"),
        ("dagster: {freshness: {fail_after: 59s}}", "and at least a minute"),
        (
            "dagster: {freshness: {fail_after: 1h, warn_after: 60m}}",
            "'warn_after' has to be shorter than 'fail_after'",
        ),
    ],
)
def test_values_that_are_refused(problems: Any, section: str, expected: str) -> None:
    text = section.strip("{}").replace(", replay", "\nreplay") if section.startswith("{") else section
    found = problems(f"{BASE}{text}\n")
    assert all(line.startswith("3: ") for line in found)
    assert any(expected in line for line in found), found


@pytest.mark.parametrize(
    ("section", "warnings"),
    [
        ("landscape: {url: x, backend: sqlite}", ["landscape.backend", "landscape.url"]),
        ("landscape: {encryption_key_env: X}", ["landscape.encryption_key_env"]),
        (
            "landscape: {dump_to_jsonl: true, dump_to_jsonl_path: x}",
            ["landscape.dump_to_jsonl", "landscape.dump_to_jsonl_path"],
        ),
        ("landscape: {dump_to_jsonl: no, enabled: true, export: {enabled: false}}", []),
        ("landscape: {dump_to_jsonl_fail_on_error: true}", ["landscape.dump_to_jsonl_fail_on_error"]),
        ("landscape: {dump_to_jsonl_include_payloads: true}", ["landscape.dump_to_jsonl_include_payloads"]),
        ("landscape: {dump_to_jsonl_payload_base_path: x}", ["landscape.dump_to_jsonl_payload_base_path"]),
        ("concurrency: {max_workers: 4}", []),
        ("payload_store: {backend: filesystem}", ["payload_store.backend"]),
        (
            "payload_store: {base_path: x, retention_days: 9}",
            ["payload_store.base_path", "payload_store.retention_days"],
        ),
        ("checkpoint: {enabled: true}", []),
        ("checkpoint: {enabled: false}", ["checkpoint.enabled"]),
        ("checkpoint: {frequency: every_row}", ["checkpoint.frequency"]),
        ("checkpoint: {frequency: aggregation_only}", ["checkpoint.frequency"]),
        ("checkpoint: {frequency: every_n, checkpoint_interval: 5}", []),
        ("checkpoint: {checkpoint_interval: 5}", ["checkpoint.checkpoint_interval"]),
        ("checkpoint: {aggregation_boundaries: true}", ["checkpoint.aggregation_boundaries"]),
        ("rate_limit: {default_requests_per_minute: 5}", ["rate_limit"]),
        ("rate_limit: {enabled: false}", []),
        ("retry: {max_attempts: 5}", []),
        ("telemetry: {enabled: false, granularity: rows}", []),
        ("run_mode: live", []),
        ("replay_from: x", ["replay_from"]),
        ("depends_on: []", []),
        ("commencement_gates:", []),
        ("secrets: {source: env}", []),
        ("secrets: {mapping: {A_KEY: a}, vault_url: https://x}", ["secrets.mapping", "secrets.vault_url"]),
        ("dagster: {schedule: '@daily', timezone: UTC}", []),
        ("dagster: {partitions: daily, partitions_start: 2026-01-01, timezone: UTC}", []),
        (
            "dagster: {timezone: UTC, partitions_start: 2026-01-01}",
            ["dagster.partitions_start", "dagster.timezone"],
        ),
        ("dagster: {checks: {max_failed: 0}, freshness: {fail_after: 1h}}", []),
        ("telemetry: {granularity: rows, exporters: []}", ["telemetry.exporters", "telemetry.granularity"]),
        (
            "landscape: {export: {format: json, sign: false}}",
            ["landscape.export.format", "landscape.export.sign"],
        ),
        ("landscape: {export: {enabled: false, format: json}}", []),
        ("dagster: {group: a, shards: 2, max_retries: 2, progress_rows: 5, progress_seconds: 1}", []),
    ],
)
def test_keys_without_effect_are_warned_about(load: Any, section: str, warnings: list[str]) -> None:
    settings = load(f"{BASE}{section}\n")
    places = [warning.removeprefix(f"{settings.path}:3: ").split(": ")[0] for warning in settings.warnings]
    assert sorted(places) == warnings


def test_a_warning_says_what_does_instead(load: Any) -> None:
    settings = load(f"{BASE}rate_limit: {{default_requests_per_minute: 4}}\n")
    place = f"{settings.path}:3: rate_limit"
    assert settings.warnings == (f"{place}: has no effect here: no plugin of this version calls a service",)
