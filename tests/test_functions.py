"""The functions that losses and activations call: as accurate as they say, where they say, interpreted and compiled."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from dna.cells.functions import decay, log1p, tanh
from dna.cpu.compiler import jit

CASES = {
    "decay": (decay, lambda q: math.exp(-q), np.concatenate([np.linspace(0, 87, 700), 2.0 ** np.arange(-30, 6)])),
    "log1p": (log1p, math.log1p, np.concatenate([np.linspace(0, 9, 700), 2.0 ** np.arange(-30, 32)])),
    "tanh": (tanh, math.tanh, np.concatenate([np.linspace(-11, 11, 700), 2.0 ** np.arange(-30, 6)])),
}
ALLOWED = {"decay": lambda x: (1 + x) * 1.2e-7, "log1p": lambda x: 3e-7, "tanh": lambda x: 4e-7}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_they_are_as_accurate_as_they_say(name: str, compiled: bool) -> None:
    build, exact, at = CASES[name]
    function: Callable[[Any], Any] = build(np.float32)
    function = jit(function, alone=True) if compiled else function
    for x in at.astype(np.float32):
        found, wanted = function(x), exact(float(x))
        assert abs(float(found) - wanted) <= ALLOWED[name](float(x)) * abs(wanted), x


@pytest.mark.parametrize("name", CASES)
def test_float64_is_the_librarys(name: str) -> None:
    build, exact, at = CASES[name]
    function = build(np.float64)
    assert all(function(x) == exact(x) for x in at)


def test_the_ends_of_their_ranges() -> None:
    for compiled in (lambda function: function, partial(jit, alone=True)):
        e, lg, th = (compiled(build(np.float32)) for build in (decay, log1p, tanh))
        assert e(np.float32(0)) == 1 and e(np.float32(90)) == 0 and e(np.float32(np.inf)) == 0
        assert lg(np.float32(0)) == 0 and th(np.float32(0)) == 0
        assert th(np.float32(50)) == pytest.approx(1, abs=4e-7) and th(np.float32(-np.inf)) == -th(np.float32(50))
        assert all(np.isnan(function(np.float32(np.nan))) for function in (e, lg, th))
