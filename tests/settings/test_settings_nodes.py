"""Sources, transforms, gates, aggregations, coalesces and sinks: what is accepted and what is told."""

from typing import Any

import pytest

from elspeth_dagster.settings import (
    AggregationSettings,
    CoalescePolicy,
    CoalesceSettings,
    GateSettings,
    MergeStrategy,
    OutputMode,
    SinkSettings,
    SourceSettings,
    TransformSettings,
    TriggerSettings,
)

SOURCE = "source: {plugin: csv, on_success: out, options: {path: a.csv, on_validation_failure: bad}}\n"
SINKS = "sinks: {out: {plugin: csv}, bad: {plugin: json}}\n"
TRANSFORM = "{name: t, plugin: passthrough, input: a, on_success: b, on_error: discard}"
GATE = "{name: g, input: a, condition: \"row['x'] > 1\", routes: {'true': out, 'false': bad}}"
AGGREGATION = "{name: g, plugin: batch_stats, input: a, on_error: discard, trigger: {count: 2}}"
COALESCE = "{name: c, branches: [a, b]}"


def edited(entry: str, *edits: str) -> str:
    """An entry with `old=>new` edits."""
    for edit in edits:
        old, new = edit.split("=>")
        assert old in entry, old
        entry = entry.replace(old, new, 1)
    return entry


def with_entry(section: str, entry: str) -> str:
    return f"{SOURCE}{SINKS}{section}:\n  - {entry}\n"


def test_the_smallest_pipeline(load: Any) -> None:
    settings = load(SOURCE + SINKS)
    assert settings.pipeline == "orders"
    assert settings.source == SourceSettings(
        plugin="csv", on_success="out", on_validation_failure="bad", options={"path": "a.csv"}
    )
    assert settings.sinks == {
        "out": SinkSettings(name="out", plugin="csv", path=("sinks", "out")),
        "bad": SinkSettings(name="bad", plugin="json", path=("sinks", "bad")),
    }
    assert list(settings.sinks) == ["out", "bad"]
    assert (settings.transforms, settings.gates, settings.aggregations, settings.coalesces) == (
        (),
        (),
        (),
        (),
    )
    assert settings.warnings == ()


def test_every_key_of_every_node(load: Any) -> None:
    settings = load(
        """
source: {plugin: csv, on_success: " a ", options: {on_validation_failure: " bad "}}
transforms:
  - {name: " t ", plugin: passthrough, input: a, on_success: b, on_error: bad, options: {Schema: {X: 1}}}
gates:
  - name: g
    input: b
    condition: row['kind']
    routes: {"very high": fork, "": out, true: c, no: out}
    fork_to: [x, y]
    on_error: bad
aggregations:
  - name: agg
    plugin: batch_stats
    input: c
    on_error: discard
    trigger: {count: 5, timeout_seconds: 1.5, condition: "row['batch_count'] > 3"}
    on_success: out
    output_mode: passthrough
    options: {value_field: v}
coalesce:
  - name: join
    branches: {x: x, y: via}
    policy: quorum
    merge: select
    timeout_seconds: 3
    quorum_count: 1
    select_branch: y
    on_success: out
sinks:
  OUT: {plugin: csv, on_write_failure: bad, options: {path: o.csv}}
  bad: {plugin: json}
"""
    )
    assert settings.source.on_success == "a"
    assert settings.source.on_validation_failure == "bad"
    assert settings.transforms == (
        TransformSettings(
            name="t",
            plugin="passthrough",
            input="a",
            on_success="b",
            on_error="bad",
            options={"Schema": {"X": 1}},
            path=("transforms", 0),
        ),
    )
    assert settings.gates == (
        GateSettings(
            name="g",
            input="b",
            condition="row['kind']",
            routes={"very high": "fork", "": "out", "true": "c", "no": "out"},
            fork_to=("x", "y"),
            on_error="bad",
            path=("gates", 0),
        ),
    )
    assert settings.aggregations == (
        AggregationSettings(
            name="agg",
            plugin="batch_stats",
            input="c",
            on_error="discard",
            trigger=TriggerSettings(count=5, timeout_seconds=1.5, condition="row['batch_count'] > 3"),
            on_success="out",
            output_mode=OutputMode.PASSTHROUGH,
            options={"value_field": "v"},
            path=("aggregations", 0),
        ),
    )
    assert settings.coalesces == (
        CoalesceSettings(
            name="join",
            branches={"x": "x", "y": "via"},
            policy=CoalescePolicy.QUORUM,
            merge=MergeStrategy.SELECT,
            timeout_seconds=3.0,
            quorum_count=1,
            select_branch="y",
            on_success="out",
            path=("coalesce", 0),
        ),
    )
    assert settings.sinks["out"] == SinkSettings(
        name="out", plugin="csv", on_write_failure="bad", options={"path": "o.csv"}, path=("sinks", "out")
    )


def test_defaults(load: Any) -> None:
    text = SOURCE + SINKS + f"gates: [{GATE}]\naggregations: [{edited(AGGREGATION, 'name: g=>name: h')}]\n"
    settings = load(f"{text}coalesce: [{COALESCE}]\n")
    assert (settings.gates[0].on_error, settings.gates[0].fork_to) == ("discard", ())
    assert settings.aggregations[0].output_mode is OutputMode.TRANSFORM
    assert settings.aggregations[0].on_success is None
    assert settings.coalesces[0].branches == {"a": "a", "b": "b"}
    assert settings.coalesces[0].policy is CoalescePolicy.REQUIRE_ALL
    assert settings.coalesces[0].merge is MergeStrategy.UNION
    assert settings.sinks["out"].on_write_failure is None


def test_unquoted_booleans_are_labels_and_other_words_are_text(load: Any) -> None:
    routes = "{True: out, FALSE: bad, on: out, yes: out, 1.5x: out}"
    entry = f"{{name: g, input: a, condition: \"row['x']\", routes: {routes}}}"
    settings = load(with_entry("gates", entry))
    assert settings.gates[0].routes == {
        "true": "out",
        "false": "bad",
        "on": "out",
        "yes": "out",
        "1.5x": "out",
    }


SOURCE_CASES = [
    ("on_success: out, =>", "1: source: the required key 'on_success' is missing"),
    ("plugin: csv=>plugin: 5", "1: source.plugin: expected text, found the number 5; put it in quotes"),
    ("plugin: csv=>plugin: ' '", "1: source.plugin: found ' '; a text that is not blank is needed"),
    (
        "plugin: csv=>plugin: ",
        "1: source.plugin: the required key 'plugin' has no value; the source null is written 'null', in q",
    ),
    (
        "on_success: out=>on_success: 'a b'",
        "1: source.on_success: found 'a b'; the name of a connection or sink",
    ),
    (
        "plugin: csv=>plugn: csv",
        "1: source.plugn: unknown key 'plugn'; accepted: plugin, on_success, options; did",
    ),
    (
        "plugin: csv=>plugin: csv, path: x",
        "unknown key 'path'; accepted: plugin, on_success, options; options of",
    ),
    (
        ", on_validation_failure: bad=>",
        "1: source.options: the required key 'on_validation_failure' is missing",
    ),
    (
        ", on_validation_failure: bad=>, on_validation_failur: bad",
        "source.options.on_validation_failur: the required key 'on_validation_failure' is missing",
    ),
    ("failure: bad=>failure: ' '", "expected the name of a sink, or 'discard', found ' '"),
    (
        "failure: bad=>failure: ",
        "1: source.options: the required key 'on_validation_failure' is missing; accepted:",
    ),
    (
        "failure: bad=>failure: 5",
        "source.options.on_validation_failure: expected the name of a sink, or 'discard'",
    ),
    (
        "options: {path: a.csv, on_validation_failure: bad}=>options: 5",
        "source.options: expected a mapping, found",
    ),
]


@pytest.mark.parametrize(("edit", "expected"), SOURCE_CASES)
def test_sources_that_are_refused(problems: Any, edit: str, expected: str) -> None:
    found = problems(edited(SOURCE, edit) + SINKS)
    assert len(found) <= 2
    assert any(expected in line for line in found), found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SINKS, "1: the required key 'source' is missing"),
        (SOURCE, "1: the required key 'sinks' is missing"),
        (f"{SINKS}source:\n", "2: source: the required key 'source' has no value"),
        (f"{SOURCE}sinks:\n", "2: sinks: the required key 'sinks' has no value"),
        (f"{SOURCE}sinks: {{}}\n", "2: sinks: expected at least one sink, found none"),
        (f"{SOURCE}sinks: [a]\n", "2: sinks: expected a mapping from names to sinks, found a list"),
        (f"{SINKS}source: [a]\n", "2: source: expected a mapping, found a list"),
    ],
)
def test_a_pipeline_has_a_source_and_sinks(problems: Any, text: str, expected: str) -> None:
    assert problems(text) == [expected]


def test_the_null_source_needs_no_failure_sink(load: Any) -> None:
    settings = load("source: {plugin: 'null', on_success: out}\n" + SINKS)
    assert settings.source.on_validation_failure is None


@pytest.mark.parametrize(
    "options", ["anything: 5", "schema: {fields: dynamic}", "on_validation_failure: 5",
                "on_validation_failure: nosuch", "template_file: none.txt"]
)  # fmt: skip
def test_the_null_source_heeds_no_option(load: Any, options: str) -> None:
    settings = load(f"source: {{plugin: 'null', on_success: out, options: {{{options}}}}}\n" + SINKS)
    assert settings.source.on_validation_failure is None
    assert settings.source.options == {}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("quorum_count: 1", "coalesce[0].quorum_count: has an effect only with 'policy: quorum'"),
        ("select_branch: a", "coalesce[0].select_branch: has an effect only with 'merge: select'"),
        (
            "policy: first, timeout_seconds: 3",
            "coalesce[0].timeout_seconds: has no effect with 'policy: first'",
        ),
        ("timeout_seconds: 3", None),
    ],
)
def test_what_another_policy_or_merge_would_need_is_warned_of(
    load: Any, given: str, told: str | None
) -> None:
    coalesce = edited(COALESCE, f"[a, b]=>[a, b], {given}")
    warnings = load(SOURCE + SINKS + f"coalesce: [{coalesce}]\n").warnings
    assert (told is None and not warnings) or (told is not None and told in "".join(warnings))


TRANSFORM_CASES = [
    ("on_error: discard=>on_eror: discard", "3?: transforms[0]: the required key 'on_error' is missing"),
    (
        "on_error: discard=>on_eror: discard",
        "transforms[0].on_eror: unknown key 'on_eror'; accepted: name, plugin,",
    ),
    ("on_error: discard=>on_eror: discard", "did you mean 'on_error'?"),
    (
        "name: t=>name: t t",
        "transforms[0].name: found 't t'; a node's name is a letter, then letters a to z, digit",
    ),
    ("name: t=>name: fork", "transforms[0].name: 'fork' cannot name a node"),
    ("name: t=>name: source", "transforms[0].name: 'source' is the name of the pipeline's source"),
    ("name: t=>name: 5", "transforms[0].name: expected text, found the number 5; put it in quotes"),
    ("name: t=>name: true", "transforms[0].name: expected text, found true; put it in quotes"),
    ("input: a=>input: [a]", "transforms[0].input: expected text, found a list"),
    (
        "input: a=>input: __a",
        "transforms[0].input: found '__a'; the name of a connection or sink does not begin",
    ),
    ("on_success: b=>on_success: continue", "transforms[0].on_success: 'continue' cannot name a connection"),
    (
        "on_error: discard=>on_error: ' '",
        "transforms[0].on_error: found ' '; a text that is not blank is needed",
    ),
    ("plugin: passthrough=>plugin: {a: 1}", "transforms[0].plugin: expected text, found a mapping"),
    (
        "on_error: discard=>on_error: discard, options: [a]",
        "transforms[0].options: expected a mapping, found a list",
    ),
]


@pytest.mark.parametrize(("edit", "expected"), TRANSFORM_CASES)
def test_transforms_that_are_refused(problems: Any, edit: str, expected: str) -> None:
    found = problems(with_entry("transforms", edited(TRANSFORM, edit)))
    assert all(line.startswith("4: transforms[0]") for line in found)
    assert any(expected.removeprefix("3?: ") in line for line in found), found


GATE_CASES = [
    (
        "condition: \"row['x'] > 1\"=>condition: true",
        "gates[0].condition: expected text, found true; put it in quotes",
    ),
    (
        "condition: \"row['x'] > 1\"=>condition: ' '",
        "gates[0].condition: found ' '; a text that is not blank",
    ),
    ("{'true': out, 'false': bad}=>{}", "gates[0].routes: takes at least 1 entry, found 0"),
    ("{'true': out, 'false': bad}=>[a]", "gates[0].routes: expected a mapping, found a list"),
    (
        "'true': out=>'true': continue",
        "gates[0].routes.true: 'continue' is no destination; name the connection",
    ),
    ("'true': out=>'true': ", "gates[0].routes.true: expected text, found nothing"),
    ("'true': out=>'true': 5", "gates[0].routes.true: expected text, found the number 5; put it in quotes"),
    (
        "'true': out=>'true': fork",
        "gates[0].routes.true: leads to 'fork', but 'fork_to' does not say to which",
    ),
    ("input: a=>input: a, fork_to: [x]", "gates[0].fork_to: is given, but no route leads to 'fork'"),
    ("'true': out=>1: out", "gates[0].routes.1: keys are text; put 1 in quotes"),
    ("'true': out=>~: out", "gates[0].routes['~']: keys are text; put ~ in quotes"),
    ("'true': out=>true: out, 'true': out", "gates[0].routes.true: the key is given twice; first in line 4"),
    ("input: a=>input: a, fork_to: a", "gates[0].fork_to: expected a list, found 'a'"),
    ("input: a=>input: a, fork_to: [fork]", "gates[0].fork_to[0]: 'fork' cannot name a connection"),
    (
        "input: a=>input: a, fork_to: [" + "x," * 33 + "]",
        "gates[0].fork_to: takes at most 32 entries, found 33",
    ),
    (
        "routes: {=>routes: {" + "".join(f"l{n}: out, " for n in range(31)),
        "takes at most 32 entries, found 33",
    ),
    (
        "input: a=>input: a, plugin: x",
        "gates[0].plugin: unknown key 'plugin'; accepted: name, input, condition, ro",
    ),
]


@pytest.mark.parametrize(("edit", "expected"), GATE_CASES)
def test_gates_that_are_refused(problems: Any, edit: str, expected: str) -> None:
    found = problems(with_entry("gates", edited(GATE, edit)))
    assert all(line.startswith("4: gates[0]") for line in found)
    assert any(expected in line for line in found), found


AGGREGATION_CASES = [
    ("{count: 2}=>{}", "aggregations[0].trigger: needs at least one of: count, timeout_seconds, condition"),
    ("count: 2=>count: 0", "aggregations[0].trigger.count: expected more than 0, found the number 0"),
    ("count: 2=>count: 1.5", "aggregations[0].trigger.count: expected a whole number, found the number 1.5"),
    ("count: 2=>count: true", "aggregations[0].trigger.count: expected a whole number, found true"),
    ("count: 2=>count: two", "aggregations[0].trigger.count: expected a whole number, found 'two'"),
    (
        "count: 2=>timeout_seconds: 0",
        "aggregations[0].trigger.timeout_seconds: expected more than 0, found the num",
    ),
    ("count: 2=>timeout_seconds: x", "aggregations[0].trigger.timeout_seconds: expected a number, found 'x'"),
    (
        "count: 2=>end_of_source: true",
        "aggregations[0].trigger.end_of_source: unknown key 'end_of_source'; accepted:",
    ),
    ("count: 2=>cuont: 2", "accepted: count, timeout_seconds, condition; did you mean 'count'?"),
    (", trigger: {count: 2}=>", "aggregations[0]: the required key 'trigger' is missing"),
    ("on_error: discard, =>", "aggregations[0]: the required key 'on_error' is missing"),
    ("input: a=>input: a, output_mode: pass", "found 'pass'; accepted: transform, passthrough"),
    ("input: a=>input: a, output_mode: tranform", "did you mean 'transform'?"),
    (
        "input: a=>input: a, expected_output_count: -1",
        "expected_output_count: expected at least 0, found the number",
    ),
    (
        "input: a=>input: a, expected_output_count: 1, output_mode: passthrough",
        "aggregations[0].expected_output_count: goes with 'output_mode: transform' only",
    ),
]


@pytest.mark.parametrize(("edit", "expected"), AGGREGATION_CASES)
def test_aggregations_that_are_refused(problems: Any, edit: str, expected: str) -> None:
    found = problems(with_entry("aggregations", edited(AGGREGATION, edit)))
    assert all(line.startswith("4: aggregations[0]") for line in found)
    assert any(expected in line for line in found), found


COALESCE_CASES = [
    ("[a, b]=>[a, b, a]", "coalesce[0].branches: 'a' is listed more than once"),
    ("[a, b]=>[a]", "coalesce[0].branches: takes at least 2 entries, found 1"),
    ("[a, b]=>{a: b}", "coalesce[0].branches: takes at least 2 entries, found 1"),
    ("[a, b]=>[a, 5]", "coalesce[0].branches: a branch is the name of a connection; put it in quotes"),
    ("[a, b]=>{a: b, 'x y': c}", "coalesce[0].branches: found 'x y'; the name of a connection"),
    ("[a, b]=>[a, ' a']", "coalesce[0].branches: two branches have the same name"),
    ("[a, b]=>a", "coalesce[0].branches: expected a mapping, found 'a'"),
    ("[a, b]=>[a, b], policy: best_effort", "coalesce[0].policy: 'best_effort' needs 'timeout_seconds'"),
    ("[a, b]=>[a, b], policy: quorum", "coalesce[0].policy: 'quorum' needs 'quorum_count'"),
    ("[a, b]=>[a, b], policy: quorum, quorum_count: 3", "is 3, but there are only 2 branches"),
    ("[a, b]=>[a, b], policy: quorum, quorum_count: 0", "expected more than 0, found the number 0"),
    (
        "[a, b]=>[a, b], policy: al",
        "coalesce[0].policy: found 'al'; accepted: require_all, quorum, best_effort, f",
    ),
    ("[a, b]=>[a, b], merge: select", "coalesce[0].merge: 'select' needs 'select_branch', one of: a, b"),
    (
        "[a, b]=>[a, b], merge: select, select_branch: c",
        "coalesce[0].select_branch: 'c' is none of the branches: a",
    ),
    ("[a, b]=>[a, b], merge: unoin", "did you mean 'union'?"),
    ("[a, b]=>[a, b], timeout_seconds: -1", "coalesce[0].timeout_seconds: expected more than 0"),
]


@pytest.mark.parametrize(("edit", "expected"), COALESCE_CASES)
def test_coalesces_that_are_refused(problems: Any, edit: str, expected: str) -> None:
    found = problems(with_entry("coalesce", edited(COALESCE, edit)))
    assert all(line.startswith("4: coalesce[0]") for line in found)
    assert any(expected in line for line in found), found


SINK_CASES = [
    (
        "out: {plugin: csv}=>Out: {plugin: csv}",
        "2: sinks.Out: found 'Out'; a sink's name is in lower case: 'out'",
    ),
    (
        "out: {plugin: csv}=>__out: {plugin: csv}",
        "2: sinks.__out: found '__out'; a sink's name does not begin",
    ),
    (
        "out: {plugin: csv}=>a b: {plugin: csv}",
        "2: sinks['a b']: found 'a b'; a sink's name is made of letters",
    ),
    (
        "out: {plugin: csv}=>source: {plugin: csv}",
        "2: sinks.source: 'source' is the name of the pipeline's source",
    ),
    ("out: {plugin: csv}=>out: ", "2: sinks.out: the required key 'plugin' is missing"),
    ("out: {plugin: csv}=>out: csv", "2: sinks.out: expected a mapping, found 'csv'"),
    ("plugin: csv=>plugin: csv, on_write_failur: x", "did you mean 'on_write_failure'?"),
    ("plugin: csv=>plugin: csv, path: x.csv", "options of the plugin stand below 'options'"),
    (
        "plugin: csv=>plugin: csv, on_write_failure: ''",
        "2: sinks.out.on_write_failure: found ''; a text that is",
    ),
    ("out: {plugin: csv}=>OUT: {plugin: csv}, out: {plugin: csv}", "the key is given twice"),
]


@pytest.mark.parametrize(("edit", "expected"), SINK_CASES)
def test_sinks_that_are_refused(problems: Any, edit: str, expected: str) -> None:
    found = problems(SOURCE + edited(SINKS, edit))
    assert any(expected in line for line in found), found


def test_a_sink_called_discard_is_accepted_with_a_warning(load: Any) -> None:
    settings = load(SOURCE + edited(SINKS, "bad: =>discard: "))
    assert "discard" in settings.sinks
    assert any("sinks.discard: no row reaches it by on_error" in warning for warning in settings.warnings)


@pytest.mark.parametrize("section", ["transforms", "gates", "aggregations", "coalesce"])
def test_lists_of_nodes(load: Any, problems: Any, section: str) -> None:
    assert getattr(load(f"{SOURCE}{SINKS}{section}:\n"), section.replace("coalesce", "coalesces")) == ()
    expected = f"3: {section}: expected a list, found a mapping; each entry begins with '- '"
    assert problems(f"{SOURCE}{SINKS}{section}: {{a: 1}}\n") == [expected]
    assert problems(with_entry(section, "5")) == [f"4: {section}[0]: expected a mapping, found the number 5"]


@pytest.mark.parametrize(
    ("section", "entry", "limit"),
    [("transforms", TRANSFORM, 500), ("gates", GATE, 100), ("aggregations", AGGREGATION, 100)],
)
def test_numbers_of_entries(problems: Any, load: Any, section: str, entry: str, limit: int) -> None:
    name = entry[: entry.index(",")]
    entries = [entry.replace(name, f"{{name: n{number}", 1) for number in range(limit + 1)]
    assert load(f"{SOURCE}{SINKS}{section}: [{', '.join(entries[:-1])}]")
    text = f"{SOURCE}{SINKS}{section}: [{', '.join(entries)}]"
    assert problems(text) == [f"3: {section}: takes at most {limit} entries, found {limit + 1}"]


def test_number_of_sinks(problems: Any) -> None:
    sinks = ", ".join(f"s{number}: {{plugin: csv}}" for number in range(51))
    assert problems(f"{SOURCE}sinks: {{{sinks}}}") == ["2: sinks: takes at most 50 entries, found 51"]


def test_names_are_unique_over_all_kinds(problems: Any) -> None:
    found = problems(
        f"{SOURCE}"
        "sinks:\n"
        "  out: {plugin: csv}\n"
        "  o-ut: {plugin: csv}\n"
        "  o_ut: {plugin: csv}\n"
        "transforms:\n"
        f"  - {TRANSFORM}\n"
        f"  - {edited(TRANSFORM, 'name: t=>name: t-x')}\n"
        f"  - {edited(TRANSFORM, 'name: t=>name: t_x')}\n"
        f"gates:\n  - {edited(GATE, 'name: g=>name: out')}\n"
        f"aggregations:\n  - {edited(AGGREGATION, 'name: g=>name: t')}\n"
        f"coalesce:\n  - {edited(COALESCE, 'name: c=>name: t')}\n"
    )
    assert found == [
        "3: sinks.out: the name 'out' is taken, in line 11; every node and sink has its own",
        "5: sinks.o_ut: the names 'o_ut' and 'o-ut' are one to Dagster, which takes '-' for '_'",
        "13: aggregations[0].name: the name 't' is taken, in line 7; every node and sink has its own",
        "15: coalesce[0].name: the name 't' is taken, in line 7; every node and sink has its own",
    ]


def test_a_connection_may_be_called_as_a_node_is(load: Any) -> None:
    assert load(with_entry("transforms", edited(TRANSFORM, "input: a=>input: t"))).transforms[0].input == "t"


def test_nodes_do_not_show_their_options() -> None:
    node = TransformSettings(
        name="t", plugin="p", input="a", on_success="b", on_error="discard", options={"api_key": "hush"}
    )
    assert repr(node) == "TransformSettings('t', plugin='p')"
