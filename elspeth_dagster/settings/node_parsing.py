"""The nodes of a document: its `source`, `sinks` and lists of nodes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from elspeth_dagster.settings import node_rules
from elspeth_dagster.settings.entries import (
    AggregationEntry,
    CoalesceEntry,
    Entry,
    GateEntry,
    SinkEntry,
    SourceEntry,
    TransformEntry,
)
from elspeth_dagster.settings.errors import nearest
from elspeth_dagster.settings.findings import Findings
from elspeth_dagster.settings.locations import KeyPath
from elspeth_dagster.settings.names import DISCARD, SOURCE_WITHOUT_OPTIONS, InvalidNameError, sink_name
from elspeth_dagster.settings.nodes import (
    AggregationSettings,
    CoalesceSettings,
    GateSettings,
    SinkSettings,
    SourceSettings,
    TransformSettings,
    TriggerSettings,
)
from elspeth_dagster.settings.secrets import Secrets
from elspeth_dagster.settings.sections import MAX_ENTRIES
from elspeth_dagster.settings.validation import described, validated

EntryT = TypeVar("EntryT", bound=Entry)
Rule = Callable[[EntryT, KeyPath], node_rules.Found]

_FAILURE = "on_validation_failure"


@dataclass(frozen=True)
class NodeParser:
    """Parses the nodes of one document.

    Attributes:
        data: The document.
        findings: Takes what is wrong.
        secrets: What may not be shown.
    """

    data: Mapping[str, Any]
    findings: Findings
    secrets: Secrets

    def source(self) -> SourceSettings | None:
        """Give the source; None when it is missing or something is wrong with it."""
        path: KeyPath = ("source",)
        if self._is_missing("source"):
            return None
        entry = validated(SourceEntry, self.data["source"], path, self.findings, self.secrets)
        if entry is None:
            return None
        if entry.plugin == SOURCE_WITHOUT_OPTIONS:
            return SourceSettings(
                plugin=entry.plugin,
                on_success=entry.on_success,
                on_validation_failure=self._known_sink(entry.options.get(_FAILURE)),
                options={},
            )
        options = dict(entry.options)
        failure = options.pop(_FAILURE, None)
        place = (*path, "options", _FAILURE)
        if isinstance(failure, str) and failure.strip():
            failure = failure.strip()
        elif failure is not None:
            found = described(self.secrets.shown(place, failure))
            self.findings.error(place, f"expected the name of a sink, or '{DISCARD}', found {found}")
        else:
            meant = nearest(_FAILURE, options)
            at = place[:-1] if meant is None else (*place[:-1], meant)
            hint = "" if meant is None else f"; '{meant}' was found instead"
            accepted = f"accepted: the name of a sink, or '{DISCARD}'"
            self.findings.error(at, f"the required key '{_FAILURE}' is missing; {accepted}{hint}")
        return SourceSettings(
            plugin=entry.plugin,
            on_success=entry.on_success,
            on_validation_failure=failure,
            options=options,
        )

    def sinks(self) -> dict[str, SinkSettings]:
        """Give the sinks that are valid, by name."""
        section: KeyPath = ("sinks",)
        if self._is_missing("sinks"):
            return {}
        sinks = self.data["sinks"]
        if not isinstance(sinks, dict):
            self.findings.error(section, f"expected a mapping from names to sinks, found {described(sinks)}")
            return {}
        if not sinks:
            self.findings.error(section, "expected at least one sink, found none")
        self._check_count("sinks", len(sinks))
        parsed = {name: self._sink(name, raw) for name, raw in sinks.items()}
        return {name: sink for name, sink in parsed.items() if sink is not None}

    def transforms(self) -> Iterator[TransformSettings]:
        """Give the transforms that are valid."""
        for path, entry in self._entries("transforms", TransformEntry):
            yield TransformSettings(path=path, **dict(entry))

    def gates(self) -> Iterator[GateSettings]:
        """Give the gates that are valid."""
        for path, entry in self._entries("gates", GateEntry, node_rules.check_gate):
            yield GateSettings(path=path, **dict(entry))

    def aggregations(self) -> Iterator[AggregationSettings]:
        """Give the aggregations that are valid."""
        for path, entry in self._entries("aggregations", AggregationEntry, node_rules.check_aggregation):
            trigger = TriggerSettings(**dict(entry.trigger))
            yield AggregationSettings(path=path, **{**dict(entry), "trigger": trigger})

    def coalesces(self) -> Iterator[CoalesceSettings]:
        """Give the coalesces that are valid."""
        for path, entry in self._entries("coalesce", CoalesceEntry, node_rules.check_coalesce):
            for key, message in node_rules.idle_in_coalesce(entry, path):
                self.findings.warn(key, message)
            yield CoalesceSettings(path=path, **dict(entry))

    def _known_sink(self, name: object) -> str | None:
        """A sink that is named where no name is needed; any other value there says nothing."""
        sinks = self.data.get("sinks")
        known = isinstance(name, str) and (name == DISCARD or (isinstance(sinks, dict) and name in sinks))
        return str(name) if known else None

    def _sink(self, name: str, raw: Any) -> SinkSettings | None:
        path: KeyPath = ("sinks", name)
        try:
            sink_name(name)
        except InvalidNameError as error:
            self.findings.error(path, str(error))
        if name == DISCARD:
            keys = "on_error, on_validation_failure and on_write_failure"
            self.findings.warn(path, f"no row reaches it by {keys}, in which '{DISCARD}' means: to no sink")
        entry = validated(SinkEntry, {} if raw is None else raw, path, self.findings, self.secrets)
        return None if entry is None else SinkSettings(name=name, path=path, **dict(entry))

    def _entries(
        self, section: str, model: type[EntryT], rule: Rule[EntryT] | None = None
    ) -> Iterator[tuple[KeyPath, EntryT]]:
        raw = self.data.get(section)
        if raw is None:
            return
        if not isinstance(raw, list):
            self.findings.error(
                (section,), f"expected a list, found {described(raw)}; each entry begins with '- '"
            )
            return
        self._check_count(section, len(raw))
        for index, item in enumerate(raw):
            path: KeyPath = (section, index)
            entry = validated(model, item, path, self.findings, self.secrets)
            if entry is not None:
                self.findings.errors(rule(entry, path) if rule else ())
                yield path, entry

    def _is_missing(self, key: str) -> bool:
        if key not in self.data:
            self.findings.error((), f"the required key '{key}' is missing")
        elif self.data[key] is None:
            self.findings.error((key,), f"the required key '{key}' has no value")
        return self.data.get(key) is None

    def _check_count(self, section: str, count: int) -> None:
        if count > MAX_ENTRIES[section]:
            self.findings.error((section,), f"takes at most {MAX_ENTRIES[section]} entries, found {count}")
