"""The collector of cycles: out of the way while a kernel is compiled, and then as it was."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dna.collector import without_collector
from dna.cpu import compiler, machine_code


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    yield
    gc.enable()


@pytest.mark.parametrize("collects", [True, False])
def test_it_is_held_back_and_is_then_as_it_was(collects: bool) -> None:
    if not collects:
        gc.disable()
    with without_collector():
        with without_collector():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled() is collects
    with pytest.raises(ValueError, match="within"), without_collector():
        raise ValueError("within")
    assert gc.isenabled() is collects


def test_it_is_held_back_while_a_kernel_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish, seen = machine_code.Whole._finalize_final_module, []

    def note(self: Any) -> None:
        seen.append(gc.isenabled())
        finish(self)

    monkeypatch.setattr(machine_code.Whole, "_finalize_final_module", note)

    @compiler.kernel(str(tmp_path))  # which no cache holds
    def double(values: Any) -> None:
        for i in range(len(values)):
            values[i] *= 2

    values = np.ones(3)
    double(values)
    assert values.tolist() == [2, 2, 2] and seen and not any(seen) and gc.isenabled()
