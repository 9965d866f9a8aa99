"""A table of named things that users can add to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from dna.errors import OptionError, UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """Things of one sort by name; an unknown name is answered with the nearest known one."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T, *, replace: bool = False) -> T:
        if not isinstance(name, str) or not name.isidentifier():
            raise OptionError(f"a {self.what} needs a name that is an identifier, got {name!r}")
        if name in self._entries and not replace:
            raise OptionError(f"a {self.what} named {name!r} is registered already; pass replace=True to replace it")
        self._entries[name] = entry
        return entry

    def __getitem__(self, name: str) -> T:
        if not isinstance(name, str) or name not in self._entries:
            raise UnknownNameError(self.what, name, self._entries)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)
