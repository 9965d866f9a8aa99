"""The command line: `dna train`, `dna info`, `dna bench`, and what they say when something is wrong."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dna
from dna.cli import build_parser, main, train

ROOT = Path(__file__).resolve().parents[1]
SHORT = ["--epochs", "6", "--batch-size", "20", "--device", "cpu", "--every", "1", "--patience", "0", "--min-delta", "9"]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with 80 images of 4 x 4 pixels whose brightest column is their class, 20 of them held out."""
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 4
    pixels = rng.integers(0, 60, (80, 4, 4))
    pixels[np.arange(80), :, labels] += 190
    folder = tmp_path / "images"
    folder.mkdir()
    for part, own in (("train", slice(60)), ("t10k", slice(60, 80))):
        n = len(labels[own])
        shape, content = struct.pack(">4B3I", 0, 0, 8, 3, n, 4, 4), pixels[own].astype("u1").tobytes()
        (folder / f"{part}-images-idx3-ubyte").write_bytes(shape + content)
        shape, content = struct.pack(">4BI", 0, 0, 8, 1, n), labels[own].astype("u1").tobytes()
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(shape + content)
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_train_leaves_a_folder_with_all_that_came_of_it(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(["train", "--data", str(images), "--out", str(out), "--lr", "0.02", *SHORT]) == 0
    assert names(out) == {"model.dna", "topology.html", "topology.gexf", "topology.graphml", "loss.png", "classes.png"}
    net = dna.load(out / "model.dna", device="cpu")
    assert (net.n_in, net.n_out, net.epoch) == (16, 4, 6) and len(net.fossils) > 0
    told = capsys.readouterr().out
    data = dna.data.load_idx_folder(images)
    judged = net.evaluate(data.x_test, data.y_test)
    assert f"held-out accuracy {judged['accuracy']:.4f}, loss {judged['loss']:.4f}, {len(net)} cells" in told
    assert f"wrote {out / 'model.dna'}" in told and "(60 to train on)" in told
    assert all(str(event) in told for event in net.fossils)


def test_train_takes_levels_and_an_optimizer_and_leaves_pictures_out(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    chosen = ["--hidden", "5", "--cell", "tanh", "--optimizer", "sgd", "--momentum", "0.9", "--no-extinction", "--no-pictures"]
    assert main(["train", "--data", str(images), "--out", str(out), *chosen, *SHORT]) == 0
    assert names(out) == {"model.dna", "topology.html", "topology.gexf", "topology.graphml"}
    net = dna.load(out / "model.dna", device="cpu")
    assert net.topology().n_levels == 3 and net.optimizer == dna.SGD(1e-3, momentum=0.9) and len(net.fossils) == 0


def test_a_level_more_has_no_pictures_of_classes(images: Path, tmp_path: Path) -> None:
    assert main(["train", "--data", str(images), "--out", str(tmp_path / "run"), "--hidden", "5", *SHORT]) == 0
    assert "loss.png" in names(tmp_path / "run") and "classes.png" not in names(tmp_path / "run")


def test_momentum_is_of_sgd_alone(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--data", str(images), "--out", str(tmp_path / "run"), "--momentum", "0.5", *SHORT]) == 1
    assert capsys.readouterr().err == "dna: OptionError: --momentum: expected with --optimizer sgd, got it with adam\n"
    assert not (tmp_path / "run").exists()


def test_ctrl_c_writes_the_network_as_it_stands(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fit(net: dna.Network, *arguments: Any, real: Callable[..., Any] = dna.Network.fit, **options: Any) -> None:
        real(net, *arguments, **options | {"epochs": 2})
        raise KeyboardInterrupt

    monkeypatch.setattr(dna.Network, "fit", fit)
    assert main(["train", "--data", str(images), "--out", str(tmp_path / "run"), *SHORT]) == 130
    assert dna.load(tmp_path / "run" / "model.dna", device="cpu").epoch == 2
    assert "interrupted: the network is whole" in capsys.readouterr().out


def test_ctrl_c_before_there_is_a_network_is_told_in_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load_bundled(seed: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "load_bundled", load_bundled)
    assert main(["train"]) == 130
    assert capsys.readouterr().err == "dna: interrupted\n"


def test_info_names_versions_and_what_auto_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"dna {dna.__version__}, Python {sys.version_info[0]}.{sys.version_info[1]}")
    assert "numba" in told and f"device='auto' takes {dna.Network([1, 1]).device}" in told


@pytest.mark.parametrize("plan", ["gather", "scatter", "dense"])
def test_bench_prints_a_line_a_phase(plan: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--layers", "6", "3", "--batch-size", "8", "--repeats", "2", "--device", "cpu", "--plan", plan]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert f"batch 8; {plan} (as asked)" in head
    assert [line.split()[0] for line in lines] == ["load", "forward", "loss", "backward", "apply", "step"]
    assert all(float(line.split()[1]) > 0 for line in lines)


def test_the_module_is_the_program() -> None:
    ran = subprocess.run([sys.executable, "-m", "dna", "--version"], capture_output=True, text=True, cwd=ROOT, check=True)
    assert ran.stdout == f"dna {dna.__version__}\n"


@pytest.mark.parametrize("command", ["train", "bench", "info", "inspect", "export"])
def test_help_says_what_every_option_means(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    told = capsys.readouterr().out
    assert ended.value.code == 0
    assert not any(noise in told for noise in ("default: None", "default: False", "default: []", "`"))
    parsers = next(action for action in build_parser()._actions if isinstance(action.choices, dict)).choices
    assert all(action.help for action in parsers[command]._actions)  # type: ignore[index]
    assert parsers[command].description in told.replace("\n", " ")  # type: ignore[index]


def test_bench_asks_for_a_step_at_least(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", "--repeats", "0"])
    assert ended.value.code == 2
    assert "--repeats: expected an integer of at least 1, got 0" in capsys.readouterr().err


def test_a_model_with_a_kind_of_ones_own_is_shown_with_its_module(tmp_path: Path) -> None:
    (tmp_path / "my_kinds.py").write_text(
        "import dna\n"
        "dna.register_cell('cube', lambda w, v, b: (w * v - b) ** 3,"
        " lambda w, v, b, i: (3 * (w * v - b) ** 2 * v, 3 * (w * v - b) ** 2 * w, -3 * (w * v - b) ** 2))\n"
    )
    make = "import my_kinds, dna; dna.Network([3, 2], cell='cube', init='glorot', device='cpu').save('cube.dna')"

    def call(*command: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [sys.executable, "-c", *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    assert call(make).returncode == 0
    inspect = ("import sys; from dna.cli import main; sys.exit(main(sys.argv[1:]))", "inspect", "cube.dna")
    shown = call(*inspect, "--import", "my_kinds")
    assert "6 cube cells" in shown.stdout, shown.stderr
    for arguments, message in (([], "has to be registered first"), (["--import", "nobody"], "got 'nobody': No module named")):
        refused = call(*inspect, *arguments)
        assert (refused.returncode, message in refused.stderr) == (1, True), refused.stderr
