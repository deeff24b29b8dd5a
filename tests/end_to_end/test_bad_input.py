"""Input that is not as it should be: a clear error, or its rows set aside, and nothing lost."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from platforms import Answer, Platform


def csv_settings(schema: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    return {
        "source": {"plugin": "csv", "on_success": "good",
                   "options": {"path": "in.csv", "on_validation_failure": "bad",
                               "schema": schema or {"mode": "observed"}, **options}},
        "sinks": {"good": {"plugin": "json", "options": {"path": "output/good.jsonl"}},
                  "bad": {"plugin": "json", "options": {"path": "output/bad.jsonl"}}},
    }  # fmt: skip


def json_settings(path: str) -> dict[str, Any]:
    settings = csv_settings()
    settings["source"] |= {"plugin": "json"}
    settings["source"]["options"] |= {"path": path}
    return settings


def fixed(*fields: str) -> dict[str, Any]:
    return {"mode": "fixed", "fields": list(fields)}


def rows(platform: Platform, sink: str) -> list[Any]:
    return [json.loads(line) for line in platform.read(f"output/{sink}.jsonl").splitlines()]


def completed(platform: Platform, settings: dict[str, Any]) -> dict[str, Any]:
    """Runs to completion and makes sure that every record is accounted for, in the record too."""
    answer = platform.run(platform.pipeline("bad_input", settings))
    assert answer.code == 0, answer.err
    assert "Traceback" not in answer.err
    facts: dict[str, Any] = answer.json
    assert sum(facts["outcomes"].values()) == facts["rows_in"]
    assert facts["succeeded"] + facts["quarantined"] + facts["failed"] == facts["rows_in"]
    assert platform.outcomes(facts["run_id"]) == facts["outcomes"]
    assert facts["sinks"]["good"]["rows"] == facts["succeeded"]
    assert facts["sinks"]["bad"]["rows"] == facts["quarantined"]
    return facts


def refused(platform: Platform, settings: dict[str, Any]) -> Answer:
    """Runs into an error on purpose: exit code 1, no traceback, nothing published, the run failed."""
    answer = platform.run(platform.pipeline("bad_input", settings))
    assert answer.code == 1, answer.out
    assert "Traceback" not in answer.err
    assert "bad_input" in answer.err or "in.csv" in answer.err
    facts = answer.json
    assert facts["status"] == "failed"
    assert facts["error"]["message"] in answer.err
    assert facts["sinks"] == {}
    assert not list(platform.path("output").glob("*"))
    return answer


def test_a_missing_file_is_named_and_the_run_resumes_once_it_is_there(platform: Platform) -> None:
    answer = refused(platform, csv_settings())
    assert str(platform.path("in.csv")) in answer.err

    platform.write("in.csv", "a\n1\n")
    resumed = platform.resume(answer.json["run_id"])

    assert resumed.code == 0, resumed.err
    assert resumed.json["succeeded"] == 1


def test_a_folder_in_place_of_the_file_is_named(platform: Platform) -> None:
    platform.path("in.csv").mkdir()

    answer = refused(platform, csv_settings())

    assert str(platform.path("in.csv")) in answer.err
    assert "folder" in answer.err or "directory" in answer.err.lower()


@pytest.mark.parametrize("obstacle", ["parent_is_a_file", "target_is_a_folder"])
def test_a_target_that_cannot_be_written_is_named_and_the_run_resumes(
    platform: Platform, obstacle: str
) -> None:
    platform.write("in.csv", "a\n1\n")
    blocking = platform.path("output" if obstacle == "parent_is_a_file" else "output/good.jsonl")
    if obstacle == "parent_is_a_file":
        platform.write("output", "in the way")
    else:
        blocking.mkdir(parents=True)

    answer = platform.run(platform.pipeline("bad_input", csv_settings()))

    assert answer.code == 1
    assert "Traceback" not in answer.err
    assert str(platform.path("output")) in answer.err
    assert "/good.jsonl" in answer.err
    # A file in place of the folder is in the way of every sink, and each of them says so.
    assert ("/bad.jsonl" in answer.err) == (obstacle == "parent_is_a_file")
    if obstacle == "parent_is_a_file":
        blocking.unlink()
    else:
        blocking.rmdir()
    resumed = platform.resume(answer.json["run_id"])
    assert resumed.code == 0, resumed.err
    assert rows(platform, "good") == [{"a": "1"}]


@pytest.mark.parametrize("content", ["", "a,b\n", "\n\n"], ids=["empty", "header_only", "blank_lines"])
def test_a_file_without_rows_gives_sinks_without_rows(platform: Platform, content: str) -> None:
    platform.write("in.csv", content)

    facts = completed(platform, csv_settings())

    assert facts["rows_in"] == 0
    assert platform.outputs() == {"good.jsonl": b"", "bad.jsonl": b""}


def wide(columns: int) -> str:
    return ",".join(f"c{n}" for n in range(columns)) + "\n" + ",".join(str(n) for n in range(columns)) + "\n"


def test_ten_thousand_columns_are_taken(platform: Platform) -> None:
    platform.write("in.csv", wide(10_000))

    completed(platform, csv_settings())

    assert rows(platform, "good") == [{f"c{n}": str(n) for n in range(10_000)}]


def test_one_column_more_is_refused(platform: Platform) -> None:
    platform.write("in.csv", wide(10_001))

    answer = refused(platform, csv_settings())

    assert "10,001" in answer.err or "10001" in answer.err
    assert "10,000" in answer.err or "10000" in answer.err
    assert len(answer.err) < 5000


def test_a_cell_of_ten_megabytes_passes_whole(platform: Platform) -> None:
    cell = "0123456789" * 1_000_000 + ' "quoted", and\na line'
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["id", "text"], ["1", cell], ["2", "short"]])
    platform.write("in.csv", text.getvalue().encode())

    completed(platform, csv_settings())

    assert rows(platform, "good") == [{"id": "1", "text": cell}, {"id": "2", "text": "short"}]


def test_nul_bytes_are_data(platform: Platform) -> None:
    platform.write("in.csv", b"a,b\n\x00,x\x00y\n1,2\n")

    completed(platform, csv_settings())

    assert rows(platform, "good") == [{"a": "\x00", "b": "x\x00y"}, {"a": "1", "b": "2"}]


def test_undecodable_bytes_cost_their_record_alone(platform: Platform) -> None:
    platform.write("in.csv", b"a,b\n1,2\n3,\xff\xfe4\n5,6\n")

    facts = completed(platform, csv_settings())

    assert rows(platform, "good") == [{"a": "1", "b": "2"}, {"a": "5", "b": "6"}]
    assert facts["quarantined"] == 1
    assert b"\xff\xfe".hex() in platform.read("output/bad.jsonl").decode()


def test_an_unterminated_quote_costs_its_line_alone(platform: Platform) -> None:
    platform.write("in.csv", 'a,b\n1,2\n3,"4\n5,6\n7,8\n')

    facts = completed(platform, csv_settings())

    assert rows(platform, "good") == [{"a": "1", "b": "2"}, {"a": "5", "b": "6"}, {"a": "7", "b": "8"}]
    assert facts["quarantined"] == 1
    (error,) = platform.sql('SELECT "row", reason FROM errors WHERE token IS NOT NULL')
    assert error["row"] == 1
    assert "unterminated" in error["reason"]
    assert "3" in error["reason"]


def test_too_few_and_too_many_cells_are_set_aside_as_they_were(platform: Platform) -> None:
    platform.write("in.csv", "a,b\n1\n2,3\n4,5,6\n")

    completed(platform, csv_settings())

    assert rows(platform, "good") == [{"a": "2", "b": "3"}]
    short, long = rows(platform, "bad")
    assert (short["__raw_line__"], short["__line_number__"], short["__row_number__"]) == ("1", 2, 1)
    assert (long["__raw_line__"], long["__line_number__"], long["__row_number__"]) == ("4,5,6", 4, 3)


def test_another_delimiter_is_what_the_summary_tells(platform: Platform) -> None:
    platform.write("in.csv", "id;name;price\n1;ball;2,50\n2;cup;3\n")
    settings = platform.pipeline("bad_input", csv_settings(fixed("id: int", "name: str", "price: str")))
    said = " ".join(platform.elspeth("run", settings).out.split())
    told = "the header is one field that holds ';' 2 times; delimiter: ';' may be meant: 1, row"
    assert f"set aside: source: cell_count: {told} 0" in said
    assert f"set aside: source: validation_failed: {told} 1" in said


@pytest.mark.parametrize("header", ["id,name,id", "Id!,name,id"], ids=["same", "same_when_normalised"])
def test_duplicate_headers_are_refused_with_their_places(platform: Platform, header: str) -> None:
    platform.write("in.csv", f"{header}\n1,x,2\n")

    answer = refused(platform, csv_settings())

    assert "id" in answer.err
    assert all(place in answer.err for place in ("1", "3"))


def test_integers_past_64_bits_stay_exact(platform: Platform) -> None:
    numbers = [2**63 - 1, 2**63, -(2**63) - 1, 10**100, 7]
    platform.write("in.csv", "n\n" + "".join(f"{number}\n" for number in numbers))

    completed(platform, csv_settings(fixed("n: int")))

    assert [row["n"] for row in rows(platform, "good")] == numbers


def test_a_number_beyond_float_is_set_aside_from_csv(platform: Platform) -> None:
    platform.write("in.csv", "x\n1e999\n1.5\n-1e400\nnan\ninf\n")

    completed(platform, csv_settings(fixed("x: float")))

    assert rows(platform, "good") == [{"x": 1.5}]
    assert rows(platform, "bad") == [{"x": text} for text in ("1e999", "-1e400", "nan", "inf")]


@pytest.mark.parametrize("path", ["in.jsonl", "in.json"])
def test_a_number_beyond_float_is_set_aside_from_json(platform: Platform, path: str) -> None:
    items = ['{"x": 1e999}', '{"x": 1.5, "n": 123456789012345678901234567890}']
    platform.write(path, "\n".join(items) + "\n" if path == "in.jsonl" else f"[{','.join(items)}]")

    facts = completed(platform, json_settings(path))

    assert rows(platform, "good") == [{"x": 1.5, "n": 123456789012345678901234567890}]
    assert facts["quarantined"] == 1


@pytest.mark.parametrize("path", ["in.jsonl", "in.json"])
def test_json_nested_too_deep_is_set_aside(platform: Platform, path: str) -> None:
    deep = '{"d": ' + "[" * 20_000 + "]" * 20_000 + "}"
    fine = '{"d": ' + "[" * 50 + "]" * 50 + "}"
    items = ['{"d": 1}', deep, '{"d": 2}']
    platform.write(path, "\n".join(items) + "\n" if path == "in.jsonl" else f"[{','.join(items)}]")
    completed(platform, json_settings(path))
    if path == "in.jsonl":
        assert rows(platform, "good") == [{"d": 1}, {"d": 2}]
    else:
        assert {"d": 1} in rows(platform, "good")
    assert len(rows(platform, "bad")) == 1

    platform.write(path, fine + "\n" if path == "in.jsonl" else f"[{fine}]")
    completed(platform, json_settings(path))
    assert rows(platform, "good") == [json.loads(fine)]


def test_broken_json_lines_cost_themselves_alone(platform: Platform) -> None:
    lines = [
        b'{"a": 1}',
        b"{oops",
        b"",
        b"[1, 2]",
        b'{"a": NaN}',
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        b'{"a": 2}',
    ]
    platform.write("in.jsonl", b"\n".join(lines) + b"\n")

    facts = completed(platform, json_settings("in.jsonl"))

    assert rows(platform, "good") == [{"a": 1}, {"a": 2}]
    assert facts["rows_in"] == 7
    bad = rows(platform, "bad")
    assert len(bad) == 5
    assert bad[0] == {"__raw_line__": "{oops", "__line_number__": 2}
    assert bad[1] == {"_raw": [1, 2]}
    assert bad[3]["__raw_bytes_hex__"] == lines[5].hex()


def test_a_json_array_that_breaks_off_keeps_what_came_before(platform: Platform) -> None:
    platform.write("in.json", '[{"a": 1}, {"a": 2}, {"a": ')

    facts = completed(platform, json_settings("in.json"))

    assert rows(platform, "good") == [{"a": 1}, {"a": 2}]
    assert facts["quarantined"] == 1


@pytest.mark.parametrize("content", ["", '{"a": 1}', "nonsense"], ids=["empty", "object", "nonsense"])
def test_a_json_file_that_is_no_array_is_one_quarantined_record(platform: Platform, content: str) -> None:
    platform.write("in.json", content)

    facts = completed(platform, json_settings("in.json"))

    assert (facts["rows_in"], facts["quarantined"]) == (1, 1)


def test_discarded_rows_are_counted_and_their_reasons_kept(platform: Platform) -> None:
    platform.write("in.csv", "n\n1\nx\n2\n")
    settings = csv_settings(fixed("n: int"), on_validation_failure="discard")
    del settings["sinks"]["bad"]

    facts = platform.completed(platform.pipeline("bad_input", settings))

    assert facts["outcomes"] == {"completed": 2, "quarantined": 1} == platform.outcomes(facts["run_id"])
    assert platform.sql('SELECT outcome, sink, node FROM outcomes WHERE "row" = 1') == [
        {"outcome": "quarantined", "sink": None, "node": "source"}
    ]
    (error,) = platform.sql('SELECT "row", node, kind FROM errors')
    assert error == {"row": 1, "node": "source", "kind": "validation"}


MESSAGES = {
    "empty": (b"", ("empty",)),
    "blank": (b"\n  \n# a comment\n", ("empty",)),
    "list": (b"- source\n- sinks\n", ("mapping", "list")),
    "text": (b"source sinks\n", ("mapping",)),
    "ten_megabytes": (b"source:\n" + b"  # filling\n" * 900_000, ("1,048,576 bytes",)),
    "alias_bomb": (
        b"a: &a [x, x, x, x, x, x, x, x, x]\n"
        + b"".join(
            f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n".encode()
            for old, new in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        ("alias", "aliases"),
    ),
    "not_yaml": (b"source: {plugin: csv\n", ("line",)),
    "not_utf8": (b"source: \xff\xfe\n", ("UTF-8", "utf-8")),
    "duplicate_key": (b"source: {}\nsource: {}\n", ("source",)),
    "python_object": (b"source: !!python/object/apply:os.system ['true']\n", ("python",)),
    "nul": (b"source: \x00\n", ("line", "character", "#x0000", "NUL")),
}  # fmt: skip


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("command", ["run", "validate"])
def test_a_settings_file_that_is_none_is_refused_in_words(
    platform: Platform, command: str, name: str
) -> None:
    content, words = MESSAGES[name]
    path = platform.pipeline("odd", content)

    answer = platform.elspeth(command, path, "--json")

    assert answer.code == 2
    assert "odd.yaml" in answer.err
    assert any(word in answer.err for word in words), answer.err
    assert "Traceback" not in answer.err
    assert len(answer.err) < 2000
    assert set(answer.json) == {"error"}
    assert not platform.path("landscape").exists()


@pytest.mark.parametrize("what", ["missing", "folder"])
def test_a_settings_file_that_is_not_there_is_refused_in_words(platform: Platform, what: str) -> None:
    path = platform.path("pipelines/nothing.yaml")
    if what == "folder":
        path.mkdir(parents=True)

    answer = platform.run(path)

    assert answer.code == 2
    assert "nothing.yaml" in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.dagster_process
def test_bad_input_shows_no_traceback_in_a_process_of_its_own(platform: Platform) -> None:
    settings: Path = platform.pipeline("bad_input", csv_settings())

    missing = platform.run(settings, process=True)
    assert missing.code == 1
    assert "Traceback" not in missing.err
    assert str(platform.path("in.csv")) in missing.err
    assert missing.json["status"] == "failed"

    nothing = platform.run(platform.pipeline("odd", b"[]"), process=True)
    assert nothing.code == 2
    assert "Traceback" not in nothing.err
    assert "odd.yaml" in nothing.err


def test_a_run_does_not_replace_what_it_is_told_to_read(platform: Platform) -> None:
    platform.path("output").mkdir()
    kept = platform.write("output/good.jsonl", "a\n1\n")
    path = platform.pipeline("bad_input", csv_settings())
    answer = platform.run(path, "--source-path", "output/../output/good.jsonl")
    assert answer.code == 1
    assert "Traceback" not in answer.err
    assert f"sink 'good': it would replace {kept}, which the source is to read" in answer.err
    assert kept.read_text() == "a\n1\n"
