"""What a release says of itself is one thing in all places."""

from __future__ import annotations

import re
from pathlib import Path

import dna

ROOT = Path(__file__).resolve().parents[1]


def test_citation_and_changelog_name_the_version() -> None:
    cited = re.findall(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.M)
    logged = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert cited == [dna.__version__]
    assert logged[0] in (dna.__version__, "Unreleased")
