"""The `passthrough` transform (settings reference, 4.2)."""

from typing import ClassVar

from elspeth_dagster.plugins.base import Transform, Transformed
from elspeth_dagster.plugins.transforms.common import ValidatedOptions, kept, misfits
from elspeth_dagster.rows.rows import Rows


class Passthrough(Transform):
    """Hands rows on as they are; with `validate_input`, only those that fit its schema."""

    Options = ValidatedOptions
    changes_rows: ClassVar[bool] = False
    keeps_fields: ClassVar[bool] = True

    def apply(self, rows: Rows) -> Transformed:
        """Takes out the rows that do not fit."""
        errors = misfits(rows, self.schema) if self.options.validate_input else {}
        return Transformed(kept(rows, errors), errors)
