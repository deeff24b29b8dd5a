"""A JSON document as the elements of one array: the document itself, or the value of one of its keys."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from elspeth_dagster.plugins.sources.json_text import JsonText, JsonTextError, ValueTooLargeError

_BOM = "\ufeff"
_KINDS = {"{": "an object", "[": "an array", '"': "text", "t": "true", "f": "false", "n": "null"}


class StructureError(JsonTextError):
    """The text is JSON, but the array is not where it should be."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element of the array.

    Attributes:
        raw: Its text as received.
        end: Stream offset behind it.
        line: Line ends before its end.
        column: Characters before its end in its last line.
    """

    raw: bytes
    end: int
    line: int
    column: int


@dataclass
class ArrayReader:
    """Finds the array and walks through it.

    Attributes:
        text: The document.
        data_key: The key whose value is the array; `None` when the document is the array.
    """

    text: JsonText
    data_key: str | None

    def elements(self, *, inside: bool) -> Iterator[Element]:
        """The elements; `inside` when the cursor stands behind one of them.

        Raises:
            JsonTextError: The text is not JSON from there on; the elements before it have been given.
            StructureError: The array is missing.
        """
        if inside:
            yield from self._rest_of_array()
            if self.data_key is not None and self._another("}"):
                yield from self._members(found=True)
        elif self.text.peek() == _BOM:
            raise self.text.error("Unexpected byte order mark (with encoding utf-8-sig it would be skipped)")
        elif self.data_key is None:
            if self.text.peek() != "[":
                raise self._misplaced("expected an array at the root")
            yield from self._array()
        else:
            yield from self._object()
        self._end()

    def _object(self) -> Iterator[Element]:
        if self.text.peek() != "{":
            raise self._misplaced(f"expected an object with the key {self.data_key!r} at the root")
        self.text.take("{")
        if self.text.peek() != "}":
            yield from self._members(found=False)
            return
        self.text.take("}")
        self._end()
        raise self._missing()

    def _members(self, *, found: bool) -> Iterator[Element]:
        """From a key to the end of the object."""
        wrong = None if found else self._missing()
        while True:
            key = self._key()
            if key != self.data_key:
                self.text.value()
            elif found:
                raise StructureError(str(self.text.error(f"the key {key!r} occurs again")))
            elif self.text.peek() == "[":
                yield from self._array()
                found, wrong = True, None
            else:
                kind = _kind(self.text.peek())
                self.text.value()
                wrong = StructureError(f"expected an array under the key {key!r}, found {kind}")
            if not self._another("}"):
                break
        if wrong is not None:
            self._end()
            raise wrong

    def _key(self) -> str:
        if self.text.peek() != '"':
            raise self.text.error("Expecting property name enclosed in double quotes")
        key, _ = self.text.value()
        self.text.take(":")
        return str(key)

    def _array(self) -> Iterator[Element]:
        self.text.take("[")
        if self.text.peek() == "]":
            self.text.take("]")
            return
        yield self._element()
        yield from self._rest_of_array()

    def _rest_of_array(self) -> Iterator[Element]:
        while self._another("]"):
            yield self._element()

    def _element(self) -> Element:
        _, raw = self.text.value()
        return Element(raw, self.text.offset, self.text.line, self.text.column)

    def _another(self, closing: str) -> bool:
        """Moves over a comma, or over the bracket that ends an array or object."""
        mark = self.text.peek()
        if mark not in {",", closing}:
            raise self.text.error("Expecting ',' delimiter")
        self.text.take(mark)
        return mark == ","

    def _end(self) -> None:
        if self.text.peek():
            raise self.text.error("Extra data")

    def _missing(self) -> StructureError:
        return StructureError(f"the root has no key {self.data_key!r}")

    def _misplaced(self, what: str) -> StructureError:
        """What is there instead; a text that is no JSON at all is an error of its own."""
        kind = _kind(self.text.peek())
        with suppress(ValueTooLargeError):
            self.text.value()
            self._end()
        return StructureError(f"{what}, found {kind}")


def _kind(first: str) -> str:
    return _KINDS.get(first, "a number")
