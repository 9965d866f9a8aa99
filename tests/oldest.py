"""Print the oldest version of each package that pyproject.toml allows, as pins for pip: `make oldest` installs them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

NAME, LEAST = r"[A-Za-z0-9_-]+", r">=\s*([0-9.]+)"
PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def pins(project: dict[str, object]) -> list[str]:
    """Return a line `name==version` for each requirement that names a least version, extras of this package left out."""
    extras: dict[str, list[str]] = project["optional-dependencies"]  # type: ignore[assignment]
    wanted: list[str] = [*project["dependencies"], *(each for extra in extras.values() for each in extra)]  # type: ignore[misc]
    found = (re.match(rf"({NAME})(?:\[.*?\])?{LEAST}", each) for each in wanted)
    return sorted({f"{match[1]}=={match[2]}" for match in found if match})


if __name__ == "__main__":
    print("\n".join(pins(tomllib.loads(PROJECT.read_text())["project"])))
