"""Names that Dagster takes."""

import hashlib
import keyword
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import dagster as dg

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.settings import pipeline_name

PIPELINE_TAG = "elspeth/pipeline"
RUN_ID_TAG = "elspeth/run_id"
RESTART_SOURCE_TAG = "elspeth/restart_source"
FORCE_TAG = "elspeth/force"
"""Its value differs in every launch, so that a copy of it is known as one."""
ACCEPT_CHECKS_TAG = "elspeth/accept_checks"
"""Releases a run from the checks that held it back; its value is the reason."""
ACCEPTED_BY_TAG = "elspeth/accepted_by"
ACCEPTED_AT_TAG = "elspeth/accepted_at"
ACCEPTING_TAGS = (ACCEPT_CHECKS_TAG, ACCEPTED_BY_TAG, ACCEPTED_AT_TAG)
_HIDDEN = ".dagster/elspeth_"
"""Dagster shows no tags of this prefix: they would fill its list of runs."""
CONTENT_TAG = f"{_HIDDEN}content"
"""What tells the content of a file that arrived from another."""
ARRIVAL_TAG = f"{_HIDDEN}arrival"
"""How often a file has come with other content before."""
WORKER_TAG = f"{_HIDDEN}worker"
"""A run's process."""
PARTITION_TAG = "dagster/partition"
RESUME_TAG = "dagster/is_resume_retry"
RESERVED = frozenset(
    {
        "context", "conf", "config", "meta", "arg_dict", "dict", "input_arg_dict", "output_arg_dict",
        "int", "str", "float", "bool", "input", "output", "type", *keyword.kwlist,
    }
)  # fmt: skip
"""What Dagster refuses as the name of a job or an op."""
_EVERYTHING = "__ASSET_JOB"
"""Dagster's own job of all assets, which one of ours by that name would stand in for unnoticed."""


def arrival_of(tags: Mapping[str, str]) -> int | None:
    """How often the file of a run had come with other content before; `None` where no sensor asked for it."""
    told = tags.get(ARRIVAL_TAG, "")
    return int(told) if told.isdecimal() else None


class NameCollisionError(ElspethError):
    """Two settings files of which Dagster would have one name twice."""

    def __init__(self, name: str, first: Path, second: Path) -> None:
        files = f"settings files {str(first)!r} and {str(second)!r}"
        if safe_name(pipeline_name(first)) == safe_name(pipeline_name(second)):
            told = f"are both {name!r} for Dagster, which takes letters, digits and '_' only"
        else:
            told = f"both need {name!r} for Dagster, as the name of a job or of a part of one"
        super().__init__(f"{files} {told}; rename one of them")


class TakenNames:
    """The names that Dagster knows jobs, graphs and ops by, and the settings files that have them."""

    def __init__(self) -> None:
        self._files: dict[str, Path] = {}

    def take(self, file: Path, names: Iterable[str]) -> None:
        """Takes names for a file.

        Raises:
            NameCollisionError: Another file has one of them; then none is taken.
        """
        wanted = dict.fromkeys(names, file)
        for name in wanted:
            if self._files.get(name, file) != file:
                raise NameCollisionError(name, self._files[name], file)
        self._files |= wanted

    def has(self, file: Path, name: str) -> bool:
        """Whether a name is the file's."""
        return self._files.get(name) == file


@lru_cache(maxsize=10_000)  # each pipeline asks for its own some fifty times
def safe_name(name: str) -> str:
    """A name for jobs, ops and groups: any other character becomes `_`, and a reserved word gets one more.

    Letters of other alphabets would leave nothing to tell names by, so there a hash of the name follows.
    """
    # File systems differ in how they write one and the same letter with an accent.
    name = unicodedata.normalize("NFC", name)
    safe = re.sub(r"[^A-Za-z0-9_]", "_", name)
    if name.isascii():
        return f"{safe}_" if safe in RESERVED or safe == _EVERYTHING else safe
    return f"{safe}_{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:8]}"


def free_key(group: str, parts: Sequence[str], is_taken: Callable[[dg.AssetKey], bool]) -> dg.AssetKey:
    """An asset key below a first part, which is repeated until no other asset has that key."""
    key = dg.AssetKey([group, *parts])
    while is_taken(key):
        key = dg.AssetKey([group, *key.path])
    return key


def graph_name(pipeline: str) -> str:
    """Name of a pipeline's op graph; a job and its graph must not share one."""
    return f"{safe_name(pipeline)}__run"


def own_names(pipeline: str) -> tuple[str, str]:
    """The names of a pipeline's job and of its graph."""
    return safe_name(pipeline), graph_name(pipeline)
