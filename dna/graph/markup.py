"""What the XML formats share: columns of typed text, escaped so that every XML parser takes them."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from dna.graph.attributes import Columns

# XML 1.0 holds no other characters, not even escaped. A carriage return it does hold, but parsers may turn it into a line feed.
_ILLEGAL = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ENTITIES = {'"': "&quot;", "\t": "&#9;", "\n": "&#10;"}


class TextColumn(NamedTuple):
    """An attribute as XML writes it."""

    name: str
    type: str  # long, double, boolean or string: words that GEXF and GraphML have in common
    values: list[str | None]  # escaped text, fit for elements and quoted attributes; None where a node lacks it


def text_columns(columns: Columns) -> list[TextColumn]:
    """Return columns as text. Numbers keep every digit; a column of numbers and words is one of words."""
    return [_text_column(name, values) for name, values in columns.items()]


def text(value: object) -> str:
    r"""Return a value as escaped text.

    A character that XML cannot hold (a control character, half a surrogate pair) is written as Python would, `\x07`.
    """
    return escape(legal(str(value)), _ENTITIES)


def legal(value: str) -> str:
    """Return a text with such characters written as Python would."""
    return _ILLEGAL.sub(lambda match: ascii(match.group())[1:-1], value)


def _text_column(name: str, values: list[Any]) -> TextColumn:
    types = {type(value) for value in values if value is not None}
    if types <= {int}:
        return TextColumn(name, "long", [None if value is None else str(value) for value in values])
    if types == {bool}:
        return TextColumn(name, "boolean", [None if value is None else str(value).lower() for value in values])
    if types <= {float}:
        return TextColumn(name, "double", [None if value is None else _double(value) for value in values])
    return TextColumn(name, "string", [None if value is None else text(value) for value in values])


def _double(value: float) -> str:
    """Return the shortest text that reads back as the same float64, in the spelling of XML Schema."""
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "INF" if value > 0 else "-INF"
