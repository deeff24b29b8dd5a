"""What must agree within the sections about running: section 8 of the format."""

import re
from collections.abc import Collection, Iterator

from elspeth_dagster.settings.engine_sections import (
    CheckpointFrequency,
    CheckpointSettings,
    LandscapeSettings,
    ModeSettings,
    RateLimitSettings,
    RunMode,
    SecretsSettings,
)
from elspeth_dagster.settings.errors import did_you_mean
from elspeth_dagster.settings.locations import KeyPath

Found = Iterator[tuple[KeyPath, str]]

_SERVICE = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def check_mode(mode: ModeSettings) -> Found:
    """A run that repeats another one names it."""
    if mode.run_mode is not RunMode.LIVE and mode.replay_from is None:
        yield ("run_mode",), f"'{mode.run_mode}' needs 'replay_from', the run to {mode.run_mode}"


def check_checkpoint(checkpoint: CheckpointSettings) -> Found:
    """`every_n` says how many."""
    if checkpoint.frequency is CheckpointFrequency.EVERY_N and checkpoint.checkpoint_interval is None:
        yield ("checkpoint", "frequency"), "'every_n' needs 'checkpoint_interval', the number of rows"


def check_export(landscape: LandscapeSettings, sinks: Collection[str]) -> Found:
    """An export names one of the sinks."""
    export = landscape.export
    path: KeyPath = ("landscape", "export")
    if export.enabled and export.sink is None:
        yield path, "the required key 'sink' is missing"
    if export.enabled and export.sink is not None and export.sink not in sinks:
        names = ", ".join(sinks)
        hint = did_you_mean(export.sink, sinks)
        yield (*path, "sink"), f"there is no sink '{export.sink}'; accepted: {names}{hint}"


def check_rate_limit(rate_limit: RateLimitSettings) -> Found:
    """Services have names that can be part of a key."""
    for name in rate_limit.services:
        if not _SERVICE.fullmatch(name):
            rule = "a service's name is a letter, then letters, digits and '_'"
            yield ("rate_limit", "services", name), f"found {name!r}; {rule}"


def check_secrets(secrets: SecretsSettings) -> Found:
    """A key vault has an address, which is no secret itself, and says what to take from it."""
    if secrets.source != "keyvault":
        return
    if secrets.vault_url is None:
        yield ("secrets",), "'source: keyvault' needs 'vault_url'"
    elif "${" in secrets.vault_url or not secrets.vault_url.startswith("https://"):
        yield ("secrets", "vault_url"), "expected an https:// address, written out without ${…}"
    if not secrets.mapping:
        yield ("secrets",), "'source: keyvault' needs 'mapping', from variables to names of secrets"
