"""IDX files: what is written comes back, and what is torn, lying or foreign is refused."""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dna import check
from dna.data import Dataset, find_mnist, load_idx_folder, read_idx
from dna.errors import DataError

CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def encode(array: np.ndarray) -> bytes:
    """The format by its definition, apart from the reader's code."""
    head = bytes([0, 0, CODES[array.dtype.name], array.ndim]) + b"".join(struct.pack(">I", n) for n in array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_pair(folder: Path, images: np.ndarray, labels: np.ndarray, part: str = "train", form: str = "-{}-ubyte") -> None:
    for what, array, idx in (("images", images, "idx3"), ("labels", labels, "idx1")):
        name = f"{part}-{what}{form.format(idx)}"
        content = encode(array)
        (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("idx") / "file"


@pytest.fixture
def images() -> np.ndarray:
    return np.random.Generator(np.random.PCG64(1)).integers(0, 256, (6, 3, 2), dtype=np.uint8)


@pytest.fixture
def labels() -> np.ndarray:
    return np.array([0, 1, 2, 0, 1, 2], np.uint8)


# --- one file ---------------------------------------------------------------------------------------------------------


@given(
    array=st.sampled_from(sorted(CODES)).flatmap(
        lambda name: hnp.arrays(np.dtype(name), hnp.array_shapes(max_dims=4, min_side=0))
    ),
    compress=st.booleans(),
)
def test_numbers_come_back(scratch: Path, array: np.ndarray, compress: bool) -> None:
    scratch.write_bytes(gzip.compress(encode(array)) if compress else encode(array))
    read = read_idx(scratch)
    assert read.dtype == array.dtype and read.dtype.isnative and read.flags.writeable
    assert read.shape == array.shape and read.tobytes() == array.tobytes()


def test_a_file_of_several_gzip_members_is_read_whole(scratch: Path, images: np.ndarray) -> None:
    content = encode(images)
    scratch.write_bytes(gzip.compress(content[:20]) + gzip.compress(content[20:]))
    assert np.array_equal(read_idx(scratch, ndim=3), images)


@given(data=st.data())
@pytest.mark.parametrize("compress", [False, True])
def test_no_truncation_and_no_extension_passes(scratch: Path, compress: bool, data: st.DataObject) -> None:
    whole = encode(np.arange(60, dtype=np.int32).reshape(3, 20))
    whole = gzip.compress(whole) if compress else whole
    cut = st.integers(0, len(whole) - 1).map(lambda n: whole[:n])
    more = st.binary(min_size=1, max_size=9).filter(lambda tail: not compress or any(tail)).map(lambda tail: whole + tail)
    scratch.write_bytes(data.draw(cut | more))
    with pytest.raises(DataError, match=str(scratch)):
        read_idx(scratch)


@given(content=st.binary(max_size=60) | st.binary(max_size=60).map(lambda tail: b"\0\0\x08\x02" + tail))
@pytest.mark.parametrize("compress", [False, True])
def test_noise_is_refused_or_is_what_it_says(scratch: Path, compress: bool, content: bytes) -> None:
    scratch.write_bytes(gzip.compress(content) if compress else content)
    try:
        array = read_idx(scratch)
    except DataError:
        return
    assert encode(array) == content


@given(data=st.data())
def test_a_flipped_bit_in_a_gzip_file_never_changes_the_numbers(scratch: Path, data: st.DataObject) -> None:
    array = np.arange(60, dtype=np.int32).reshape(3, 20)
    damaged = bytearray(gzip.compress(encode(array), mtime=0))
    bit = data.draw(st.integers(0, 8 * len(damaged) - 1))
    damaged[bit // 8] ^= 1 << bit % 8
    scratch.write_bytes(damaged)
    with suppress(DataError):
        assert np.array_equal(read_idx(scratch), array)  # a few bits of gzip's header say nothing of the content


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "expected 4 bytes for the magic number of IDX, got 0"),
        (b"\0\0\x08", "expected 4 bytes for the magic number of IDX, got 3"),
        (b"PK\x03\x04" + b"\0" * 99, "begins with two zero bytes, got 50 4b"),
        (b"\x08\x03\0\0" + b"\0" * 99, "begins with two zero bytes, got 08 03"),
        (b"\0\0\x0a\x01\0\0\0\x01\0", r"expected a type code of IDX \(0x08, .*\), got 0x0a"),
        (b"\0\0\x08\x00", "dimension.*, got 0"),
        (b"\0\0\x08\x21" + b"\0\0\0\x01" * 33 + b"\0", "expected 1 to 32 dimension.*, got 33"),
        (b"\0\0\x08\x02\0\0\0\x01", "expected 8 bytes for the sizes of the dimensions, got 4"),
        (
            b"\0\0\x08\x01\0\0\0\x04abc",
            "declares 4 numbers .* more than the file can hold|expected 4 bytes for the 4 numbers, got 3",
        ),
        (b"\0\0\x08\x01\0\0\0\x04abcde", "expected its end after 4 numbers, got more"),
        (b"\0\0\x0e\x03" + b"\xff" * 12, "declares 4294967295 x 4294967295 x 4294967295 numbers of 8 byte"),
        (b"\0\0\x0e\x04\0\0\0\0" + b"\xff" * 12, "declares 0 x 4294967295 x .* more than the file can hold"),
    ],
)
def test_what_is_wrong_is_said(scratch: Path, content: bytes, match: str) -> None:
    for form in (content, gzip.compress(content)):
        scratch.write_bytes(form)
        with pytest.raises(DataError, match=match):
            read_idx(scratch)


def test_the_number_of_dimensions_can_be_required(scratch: Path, images: np.ndarray) -> None:
    scratch.write_bytes(encode(images))
    assert read_idx(scratch, ndim=3).shape == (6, 3, 2)
    with pytest.raises(DataError, match=r"expected 1 dimension\(s\), got 3"):
        read_idx(scratch, ndim=1)


def test_claimed_sizes_take_no_memory(scratch: Path) -> None:
    """A gigabyte is claimed, within what so much gzip might hold; the process may not have it."""
    claim = b"\0\0\x08\x01" + struct.pack(">I", 2**30)
    scratch.write_bytes(gzip.compress(claim + os.urandom(2**21)))
    code = """if True:
        import resource, sys
        from dna.data import read_idx
        from dna.errors import DataError
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, -1))
        try:
            read_idx(sys.argv[1])
        except DataError as error:
            assert "got 2097152; the file is torn" in str(error), error
            sys.exit(7)
    """
    assert subprocess.run([sys.executable, "-c", code, scratch], check=False).returncode == 7


def test_what_unpacks_to_more_than_memory_is_refused_before_it_is_read(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file holds what it says, and a thousandth of it is on the disk."""
    monkeypatch.setattr(check, "memory", lambda: 2**20)
    bomb = gzip.compress(b"\0\0\x08\x01" + struct.pack(">I", 2**20 + 1) + bytes(2**20 + 1))
    assert len(bomb) < 2**12
    scratch.write_bytes(bomb)
    with pytest.raises(DataError, match=f"content: expected bytes that fit into memory, got {2**20 + 1}"):
        read_idx(scratch)


def test_missing_files_folders_and_pipes_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, match in (
        (tmp_path / "none", "cannot be read"),
        (tmp_path, "expected a file, got a folder"),
        (tmp_path / "pipe", "expected a file, got something else"),
        ("null\0byte", "cannot be read"),
    ):
        with pytest.raises(DataError, match=match):
            read_idx(path)


# --- a folder ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["-{}-ubyte", ".{}-ubyte", "-{}-ubyte.gz", ".{}-ubyte.gz"])
def test_a_folder_is_a_data_set(tmp_path: Path, images: np.ndarray, labels: np.ndarray, form: str) -> None:
    write_pair(tmp_path, images, labels, form=form)
    write_pair(tmp_path, images[:2], np.array([1, 4], np.uint8), "t10k", form)
    data = load_idx_folder(tmp_path)
    assert data.x.dtype == np.float32 and data.y.dtype == np.int64
    assert data.x.shape == (6, 6) and data.image_shape == (3, 2) and data.n_classes == 5
    assert np.array_equal(np.rint(data.x * 255), images.reshape(6, 6)) and data.x.max() <= 1
    assert data.y.tolist() == [0, 1, 2, 0, 1, 2]
    assert data.x_test is not None and np.array_equal(data.x_test, data.x[:2])
    assert data.y_test is not None and data.y_test.tolist() == [1, 4]


def test_black_is_zero_and_white_is_one(tmp_path: Path) -> None:
    write_pair(tmp_path, np.array([[[0, 255]]], np.uint8), np.array([0], np.uint8))
    assert load_idx_folder(tmp_path).x.tolist() == [[0.0, 1.0]]


def test_a_test_set_need_not_be_there(tmp_path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    write_pair(tmp_path, images, labels)
    data = load_idx_folder(tmp_path)
    assert data.x_test is None and data.y_test is None and data.n_classes == 3


def test_a_missing_file_is_named_with_all_its_forms(tmp_path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte, train-images\.idx3-ubyte, .*\.gz, .*\.gz, there is none"):
        load_idx_folder(tmp_path)
    write_pair(tmp_path, images, labels)
    write_pair(tmp_path, images, labels, "t10k")
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="expected one of t10k-labels-idx1-ubyte"):
        load_idx_folder(tmp_path)
    with pytest.raises(DataError, match="expected a folder"):
        load_idx_folder(tmp_path / "none")


def test_files_that_do_not_fit_together_are_refused(tmp_path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    write_pair(tmp_path, images, labels[:5])
    with pytest.raises(DataError, match="got 6 images and 5 labels"):
        load_idx_folder(tmp_path)
    write_pair(tmp_path, images, labels.astype(np.int32))
    with pytest.raises(DataError, match="train-labels-idx1-ubyte: expected unsigned bytes, got int32"):
        load_idx_folder(tmp_path)
    write_pair(tmp_path, images[:0], labels[:0])
    with pytest.raises(DataError, match="expected at least one image"):
        load_idx_folder(tmp_path)
    write_pair(tmp_path, labels, labels)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte: expected 3 dimension\(s\), got 1"):
        load_idx_folder(tmp_path)
    write_pair(tmp_path, images, labels)
    write_pair(tmp_path, images.transpose(0, 2, 1), labels, "t10k")
    with pytest.raises(DataError, match=r"expected test images of \(3, 2\) pixels, got \(2, 3\)"):
        load_idx_folder(tmp_path)


# --- the full set -----------------------------------------------------------------------------------------------------


def test_mnist_is_looked_for_in_the_environment_first(
    tmp_path: Path, images: np.ndarray, labels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, other, half = tmp_path / "home" / "mnist", tmp_path / "other", tmp_path / "half"
    for folder in (home, other, half):
        folder.mkdir(parents=True)
        write_pair(folder, images, labels)
    for folder in (home, other):
        write_pair(folder, images, labels, "t10k", ".{}-ubyte.gz")
    monkeypatch.delenv("DNA_DATA", raising=False)
    assert find_mnist() is None
    assert find_mnist(tmp_path / "none", half) is None
    assert find_mnist(half, other) == other
    for value in (home, home.parent):
        monkeypatch.setenv("DNA_DATA", str(value))
        assert find_mnist(other) == home
    monkeypatch.setenv("DNA_DATA", str(half))
    assert find_mnist(other) == other


def test_the_full_set_loads(mnist: Dataset) -> None:
    assert mnist.x.shape == (60_000, 784) and mnist.image_shape == (28, 28) and mnist.n_classes == 10
    assert mnist.x_test is not None and mnist.x_test.shape == (10_000, 784)
    assert mnist.y[:5].tolist() == [5, 0, 4, 1, 9]
    assert np.bincount(mnist.y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert mnist.x.min() == 0 and mnist.x.max() == 1
