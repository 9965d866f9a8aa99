"""The file: it comes back bit by bit, no damage passes, and a failed save leaves no trace."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dna import check
from dna.checkpoint import MissingCheckpointError, State, read_state, write_state
from dna.checkpoint.state import FOSSILS
from dna.errors import CheckpointError, FileError

Make = Callable[..., State]


@pytest.fixture(scope="module")
def saved(make_state: Make, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "net.dna"
    write_state(path, make_state())
    return path.read_bytes()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch") / "net.dna"


def header_of(content: bytes) -> dict[str, dict[str, str]]:
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])


def with_text(content: bytes, change: Callable[[dict[str, object]], None], spell: Callable[[str], str] = str) -> bytes:
    """Return the file with its metadata changed and its header sealed anew, as a forger who knows the format would."""
    from dna.checkpoint.container import _BLANK, _seal

    end = 8 + int.from_bytes(content[:8], "little")
    header = header_of(content)
    text = json.loads(header["__metadata__"]["dna"]) | {"header": _BLANK}
    change(text)
    header["__metadata__"]["dna"] = spell(json.dumps(text, separators=(",", ":")))
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    return _seal(len(encoded).to_bytes(8, "little") + encoded) + content[end:]


def assert_equal(first: State, second: State) -> None:
    assert first.meta == second.meta
    assert first.arrays.keys() == second.arrays.keys()
    for name, array in first.arrays.items():
        assert array.dtype == second.arrays[name].dtype and array.shape == second.arrays[name].shape
        assert array.tobytes() == second.arrays[name].tobytes(), name


# --- there and back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("real", ["float32", "float64"])
def test_a_state_comes_back_bit_by_bit(make_state: Make, tmp_path: Path, real: str) -> None:
    state = make_state(real)
    state.arrays["cells.weight"][:2] = [-0.0, np.finfo(real).smallest_subnormal]
    state.arrays["cells.weight_grad"][0] = np.nan  # a gradient is no part of the network's health
    write_state(tmp_path / "net.dna", state)
    assert_equal(state, read_state(tmp_path / "net.dna"))


def test_the_random_state_goes_on_where_it_stood(make_state: Make, tmp_path: Path) -> None:
    generator = np.random.Generator(np.random.PCG64(3))
    generator.integers(0, 9, 5, dtype=np.int32)  # leaves half a word in the buffer
    state = make_state()
    state.meta["rng"] = generator.bit_generator.state
    write_state(tmp_path / "net.dna", state)
    twin = np.random.PCG64()
    twin.state = read_state(tmp_path / "net.dna").meta["rng"]
    assert np.array_equal(generator.integers(0, 99, 50), np.random.Generator(twin).integers(0, 99, 50))


def test_equal_states_give_equal_bytes(make_state: Make, saved: bytes, tmp_path: Path) -> None:
    state = make_state()
    shuffled = State(state.meta, dict(reversed(state.arrays.items())))
    write_state(tmp_path / "net.dna", shuffled)
    assert (tmp_path / "net.dna").read_bytes() == saved


def test_arrays_that_are_not_contiguous_are_saved_as_they_read(make_state: Make, tmp_path: Path) -> None:
    state = make_state()
    state.arrays["cells.state"] = np.asfortranarray(state.arrays["cells.state"])
    state.arrays["cells.bias"] = np.repeat(state.arrays["cells.bias"], 2)[::2]
    write_state(tmp_path / "net.dna", state)
    assert_equal(make_state(), read_state(tmp_path / "net.dna"))


def test_a_network_without_cells_is_a_network(make_state: Make, tmp_path: Path) -> None:
    state = make_state()
    for name in ("source", "target", "weight", "bias", "weight_grad", "bias_grad", "id", "parent", "born"):
        state.arrays[f"cells.{name}"] = state.arrays[f"cells.{name}"][:0]
    del state.arrays["cells.state"]
    for name in ("heap.free", *FOSSILS):
        state.arrays[name] = state.arrays[name][:0]
    state.arrays["statistics.current"] = state.arrays["statistics.current"][:, :0]
    state.meta.update(optimizer=None, fossils=[])
    write_state(tmp_path / "net.dna", state)
    assert_equal(state, read_state(tmp_path / "net.dna"))


def test_loaded_arrays_belong_to_the_caller(make_state: Make, tmp_path: Path) -> None:
    write_state(tmp_path / "net.dna", make_state())
    first = read_state(tmp_path / "net.dna")
    first.arrays["cells.weight"][:] = 5
    assert_equal(make_state(), read_state(tmp_path / "net.dna"))


def test_other_readers_of_safetensors_can_open_the_file(make_state: Make, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    write_state(tmp_path / "net.dna", make_state())
    assert np.array_equal(load_file(tmp_path / "net.dna")["cells.id"], make_state().arrays["cells.id"])


def test_a_node_may_be_named_like_the_checksum(make_state: Make, tmp_path: Path) -> None:
    state = make_state()
    state.meta["node_names"][:3] = ['"dna":"{\\"header\\":\\"', '"dna":"{"header":"', "0" * 64]
    write_state(tmp_path / "net.dna", state)
    assert_equal(state, read_state(tmp_path / "net.dna"))


# --- damage -----------------------------------------------------------------------------------------------------------


@given(data=st.data())
def test_no_flipped_bit_passes(saved: bytes, scratch: Path, data: st.DataObject) -> None:
    where = data.draw(st.sets(st.integers(0, 8 * len(saved) - 1), min_size=1, max_size=3))
    damaged = bytearray(saved)
    for bit in where:
        damaged[bit // 8] ^= 1 << bit % 8
    scratch.write_bytes(damaged)
    with pytest.raises(CheckpointError):
        read_state(scratch)


def test_no_bit_of_any_byte_passes(saved: bytes, scratch: Path) -> None:
    for place in range(len(saved)):
        damaged = bytearray(saved)
        damaged[place] ^= 1 << place % 8
        scratch.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            read_state(scratch)


@given(data=st.data())
def test_no_truncation_and_no_extension_passes(saved: bytes, scratch: Path, data: st.DataObject) -> None:
    damaged = data.draw(
        st.integers(0, len(saved) - 1).map(lambda n: saved[:n])
        | st.binary(min_size=1, max_size=20).map(lambda tail: saved + tail)
    )
    scratch.write_bytes(damaged)
    with pytest.raises(CheckpointError):
        read_state(scratch)


@given(data=st.data())
def test_no_foreign_bytes_pass(saved: bytes, scratch: Path, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(saved)))
    patch = data.draw(st.binary(min_size=1, max_size=64))
    damaged = saved[:start] + patch + saved[start + len(patch) :]
    scratch.write_bytes(damaged)
    if damaged == saved:
        read_state(scratch)
    else:
        with pytest.raises(CheckpointError):
            read_state(scratch)


@given(content=st.binary(max_size=400))
def test_no_noise_passes(scratch: Path, content: bytes) -> None:
    scratch.write_bytes(content)
    with pytest.raises(CheckpointError):
        read_state(scratch)


def test_a_changed_array_is_named(saved: bytes, make_state: Make, scratch: Path) -> None:
    weight = make_state().arrays["cells.weight"].tobytes()
    assert saved.count(weight) == 1
    scratch.write_bytes(saved.replace(weight, weight[:-1] + bytes([weight[-1] ^ 1])))
    with pytest.raises(CheckpointError, match=r"cells\.weight: its checksum is wrong"):
        read_state(scratch)


# --- files that are something else ------------------------------------------------------------------------------------


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingCheckpointError, match="no such file") as caught:
        read_state(tmp_path / "none.dna")
    assert isinstance(caught.value, FileNotFoundError) and isinstance(caught.value, CheckpointError)


def test_foreign_files_are_called_by_their_name(tmp_path: Path) -> None:
    path = tmp_path / "other"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", "x" * 100)
    with pytest.raises(CheckpointError, match="a zip archive"):
        read_state(path)
    path.write_bytes(pickle.dumps({"weights": [1.0] * 50}))
    with pytest.raises(CheckpointError, match="a pickle"):
        read_state(path)
    path.write_bytes(gzip.compress(b"weights" * 50))
    with pytest.raises(CheckpointError, match="a gzip file"):
        read_state(path)


def test_a_safetensors_file_of_others_is_not_ours(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    for metadata in (None, {"format": "pt"}, {"dna": "[]"}, {"dna": "{}"}, {"dna": '{"format":"dna-genome","version":1}'}):
        save_file({"weight": np.ones(3)}, tmp_path / "other.safetensors", metadata)
        with pytest.raises(CheckpointError, match=r"metadata of a dna model|format: expected 'dna-network'"):
            read_state(tmp_path / "other.safetensors")


def test_folders_and_pipes_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(CheckpointError, match="expected a file"):
            read_state(path)


def test_a_huge_foreign_file_is_refused_without_reading_it(tmp_path: Path) -> None:
    with open(tmp_path / "huge", "wb") as file:
        file.write(b"\xff" * 8)
        file.truncate(2**42)
    with pytest.raises(CheckpointError, match="header"):
        read_state(tmp_path / "huge")


@pytest.mark.parametrize("size", [2**42, 2**33 + 1])
def test_a_file_that_is_larger_than_memory_is_refused_without_reading_it(
    saved: bytes, scratch: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Its header is ours, and the rest is a hole that takes no place on the disk."""
    monkeypatch.setattr(check, "memory", lambda: 2**33)
    scratch.write_bytes(saved)
    os.truncate(scratch, size)
    with pytest.raises(CheckpointError, match=f"content: expected bytes that fit into memory, got {size}"):
        read_state(scratch)


# --- forgeries: the checksums are right, the content is not -------------------------------------------------------------


def refused(scratch: Path, content: bytes, match: str) -> None:
    scratch.write_bytes(content)
    with pytest.raises(CheckpointError, match=match):
        read_state(scratch)


def test_the_forger_of_these_tests_makes_files_that_load(saved: bytes, scratch: Path, make_state: Make) -> None:
    scratch.write_bytes(with_text(saved, lambda text: text["meta"].update(epoch=10)))  # type: ignore[attr-defined]
    assert read_state(scratch).meta == make_state().meta | {"epoch": 10}


@pytest.mark.parametrize("version", [0, 1, 4, "2", None, True, 2.0])
def test_another_version_of_the_format_is_refused(saved: bytes, scratch: Path, version: object) -> None:
    refused(scratch, with_text(saved, lambda text: text.update(version=version)), "format version: this dna reads 2 to 3")


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity"])
def test_tokens_that_are_no_json_are_refused(saved: bytes, scratch: Path, token: str) -> None:
    def forge(text: str) -> str:
        assert '"stalled":1' in text
        return text.replace('"stalled":1', f'"stalled":{token}')

    refused(scratch, with_text(saved, lambda text: None, forge), f"{token} is no JSON number")


def test_a_key_that_comes_twice_is_refused(saved: bytes, scratch: Path) -> None:
    twice = with_text(saved, lambda text: None, lambda text: text.replace('"epoch":9', '"epoch":9,"epoch":8'))
    refused(scratch, twice, "a key comes twice")


def test_bottomless_json_is_refused(saved: bytes, scratch: Path) -> None:
    deep = with_text(saved, lambda text: None, lambda text: text.replace('"epoch":9', '"epoch":' + "[" * 50_000 + "]" * 50_000))
    refused(scratch, deep, "header: expected JSON")


def test_checksums_must_be_of_the_arrays_that_are_there(saved: bytes, scratch: Path) -> None:
    refused(scratch, with_text(saved, lambda text: text.pop("arrays")), "one checksum for each array")
    refused(scratch, with_text(saved, lambda text: text["arrays"].pop("heap.free")), "one checksum for each array")  # type: ignore[attr-defined]
    refused(scratch, with_text(saved, lambda text: text["arrays"].update(x="0" * 64)), "one checksum for each array")  # type: ignore[attr-defined]
    refused(scratch, with_text(saved, lambda text: text.update(meta=[])), "meta: expected an object")


def test_what_no_network_can_be_is_refused_although_its_checksums_are_right(saved: bytes, scratch: Path) -> None:
    refused(scratch, with_text(saved, lambda text: text["meta"].update(kind="relo")), "did you mean 'relu'")  # type: ignore[attr-defined]
    refused(scratch, with_text(saved, lambda text: text["meta"].update(next_id=5)), "cells.id")  # type: ignore[attr-defined]


# --- saving -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "net.dna"
    path.write_bytes(b"the file that was there")
    return path


def assert_untouched(old: Path) -> None:
    assert old.read_bytes() == b"the file that was there"
    assert os.listdir(old.parent) == [old.name]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32(1), object(), {1, 2}])
def test_values_that_are_no_json_leave_the_old_file(make_state: Make, old: Path, value: object) -> None:
    state = make_state()
    state.meta["extinction"]["when"]["every"] = value
    with pytest.raises(CheckpointError, match="meta: expected finite JSON values"):
        write_state(old, state)
    assert_untouched(old)


def test_a_state_that_could_not_be_loaded_leaves_the_old_file(make_state: Make, old: Path) -> None:
    state = make_state()
    state.arrays["cells.weight"][4] = np.nan
    with pytest.raises(CheckpointError, match=r"cells\.weight: expected finite numbers, .* cell 4"):
        write_state(old, state)
    assert_untouched(old)


def test_a_disk_that_does_not_sync_leaves_the_old_file(make_state: Make, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(FileError, match="Input/output error"):
        write_state(old, make_state())
    assert_untouched(old)


def test_a_link_stays_and_its_file_is_replaced(make_state: Make, old: Path) -> None:
    (old.parent / "runs").mkdir()
    link = old.parent / "runs" / "latest.dna"
    link.symlink_to(old)
    write_state(link, make_state())
    assert link.is_symlink() and not old.is_symlink()
    assert_equal(make_state(), read_state(link))


def test_paths_that_lead_nowhere_are_refused(make_state: Make, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / "loop", "net\0.dna"):
        with pytest.raises(CheckpointError, match="cannot be read"):
            read_state(path)
        with pytest.raises(FileError, match="cannot be written"):
            write_state(path, make_state())
