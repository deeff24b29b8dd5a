"""Rows for sinks to write, and writing them in memory the way the engine does."""

import io
from base64 import b64encode
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise

import pyarrow as pa
from hypothesis import strategies as st

from elspeth_dagster.plugins.sinks.facts import keep_mask, without
from elspeth_dagster.plugins.sinks.file import FoldRequest
from elspeth_dagster.rows.fields import parse_schema
from elspeth_dagster.rows.rows import Rows
from elspeth_dagster.rows.tokens import root_tokens

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["", '"', ",", "\r", "\n", "\r\n", "a,b", 'say "x"', " ", "\0", "é", "日本", "😀", ";", "\ufeff", "'"]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
EXTENSIONS = (
    st.decimals(allow_nan=False, allow_infinity=False)
    | st.dates()
    | st.datetimes(timezones=st.just(UTC))
    | st.binary(max_size=6)
)
CONTAINERS = st.recursive(
    SCALARS | EXTENSIONS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
CELLS = CONTAINERS
KEYS = st.sampled_from(["a", "b", "c d", "é", "", 'q"', "x,y"])
RAGGED = st.lists(st.dictionaries(KEYS, CELLS, max_size=5), max_size=12)


def extension_text(value: object) -> str:
    """How a value that JSON has no form for is written."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    assert isinstance(value, bytes)
    return b64encode(value).decode()


def rows_of(dicts: Sequence[dict], *, first: int = 0, originals: dict[str, str] | None = None) -> Rows:
    return Rows.from_dicts(root_tokens(first, len(dicts)), dicts, originals or {})


def schema(mode: str, *fields: str, required: Iterable[str] = ()):
    block = {"mode": mode, "fields": list(fields)} if fields else {"mode": mode}
    return parse_schema(block | {"required_fields": list(required)})


class Written:
    """What a sink made of some rows."""

    def __init__(self, data: bytes, refused: dict[int, dict], layout) -> None:
        self.data = data
        self.refused = refused
        self.layout = layout


def write(sink, *pieces: Sequence[dict], diverted: Iterable[int] = (), request=None, rendered: bool = False):
    """Writes pieces of a sink's output; `diverted` and the refused ones are numbered over all pieces.

    With `rendered`, the pieces that the sink renders alike before it knows the rest are copied.
    """
    request = request or FoldRequest({})
    diverted, first, prepared = set(diverted), 0, []
    for dicts in pieces:
        rows = rows_of(dicts, first=first)
        marks = pa.array([first + i in diverted for i in range(len(dicts))], pa.bool_())
        prepared.append((first, rows, marks if any(marks.to_pylist()) else None))
        first += len(dicts)
    survey, refused = sink.fold(request), {}
    for start, rows, marks in prepared:
        refused |= {start + place: reason for place, reason in _judge(sink, survey, rows, marks).items()}
    layout, output = survey.layout(), io.BytesIO()
    writer = sink.writer(output, layout)
    for start, rows, _ in prepared:
        gone = {place - start: 0 for place in refused if start <= place < start + rows.num_rows}
        fitting = rows.filter(keep_mask(rows.num_rows, gone)) if gone else rows
        if not fitting.num_rows:
            continue
        ahead = _rendered_ahead(sink, fitting, layout, request) if rendered else None
        if ahead is None:
            writer.write(fitting)
        else:
            writer.copy(ahead)
    writer.close()
    return Written(output.getvalue(), refused, layout)


def _judge(sink, fold, rows, marks):
    reasons = sink.misfits(rows, marks)
    fitting, fitting_marks = without(rows, marks, reasons)
    if not fitting.num_rows or fold.take(sink.facts(fitting, fitting_marks)):
        return reasons
    places = [place for place in range(rows.num_rows) if place not in reasons]
    return reasons | {places[i]: why for i, why in fold.take_rows(fitting, fitting_marks).items()}


def _rendered_ahead(sink, rows, layout, request):
    fold, facts = sink.fold(request), sink.facts(rows, None)
    if not fold.take(facts):
        return None
    own = fold.layout()
    if sink.rendering(facts.columns, own) != sink.rendering(facts.columns, layout):
        return None
    return [bytes(piece) for piece in sink.render(rows, own)]


@st.composite
def cut(draw, lists=RAGGED):
    """Rows, and the same rows cut into pieces."""
    dicts = draw(lists)
    places = sorted(draw(st.sets(st.integers(0, len(dicts)), max_size=4)))
    edges = [0, *places, len(dicts)]
    return dicts, [dicts[a:b] for a, b in pairwise(edges)]
