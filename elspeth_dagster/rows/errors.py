"""What can be wrong with a value, a token's text, a schema block or a cell."""

from elspeth_dagster.errors import ElspethError

SchemaPath = tuple[str | int, ...]


class InvalidValueError(ElspethError):
    """A value that no row can hold, or text that is not JSON as a row can hold it.

    Attributes:
        reason: What is wrong with the value.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CoercionError(ElspethError):
    """A value that the source boundary cannot take for its field.

    Attributes:
        reason: What was expected and what was found.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class InvalidTokenError(ElspethError):
    """Text or bytes that are not the id of a token.

    Attributes:
        text: What was given.
    """

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text!r} is not a token: expected a row index and path elements such as 42 or 42/fork:1"
        )
        self.text = text


class SchemaError(ElspethError):
    """A schema block that is not as the settings format has it.

    Attributes:
        path: Keys and list positions from the block to the culprit; empty for the block itself.
        message: What is wrong there.
    """

    def __init__(self, path: SchemaPath, message: str) -> None:
        place = ".".join(str(element) for element in path)
        super().__init__(f"{place}: {message}" if place else message)
        self.path = path
        self.message = message
