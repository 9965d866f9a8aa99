"""The house: imports run one way, foreign packages have their doors, both backends hold the same phases, files stay short.

A room is a module or a package of `dna`. A room may import from those above it in `ROOMS` and from itself, never from below
and never from a neighbour in the same row. Imports inside functions count, since what they reach is a dependency all the same;
imports for type checkers alone do not.

Two rooms stand lower than one might guess. `network` stands last of the library, as it is the facade: its methods `fit` and
`save` lead to the rooms `training` and `checkpoint`, which know a network only by the attributes that they use. And
`cuda.inspect` with its `cuda.catalogue` is a program in the CUDA room: it compiles the kernels for every loss and optimizer
there is, so it stands below them.
"""

from __future__ import annotations

import ast
import graphlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "dna"

ROOMS = (
    ("errors", "version"),
    ("types", "registry", "check", "files", "interrupt", "collector", "turn"),
    ("cells",),
    ("rules",),
    ("allocation", "backend"),
    ("cpu", "cuda"),
    ("devices", "nodes"),
    ("pool", "fossils"),
    ("graph",),
    ("statistics", "plans"),
    ("scores",),
    ("selection", "pool_log"),
    ("runner",),
    ("engine",),
    ("signals",),
    ("training",),
    ("checkpoint", "data", "cuda.catalogue"),
    ("assembly", "saved", "cuda.inspect"),
    ("past",),
    ("model",),
    ("building",),
    ("network",),
    ("run",),
    ("__init__",),
    ("cli",),
    ("__main__",),
)
ROW = {room: row for row, rooms in enumerate(ROOMS) for room in rooms}

DOORS = {"numba": {"cpu", "cuda", "cuda.catalogue", "cuda.inspect"}, "numba.cuda": {"cuda.device"}, "networkx": {"graph"}}
"""Foreign packages, and the only rooms or modules that may import them."""

OWN_FILES = {
    "cpu": {
        "__init__", "compiler", "machine_code", "atomics", "bits", "lanes", "prefetch", "rank", "threads", "matrix", "dense",
        "rows", "outer", "transpose", "few", "short", "packed", "merge", "levels", "laid", "tilewise", "visit", "products",
        "step", "finish", "room", "choice", "turns",
    },
    "cuda": {
        "__init__", "device", "wide", "warp", "grid", "scan", "radix", "sort", "histogram", "stages", "staging", "compact",
        "exemption", "inspect", "occupancy", "offline", "catalogue", "graph",
    },
}
"""What a backend needs for itself: its compiler, and building blocks of phases. All other files are phases, and on both sides."""

HEAVY = ("numba", "numba.cuda", "numba_cuda", "networkx", "matplotlib", "scipy", "safetensors", "sklearn", "torch")
MOST_LINES = 300


class Import(NamedTuple):
    line: int
    names: tuple[str, ...]  # what it may mean, the longest first: `from a import b` is the module `a.b` or the name `b` of `a`


def read_imports(source: str, package: str) -> list[Import]:
    """Return the imports of a module that lies in `package`, those inside functions included, those for type checkers not."""
    return list(_walk(ast.parse(source), package))


def _walk(node: ast.AST, package: str) -> Iterator[Import]:
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING", "_TYPE_CHECKING"):
        for child in node.orelse:
            yield from _walk(child, package)
        return
    if isinstance(node, ast.Import):
        yield from (Import(node.lineno, (alias.name,)) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = importlib.util.resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module
        yield from (Import(node.lineno, (f"{base}.{alias.name}", str(base))) for alias in node.names)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("import_module", "__import__"):
        named = node.args[0] if node.args else None
        if isinstance(named, ast.Constant) and isinstance(named.value, str):
            yield Import(node.lineno, (importlib.util.resolve_name(named.value, package),))
    elif isinstance(node, ast.Attribute) and ast.unparse(node) == "numba.cuda":
        yield Import(node.lineno, ("numba.cuda",))
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, package)


@cache
def modules() -> dict[str, list[Import]]:
    """Return every module of the package, named without `dna.`, with its imports."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        package = ".".join(("dna", *parts[:-1]))
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        found[name] = read_imports(path.read_text(encoding="utf-8"), package)
    return found


def own_target(found: Import) -> str | None:
    """Return the module of the package that an import reaches, or None for a foreign one."""
    for name in found.names:
        if name == "dna":
            return "__init__"
        if name.startswith("dna.") and name.removeprefix("dna.") in modules():
            return name.removeprefix("dna.")
    return None


def room_of(module: str) -> str:
    return module if module in ROW else module.partition(".")[0]


def own_imports() -> Iterator[tuple[str, int, str]]:
    for module, imports in modules().items():
        for found in imports:
            target = own_target(found)
            if target is not None:
                yield module, found.line, target


def test_the_reader_of_imports_sees_all_forms() -> None:
    source = """
import numpy as np
from typing import TYPE_CHECKING
from . import forward
from ..types import Cells
if TYPE_CHECKING:
    import networkx
else:
    import json
def late():
    from dna.pool import Pool
    importlib.import_module("dna.graph")
    return numba.cuda.grid(1)
"""
    assert [found.names for found in read_imports(source, "dna.cpu")] == [
        ("numpy",),
        ("typing.TYPE_CHECKING", "typing"),
        ("dna.cpu.forward", "dna.cpu"),
        ("dna.types.Cells", "dna.types"),
        ("json",),
        ("dna.pool.Pool", "dna.pool"),
        ("dna.graph",),
        ("numba.cuda",),
    ]


def test_every_module_has_a_room() -> None:
    homeless = sorted(module for module in modules() if room_of(module) not in ROW)
    assert not homeless, f"declare the place of {homeless} in ROOMS"


def test_imports_run_one_way() -> None:
    assert len(list(own_imports())) > 50, "the reader has gone blind"
    wrong = [
        f"dna/{module.replace('.', '/')}, line {line}: {here} imports {there}"
        for module, line, target in own_imports()
        if (here := room_of(module)) != (there := room_of(target)) and ROW[there] >= ROW[here]
    ]
    assert not wrong, "\n".join(wrong)


def test_modules_form_no_cycle() -> None:
    order = graphlib.TopologicalSorter[str]()
    for module, _, target in own_imports():
        order.add(module, target)
    order.prepare()  # raises CycleError, which names the modules


@pytest.mark.parametrize("foreign", DOORS)
def test_foreign_packages_enter_by_their_own_doors(foreign: str) -> None:
    entered = {
        (module, found.line)
        for module, imports in modules().items()
        for found in imports
        if any(name == foreign or name.startswith(f"{foreign}.") for name in found.names)
    }
    assert entered, f"nothing imports {foreign}; its door can go"
    wrong = [
        f"dna/{module.replace('.', '/')}, line {line}"
        for module, line in sorted(entered)
        if not {module, room_of(module)} & DOORS[foreign]
    ]
    assert not wrong, f"{foreign} is imported outside of {sorted(DOORS[foreign])}:\n" + "\n".join(wrong)


def test_both_backends_hold_the_same_phases() -> None:
    files = {side: {path.stem for path in (PACKAGE / side).glob("*.py")} for side in OWN_FILES}
    phases = {side: files[side] - OWN_FILES[side] for side in OWN_FILES}
    assert {"forward", "backward", "apply", "loss", "plan", "pool"} <= phases["cpu"]
    assert phases["cpu"] == phases["cuda"], f"on one side only: {sorted(phases['cpu'] ^ phases['cuda'])}"


def test_files_are_short() -> None:
    long = {str(path.relative_to(PACKAGE.parent)): n for path in PACKAGE.rglob("*.py") if (n := count_lines(path)) > MOST_LINES}
    assert not long, f"above {MOST_LINES} lines: {long}"


def count_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_import_is_light() -> None:
    probe = f"import json, sys, dna; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    ran = subprocess.run([sys.executable, "-c", probe], cwd=PACKAGE.parent, capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == [], "`import dna` loads what takes long to load"
