"""Which names nodes, sinks and connections may have: section 1.4 of the format."""

import re
import unicodedata

from elspeth_dagster.errors import ElspethError

MAX_NODE_NAME = 38
MAX_CONNECTION_NAME = 64
SOURCE_NODE = "source"
FORK = "fork"
DISCARD = "discard"
SOURCE_WITHOUT_OPTIONS = "null"
"""The source plugin that takes any options and heeds none."""

_RESERVED = frozenset({"continue", FORK, "on_success"})
_NODE = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_CONNECTION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")


class InvalidNameError(ElspethError, ValueError):
    """A name that is not accepted; the message says why and what is."""


def node_name(text: str) -> str:
    """Check the name of a transform, gate, aggregation or coalesce; give it without outer blanks."""
    name = text.strip()
    _check_reserved(name, "node")
    if name == SOURCE_NODE:
        raise InvalidNameError(f"'{SOURCE_NODE}' is the name of the pipeline's source; choose another one")
    if not _NODE.fullmatch(name):
        rule = "a node's name is a letter, then letters a to z, digits, '_' and '-'"
        raise InvalidNameError(f"{_found(name)}; {rule}{_proposal(name)}")
    return _short_enough(name, MAX_NODE_NAME, "node")


def sink_name(text: str) -> str:
    """Check the name of a sink."""
    _check_reserved(text, "sink")
    if text == SOURCE_NODE:
        raise InvalidNameError(f"'{SOURCE_NODE}' is the name of the pipeline's source; choose another one")
    if text.startswith("__"):
        raise InvalidNameError(f"{_found(text)}; a sink's name does not begin with '__'")
    if text != text.lower():
        raise InvalidNameError(f"{_found(text)}; a sink's name is in lower case: '{text.lower()}'")
    if not _CONNECTION.fullmatch(text):
        rule = "a sink's name is made of letters a to z, digits, '_' and '-', and does not begin with '-'"
        raise InvalidNameError(f"{_found(text)}; {rule}{_proposal(text)}")
    return _short_enough(text, MAX_NODE_NAME, "sink")


def connection_name(text: str) -> str:
    """Check the name of a connection or branch, or of a sink in its place; give it without outer blanks."""
    name = text.strip()
    _check_reserved(name, "connection")
    if name.startswith("__"):
        raise InvalidNameError(f"{_found(name)}; the name of a connection or sink does not begin with '__'")
    if not _CONNECTION.fullmatch(name):
        rule = (
            "the name of a connection or sink is made of letters a to z, digits, '_' and '-', and does not "
            "begin with '-'"
        )
        raise InvalidNameError(f"{_found(name)}; {rule}{_proposal(name)}")
    return _short_enough(name, MAX_CONNECTION_NAME, "connection")


def route_destination(text: str) -> str:
    """Check where a route leads: the name of a connection or sink, or `fork`."""
    name = text.strip()
    if name == FORK:
        return name
    if name == "continue":
        raise InvalidNameError("'continue' is no destination; name the connection or sink where rows go on")
    return connection_name(name)


def _check_reserved(name: str, kind: str) -> None:
    if name in _RESERVED:
        words = ", ".join(f"'{word}'" for word in sorted(_RESERVED))
        raise InvalidNameError(f"'{name}' cannot name a {kind}; {words} have a meaning of their own")


def _short_enough(name: str, limit: int, kind: str) -> str:
    if len(name) > limit:
        raise InvalidNameError(
            f"{_found(name)} has {len(name)} characters; a {kind}'s name has at most {limit}"
        )
    return name


def _found(name: str) -> str:
    return f"found {name[:80]!r}" + ("…" if len(name) > 80 else "")


def _proposal(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss"))
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    proposal = re.sub(r"[^A-Za-z0-9_]+", "_", plain).strip("_")[:MAX_NODE_NAME]
    return f", such as '{proposal}'" if proposal and _NODE.fullmatch(proposal) else ""
