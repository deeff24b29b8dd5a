"""The sections of a document that say how its pipeline is run and shown."""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from elspeth_dagster.settings import section_rules
from elspeth_dagster.settings.dagster_section import DagsterSettings
from elspeth_dagster.settings.engine_sections import (
    CheckpointSettings,
    CollectionProbe,
    CommencementGate,
    ConcurrencySettings,
    Dependency,
    LandscapeSettings,
    ModeSettings,
    PayloadStoreSettings,
    RateLimitSettings,
    RetrySettings,
    SecretsSettings,
    TelemetrySettings,
)
from elspeth_dagster.settings.findings import Findings
from elspeth_dagster.settings.locations import KeyPath
from elspeth_dagster.settings.secrets import Secrets
from elspeth_dagster.settings.sections import MAX_ENTRIES
from elspeth_dagster.settings.support import check_support
from elspeth_dagster.settings.validation import described, validated

Section = TypeVar("Section")

_PREFLIGHT: dict[str, type] = {
    "depends_on": Dependency,
    "commencement_gates": CommencementGate,
    "collection_probes": CollectionProbe,
}
_MODE_KEYS = ("run_mode", "replay_from")


@dataclass(frozen=True)
class Sections:
    """All sections that are no nodes; one that is invalid stands with its defaults."""

    dagster: DagsterSettings
    checkpoint: CheckpointSettings
    retry: RetrySettings
    rate_limit: RateLimitSettings
    concurrency: ConcurrencySettings
    telemetry: TelemetrySettings
    payload_store: PayloadStoreSettings
    landscape: LandscapeSettings


def parse_sections(
    data: Mapping[str, Any], sinks: Collection[str], findings: Findings, secrets: Secrets
) -> Sections:
    """Parse all sections that are no nodes, and report what this version does not do.

    Args:
        data: The document.
        sinks: Names of the sinks.
        findings: Takes what is wrong or in vain.
        secrets: What may not be shown.
    """
    parser = _SectionParser(data, findings, secrets, {})
    sections = Sections(
        dagster=parser.section("dagster", DagsterSettings),
        checkpoint=parser.section("checkpoint", CheckpointSettings),
        retry=parser.section("retry", RetrySettings),
        rate_limit=parser.section("rate_limit", RateLimitSettings),
        concurrency=parser.section("concurrency", ConcurrencySettings),
        telemetry=parser.section("telemetry", TelemetrySettings),
        payload_store=parser.section("payload_store", PayloadStoreSettings),
        landscape=parser.section("landscape", LandscapeSettings),
    )
    findings.errors(section_rules.check_mode(parser.mode()))
    findings.errors(section_rules.check_checkpoint(sections.checkpoint))
    findings.errors(section_rules.check_rate_limit(sections.rate_limit))
    findings.errors(section_rules.check_export(sections.landscape, sinks))
    findings.errors(section_rules.check_secrets(parser.section("secrets", SecretsSettings)))
    for name, model in _PREFLIGHT.items():
        parser.preflight(name, model)
    check_support(parser.given, findings)
    return sections


@dataclass(frozen=True)
class _SectionParser:
    data: Mapping[str, Any]
    findings: Findings
    secrets: Secrets
    given: dict[str, Any]

    def section(self, name: str, model: type[Section]) -> Section:
        raw = self.data.get(name)
        if raw is None:
            return model()
        parsed = validated(model, raw, (name,), self.findings, self.secrets)
        if parsed is None:
            return model()
        self.given[name] = _given(parsed, raw)
        return parsed

    def mode(self) -> ModeSettings:
        raw = {key: self.data[key] for key in _MODE_KEYS if key in self.data}
        parsed = validated(ModeSettings, raw, (), self.findings, self.secrets)
        if parsed is not None:
            self.given.update(_given(parsed, raw))
        return parsed or ModeSettings()

    def preflight(self, name: str, model: type) -> None:
        raw = self.data.get(name)
        path: KeyPath = (name,)
        if raw is not None and not isinstance(raw, list):
            self.findings.error(path, f"expected a list, found {described(raw)}")
            return
        entries = raw or []
        if len(entries) > MAX_ENTRIES[name]:
            self.findings.error(path, f"takes at most {MAX_ENTRIES[name]} entries, found {len(entries)}")
        for index, entry in enumerate(entries):
            validated(model, entry, (*path, index), self.findings, self.secrets)
        self.given[name] = entries


def _given(parsed: Any, raw: Any) -> Any:
    """Give the values that the file gives, as parsed: without those that are defaults."""
    if not dataclasses.is_dataclass(parsed) or not isinstance(raw, Mapping):
        return parsed
    return {key: _given(getattr(parsed, key), value) for key, value in raw.items() if value is not None}
