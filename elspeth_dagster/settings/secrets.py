"""Which values of a settings file are secret, and what is recorded in their place.

A value is secret when it stands below `options` under a key with a secret's name, or when an environment
variable with a secret's name was put into it, or when it is the password within a URL. Keys that are names
of columns (in `schema`, `field_mapper`'s `mapping`, a sink's `headers` and their like) say nothing about
their values.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from elspeth_dagster.settings.locations import KeyPath

FINGERPRINT_KEY_VARIABLE = "ELSPETH_FINGERPRINT_KEY"
FINGERPRINT_SUFFIX = "_fingerprint"
FINGERPRINT_PREFIX = "hmac-sha256:"
HIDDEN = "***"

_SECRET_NAMES = frozenset(
    {
        "api_key",
        "api-key",
        "authorization",
        "connection_string",
        "credential",
        "password",
        "secret",
        "token",
        "x-api-key",
    }
)
_SECRET_ENDINGS = ("_secret", "_key", "_token", "_password", "_credential", "_connection_string")
_NOT_SECRET = frozenset({"data_key"})  # of the json source: the key under which the records stand
_COLUMN_NAMES = frozenset({"schema", "mapping", "field_mapping", "fields", "columns"})
_VARIABLE_WORDS = frozenset(
    {"secret", "password", "passwd", "passphrase", "token", "credential", "credentials", "apikey", "auth"}
)
_VARIABLE_ENDINGS = frozenset({"key", "pass", "pwd", "pw"})

_URL_PASSWORD = re.compile(r"(?P<before>[A-Za-z][A-Za-z0-9+.-]*://[^:/@\s]*:)(?P<password>\S+)(?=@)")
_URL_PARAMETER = re.compile(
    r"(?P<before>[?&;](?:password|passwd|pwd|token|secret|api_key|sslpassword)=)(?P<password>[^&;\s]+)",
    re.IGNORECASE,
)
_SHORTEST_SCRUBBED = 4


def is_secret_key(key: str) -> bool:
    """Tell whether the value of an option of this name is a secret (section 8.1 of the format)."""
    name = key.lower()
    return name not in _NOT_SECRET and (name in _SECRET_NAMES or name.endswith(_SECRET_ENDINGS))


def is_secret_variable(name: str) -> bool:
    """Tell whether an environment variable of this name holds a secret."""
    words = name.lower().split("_")
    if is_secret_key(name) or not _VARIABLE_WORDS.isdisjoint(words):
        return True
    return len(words) > 1 and words[-1] in _VARIABLE_ENDINGS


def without_url_passwords(text: str) -> str:
    """Give the text with every password within a URL replaced by `***`."""
    if "://" not in text:
        return text
    for pattern in (_URL_PASSWORD, _URL_PARAMETER):
        text = pattern.sub(rf"\g<before>{HIDDEN}", text)
    return text


@dataclass(frozen=True, repr=False)
class Secrets:
    """The secrets of one settings file; never shows them.

    Attributes:
        substituted: For each value into which secret environment variables were put, their values.
        fingerprint_key: Key of the fingerprints, or None when there is none.
        values: Every secret text found, longest first, for `scrubbed`.
    """

    substituted: Mapping[KeyPath, tuple[str, ...]]
    fingerprint_key: bytes | None
    values: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        return f"Secrets({len(self.values)} hidden)"

    def keyed(self, environ: Mapping[str, str]) -> "Secrets":
        """Give the same with the fingerprint key of this environment."""
        return replace(self, fingerprint_key=_fingerprint_key(environ))

    def is_secret(self, path: KeyPath, value: Any) -> bool:
        """Tell whether the value at this path, a text or a number, may not be shown as it stands."""
        if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value == "":
            return False
        if _secret_by_key(path):
            return True
        shown = without_url_passwords(str(value))
        return any(part in shown for part in self.substituted.get(path, ()))

    def shown(self, path: KeyPath, value: Any) -> Any:
        """Give a text or a number as it may be shown: as it is, without passwords in URLs, or `***`."""
        if self.is_secret(path, value):
            return HIDDEN
        return without_url_passwords(value) if isinstance(value, str) else value

    def scrubbed(self, text: str) -> str:
        """Give the text with every secret in it replaced by `***`."""
        for value in self.values:
            text = text.replace(value, HIDDEN)
        return text

    def fingerprint(self, value: Any) -> str | None:
        """Give the keyed fingerprint (HMAC-SHA256, hexadecimal) of a secret; None without a key."""
        if self.fingerprint_key is None:
            return None
        return hmac.new(self.fingerprint_key, str(value).encode(), hashlib.sha256).hexdigest()

    def hidden(self, tree: Any, path: KeyPath = ()) -> Any:
        """Give a copy of a document, or of the part of it at `path`, in which no secret stands."""
        if isinstance(tree, list):
            return [self._hidden_item(item, (*path, index)) for index, item in enumerate(tree)]
        if not isinstance(tree, dict):
            return self.shown(path, tree)
        result: dict[str, Any] = {}
        for key, value in tree.items():
            place = (*path, key)
            fingerprint = self.fingerprint(value) if self.is_secret(place, value) else None
            if fingerprint is None:
                result[key] = self.hidden(value, place)
            else:
                result[key + FINGERPRINT_SUFFIX] = fingerprint
        return result

    def _hidden_item(self, item: Any, path: KeyPath) -> Any:
        fingerprint = self.fingerprint(item) if self.is_secret(path, item) else None
        return self.hidden(item, path) if fingerprint is None else FINGERPRINT_PREFIX + fingerprint


def find_secrets(
    document: Mapping[str, Any], substituted: Mapping[KeyPath, tuple[str, ...]], environ: Mapping[str, str]
) -> Secrets:
    """Find the secrets of a document.

    Args:
        document: Its content, environment variables put in.
        substituted: For each value into which secret environment variables were put, their values.
        environ: Holds the key of the fingerprints, `ELSPETH_FINGERPRINT_KEY`, if there is one.
    """
    key = _fingerprint_key(environ)
    secrets = Secrets(substituted, key)
    texts = {part for parts in substituted.values() for part in parts}
    for path, value in leaves(document):
        if secrets.is_secret(path, value):
            texts.add(str(value))
        elif isinstance(value, str) and "://" in value:
            texts.update(match["password"] for match in _URL_PASSWORD.finditer(value))
            texts.update(match["password"] for match in _URL_PARAMETER.finditer(value))
    written = {form for text in texts for form in (text, repr(text)[1:-1], json.dumps(text)[1:-1])}
    longest_first = sorted((t for t in written if len(t) >= _SHORTEST_SCRUBBED), key=lambda t: (-len(t), t))
    return Secrets(substituted, key, tuple(longest_first))


def leaves(tree: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Give every value of a document that is neither a mapping nor a list, with its key path."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from leaves(value, (*path, key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from leaves(value, (*path, index))
    else:
        yield path, tree


def _fingerprint_key(environ: Mapping[str, str]) -> bytes | None:
    return environ.get(FINGERPRINT_KEY_VARIABLE, "").encode(errors="surrogateescape") or None


def _secret_by_key(path: KeyPath) -> bool:
    if "options" not in path:
        return False
    keys = path[path.index("options") + 1 :]
    column_names = _COLUMN_NAMES | {"headers"} if path[0] == "sinks" else _COLUMN_NAMES
    if not keys or keys[0] in column_names:
        return False
    return any(isinstance(key, str) and is_secret_key(key) for key in keys)
