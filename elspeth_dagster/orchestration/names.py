"""Names that Dagster takes."""

import keyword
import re
from collections.abc import Iterable

from elspeth_dagster.errors import ElspethError

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
CONTENT_TAG = "elspeth/content"
"""What tells the content of a file that arrived from another."""
ARRIVAL_TAG = "elspeth/arrival"
"""How often a file has come with other content before."""
PARTITION_TAG = "dagster/partition"
RESUME_TAG = "dagster/is_resume_retry"
RESERVED = frozenset(
    {
        "context", "conf", "config", "meta", "arg_dict", "dict", "input_arg_dict", "output_arg_dict",
        "int", "str", "float", "bool", "input", "output", "type", *keyword.kwlist,
    }
)  # fmt: skip
"""What Dagster refuses as the name of a job or an op."""


class NameCollisionError(ElspethError):
    """Two names that differ in characters that Dagster doesn't take."""

    def __init__(self, what: str, first: str, second: str, safe: str) -> None:
        super().__init__(
            f"{what} {first!r} and {second!r} are both {safe!r} for Dagster, which takes letters, digits and "
            "'_' only; rename one of them"
        )


def safe_name(name: str) -> str:
    """A name for jobs, ops and groups: any other character becomes `_`, and a reserved word gets one more."""
    safe = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return f"{safe}_" if safe in RESERVED else safe


def require_distinct(what: str, names: Iterable[str]) -> None:
    """Raises NameCollisionError when two names are the same for Dagster."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(safe_name(name), name)
        if other != name:
            raise NameCollisionError(what, other, name, safe_name(name))


def graph_name(pipeline: str) -> str:
    """Name of a pipeline's op graph; a job and its graph must not share one."""
    return f"{safe_name(pipeline)}__run"
