"""What forbids to go on with a run under changed settings."""

import json
from typing import Any

import pytest

from elspeth_dagster.settings import settings_differences

TEXT = """\
source:
  plugin: csv
  on_success: a
  options: {path: a.csv, on_validation_failure: bad, schema: {mode: observed}}
transforms:
  - {name: t, plugin: field_mapper, input: a, on_success: b, on_error: bad, options: {mapping: {x: y, z: w}}}
  - name: u
    plugin: p
    input: b
    on_success: c
    on_error: bad
    options: {api_key: one, list: [1, 2], flag: true}
gates:
  - {name: g, input: c, condition: "row['x'] > 1", routes: {'true': out, 'false': bad}}
coalesce:
  - {name: j, branches: [p, q]}
sinks:
  out: {plugin: csv, options: {path: o.csv, url: "db://u:one@h/x"}}
  bad: {plugin: json, options: {path: b.json}}
dagster: {shards: 1}
retry: {max_attempts: 3}
"""
KEY = {"ELSPETH_FINGERPRINT_KEY": "k"}
OTHER_KEY = {"ELSPETH_FINGERPRINT_KEY": "other"}


def differences(load: Any, edit: str, environ: dict[str, str], now: dict[str, str]) -> list[str]:
    changed = TEXT
    for part in edit.split(" && ") if edit else []:
        old, new = part.split("=>")
        assert old in changed
        changed = changed.replace(old, new, 1)
    was = json.loads(json.dumps(load(TEXT, environ).stored(), sort_keys=True))
    return settings_differences(was, load(changed, now).stored())


@pytest.mark.parametrize("environ", [{}, KEY])
@pytest.mark.parametrize("now", [{}, KEY, OTHER_KEY])
@pytest.mark.parametrize(
    "edit",
    [
        "",
        "shards: 1=>shards: 5",
        "max_attempts: 3=>max_attempts: 9",
        "dagster: {shards: 1}\n=>",
        "dagster: =>rate_limit: {enabled: false}\nconcurrency: {max_workers: 2}\ndagster: ",
        "dagster: =>checkpoint: {frequency: every_n, checkpoint_interval: 5}\ndagster: ",
        "dagster: =>payload_store: {retention_days: 5}\ntelemetry: {enabled: false}\ndagster: ",
        "api_key: one=>api_key: two",
        "u:one@h=>u:two@h",
        "u:one@h=>u@h",
        "{mode: observed}=>{'mode': 'observed'}",
        "path: a.csv, on_validation_failure: bad=>on_validation_failure: bad, path: a.csv",
        "{'true': out, 'false': bad}=>{false: bad, true: out}, on_error: discard",
    ],
)
def test_what_may_change(load: Any, edit: str, environ: dict[str, str], now: dict[str, str]) -> None:
    assert differences(load, edit, environ, now) == []


def test_the_order_of_nodes_may_change(load: Any) -> None:
    lines = TEXT.splitlines(keepends=True)
    t, u, out, bad = lines[5:6], lines[6:12], lines[17:18], lines[18:19]
    reordered = [*lines[:5], *u, *t, *lines[12:17], *bad, *out, *lines[19:]]
    was, now = load(TEXT).stored(), load("".join(reordered)).stored()
    assert [node["name"] for node in now["transforms"]] == ["u", "t"]
    assert list(now["sinks"]) == ["bad", "out"]
    assert settings_differences(was, now) == []


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        ("path: a.csv=>path: z.csv", ["source.options.path: was 'a.csv', is 'z.csv'"]),
        ("plugin: csv=>plugin: json", ["source.plugin: was 'csv', is 'json'"]),
        (
            "on_validation_failure: bad=>on_validation_failure: discard",
            ["source.options.on_validation_failure: was"],
        ),
        (
            "mode: observed=>mode: observed, guaranteed_fields: [a]",
            ["source.options.schema.guaranteed_fields: was a"],
        ),
        ("mapping: {x: y=>mapping: {x: v", ["transforms.t.options.mapping.x: was 'y', is 'v'"]),
        (
            "{x: y, z: w}=>{z: w, x: y}",
            ["transforms.t.options.mapping: the order of its keys was x, z, is z, x"],
        ),
        ("list: [1, 2]=>list: [2, 1]", ["transforms.u.options.list: was [1, 2], is [2, 1]"]),
        ("list: [1, 2]=>list: [1, {a: 1}]", ["transforms.u.options.list: was [1, 2], is [1, {'a': 1}]"]),
        ("flag: true=>flag: 1", ["transforms.u.options.flag: was True, is 1"]),
        (
            "flag: true=>other: x",
            ["transforms.u.options.flag: was True, is absent", "transforms.u.options.other: was"],
        ),
        (
            "api_key: one=>other_key: one",
            ["options.api_key: was a secret, is absent", "options.other_key: was absent"],
        ),
        (
            "api_key: one=>key: one",
            ["options.api_key: was a secret, is absent", "options.key: was absent, is 'one'"],
        ),
        ("row['x'] > 1=>row['x'] > 2", ["gates.g.condition: was \"row['x'] > 1\", is \"row['x'] > 2\""]),
        ("'true': out=>'true': bad", ["gates.g.routes.true: was 'out', is 'bad'"]),
        ("[p, q]=>[q, p]", ["coalesce.j.branches: the order of its keys was p, q, is q, p"]),
        ("o.csv=>" + "x" * 200, ["sinks.out.options.path: was 'o.csv', is 'xxx"]),
        ("db://u:one@h=>db://u:one@g", ["sinks.out.options.url: was 'db://u:***@h/x', is 'db://u:***@g/x'"]),
        ("name: u=>name: v", ["transforms.u: was {", "transforms.v: was absent, is {"]),
        (
            "  bad: {plugin: json=>  bad: {plugin: json, on_write_failure: out",
            ["sinks.bad.on_write_failure: was None"],
        ),
    ],
)
@pytest.mark.parametrize("environ", [{}, KEY])
def test_what_may_not_change(load: Any, edit: str, expected: list[str], environ: dict[str, str]) -> None:
    found = differences(load, edit, environ, environ)
    assert len(found) == len(expected)
    for line, text in zip(found, expected, strict=True):
        assert text in line
        assert len(line) < 250
