"""What the format has and this version does not do: refused where it matters, else warned about."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from elspeth_dagster.settings.findings import Findings
from elspeth_dagster.settings.locations import KeyPath
from elspeth_dagster.settings.sections import PREFLIGHT_LISTS

_ONE_LANDSCAPE = "there is one landscape per platform, set by ELSPETH_LANDSCAPE or --landscape"
_RECORDS = "the record is kept in the landscape, and 'elspeth sql' reads it"
_COMMITS = "every commit is a checkpoint; 'frequency: every_n' with 'checkpoint_interval' sets their size"


@dataclass(frozen=True)
class _Inert:
    """A key that has no effect.

    Attributes:
        path: The key.
        instead: Why, or what does instead.
        harmless: Values that say what happens anyway, and so need no warning.
    """

    path: KeyPath
    instead: str
    harmless: tuple[Any, ...] = ()


_INERT = (
    _Inert(("landscape", "url"), _ONE_LANDSCAPE),
    _Inert(("landscape", "backend"), _ONE_LANDSCAPE),
    _Inert(("landscape", "encryption_key_env"), _ONE_LANDSCAPE),
    _Inert(("landscape", "dump_to_jsonl"), _RECORDS, (False,)),
    _Inert(("landscape", "dump_to_jsonl_path"), _RECORDS),
    _Inert(("landscape", "dump_to_jsonl_fail_on_error"), _RECORDS, (False,)),
    _Inert(("landscape", "dump_to_jsonl_include_payloads"), _RECORDS, (False,)),
    _Inert(("landscape", "dump_to_jsonl_payload_base_path"), _RECORDS),
    _Inert(("payload_store", "backend"), _RECORDS),
    _Inert(("payload_store", "base_path"), _RECORDS),
    _Inert(("payload_store", "retention_days"), _RECORDS),
    _Inert(("checkpoint", "enabled"), _COMMITS, (True,)),
    _Inert(("checkpoint", "frequency"), _COMMITS, ("every_n",)),
    _Inert(("checkpoint", "aggregation_boundaries"), _COMMITS),
    _Inert(("rate_limit",), "no plugin of this version calls a service", ({"enabled": False},)),
    _Inert(("secrets", "vault_url"), "it goes with 'source: keyvault'"),
    _Inert(("secrets", "mapping"), "it goes with 'source: keyvault'"),
)

_UNSUPPORTED_VALUES: tuple[tuple[KeyPath, Any, str], ...] = (
    (("run_mode",), "replay", "'replay' is not supported yet; accepted: live"),
    (("run_mode",), "verify", "'verify' is not supported yet; accepted: live"),
    (("landscape", "enabled"), False, "recording is not optional; accepted: true"),
    (
        ("landscape", "backend"),
        "sqlcipher",
        "an encrypted landscape is not supported; accepted: sqlite, postgresql",
    ),
    (
        ("landscape", "export", "enabled"),
        True,
        "an export after the run is not supported yet; accepted: false",
    ),
    (("telemetry", "enabled"), True, "telemetry is not supported yet; accepted: false"),
    (("telemetry", "backpressure_mode"), "slow", "'slow' is not supported; accepted: block, drop"),
    (("secrets", "source"), "keyvault", "'keyvault' is not supported yet; accepted: env"),
)


def check_support(given: Mapping[str, Any], findings: Findings) -> None:
    """Report what is not supported, and warn about what has no effect.

    Args:
        given: What the file gives, by section, keys without value left out and values of their proper types.
        findings: Takes the problems and warnings.
    """
    for path, value, message in _UNSUPPORTED_VALUES:
        if _is_same(_given(given, path), value):
            findings.error(path, message)
    for section in PREFLIGHT_LISTS:
        if given.get(section):
            findings.error((section,), f"'{section}' is not supported yet; leave it out")
    for inert in _INERT:
        value = _given(given, inert.path)
        if value is not None and not any(_is_same(value, harmless) for harmless in inert.harmless):
            findings.warn(inert.path, f"has no effect here: {inert.instead}")
    _warn_about_combinations(given, findings)


def _warn_about_combinations(given: Mapping[str, Any], findings: Findings) -> None:
    interval = _given(given, ("checkpoint", "checkpoint_interval"))
    if interval is not None and _given(given, ("checkpoint", "frequency")) != "every_n":
        path = ("checkpoint", "checkpoint_interval")
        findings.warn(path, "has an effect only with 'frequency: every_n'")
    if given.get("replay_from") is not None and given.get("run_mode", "live") == "live":
        findings.warn(("replay_from",), "has no effect with 'run_mode: live'")
    for section in (("landscape", "export"), ("telemetry",)):
        if _given(given, (*section, "enabled")) is None:
            for key in _given(given, section) or ():
                if key != "enabled":
                    findings.warn((*section, key), "has an effect only with 'enabled: true'")
    timed = ("schedule", "partitions")
    for key, needs in (("timezone", timed), ("partitions_start", ("partitions",))):
        if _given(given, ("dagster", key)) is not None and not any(
            _given(given, ("dagster", need)) for need in needs
        ):
            findings.warn(("dagster", key), f"has an effect only with '{' or '.join(needs)}'")


def _given(given: Mapping[str, Any], path: KeyPath) -> Any:
    value: Any = given
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _is_same(value: Any, other: Any) -> bool:
    return isinstance(value, bool) == isinstance(other, bool) and bool(value == other)
