"""The page: what is in the file, and what it does in a headless browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from browser import open_browser

import dna
from dna.graph.export import export
from dna.graph.filters import part
from dna.graph.lives import Chronicle, EpochLoss, lives
from dna.graph.page import payload as payload_module
from dna.graph.topology import Topology

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Make = Callable[..., Topology]
HOSTILE = ("</script><script>window.hurt=1</script>", "<img src=x onerror=window.hurt=1>", "'\"><b>", "&lt;", "\u2028]]>", "dog")


class Parts(HTMLParser):
    """Scripts, styles and attributes of a page, as an HTML parser sees them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        {"script": self.scripts, "style": self.styles}.get(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        texts = {"script": self.scripts, "style": self.styles}.get(self._inside)
        if texts:
            texts[-1] += data


class Lived(NamedTuple):
    net: dna.Network
    path: Path


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """A network of three levels with a past of four extinctions, and its page."""
    rng = np.random.default_rng(5)
    net = dna.Network([16, 6, 3], cell="relu", device="cpu", seed=5, input_shape=(4, 4))
    x = rng.random((120, 16)).astype(np.float32)
    rule = dna.Extinction(split=0.2, delete=0.15, every=2, patience=0, min_delta=10.0)
    net.fit(x, x[:, :3].argmax(1), epochs=9, batch_size=30, optimizer=dna.Adam(1e-2), extinction=rule, progress=False)
    assert len(net.fossils) == 4
    return Lived(net, dna.export(net, tmp_path_factory.mktemp("page") / "topology.html"))


def data_of(path: Path) -> dict[str, Any]:
    return dict(json.loads(Parts(path.read_text(encoding="utf-8")).scripts[0]))


def unpacked(packed: dict[str, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["data"]), f"<{packed['type']}")


# the file


def test_the_policy_allows_what_is_in_the_file_and_nothing_else(lived: Lived) -> None:
    parts = Parts(lived.path.read_text(encoding="utf-8"))
    (policy,) = [value for tag, name, value in parts.attributes if tag == "meta" and "default-src" in value and name == "content"]
    rules = {words.split()[0]: words.split()[1:] for words in policy.split(";")}
    assert rules["default-src"] == ["'none'"]
    digests = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in parts.scripts[1:]]
    assert rules["script-src"] == digests
    assert len(rules["style-src"]) == len(parts.styles) == 1
    assert not [(tag, name) for tag, name, _ in parts.attributes if name.startswith("on") or name == "style" or name == "src"]
    assert [value for _, name, value in parts.attributes if name == "href"] == ["data:,"]


def test_the_page_tells_the_lives_that_the_record_holds(lived: Lived) -> None:
    data, past = data_of(lived.path), lives(lived.net.topology(), lived.net.fossils)
    for name in ("id", "source", "target", "parent", "born", "died"):
        assert unpacked(data["cells"][name]).tolist() == getattr(past, name).tolist(), name
    np.testing.assert_array_equal(unpacked(data["cells"]["weight"]), past.weight)
    assert [event["born"] for event in data["events"]] == [event.n_born for event in lived.net.fossils]
    assert [loss[1] for loss in data["losses"]] == lived.net.history.loss
    assert (data["first"], data["last"]) == (0, 4)


def test_of_too_many_cells_the_strongest_are_there_and_it_says_so(
    lived: Lived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload_module, "MOST", 50)
    past = lives(lived.net.topology(), lived.net.fossils)
    data = data_of(dna.export(lived.net, tmp_path / "t.html"))
    best = np.sort(np.argsort(-np.abs(past.weight), kind="stable")[:50])
    assert unpacked(data["cells"]["id"]).tolist() == past.id[best].tolist()
    assert f"Of {len(past)} cells, the dead included, the page holds the 50 strongest." in data["note"]
    rows, weights = unpacked(data["known"]["row"]), unpacked(data["known"]["weight"])
    expected = {int(past.id[r]): float(w) for r, w in zip(past.known.row, past.known.weight, strict=True) if r in best}
    assert {int(past.id[best][r]): float(w) for r, w in zip(rows, weights, strict=True)} == expected


def test_without_a_record_the_page_says_so(make: Make, tmp_path: Path) -> None:
    data = data_of(export(make((3, 2), [(0, 3), (1, 4)]), tmp_path / "t.html"))
    assert "There is no fossil record" in data["note"]


def test_a_part_says_that_it_is_one(lived: Lived, tmp_path: Path) -> None:
    data = data_of(dna.export(lived.net, tmp_path / "t.html", strongest=7))
    assert f"This is a part of the topology: 7 of {len(lived.net)} cells." in data["note"]
    assert unpacked(data["cells"]["died"]).tolist() == [-1] * 7


# in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


class Watched(NamedTuple):
    page: Page
    trouble: list[str]  # whatever was said on the console, thrown, or asked of the network


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[[Path], Watched]]:
    """Open a file in a page of its own; at the end nothing may have been amiss."""
    visits: list[Watched] = []

    def go(path: Path, theme: str = "light") -> Watched:
        page = browser.new_page(viewport={"width": 1200, "height": 800}, color_scheme=theme)
        trouble: list[str] = []
        # What the driver of the software renderer says of its own speed is no trouble of the page's.
        page.on("console", lambda message: "GL Driver Message" in message.text or trouble.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
        page.on("request", lambda request: trouble.append(f"request: {request.url}") if request.url != path.as_uri() else None)
        page.on("dialog", lambda dialog: trouble.append(f"dialog: {dialog.message}"))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]")
        visits.append(Watched(page, trouble))
        return visits[-1]

    yield go
    for watched in visits:
        watched.page.close()
        assert watched.trouble == []


def drawn_cells(page: Page) -> set[int]:
    """Ids of the cells that sigma is told to draw."""
    return set(
        page.evaluate(
            "() => { const { data, scene } = dnaPage;"
            "return Array.from(data.cells.id).filter((_, row) => !scene.look.cells[row].hidden); }"
        )
    )


def picture(page: Page) -> bytes:
    page.wait_for_timeout(150)  # sigma draws in the next frame
    return page.locator("#scene").screenshot()


def alive_at(net: dna.Network, version: int) -> set[int]:
    past = lives(net.topology(), net.fossils)
    return set(past.id[(past.born <= version) & ((past.died > version) | (past.died < 0))].tolist())


def test_it_opens_whole_and_asks_for_nothing(lived: Lived, visit: Callable[..., Watched]) -> None:
    page = visit(lived.path).page
    assert drawn_cells(page) == set(lived.net.cells.id.tolist())
    assert "4" in page.locator("#moment").inner_text()
    assert f"{len(lived.net)} relu cells" in page.locator("#facts").inner_text()
    assert page.locator("#curve polyline").count() == 1


def test_the_slider_replays_births_and_deaths(lived: Lived, visit: Callable[..., Watched]) -> None:
    page = visit(lived.path).page
    pictures = []
    for version in range(5):
        page.locator("#slider").fill(str(version))
        assert drawn_cells(page) == alive_at(lived.net, version)
        assert f"version {version}" in page.locator("#moment").inner_text()
        pictures.append(picture(page))
    assert len(set(pictures)) == 5
    page.get_by_label("births and deaths").check()
    page.locator("#slider").fill("2")
    event = lived.net.fossils[1]
    assert drawn_cells(page) == alive_at(lived.net, 2) | set(event.died.tolist())
    assert picture(page) != pictures[2]


def test_a_click_on_the_curve_goes_to_the_version(lived: Lived, visit: Callable[..., Watched]) -> None:
    page = visit(lived.path).page
    page.locator("#curve .hit").nth(1).click(force=True)
    assert page.locator("#slider").input_value() == "1"


def edge_place(page: Page, cell: int) -> tuple[float, float]:
    """Where on the page the middle of a straight cell is."""
    x, y = page.evaluate(
        """(cell) => { const { data, scene } = dnaPage; const row = data.rowOf.get(cell);
        const ends = [data.cells.source[row], data.cells.target[row]].map((node) =>
            scene.sigma.graphToViewport(scene.graph.getNodeAttributes(String(node))));
        const box = document.getElementById("scene").getBoundingClientRect();
        return [box.x + (ends[0].x + 3 * ends[1].x) / 4, box.y + (ends[0].y + 3 * ends[1].y) / 4]; }""",
        cell,
    )
    return x, y


def test_hovering_tells_and_a_click_follows_the_lineage(lived: Lived, visit: Callable[..., Watched]) -> None:
    page = visit(lived.path).page
    cells = lived.net.cells
    parents = set(cells.parent.tolist())
    cell = next(int(one) for one in cells.id if int(one) in parents and cells.parent[cells.id == one][0] < 0)
    page.locator("#search").fill(f"cell {cell}")
    page.keyboard.press("Enter")  # alone on the stage with its family, so that nothing lies over it
    page.wait_for_timeout(150)
    page.mouse.move(*edge_place(page, cell))
    page.wait_for_selector("#tip:not([hidden])")
    tip = page.locator("#tip").inner_text()
    weight = float(cells.weight[cells.id == cell][0])
    assert re.search(rf"cell\s+{cell}\b", tip)
    shown = re.search(r"weight\s+(\S+)", tip)
    assert shown is not None
    assert float(shown[1].replace("\u2212", "-")) == pytest.approx(weight, rel=1e-3)
    page.locator("#search").fill("")
    page.keyboard.press("Escape")
    assert drawn_cells(page) == set(cells.id.tolist())

    page.evaluate("(cell) => dnaPage.choose({ cell: dnaPage.data.rowOf.get(cell) })", cell)
    page.wait_for_timeout(150)
    page.mouse.click(*edge_place(page, cell))
    family = set(lived.net.fossils.lineage(cell).family.tolist())
    assert page.locator("#details h2").inner_text() in {f"Cell {one}" for one in family}
    assert f"{len(family)} cells of one founder" in page.locator("#details").inner_text()
    assert page.locator("#tree g").count() == len(family)
    assert drawn_cells(page) == family & set(cells.id.tolist())


def test_a_click_on_a_node_shows_its_cells_alone(lived: Lived, visit: Callable[..., Watched]) -> None:
    page = visit(lived.path).page
    x, y = page.evaluate(
        """() => { const { scene } = dnaPage; const at = scene.sigma.graphToViewport(scene.graph.getNodeAttributes("23"));
        const box = document.getElementById("scene").getBoundingClientRect(); return [box.x + at.x, box.y + at.y]; }"""
    )
    page.mouse.click(x, y)
    cells = lived.net.cells
    assert page.locator("#details h2").inner_text() == "node 23"
    assert drawn_cells(page) == set(cells.id[(cells.target == 23) | (cells.source == 23)].tolist())


def test_filters_by_weight_level_and_age(lived: Lived, visit: Callable[..., Watched]) -> None:
    page = visit(lived.path).page
    topology = lived.net.topology()
    cells = topology.cells
    page.get_by_label("into level 1").uncheck()
    assert drawn_cells(page) == set(cells.id[topology.level[cells.target] == 2].tolist())
    page.get_by_label("into level 1").check()
    page.locator("#born-from").fill("3")
    assert drawn_cells(page) == set(cells.id[cells.born >= 3].tolist())
    page.locator("#born-from").fill("0")
    page.locator("#share").fill("50")
    drawn = drawn_cells(page)
    weight = dict(zip(cells.id.tolist(), np.abs(cells.weight).tolist(), strict=True))
    assert 0 < len(drawn) < len(cells)
    assert min(weight[one] for one in drawn) >= max([weight[one] for one in weight.keys() - drawn])


def test_search_by_name_number_and_id(make: Make, tmp_path: Path, visit: Callable[..., Watched]) -> None:
    topology = make((2, 2), [(0, 2), (1, 3)], names=("Cat", "12", "dog", "7"))
    page = visit(export(topology, tmp_path / "t.html")).page
    for text, title in [("cat", "Cat"), ("do", "dog"), ("node 3", "7"), ("cell 4", "Cell 4"), ("7", "7")]:
        page.locator("#search").fill(text)
        page.keyboard.press("Enter")
        assert page.locator("#details h2").inner_text() == title, text
    page.locator("#search").fill("cow")
    page.keyboard.press("Enter")
    assert "Nothing here is called" in page.locator("#found").inner_text()


def test_the_keyboard_reaches_everything(lived: Lived, visit: Callable[..., Watched]) -> None:
    page = visit(lived.path).page
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.press("Escape")
    page.locator("#scene").focus()
    page.keyboard.press(",")
    assert page.locator("#slider").input_value() == "3"
    before = page.evaluate("dnaPage.scene.sigma.getCamera().x")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("dnaPage.scene.sigma.getCamera().x") != before
    theme = page.get_attribute("html", "data-theme")
    page.keyboard.press("t")
    assert page.get_attribute("html", "data-theme") != theme
    page.locator("#slider").focus()
    page.keyboard.press("Home")
    assert drawn_cells(page) == alive_at(lived.net, 0)
    page.locator("#search").focus()
    reached = set()
    for _ in range(24):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("(document.activeElement.id || document.activeElement.name || document.activeElement.tagName)"))
    assert {"mode", "share", "born-from", "born-to", "BUTTON", "play", "slider"} <= reached


def test_light_and_dark_follow_the_system(lived: Lived, visit: Callable[..., Watched]) -> None:
    looks = [visit(lived.path, theme).page for theme in ("light", "dark")]
    papers = [page.evaluate("getComputedStyle(document.body).backgroundColor") for page in looks]
    light, dark = (sum(map(int, re.findall(r"\d+", paper)[:3])) for paper in papers)
    assert light > 700
    assert dark < 100


def test_a_hostile_name_is_a_name(make: Make, tmp_path: Path, visit: Callable[..., Watched]) -> None:
    topology = make((4, 2), [(0, 4), (1, 4), (2, 5), (3, 5)], names=HOSTILE, kind="<b>relu</b>")
    page = visit(export(topology, tmp_path / "t.html")).page
    for node, name in enumerate(HOSTILE):
        page.evaluate("(node) => dnaPage.choose({ node })", node)
        assert page.locator("#details h2").text_content() == name
    assert page.evaluate("window.hurt") is None
    assert page.locator("img, b:not(#moment b)").count() == 0


def test_a_page_without_cells_and_one_of_a_part_open(
    make: Make, lived: Lived, tmp_path: Path, visit: Callable[..., Watched]
) -> None:
    page = visit(export(make((3, 2), []), tmp_path / "none.html")).page
    assert drawn_cells(page) == set()
    assert not page.locator("#replay").is_visible()
    assert "no fossil record" in page.locator("#note").inner_text()
    few = part(lived.net.topology(), {"target": 22})
    page = visit(export(few, tmp_path / "part.html", Chronicle(lived.net.fossils, [EpochLoss(1, 2.0, None)]))).page
    assert drawn_cells(page) == set(few.cells.id.tolist())


def test_ten_thousand_cells_are_all_drawn(make: Make, tmp_path: Path, visit: Callable[..., Watched]) -> None:
    ends = [(a, 784 + b) for a in range(784) for b in range(13)]
    path = export(make((784, 13), ends, input_shape=(28, 28)), tmp_path / "t.html")
    assert len(ends) > 10_000
    assert len(drawn_cells(visit(path).page)) == len(ends)
