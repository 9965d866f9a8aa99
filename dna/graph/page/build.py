"""The page put together: markup, style, scripts and data in one file, under a policy that lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

from dna.graph.lives import Chronicle
from dna.graph.page.payload import payload
from dna.graph.topology import Topology

SCRIPTS = ("data", "color", "square", "scene", "details", "timeline", "main")
"""Parts of the page's own script, in the order in which they are read."""


def page(topology: Topology, chronicle: Chronicle) -> Iterator[str]:
    """Yield an HTML page that shows a topology, and its past where there is a fossil record.

    It holds all that it needs and asks the network for nothing. Its content security policy allows just the scripts and the style
    that are in it, by their SHA-256. Names of nodes are data on it, and never markup.
    """
    parts = _parts() | {"TITLE": html.escape(_title(topology)), "PAYLOAD": payload(topology, chronicle)}
    for k, piece in enumerate(_template().split("@@")):
        yield parts[piece] if k % 2 else piece


def _title(topology: Topology) -> str:
    sizes = " \u2013 ".join(str(int((topology.level == level).sum())) for level in range(topology.n_levels))
    return f"Topology {sizes}, version {topology.version}"


@cache
def _template() -> str:
    return _read("page.html")


@cache
def _parts() -> dict[str, str]:
    script = "(() => {\n\"use strict\";\n" + "\n".join(_read(f"{name}.js") for name in SCRIPTS) + "})();\n"
    parts = {
        "STYLE": _read("page.css"),
        "GRAPHOLOGY": _without_map(_read("vendor/graphology.umd.min.js")),
        "SIGMA": _without_map(_read("vendor/sigma.min.js")),
        "SCRIPT": script,
    }
    hashes = {name: f"'sha256-{_digest(text)}'" for name, text in parts.items()}
    scripts = " ".join(hashes[name] for name in ("GRAPHOLOGY", "SIGMA", "SCRIPT"))
    allowed = f"script-src {scripts}; style-src {hashes['STYLE']}; img-src data:"
    return parts | {"POLICY": f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"}


def _without_map(script: str) -> str:
    """Return a bundle without the line that sends a debugger to fetch a map of it."""
    return "\n".join(line for line in script.splitlines() if not line.startswith("//# sourceMappingURL"))


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _read(name: str) -> str:
    return (files("dna.graph.page") / name).read_text(encoding="utf-8")
