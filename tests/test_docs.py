"""The documentation tells the truth: its Python runs, its links lead somewhere, its numbers are those that were measured.

A fenced block that opens with `python` is run, and all blocks of one document share a namespace, as they do for a reader who
types them in. `python gpu` marks a block that needs a GPU: such blocks run on a GPU where there is one and in the simulator, in a
namespace of their own. `python no-run` marks what is only to be read.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from test_architecture import ROOMS

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python ?(?P<mark>[a-z-]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#)(?P<path>[^)#\s]+)")


def blocks(document: Path, mark: str) -> str:
    """Return the code of all blocks with this mark, each on the lines that it has in the document."""
    text = document.read_text(encoding="utf-8")
    lines = [""] * (text.count("\n") + 1)
    for block in BLOCK.finditer(text):
        if block["mark"] == mark:
            first = text.count("\n", 0, block.start("code"))
            code = block["code"].splitlines()
            lines[first : first + len(code)] = code
    return "\n".join(lines)


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


def having(mark: str) -> list[Path]:
    return [document for document in DOCUMENTS if blocks(document, mark).strip()]


def run(code: str, document: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run code in a module of its own, in a folder of its own."""
    module = ModuleType("documentation_of_" + document.stem)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(folder)
    exec(compile(code, str(document), "exec"), vars(module))


@pytest.mark.parametrize("document", having(""), ids=name_of)
def test_python_blocks_run(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(blocks(document, ""), document, tmp_path, monkeypatch)


@pytest.mark.filterwarnings("ignore:Grid size")  # Numba's hint that an example is small
@pytest.mark.parametrize(
    "device", [pytest.param("cuda", marks=pytest.mark.gpu), pytest.param("cudasim", marks=pytest.mark.cudasim)]
)
@pytest.mark.parametrize("document", having("gpu"), ids=name_of)
def test_blocks_for_a_gpu_run(document: Path, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = blocks(document, "gpu")
    assert 'device="cuda"' in code
    run(code.replace('device="cuda"', f"device={device!r}"), document, tmp_path, monkeypatch)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_marks_are_known_and_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert {block["mark"] for block in BLOCK.finditer(text)} <= {"", "gpu", "no-run"}
    links = LINK.finditer(FENCED.sub("", text))
    broken = [link["path"] for link in links if not (document.parent / link["path"]).exists()]
    assert not broken


def test_the_map_of_the_house_is_that_of_the_architecture() -> None:
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in design.splitlines() if re.match(r"\| `\w+(\.py|/)`", line)]
    drawn = [tuple(re.findall(r"`(\w+)(?:\.py|/)`", row)) for row in rows]
    held = [tuple(room for room in row if "." not in room) for row in ROOMS]
    assert drawn == held


def test_the_speed_that_is_told_is_the_speed_that_was_measured() -> None:
    told = re.search(r"([\d,.]+) ms.{0,80}?([\d,.]+) ms.{0,80}?([\d,]+) times", (ROOT / "README.md").read_text(), re.DOTALL)
    assert told is not None
    author, ours, ratio = (float(number.replace(",", "")) for number in told.groups())
    measured = json.loads((ROOT / "benchmarks" / "results" / "against_author.json").read_text())
    assert author == round(measured["author_ms"])
    assert ours == round(measured["dna_ms"], 2)
    assert ratio == round(measured["ratio"])


def test_the_tables_of_results_are_those_of_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from study.report import TABLE, filled

    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert len(TABLE.findall(page)) == 10
    assert filled(page) == page, "python benchmarks/study_extinction.py report"


def test_the_tests_that_hold_promises_exist() -> None:
    text = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(tests/[\w/.]*)`", text))
    assert len(named) > 20
    assert not [name for name in named if not (ROOT / name).exists()]
