"""Types of the values in a settings file."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from elspeth_dagster.settings import names

STRICT = ConfigDict(extra="forbid", hide_input_in_errors=True)


def _no_boolean_for_int(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "expected a whole number")
    return value


def _no_boolean_for_float(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("float_type", "expected a number")
    return value


def _not_blank(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "a text that is not blank is needed")
    return text


WholeNumber = Annotated[int, BeforeValidator(_no_boolean_for_int)]
PositiveNumber = Annotated[WholeNumber, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(_no_boolean_for_float)]
Number = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_no_boolean_for_float)]

Text = Annotated[str, AfterValidator(_not_blank)]
TrimmedText = Annotated[str, AfterValidator(_not_blank), AfterValidator(str.strip)]
NodeName = Annotated[str, AfterValidator(names.node_name)]
Connection = Annotated[str, AfterValidator(names.connection_name)]
RouteDestination = Annotated[str, AfterValidator(names.route_destination)]
