"""Files whose name promises another format than their sink writes."""

from collections.abc import Iterator
from pathlib import PurePath

from elspeth_dagster.settings.errors import Problem
from elspeth_dagster.settings.settings import Settings

_WRITTEN_BY = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}


def misleading_suffixes(settings: Settings) -> Iterator[Problem]:
    """Warnings of sinks of ours whose path ends as that of another one would."""
    for sink in settings.sinks.values():
        suffix = PurePath(str(sink.options.get("path", ""))).suffix
        meant = _WRITTEN_BY.get(suffix.lower(), sink.plugin)
        if meant != sink.plugin and sink.plugin in _WRITTEN_BY.values():
            message = f"a file called {suffix} is taken for {meant}, and '{sink.plugin}' writes it"
            yield settings.problem((*sink.path, "options", "path"), message)
