"""Damage to bytes and to JSON values, drawn by a seeded generator, so that each input can be made again by its number."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

NUMBERS = (
    0, 1, -1, 2, 127, 128, 255, 256, 2**15, 2**16, 2**31 - 1, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64, 2**128, 10**400
)  # fmt: skip
"""Where integers of some width end, and one that no float holds."""

TOKENS = (
    b"NaN", b"Infinity", b"-1", b"1e999", b"1e-999", b"9" * 40, b"9" * 5000, b"null", b"true", b"[]", b"{}", b'""', b"[" * 200,
    b"\xff\xfe", b"\0", b"\xed\xa0\x80", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;", b"<![CDATA[", b"]]>", b"<a>", b"/>",
    b"\\ud800",    b"source", b"target", b"weight", b'"', b"'", b",", b":", b"0x10", b"1_000", b"\xef\xbb\xbf",
)  # fmt: skip


def damage(content: bytes, draw: Random) -> bytes:
    """Return bytes that were damaged in one to three ways."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        content = draw.choice(DAMAGES)(content, draw)
    return content


def _flip(content: bytes, draw: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 8, 64))):
        if changed:
            place = _place(changed, draw)
            changed[place] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _truncate(content: bytes, draw: Random) -> bytes:
    return content[: draw.randrange(len(content) + 1)]


def _extend(content: bytes, draw: Random) -> bytes:
    return content + draw.randbytes(draw.choice((1, 8, 100)))


def _cut(content: bytes, draw: Random) -> bytes:
    start, end = _slice(content, draw)
    return content[:start] + content[end:]


def _repeat(content: bytes, draw: Random) -> bytes:
    start, end = _slice(content, draw)
    return content[:end] + content[start:end] * draw.choice((1, 2, 30)) + content[end:]


def _swap(content: bytes, draw: Random) -> bytes:
    (a, b), (c, d) = sorted((_slice(content, draw), _slice(content, draw)))
    return content if b > c else content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def _blank(content: bytes, draw: Random) -> bytes:
    start, end = _slice(content, draw)
    return content[:start] + draw.choice((b"\0", b"\xff", b" ", b"9")) * (end - start) + content[end:]


def _integer(content: bytes, draw: Random) -> bytes:
    width = draw.choice((1, 2, 4, 8))
    value = (draw.choice(NUMBERS) & (1 << 8 * width) - 1).to_bytes(width, draw.choice(("little", "big")))
    place = _place(content, draw)
    return content[:place] + value + content[place + width :]


def _token(content: bytes, draw: Random) -> bytes:
    place = _place(content, draw)
    return content[:place] + draw.choice(TOKENS) + content[place + draw.choice((0, 0, 1, 4)) :]


def _digits(content: bytes, draw: Random) -> bytes:
    """Replace a number that is written in digits."""
    places = [i for i, byte in enumerate(content) if 48 <= byte <= 57]
    if not places:
        return content
    start = end = draw.choice(places)
    while end < len(content) and 48 <= content[end] <= 57:
        end += 1
    return content[:start] + str(draw.choice(NUMBERS)).encode() + content[end:]


DAMAGES: tuple[Callable[[bytes, Random], bytes], ...] = (
    _flip, _flip, _truncate, _extend, _cut, _repeat, _swap, _blank, _integer, _token, _token, _digits,
)  # fmt: skip


def _place(content: bytes | bytearray, draw: Random) -> int:
    """Draw a place, half the time among the first bytes, where formats keep their counts."""
    if not content:
        return 0
    return draw.randrange(min(len(content), 16) if draw.random() < 0.2 else len(content))


def _slice(content: bytes, draw: Random) -> tuple[int, int]:
    start = _place(content, draw)
    return start, min(len(content), start + draw.choice((1, 2, 4, 8, 50, 500)))


def spoil(value: Any, draw: Random) -> Any:
    """Return a JSON value with one of its parts, at any depth, replaced, removed or doubled."""
    if isinstance(value, dict) and value and draw.random() < 0.9:
        key = draw.choice(list(value))
        changed = dict(value)
        action = draw.random()
        if action < 0.08:
            del changed[key]
        elif action < 0.12:
            changed[draw.choice(("", "x", key + " "))] = changed[key]
        else:
            changed[key] = spoil(changed[key], draw)
        return changed
    if isinstance(value, list) and value and draw.random() < 0.8:
        place = draw.randrange(len(value))
        middle = draw.choice(([], [value[place]] * 2, [spoil(value[place], draw)], [spoil(value[place], draw)]))
        return value[:place] + middle + value[place + 1 :]
    if type(value) is int and draw.random() < 0.5:
        return value + draw.choice((-1, 1, 2, -value, 1000, 2**31, 2**63))
    return draw.choice(
        (None, True, False, "", "x", "relu", "\ud800", [], {}, [[]], 0.5, -0.0, 1e308, *NUMBERS, *(-n for n in NUMBERS[:12]))
    )
