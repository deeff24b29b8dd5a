"""Secrets are known, never shown, and recorded as fingerprints."""

import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elspeth_dagster.settings import SettingsError
from elspeth_dagster.settings.secrets import (
    Secrets,
    is_secret_key,
    is_secret_variable,
    without_url_passwords,
)

TEXT = """\
source:
  plugin: csv
  on_success: t
  options:
    path: a.csv
    on_validation_failure: discard
    api_key: plain-secret-1
    Token: ${SOME_VALUE}
    data_key: records
    password: 123456
    credentials_file: a.json
    http: {Authorization: plain-secret-2, timeout_token: {nested: plain-secret-3}}
    schema: {mode: fixed, fields: [{api_key: str}]}
transforms:
  - name: t
    plugin: field_mapper
    input: t
    on_success: out
    on_error: discard
    options:
      mapping: {user_token: name_of_a_column}
      headers: {x-api-key: plain-secret-4}
      list: ["a", "Bearer ${MY_TOKEN}"]
      greeting: hello ${MY_TOKEN}
      plain: ${HOME_DIR}
      address: https://user:${DB_PASSWORD}@host/x
sinks:
  out:
    plugin: database
    options:
      url: postgresql://u:url-secret-5@host:5432/db?password=url-secret-6&x=1
      headers: {api_key: Header}
      secret: true
      token:
dagster: {group: g}
"""
ENVIRON = {
    "MY_TOKEN": "env-secret-7",
    "SOME_VALUE": "env-secret-8",
    "DB_PASSWORD": "env-secret-9",
    "HOME_DIR": "/home/x",
}
KEYED = {**ENVIRON, "ELSPETH_FINGERPRINT_KEY": "the key"}


def fingerprint(value: str) -> str:
    return hmac.new(b"the key", value.encode(), hashlib.sha256).hexdigest()


def test_without_a_key_secrets_are_recorded_as_asterisks_with_a_warning(load: Any) -> None:
    settings = load(TEXT, ENVIRON)
    stored = settings.stored()
    assert stored["source"]["options"] == {
        "path": "a.csv",
        "api_key": "***",
        "Token": "***",
        "data_key": "records",
        "password": "***",
        "credentials_file": "a.json",
        "http": {"Authorization": "***", "timeout_token": {"nested": "***"}},
        "schema": {"mode": "fixed", "fields": [{"api_key": "str"}]},
        "on_validation_failure": "discard",
    }
    assert stored["transforms"][0]["options"] == {
        "mapping": {"user_token": "name_of_a_column"},
        "headers": {"x-api-key": "***"},
        "list": ["a", "***"],
        "greeting": "***",
        "plain": "/home/x",
        "address": "https://user:***@host/x",
    }
    assert stored["sinks"]["out"]["options"] == {
        "url": "postgresql://u:***@host:5432/db?password=***&x=1",
        "headers": {"api_key": "Header"},
        "secret": True,
        "token": None,
    }
    warned = [line.removeprefix(f"{settings.path}:") for line in settings.warnings]
    assert [line.split(": ")[1] for line in warned] == [
        "source.options.api_key",
        "source.options.Token",
        "source.options.password",
        "source.options.http.Authorization",
        "source.options.http.timeout_token.nested",
        "transforms[0].options.headers.x-api-key",
        "transforms[0].options.list[1]",
        "transforms[0].options.greeting",
    ]
    assert warned[0] == (
        "7: source.options.api_key: this secret is recorded as ***; set ELSPETH_FINGERPRINT_KEY to record a "
        "keyed fingerprint, by which it can be told from another one"
    )


def test_with_a_key_secrets_are_recorded_as_keyed_fingerprints(load: Any) -> None:
    settings = load(TEXT, KEYED)
    stored = settings.stored()
    options = stored["source"]["options"]
    assert options["api_key_fingerprint"] == fingerprint("plain-secret-1")
    assert options["Token_fingerprint"] == fingerprint("env-secret-8")
    assert options["password_fingerprint"] == fingerprint("123456")
    assert "api_key" not in options
    assert stored["transforms"][0]["options"]["list"] == [
        "a",
        "hmac-sha256:" + fingerprint("Bearer env-secret-7"),
    ]
    assert stored["transforms"][0]["options"]["greeting_fingerprint"] == fingerprint("hello env-secret-7")
    assert settings.warnings == ()
    assert load(TEXT, ENVIRON).stored(KEYED) == stored
    assert settings.stored({}) == load(TEXT, ENVIRON).stored()


@pytest.mark.parametrize("environ", [ENVIRON, KEYED])
def test_no_secret_is_recorded_or_shown(load: Any, environ: dict[str, str]) -> None:
    settings = load(TEXT, environ)
    shown = json.dumps(settings.stored()) + repr(settings) + repr(settings.source) + repr(settings.transforms)
    shown += (
        repr(settings.secrets) + repr(settings.locations) + repr(settings.sinks) + "".join(settings.warnings)
    )
    assert "secret-" not in shown
    assert "123456" not in shown
    assert "the key" not in shown


def test_what_plugins_get_is_the_secret_itself(load: Any) -> None:
    settings = load(TEXT, ENVIRON)
    assert settings.source.options["api_key"] == "plain-secret-1"
    assert settings.transforms[0].options["list"][1] == "Bearer env-secret-7"
    assert settings.sinks["out"].options["url"].startswith("postgresql://u:url-secret-5@")


def test_stored_settings_are_plain_data_with_the_defaults_of_nodes(load: Any) -> None:
    stored = load(
        TEXT + "gates: [{name: g, input: a, condition: x, routes: {b: out}}]\n"
        "aggregations: [{name: h, plugin: p, input: b, on_error: out, trigger: {count: 1}}]\n"
        "coalesce: [{name: c, branches: [a, b]}]\nretry: {max_attempts: 5}\nsecrets: {source: env}\n",
        ENVIRON,
    ).stored()
    assert json.loads(json.dumps(stored)) == stored
    assert stored["pipeline"] == "orders"
    assert stored["gates"][0] == {
        "name": "g",
        "input": "a",
        "condition": "x",
        "routes": {"b": "out"},
        "fork_to": [],
        "on_error": "discard",
    }
    assert stored["aggregations"][0]["trigger"] == {"count": 1, "timeout_seconds": None, "condition": None}
    assert stored["aggregations"][0]["output_mode"] == "transform"
    assert type(stored["aggregations"][0]["output_mode"]) is str
    assert stored["coalesce"][0]["branches"] == {"a": "a", "b": "b"}
    assert stored["dagster"] == {"group": "g"}
    assert stored["retry"] == {"max_attempts": 5}


def test_problems_do_not_show_secrets(load: Any) -> None:
    text = TEXT.replace("on_success: t\n", "on_success: a ${MY_TOKEN} b\n").replace(
        "plugin: csv", "plugin: {x: 1}"
    )
    text = text.replace(
        "group: g", "group: g, max_retries: '${MY_TOKEN}', schedule: '${API_KEY:-by default}'"
    )
    text = text.replace("out:\n    plugin", "${MY_TOKEN}:\n    plugin")
    with pytest.raises(SettingsError) as error:
        load(text, ENVIRON)
    assert "secret-" not in str(error.value)
    assert "by default" not in str(error.value)
    assert "dagster.max_retries: the value is not accepted (it is a secret, and not shown)" in str(
        error.value
    )


def test_later_problems_and_other_texts_are_scrubbed(load: Any) -> None:
    settings = load(TEXT, ENVIRON)
    problem = settings.problem(("source", "options", "api_key"), "refused 'plain-secret-1'")
    assert problem.message == "refused '***'"
    text = "url-secret-5 url-secret-6 env-secret-7 env-secret-8 env-secret-9 plain-secret-2 123456 kept"
    assert settings.scrubbed(text) == "*** *** *** *** *** *** *** kept"


def test_secrets_are_scrubbed_as_they_look_in_quotes(load: Any) -> None:
    settings = load(TEXT, {**ENVIRON, "MY_TOKEN": "a\"b\\c'd\n"})
    value = settings.transforms[0].options["greeting"]
    assert "b\\c" not in settings.scrubbed(f"{value} {value!r} {json.dumps(value)}")


def test_a_secret_beside_its_fingerprint_is_refused(problems: Any) -> None:
    found = problems(TEXT.replace("data_key: records", "api_key_fingerprint: x"), KEYED)
    assert found == [
        "7: source.options.api_key: 'api_key' and 'api_key_fingerprint' are both given; remove the second"
    ]


@pytest.mark.parametrize(
    "key",
    [
        "api_key",
        "API-Key",
        "authorization",
        "connection_string",
        "credential",
        "password",
        "secret",
        "token",
        "X-Api-Key",
        "client_secret",
        "access_key",
        "auth_token",
        "db_password",
        "user_credential",
        "blob_connection_string",
    ],
)
def test_keys_of_secrets(key: str) -> None:
    assert is_secret_key(key)
    assert is_secret_variable(key.upper().replace("-", "_"))


@pytest.mark.parametrize(
    "key", ["max_tokens", "tokens", "secrets", "key", "keys", "data_key", "password_file", "path"]
)
def test_keys_that_are_none_of_secrets(key: str) -> None:
    assert not is_secret_key(key)


@pytest.mark.parametrize(
    "name", ["DB_PASS", "SECRET_KEY_BASE", "GITHUB_TOKEN_2", "MY_PWD", "OPENAI_APIKEY", "PASSWD"]
)
def test_variables_of_secrets(name: str) -> None:
    assert is_secret_variable(name)


@pytest.mark.parametrize("name", ["PWD", "HOME", "MAX_TOKENS", "KEY", "DATA_DIR", "KEYBOARD", "MONKEY"])
def test_variables_that_are_none_of_secrets(name: str) -> None:
    assert not is_secret_variable(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://u:p@h/db", "postgresql://u:***@h/db"),
        ("postgresql+psycopg://u:p@ss/w:rd@h:1/db", "postgresql+psycopg://u:***@h:1/db"),
        ("redis://:p@h", "redis://:***@h"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("https://h:8080/path", "https://h:8080/path"),
        ("sqlite:///x.db", "sqlite:///x.db"),
        ("mssql://h/db?user=u&PWD=p&x=1", "mssql://h/db?user=u&PWD=***&x=1"),
        ("see https://a:b@c for more", "see https://a:***@c for more"),
        ("a: b@c", "a: b@c"),
    ],
)
def test_passwords_in_urls(text: str, expected: str) -> None:
    assert without_url_passwords(text) == expected


@given(st.text("abc:@/é %", min_size=1).filter(lambda text: " " not in text))
def test_no_password_in_a_url_is_left_whatever_it_holds(password: str) -> None:
    assert without_url_passwords(f"postgresql://user:{password}@host/db") == "postgresql://user:***@host/db"


def test_secrets_do_not_show_themselves() -> None:
    assert repr(Secrets({("a",): ("hush",)}, b"key", ("hush",))) == "Secrets(1 hidden)"
