"""A settings file, from its path to validated settings; everything that is wrong is found at once."""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elspeth_dagster.settings.document import read_document
from elspeth_dagster.settings.errors import Problem, SettingsError, did_you_mean
from elspeth_dagster.settings.findings import Findings
from elspeth_dagster.settings.folding import fold_keys
from elspeth_dagster.settings.node_parsing import NodeParser
from elspeth_dagster.settings.node_rules import check_unique_names
from elspeth_dagster.settings.option_files import load_option_files
from elspeth_dagster.settings.overrides import apply_overrides
from elspeth_dagster.settings.secrets import (
    FINGERPRINT_KEY_VARIABLE,
    FINGERPRINT_SUFFIX,
    Secrets,
    find_secrets,
    leaves,
)
from elspeth_dagster.settings.section_parsing import parse_sections
from elspeth_dagster.settings.sections import LOADER_WORDS, TOP_LEVEL
from elspeth_dagster.settings.settings import Settings
from elspeth_dagster.settings.validation import described
from elspeth_dagster.settings.variables import Expanded, expand_variables

_FOLDER_NAMES_PIPELINE = frozenset({"settings.yaml", "settings.yml"})


@dataclass(frozen=True)
class Loaded:
    """What could be read of a settings file.

    Attributes:
        settings: Its settings, without the nodes that are not valid; None when the source is not.
        problems: Every problem found.
    """

    settings: Settings | None
    problems: tuple[Problem, ...]


def load_settings(path: Path, *, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read and validate a pipeline's settings file.

    Args:
        path: The file.
        environ: Environment variables: what `${NAME}` stands for, overrides, and the fingerprint key.

    Raises:
        SettingsError: With every problem found.
    """
    loaded = load_what_is_valid(path, environ=environ)
    if loaded.settings is None or loaded.problems:
        raise SettingsError(loaded.problems)
    return loaded.settings


def load_what_is_valid(path: Path, *, environ: Mapping[str, str] = os.environ) -> Loaded:
    """Read a pipeline's settings file as `load_settings` does, whatever is wrong with parts of it.

    Raises:
        SettingsError: It is not a mapping.
    """
    document = read_document(path)
    findings = Findings(document.locations, list(document.problems))
    if not isinstance(document.data, dict):
        raise SettingsError(
            [*findings.problems, findings.locations.problem((), _not_a_mapping(document.data))]
        )
    expanded = _resolved(document.data, path, environ, findings)
    secrets = find_secrets(expanded.data, expanded.secret_parts, environ)
    settings = _parsed(expanded.data, path, findings, secrets)
    return Loaded(settings, tuple(_scrubbed(problem, secrets) for problem in findings.problems))


def pipeline_name(path: Path) -> str:
    """Give the name of the pipeline that a settings file declares.

    It is the file's name without suffix, or the folder's name when the file is called `settings.yaml`.
    """
    absolute = _absolute(path)
    if absolute.name in _FOLDER_NAMES_PIPELINE and absolute.parent.name:
        return absolute.parent.name
    return absolute.stem


def _not_a_mapping(data: Any) -> str:
    if data is None:
        return "the file is empty; a pipeline has at least 'source' and 'sinks'"
    return f"expected a mapping with at least 'source' and 'sinks', found {described(data)}"


def _resolved(data: dict[str, Any], path: Path, environ: Mapping[str, str], findings: Findings) -> Expanded:
    known = _known_sections(fold_keys(data, findings), findings)
    expanded = expand_variables(apply_overrides(known, environ, findings), environ, findings)
    loaded = load_option_files(expanded.data, _absolute(path).parent, findings)
    return dataclasses.replace(expanded, data=loaded)


def _known_sections(data: dict[str, Any], findings: Findings) -> dict[str, Any]:
    for key in data:
        if key in LOADER_WORDS:
            findings.warn((key,), "has no effect here: a word of another program's loader")
        elif key not in TOP_LEVEL:
            accepted = ", ".join(TOP_LEVEL)
            message = f"unknown key '{key}'; accepted: {accepted}{did_you_mean(key, TOP_LEVEL)}"
            findings.error((key,), message)
    return {key: value for key, value in data.items() if key in TOP_LEVEL}


def _parsed(data: dict[str, Any], path: Path, findings: Findings, secrets: Secrets) -> Settings | None:
    nodes = NodeParser(data, findings, secrets)
    source = nodes.source()
    sinks = nodes.sinks()
    transforms, gates = tuple(nodes.transforms()), tuple(nodes.gates())
    aggregations, coalesces = tuple(nodes.aggregations()), tuple(nodes.coalesces())
    check_unique_names(data, findings)
    sections = parse_sections(data, sinks, findings, secrets)
    _check_secrets(data, findings, secrets)
    if source is None:
        return None
    return Settings(
        pipeline=pipeline_name(path),
        path=_absolute(path),
        source=source,
        sinks=sinks,
        transforms=transforms,
        gates=gates,
        aggregations=aggregations,
        coalesces=coalesces,
        **vars(sections),
        warnings=tuple(str(_scrubbed(warning, secrets)) for warning in sorted(findings.warnings)),
        document=data,
        locations=findings.locations,
        secrets=secrets,
    )


def _check_secrets(data: dict[str, Any], findings: Findings, secrets: Secrets) -> None:
    found = [path for path, value in leaves(data) if secrets.is_secret(path, value)]
    present = {path for path, _ in leaves(data)}
    for path in found:
        key = path[-1]
        if isinstance(key, str) and (*path[:-1], key + FINGERPRINT_SUFFIX) in present:
            findings.error(path, f"'{key}' and '{key}{FINGERPRINT_SUFFIX}' are both given; remove the second")
        if secrets.fingerprint_key is None:
            findings.warn(
                path,
                f"this secret is recorded as ***; set {FINGERPRINT_KEY_VARIABLE} to record a keyed "
                "fingerprint, by which it can be told from another one",
            )


def _scrubbed(problem: Problem, secrets: Secrets) -> Problem:
    return dataclasses.replace(problem, message=secrets.scrubbed(problem.message))


def _absolute(path: Path) -> Path:
    # resolve() would follow a link, and so rename the pipeline; absolute() leaves the dots in
    return Path(os.path.abspath(path))  # noqa: PTH100
