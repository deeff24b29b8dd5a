"""`template_file`, `lookup_file` and `system_prompt_file`: options whose value is in a file."""

from pathlib import Path
from typing import Any

from elspeth_dagster.settings.document import parse_document
from elspeth_dagster.settings.errors import SettingsError
from elspeth_dagster.settings.findings import Findings
from elspeth_dagster.settings.locations import KeyPath
from elspeth_dagster.settings.names import SOURCE_WITHOUT_OPTIONS
from elspeth_dagster.settings.reading import UnreadableError, read_text

_FILE_OPTIONS = {
    "template_file": "template",
    "lookup_file": "lookup",
    "system_prompt_file": "system_prompt",
}
_SOURCE_SUFFIX = "_source"


def load_option_files(data: dict[str, Any], folder: Path, findings: Findings) -> dict[str, Any]:
    """Replace `*_file` options of transforms and aggregations by what the files hold.

    Args:
        data: The document.
        folder: The settings file's folder; no file may lie outside of it.
        findings: Takes what is wrong: a missing file, one outside the folder, both forms given, another node.
    """
    result = dict(data)
    for section in ("transforms", "aggregations"):
        entries = data.get(section)
        if isinstance(entries, list):
            result[section] = [
                _loaded(entry, (section, index), folder, findings) for index, entry in enumerate(entries)
            ]
    _refuse_elsewhere(data, findings)
    return result


def _loaded(entry: Any, path: KeyPath, folder: Path, findings: Findings) -> Any:
    options = entry.get("options") if isinstance(entry, dict) else None
    if not isinstance(options, dict) or options.keys().isdisjoint(_FILE_OPTIONS):
        return entry
    loaded: dict[str, Any] = {}
    for key, value in options.items():
        inline = _FILE_OPTIONS.get(key)
        place = (*path, "options", key)
        if inline is None:
            loaded[key] = value
        elif inline in options:
            findings.error(place, f"'{key}' and '{inline}' are both given; only one of them is accepted")
        else:
            content = _content(value, place, folder, findings, as_yaml=inline == "lookup")
            loaded |= {inline: content, inline + _SOURCE_SUFFIX: value}
    return {**entry, "options": loaded}


def _content(reference: Any, place: KeyPath, folder: Path, findings: Findings, *, as_yaml: bool) -> Any:
    if not isinstance(reference, str) or not reference.strip():
        findings.error(place, "expected the path of a file, relative to the settings file")
        return None
    try:
        path = (folder / reference).resolve()
        if not path.is_relative_to(folder.resolve()):
            findings.error(place, f"'{reference}' lies outside the settings file's folder")
            return None
        text = read_text(path)
        return _yaml_content(text, reference, findings) if as_yaml else text
    except UnreadableError as error:
        line = f", line {error.line}" if error.line else ""
        findings.error(place, f"'{reference}'{line}: {error.reason}")
    except (OSError, ValueError, RuntimeError) as error:  # resolve(): a loop of links, a NUL in the path
        findings.error(place, f"'{reference}' cannot be read: {error}")
    return None


def _yaml_content(text: str, reference: str, findings: Findings) -> Any:
    try:
        document = parse_document(text, reference)
    except SettingsError as error:
        findings.problems.extend(error.problems)
        return None
    findings.problems.extend(document.problems)
    return {} if document.data is None else document.data


def _refuse_elsewhere(data: dict[str, Any], findings: Findings) -> None:
    source = data.get("source")
    idle = isinstance(source, dict) and source.get("plugin") == SOURCE_WITHOUT_OPTIONS
    nodes: list[tuple[KeyPath, Any]] = [] if idle else [(("source",), source)]
    sinks = data.get("sinks")
    if isinstance(sinks, dict):
        nodes += [(("sinks", name), entry) for name, entry in sinks.items()]
    for path, entry in nodes:
        options = entry.get("options") if isinstance(entry, dict) else None
        for key in _FILE_OPTIONS:
            if isinstance(options, dict) and key in options:
                message = f"'{key}' is accepted in the options of transforms and aggregations only"
                findings.error((*path, "options", key), message)
