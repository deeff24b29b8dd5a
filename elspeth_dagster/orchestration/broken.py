"""Settings files that do not load, as Dagster shows them: an asset and a job that fail with the reason."""

import hashlib
import os
from collections.abc import Container
from pathlib import Path

import dagster as dg

from elspeth_dagster.orchestration.markdown import code, printable
from elspeth_dagster.orchestration.names import PIPELINE_TAG, free_key, safe_name
from elspeth_dagster.orchestration.platform import platform_root
from elspeth_dagster.settings import pipeline_name

_GROUP = "broken_settings"


def broken_asset(path: Path, why: str, taken: Container[dg.AssetKey]) -> dg.AssetsDefinition:
    """An asset that stands for a settings file that does not load, and fails with the reason.

    Args:
        path: The settings file.
        why: What is wrong, a problem on each line.
        taken: Keys that other assets have.
    """
    root = platform_root()
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    parts = shown.parts[1:] if shown.is_absolute() else shown.parts
    name, place = printable(pipeline_name(path)), printable(str(shown))
    # Of the whole path, since a name is made of fewer characters than a path may have.
    own = hashlib.sha256(os.fsencode(shown)).hexdigest()[:8]
    problems = printable(why.replace(f"{root}{os.sep}", "")).splitlines()

    @dg.multi_asset(
        name=f"{safe_name(name)}__broken_{own}",
        outs={
            "settings": dg.AssetOut(
                key=free_key(_GROUP, [printable(part) for part in parts], taken.__contains__),
                description="\n".join(
                    [f"**{name} does not load.**", "", *(f"- {code(line)}" for line in problems)]
                ),
                metadata={"settings file": place},
                kinds={"error"},
            )
        },
        group_name=_GROUP,
        op_tags={"elspeth/broken": "true"},
    )
    def broken() -> None:
        raise dg.Failure("\n".join([f"{place} does not load:", *problems]), allow_retries=False)

    return broken


def broken_job(path: Path, asset: dg.AssetsDefinition) -> object:
    """The job of a settings file that does not load: it fails with the reason, too."""
    name = pipeline_name(path)
    return dg.define_asset_job(safe_name(name), selection=[asset], tags={PIPELINE_TAG: printable(name)})
