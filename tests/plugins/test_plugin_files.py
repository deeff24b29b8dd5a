"""Plugins in files beside the settings, and under entry points."""

import hashlib
import json
import textwrap
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from transforming import rows_of

from elspeth_dagster.plugins import registry
from elspeth_dagster.plugins.base import RowTransform, Transform
from elspeth_dagster.plugins.compile import compile_pipeline
from elspeth_dagster.plugins.kinds import PluginKind
from elspeth_dagster.plugins.registry import PluginSet
from elspeth_dagster.settings.errors import SettingsError

SETTINGS = """\
source:
  plugin: csv
  on_success: rows
  options: {path: in.csv, on_validation_failure: discard}
transforms:
  - name: one
    plugin: mark
    input: rows
    on_success: out
    on_error: discard
    options: {word: hey}
sinks:
  out: {plugin: csv, options: {path: out.csv}}
"""

MARK = '''
from elspeth_dagster.plugins.base import Options, RowTransform


class MarkOptions(Options):
    word: str


class Mark(RowTransform):
    """Marks rows.

    With a word.
    """

    Options = MarkOptions

    def process(self, row):
        return {**row, "mark": self.options.word}
'''

Write = Callable[[str, str], Path]


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "demo.yaml"
    path.write_text(SETTINGS)
    return path


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_plugin(name: str, code: str) -> Path:
        path = tmp_path / "plugins" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(code))
        return path

    return write_plugin


def refusal(settings: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        compile_pipeline(settings, {})
    (problem,) = caught.value.problems
    assert (problem.line, problem.key_path) == (7, "transforms[0].plugin")
    return problem.message


def marked(settings: Path) -> object:
    transform = compile_pipeline(settings, {}).create("one")
    assert isinstance(transform, Transform)
    return transform.apply(rows_of([{"a": 1}])).rows.to_dicts()[0]["mark"]


def test_named_by_the_file(settings, write):
    path = write("mark.py", MARK)
    compiled = compile_pipeline(settings, {})
    assert compiled.graph.nodes["one"].plugin == "mark"
    assert compiled.code_hashes["one"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert marked(settings) == "hey"


def test_every_instance_is_new(settings, write):
    write("mark.py", MARK)
    compiled = compile_pipeline(settings, {})
    assert compiled.create("one") is not compiled.create("one")


def test_a_mended_file_is_loaded_anew(settings, write):
    write("mark.py", MARK.replace("self.options.word", "1 / 0"))
    before = compile_pipeline(settings, {})
    write("mark.py", MARK.replace("self.options.word", "'mended'"))
    assert marked(settings) == "mended"
    after = compile_pipeline(settings, {})
    assert before.code_hashes["one"] != after.code_hashes["one"]
    assert before.code_hashes["source"] == after.code_hashes["source"]


def test_a_broken_file_is_an_error_only_when_it_is_used(settings, write):
    write("mark.py", MARK)
    write("other.py", "import no_such_module\n")
    assert marked(settings) == "hey"
    write("mark.py", "x = 1\nraise ValueError('not today')\n")
    message = refusal(settings)
    assert "'mark' (plugins/mark.py) cannot be used: line 2: ValueError: not today" in message


def test_a_syntax_error_is_told_with_its_line(settings, write):
    write("mark.py", "class Mark(\n")
    assert "(plugins/mark.py) cannot be used: line 1:" in refusal(settings)


@pytest.mark.parametrize(
    "code", ["", MARK + MARK.replace("class Mark(", "class Second("), "from csv import reader"]
)
def test_exactly_one_plugin_in_a_file(settings, write, code):
    write("mark.py", code)
    assert "must define exactly one source, transform or sink" in refusal(settings)


def test_imported_and_abstract_classes_do_not_count(settings, write):
    write(
        "mark.py",
        "from elspeth_dagster.plugins.transforms.passthrough import Passthrough\n"
        + MARK.replace("class Mark(RowTransform)", "class Base(RowTransform):\n    pass\n\nclass Mark(Base)"),
    )
    assert marked(settings) == "hey"


def test_a_plugin_of_another_kind(settings, write):
    write("mark.py", MARK.replace("RowTransform", "RowSource").replace("process(self, row)", "read(self)"))
    assert "Mark is a source, not a transform" in refusal(settings)


def test_a_plugin_that_cannot_be_made(settings, write):
    write("mark.py", MARK + "\n    def __init__(self, options, schema):\n        raise KeyError('x')\n")
    assert "KeyError when it was made: 'x'" in refusal(settings)


def test_an_unknown_plugin_names_the_nearest_and_all(settings, write):
    write("marks.py", MARK)
    message = refusal(settings)
    assert "there is no transform plugin 'mark'; installed: field_mapper, json_explode" in message
    assert "json_explode, keyword_filter, marks, passthrough, truncate" in message
    assert message.endswith("did you mean 'marks'?")


def test_two_plugins_of_one_name(settings, write):
    settings.write_text(SETTINGS.replace("plugin: mark", "plugin: truncate"))
    write("truncate.py", MARK)
    message = refusal(settings)
    assert "claimed by built-in and by plugins/truncate.py" in message


class Installed(RowTransform):
    """Comes from a package."""

    def process(self, row):
        return row


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def install(*values: str) -> None:
        entries = [EntryPoint("mark", value, "elspeth_dagster.transforms") for value in values]
        monkeypatch.setattr(
            registry, "entry_points", lambda group: [entry for entry in entries if entry.group == group]
        )

    return install


def test_entry_points(settings, installed):
    settings.write_text(SETTINGS.replace("options: {word: hey}", "options: {}"))
    installed(f"{__name__}:Installed")
    assert isinstance(compile_pipeline(settings, {}).create("one"), Installed)
    assert len(compile_pipeline(settings, {}).code_hashes["one"]) == 64


def test_two_entry_points_of_one_name(settings, installed):
    installed(f"{__name__}:Installed", f"{__name__}:Other.Installed".replace("Other.", ""))
    assert "claimed by" in refusal(settings)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("no_such_module:X", "ModuleNotFoundError"),
        (f"{__name__}:SETTINGS", "is no plugin class"),
        ("elspeth_dagster.plugins.sources.csv:CsvSource", "is no transform"),
    ],
)
def test_entry_points_that_are_no_plugins(settings, installed, value, reason):
    installed(value)
    assert reason in refusal(settings)


def test_descriptions(settings, write):
    write("mark.py", MARK)
    write("torn.py", "raise ValueError\n")
    write("_helper.py", "raise ValueError\n")
    described = PluginSet.for_settings_file(settings).describe()
    assert [(plugin["kind"], plugin["name"]) for plugin in described] == [
        ("source", "csv"),
        ("source", "json"),
        ("source", "null"),
        ("transform", "field_mapper"),
        ("transform", "json_explode"),
        ("transform", "keyword_filter"),
        ("transform", "mark"),
        ("transform", "passthrough"),
        ("transform", "truncate"),
        ("aggregation", "batch_replicate"),
        ("aggregation", "batch_stats"),
        ("sink", "csv"),
        ("sink", "database"),
        ("sink", "json"),
        ("sink", "parquet"),
        ("", "torn"),
    ]
    assert json.loads(json.dumps(described)) == [
        {**plugin, "options": [*plugin["options"]]} for plugin in described
    ]
    by_name = {(plugin["kind"], plugin["name"]): plugin for plugin in described}
    mark = by_name["transform", "mark"]
    assert (mark["origin"], mark["summary"], mark["error"]) == ("plugins/mark.py", "Marks rows.", "")
    assert [(option["name"], option["type"], option["required"]) for option in mark["options"]] == [
        ("schema", "mapping", False),
        ("word", "text", True),
    ]
    assert by_name["", "torn"]["error"] == "line 1: ValueError: "
    failures = {
        name: next(
            o["required"] for o in by_name["source", name]["options"] if o["name"] == "on_validation_failure"
        )
        for name in ("csv", "json", "null")
    }
    assert failures == {"csv": True, "json": True, "null": False}
    headers = next(option for option in by_name["sink", "csv"]["options"] if option["name"] == "headers")
    assert headers["type"] == "normalized | original | mapping"
    assert all(plugin["summary"] for plugin in described if not plugin["error"])


CALLS = '''
from collections.abc import Callable

from elspeth_dagster.plugins.base import Options, RowTransform


class CallsOptions(Options):
    call: Callable[[str], str] = str.upper
    words: list[str] = ["a"]


class Calls(RowTransform):
    """Calls."""

    Options = CallsOptions

    def process(self, row):
        return row
'''


def test_options_that_have_no_json_schema_are_described_as_far_as_they_can_be(settings, write):
    write("calls.py", CALLS)
    described = PluginSet.for_settings_file(settings).describe()
    calls = next(plugin for plugin in described if plugin["name"] == "calls")
    told = {option["name"]: (option["type"], option["default"]) for option in calls["options"]}
    assert told["call"] == ("any", str(str.upper))
    assert told["words"] == ("any", ["a"])
    json.dumps(described)


def test_every_built_in_plugin_can_be_resolved():
    plugins = PluginSet()
    for kind in PluginKind:
        for name in plugins.names(kind):
            found = plugins.resolve(kind, name)
            assert issubclass(found.plugin, kind.bases)
            assert plugins.code_hash(kind, name) == found.code_hash()
