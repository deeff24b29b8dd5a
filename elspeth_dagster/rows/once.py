"""Values that are made when they are first asked for, and kept."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class once(Generic[T]):  # noqa: N801 - used as a decorator, like `property`
    """A value of an object that is made once, of what never changes.

    `functools.cached_property` of Python 3.11 takes a lock, one for all objects: the thread that commits a
    chunk would wait for the one that sweeps the next. Here, when two threads ask at the same time, both make
    it, and one of the equal results is kept.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self._name = make.__name__
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, owner: None, kind: type) -> "once[T]": ...
    @overload
    def __get__(self, owner: object, kind: type) -> T: ...
    def __get__(self, owner: object | None, kind: type) -> "once[T] | T":
        """The value; found in the object's own dictionary from the second time on."""
        if owner is None:
            return self
        made: T = owner.__dict__.setdefault(self._name, self._make(owner))
        return made
