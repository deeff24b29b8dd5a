"""What can be wrong with a sink's settings and with the file that it is to write."""

from elspeth_dagster.errors import ElspethError


class SinkSettingsError(ElspethError):
    """A sink whose options do not fit each other or its schema; found when the settings are loaded.

    Attributes:
        key: The option that is wrong.
    """

    def __init__(self, key: str, why: str) -> None:
        self.key = key
        super().__init__(f"{key}: {why}")


class ExistingFileError(ElspethError):
    """A file that rows cannot be appended to as it stands. It was not touched."""

    def __init__(self, path: str, why: str) -> None:
        self.path = path
        super().__init__(f"{path} cannot be appended to: {why}. The file was not touched.")
