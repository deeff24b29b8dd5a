"""Variables come from `.env` under the platform root, or from the file that is named."""

import pytest
from platforms import Platform

SETTINGS = """
source: {plugin: csv, on_success: out,
         options: {path: "${INBOX_OF_TESTS}.csv", on_validation_failure: discard, schema: {mode: observed}}}
sinks: {out: {plugin: csv, options: {path: output/out.csv}}}
"""


@pytest.fixture(autouse=True)
def settings(platform: Platform) -> None:
    platform.write("one.yaml", SETTINGS)
    platform.write(".env", "INBOX_OF_TESTS=by_default\n")
    platform.write("other.env", "INBOX_OF_TESTS=named\n")
    for name in ("by_default", "named", "set"):
        platform.write(f"{name}.csv", f"a\n{name}\n")


def read(platform: Platform, *words: str) -> str:
    answer = platform.elspeth(*words, "run", platform.path("one.yaml"))
    assert answer.code == 0, answer.err
    return platform.read("output/out.csv").decode().split()[1]


def test_variables_come_from_the_file_under_the_root_or_from_the_one_that_is_named(
    platform: Platform,
) -> None:
    assert read(platform) == "by_default"
    assert read(platform, "--env-file", str(platform.path("other.env"))) == "named"


def test_variables_that_are_set_stay(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INBOX_OF_TESTS", "set")
    assert read(platform) == "set"


def test_no_file_is_read_when_none_is_to_be(platform: Platform) -> None:
    answer = platform.elspeth("--no-dotenv", "validate", platform.path("one.yaml"))
    assert answer.code == 2
    assert "INBOX_OF_TESTS" in answer.err


def test_a_file_that_is_no_text_is_named(platform: Platform) -> None:
    platform.path(".env").write_bytes(b"A=\xff\xfe\n")
    answer = platform.elspeth("validate", platform.path("one.yaml"))
    assert answer.code == 2
    assert f"{platform.path('.env')} cannot be read" in answer.err
