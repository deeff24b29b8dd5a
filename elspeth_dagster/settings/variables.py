"""`${NAME}` and `${NAME:-default}` in the values of a settings file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from elspeth_dagster.settings.errors import did_you_mean
from elspeth_dagster.settings.findings import Findings
from elspeth_dagster.settings.locations import KeyPath
from elspeth_dagster.settings.secrets import is_secret_variable

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_AS_WRITTEN = "secrets"


@dataclass(frozen=True)
class Expanded:
    """A document with its variables replaced.

    Attributes:
        data: Its content.
        secret_parts: For each value into which secret variables were put, their values.
    """

    data: dict[str, Any] = field(repr=False)
    secret_parts: dict[KeyPath, tuple[str, ...]] = field(repr=False)


def expand_variables(data: dict[str, Any], environ: Mapping[str, str], findings: Findings) -> Expanded:
    """Replace `${NAME}` inside every text value, at any depth; the section `secrets` is left as written.

    A variable that is not set and has no default is a problem. What is put in is not expanded again.
    """
    expansion = _Expansion(environ, findings)
    expanded = {
        key: value if key == _AS_WRITTEN else expansion.expand(value, (key,)) for key, value in data.items()
    }
    return Expanded(expanded, expansion.secret_parts)


@dataclass
class _Expansion:
    environ: Mapping[str, str]
    findings: Findings
    secret_parts: dict[KeyPath, tuple[str, ...]] = field(default_factory=dict)

    def expand(self, value: Any, path: KeyPath) -> Any:
        if isinstance(value, dict):
            return {key: self.expand(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.expand(item, (*path, index)) for index, item in enumerate(value)]
        return self._text(value, path) if isinstance(value, str) else value

    def _text(self, text: str, path: KeyPath) -> str:
        secret_parts: list[str] = []

        def replacement(match: re.Match[str]) -> str:
            name = match["name"]
            if name in self.environ:
                value = self.environ[name]
            elif match["default"] is not None:
                value = match["default"]
            else:
                message = (
                    f"the environment variable {name} is not set, and has no default (${{{name}:-default}})"
                )
                self.findings.error(path, message + did_you_mean(name, self.environ))
                return match[0]
            if value and is_secret_variable(name):
                secret_parts.append(value)
            return value

        expanded = _VARIABLE.sub(replacement, text)
        if _LONE_SURROGATE.search(expanded):
            self.findings.error(path, "the value holds bytes that are not UTF-8 text")
        if secret_parts:
            self.secret_parts[path] = tuple(secret_parts)
        return expanded
