"""Dagster's home: what is wrong with it is said in a sentence, with the file."""

from pathlib import Path

import pytest
import yaml
from platforms import HOME_YAML

from elspeth_dagster.orchestration.home import DagsterSettingsError, dagster_instance, prepare_dagster_home


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("run_retries: {enabled: maybe, colour: red}", 'unexpected config entry "colour"'),
        ("run_retries: [", "line 2"),
        ("nonsense: 1", 'unexpected config entry "nonsense"'),
    ],
)
def test_a_dagster_yaml_that_dagster_does_not_take_is_named(tmp_path, monkeypatch, text, said):
    (tmp_path / "dagster.yaml").write_text(f"{text}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with pytest.raises(DagsterSettingsError) as caught, dagster_instance():
        pass
    assert str(caught.value).startswith(f"{tmp_path}/dagster.yaml: ")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_home_is_furnished_alike_with_and_without_a_file_to_copy(tmp_path, monkeypatch):
    monkeypatch.setenv("ELSPETH_ROOT", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    made = Path(prepare_dagster_home(), "dagster.yaml").read_text()
    assert yaml.safe_load(made) == yaml.safe_load(HOME_YAML)
