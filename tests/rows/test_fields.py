"""The schema block's grammar."""

import pytest
import yaml

from elspeth_dagster.rows.errors import SchemaError
from elspeth_dagster.rows.fields import OBSERVED, FieldSpec, FieldType, Schema, SchemaMode, parse_schema


def fixed(*fields, **more):
    return {"mode": "fixed", "fields": list(fields), **more}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ("qty: int", FieldSpec("qty", FieldType.INT, required=True)),
        ("qty:int", FieldSpec("qty", FieldType.INT, required=True)),
        ("qty: int?", FieldSpec("qty", FieldType.INT, required=False)),
        ("  a: str ", FieldSpec("a", FieldType.STR, required=True)),
        ("é: str", FieldSpec("é", FieldType.STR, required=True)),
        ("class: str", FieldSpec("class", FieldType.STR, required=True)),
        ("a: any?", FieldSpec("a", FieldType.ANY, required=False)),
        ("_a1: float", FieldSpec("_a1", FieldType.FLOAT, required=True)),
        ("a: bool", FieldSpec("a", FieldType.BOOL, required=True)),
        ({"qty": "int?"}, FieldSpec("qty", FieldType.INT, required=False)),
        ({"name": "int"}, FieldSpec("name", FieldType.INT, required=True)),
        ({"name": "qty", "type": "int", "required": False}, FieldSpec("qty", FieldType.INT, required=False)),
        ({"name": "qty", "type": "any", "required": True}, FieldSpec("qty", FieldType.ANY, required=True)),
    ],
)
def test_accepted_fields(spec, field):
    assert parse_schema(fixed(spec)).fields == (field,)


@pytest.mark.parametrize(
    "spec",
    [
        "a : int", "a: int ?", "a: integer", "a: Str", "1a: int", "user-id: int", "a b: int", "a", "a: int??",
        "", ":", "a:", ": int", "a: int b", "a: b: int", 5, None, ["a: int"], {}, {"a": None}, {"a": True},
        {True: "int"}, {"a ": "int"}, {"a": "int", "b": "int"}, {"name": "a", "type": "int"},
        {"name": "a", "type": "int", "required": "yes"}, {"name": "a", "type": "int", "required": 1},
        {"name": "a", "type": "int?", "required": True}, {"name": 1, "type": "int", "required": True},
        {"name": "a", "type": None, "required": True},
        {"name": "a", "type": "int", "required": True, "more": 1},
    ],
)  # fmt: skip
def test_refused_fields_are_pointed_at(spec):
    with pytest.raises(SchemaError) as caught:
        parse_schema(fixed("ok: str", spec))
    assert caught.value.path[:2] == ("fields", 1)


def test_unquoted_yaml_is_the_same():
    block = yaml.safe_load(
        "mode: flexible\nfields:\n- qty: int?\n- a:str\n- {name: b, type: any, required: true}"
    )
    schema = parse_schema(block)
    assert schema.mode is SchemaMode.FLEXIBLE
    assert schema.names == ("qty", "a", "b")
    assert schema.field("qty") == FieldSpec("qty", FieldType.INT, required=False)
    assert schema.field("z") is None


def test_a_word_that_yaml_reads_as_a_boolean_is_explained():
    with pytest.raises(SchemaError, match="quote a word such as on"):
        parse_schema(yaml.safe_load("{mode: fixed, fields: [on: int]}"))


@pytest.mark.parametrize("fields", [{}, {"fields": None}, {"fields": []}])
def test_observed_declares_nothing(fields):
    assert parse_schema({"mode": "observed", **fields}) == OBSERVED


@pytest.mark.parametrize(
    ("block", "path", "message"),
    [
        (None, (), "mapping with the key mode"),
        ("observed", (), "mapping with the key mode"),
        ({}, (), "the key mode is missing"),
        ({"fields": "dynamic"}, (), "the key mode is missing"),
        ({"mode": "strict"}, ("mode",), "'strict' is called 'fixed'"),
        ({"mode": "free"}, ("mode",), "'free' is called 'flexible'"),
        ({"mode": "dynamic"}, ("mode",), "'dynamic' is called 'observed'"),
        ({"mode": "Fixed"}, ("mode",), "expected one of fixed, flexible, observed"),
        ({"mode": ["fixed"]}, ("mode",), "found a list"),
        ({"mode": "fixed"}, ("fields",), "at least one declared field"),
        ({"mode": "flexible", "fields": []}, ("fields",), "at least one declared field"),
        ({"mode": "fixed", "fields": "a: int"}, ("fields",), "expected a list of fields"),
        ({"mode": "fixed", "fields": {"a": "int"}}, ("fields",), "found a mapping"),
        ({"mode": "observed", "fields": ["a: int"]}, ("fields",), "observed declares no fields"),
        ({"mode": "observed", "feilds": []}, ("feilds",), "unknown key"),
        (fixed("a: int", "a: str"), ("fields", 1), "'a' is declared twice"),
        (fixed("a: int", guaranteed_fields=["b"]), ("guaranteed_fields", 0), "not among the declared"),
        (fixed("a: int", required_fields=["a", "a"]), ("required_fields", 1), "'a' is listed twice"),
        (fixed("a: int", audit_fields="a"), ("audit_fields",), "expected a list of field names"),
        ({"mode": "observed", "required_fields": ["a b"]}, ("required_fields", 0), "is not a field name"),
        ({"mode": "observed", "required_fields": [1]}, ("required_fields", 0), "is not a field name"),
    ],
)
def test_refused_blocks(block, path, message):
    with pytest.raises(SchemaError) as caught:
        parse_schema(block)
    assert caught.value.path == path
    assert message in caught.value.message
    assert str(caught.value).endswith(caught.value.message)


def test_lists_of_names():
    lists = {"guaranteed_fields": ["a"], "required_fields": [], "audit_fields": None}
    assert parse_schema(fixed("a: int", **lists)).guaranteed_fields == ("a",)
    observed = parse_schema({"mode": "observed", "guaranteed_fields": ["x", "y"], "required_fields": ["z"]})
    assert observed == Schema(SchemaMode.OBSERVED, (), ("x", "y"), ("z",), ())
