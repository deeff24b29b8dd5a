"""A settings file from its text, and what is wrong with it."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from elspeth_dagster.settings import Settings, SettingsError, load_settings

Load = Callable[..., Settings]
Problems = Callable[..., list[str]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loaded(text: str, environ: Mapping[str, str] | None = None, name: str = "orders.yaml") -> Settings:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return load_settings(path, environ=environ or {})

    return loaded


@pytest.fixture
def problems(load: Load) -> Problems:
    """All problems of a text, each as `LINE: key: message`."""

    def found(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
        with pytest.raises(SettingsError) as error:
            load(text, environ)
        lines = str(error.value).splitlines()
        prefix = error.value.problems[0].file + ":"
        return [line.removeprefix(prefix) for line in lines]

    return found
