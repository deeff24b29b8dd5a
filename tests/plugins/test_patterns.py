"""Patterns mean what `re` means, and those on which `re` can blow up are refused."""

import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from elspeth_dagster.plugins.transforms.patterns import PatternError, Texts, compile_pattern

HARMLESS = [
    r"foo",
    r".*foo",
    r".*foo.*bar",
    r"\b\d{3}-\d{2}-\d{4}\b",
    r"(?i)confidential.*",
    r"password\s*[:=]\s*\S+",
    r"(?:\d{4}[ -]?){4}",
    r"(?:\d{4}[ -]?)+x",
    r"(\d{1,3}\.){3}\d{1,3}",
    r"[\w.+-]+@[\w-]+\.[\w.-]+",
    r"(?:ab+)+x",
    r"(?:foo|far|bar)+x",
    r"(\w+)\s\1",
    r"(['\"]).*?\1x",
    r"^\s*$",
    r"(?=.*\d)(?=.*[a-z]).{8,}",
    r"(?i)\b(?:secret|private|internal|restricted)\b",
    r"straße|größe",
    r"\w+\s*=\s*\w+",
    r"\w+\W+\w+x",
    r"(?:(?!foo).)*foo",
    r"<script\b[^>]*>",
    r"(?>a+)b",
    r"a++b",
    r"(a)?(?(1)b|c)",
    r"a{1000}",
    r"(?:\d{2,4}-){1,3}\d{2,4}",
    r"\S+ \S+ \S+ \S+ \S+ x",
    r"foo.*bar.*baz.*qux",
]

EXPLOSIVE = {
    r"(a+)+": "a repeat inside a repeat",
    r"(a+)+b": "a repeat inside a repeat",
    r"^(\w+\s?)*$": "a repeat inside a repeat",
    r"([a-zA-Z]+)*\d": "a repeat inside a repeat",
    r"(?:\d{1,3},?)+x": "a repeat inside a repeat",
    r"(a|a)*b": "two ways to match nothing",
    r"(a|aa)+b": "matched in several ways",
    r"(?:a|b|ab)*c": "matched in several ways",
    r"(x+x+)+y": "matched in several ways",
    r"(a*)*b": "can match nothing",
    r"(?:a?){30}a{30}": "can match nothing",
    r"a*a*b": "next to each other",
    r"\w+\d+x": "next to each other",
    r"\s*.*x": "next to each other",
    r"(a+)\1b": "next to each other",
    r"a+a{2,}b": "next to each other",
    r".*a.*b.*c.*d": "more than 3 open-ended repeats",
    r"(a)(?:b\1)+c": "a backreference inside a repeat",
    r"(?:(?=\w+)a)*b": "a lookaround with an open-ended repeat",
    "(a|a)" * 30 + "b": "too many choices",
    "a?" * 30 + "b": "too many choices",
}


@pytest.mark.parametrize("pattern", HARMLESS)
def test_accepted(pattern):
    assert compile_pattern(pattern).regex.pattern == pattern


@pytest.mark.filterwarnings("error")
def test_no_warning_about_what_a_class_may_mean_one_day():
    assert found("[[x]", ["[", "y"]) == [True, False]


@pytest.mark.parametrize("pattern", EXPLOSIVE)
def test_refused_by_construct(pattern):
    with pytest.raises(PatternError, match=re.escape(EXPLOSIVE[pattern])):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("", "is empty"),
        ("(", "is no regular expression"),
        ("[", "is no regular expression"),
        ("a" * 1001, "1001 characters; the limit is 1000"),
        ("(" * 60 + "a" + ")" * 60, "nested more than 50 deep"),
        ("a{2,1}", "is no regular expression"),
    ],
)
def test_load_errors(pattern, reason):
    with pytest.raises(PatternError, match=re.escape(reason)):
        compile_pattern(pattern)


def found(pattern: str, texts: list[str | None]) -> list[bool]:
    return [bool(hit) for hit in compile_pattern(pattern).matches(Texts(pa.array(texts, pa.string())))]


def expected(pattern: str, texts: list[str | None]) -> list[bool]:
    return [text is not None and re.search(pattern, text) is not None for text in texts]


TRICKY = [
    "", "\n", "foo", "foo\n", "foo\n\n", "\u00e9foo", "K", "k", "\u212a", "s", "\u017f", "İ", "\u0131",
    "i", "_", "5", "٣", "a b", "a\u00a0b", "a\x0bb", "a\x1cb", "a\x85b", "STRASSE", "straße", "\x00", "ﬀ",
    "x\ny", None,
]  # fmt: skip


DIFFERING = r"""
    foo$ foo\Z ^foo (?m)^y \w \W \d \s \S \bb\b \B . (?s)^.$ (?i)k (?i)s (?i)i (?i)[j-l] (?i)[^k] (?i:K)
    (?a)\w (?a:\w)\w (?ai)k [^a] [^\x00-\x7f] [\w-] [^\W\d] a\sb \x00 (?i)straße (?i)ß (?!) (?=f)o
    (?<=f)o x|^$ (?:) a{0} [\[] []] [^]] \Aa $
"""


@pytest.mark.parametrize("pattern", [*DIFFERING.split(), "(?x) f o o "])
def test_same_as_re_where_other_engines_differ(pattern):
    assert found(pattern, TRICKY) == expected(pattern, TRICKY)
    ascii_only = [text for text in TRICKY if text is not None and text.isascii()]
    assert found(pattern, ascii_only) == expected(pattern, ascii_only)


atoms = st.sampled_from(
    ["a", "b", "k", "K", "é", "\u017f", ".", r"\w", r"\d", r"\s", r"\W", r"\b", r"\A", r"\Z", "^", "$",
     "[a-c]", "[^a]",
     r"[\W_]", "(?i:k)", "(?=b)", "(?!a)", r"\n", " "]
)  # fmt: skip
patterns = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "*?", "+?", "{0,2}?"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        ),
        inner.map("({})".format),
        inner.map("(?s:{})".format),
    ),
    max_leaves=6,
)
searched = st.lists(
    st.none() | st.text(st.sampled_from("abkKé\u017f\u212a \n_5\x1c-"), max_size=8), min_size=1, max_size=8
)


@settings(max_examples=200)
@given(patterns, searched, st.sampled_from(["", "(?i)", "(?m)", "(?s)", "(?a)"]))
def test_same_as_re(pattern, texts, flags):
    try:
        compile_pattern(flags + pattern)
    except PatternError:
        assume(False)
    assert found(flags + pattern, texts) == expected(flags + pattern, texts)


# A pattern is a character, ("seq", parts), ("or", parts) or ("repeat", least, most, part); most may be None.
Node = Any


def written(node: Node) -> str:
    match node:
        case str():
            return {"*": "[ab]"}.get(node, node)
        case "seq", parts:
            return "".join(map(written, parts))
        case "or", parts:
            return "(?:" + "|".join(map(written, parts)) + ")"
        case _, least, most, part:
            return f"(?:{written(part)}){{{least},{'' if most is None else most}}}"


def characters(node: Node) -> set[str] | None:
    """The characters of a node that `re` makes a class of."""
    match node:
        case str():
            return set({"*": "ab"}.get(node, node))
        case "seq", [part]:
            return characters(part)
        case "or", parts:
            classes = [characters(part) for part in parts]
            return None if None in classes else set().union(*classes)
    return None


class Backtracking:
    """Searches as `re` does, and counts the characters that it looks at."""

    LIMIT = 300_000

    def __init__(self) -> None:
        self.steps = 0

    def search(self, node: Node, text: str) -> int:
        for start in range(len(text) + 1):
            if any(True for _ in self.ends(node, text, start)) or self.steps > self.LIMIT:
                break
        return self.steps

    def ends(self, node: Node, text: str, at: int) -> Iterator[int]:
        self.steps += 1
        if self.steps > self.LIMIT:
            return
        match node:
            case _ if (single := characters(node)) is not None:
                if at < len(text) and text[at] in single:
                    yield at + 1
            case "seq", parts:
                if not parts:
                    yield at
                else:
                    for middle in self.ends(parts[0], text, at):
                        yield from self.ends(("seq", parts[1:]), text, middle)
            case "or", parts:
                for part in parts:
                    yield from self.ends(part, text, at)
            case _, least, most, part:
                if most is None or most > 0:
                    fewer = ("repeat", max(least - 1, 0), most if most is None else most - 1, part)
                    for middle in self.ends(part, text, at):
                        if middle > at:
                            yield from self.ends(fewer, text, middle)
                if least == 0:
                    yield at


nodes = st.recursive(
    st.sampled_from("ab*"),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: ("seq", parts)),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: ("or", parts)),
        st.tuples(st.just("repeat"), st.integers(0, 2), st.sampled_from([None, None, 2, 40]), inner),
    ),
    max_leaves=7,
)


@settings(max_examples=200)
@given(nodes, st.sampled_from(["a", "b", "ab", "aab"]))
@example(("repeat", 1, None, ("repeat", 1, None, "a")), "a")
def test_work_does_not_explode_on_accepted_patterns(node, pump):
    pattern = ("seq", [node, "c"])
    try:
        compile_pattern(written(pattern))
    except PatternError:
        assume(False)
    short = Backtracking().search(pattern, (pump * 20)[:20])
    long = Backtracking().search(pattern, (pump * 40)[:40])
    assert short < Backtracking.LIMIT
    assert long <= 30 * short  # twice the text: a low power, and not the twentieth of two
