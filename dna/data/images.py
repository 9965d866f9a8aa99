"""A folder of MNIST-style IDX files as a data set."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from dna.data.dataset import Dataset, scale_pixels
from dna.data.idx import read_idx
from dna.errors import DataError

TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

_PEAK = 255


def load_idx_folder(folder: str | os.PathLike[str]) -> Dataset:
    """Load the four files of MNIST, or of a set in its likeness.

    Parameters
    ----------
    folder : path
        Holds `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, and, if there is a test set, `t10k-images-idx3-ubyte` and
        `t10k-labels-idx1-ubyte`. Each may end in `.gz`, and may have a dot in place of the dash before `idx`. Where a file is
        there in several forms, the plain one is taken.

    Returns
    -------
    Dataset
        Images as rows of float32 in [0, 1], labels as int64. `x_test` and `y_test` are None where there is no test set.

    Raises
    ------
    DataError
        A file is missing, torn or not what its name says; images and labels differ in number; test and training images differ in
        shape; there are none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder with IDX files, there is none")
    images, labels = _load_pair(folder, TRAIN)
    test_images, test_labels = None, None
    if any(_find(folder, name) for name in TEST):
        test_images, test_labels = _load_pair(folder, TEST)
        if test_images.shape[1:] != images.shape[1:]:
            raise DataError(f"{folder}: expected test images of {images.shape[1:]} pixels, got {test_images.shape[1:]}")
    return Dataset(
        name=folder.resolve().name,
        x=scale_pixels(images, _PEAK),
        y=labels,
        x_test=None if test_images is None else scale_pixels(test_images, _PEAK),
        y_test=test_labels,
        image_shape=(images.shape[1], images.shape[2]),
        note=f"IDX files in {folder}",
    )


def find_mnist(*folders: str | os.PathLike[str]) -> Path | None:
    """Look for a full MNIST set.

    Parameters
    ----------
    *folders : path
        Where to look after `$DNA_DATA` and the folder `mnist` in it.

    Returns
    -------
    Path or None
        The first folder that holds all four files, or None.
    """
    home = os.environ.get("DNA_DATA")
    candidates = [Path(home), Path(home) / "mnist"] if home else []
    for folder in [*candidates, *map(Path, folders)]:
        if all(_find(folder, name) for name in TRAIN + TEST):
            return folder
    return None


def _load_pair(folder: Path, names: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
    image_path, label_path = (_require(folder, name) for name in names)
    images, labels = read_idx(image_path, ndim=3), read_idx(label_path, ndim=1)
    for path, array in ((image_path, images), (label_path, labels)):
        if array.dtype != np.uint8:
            raise DataError(f"{path}: expected unsigned bytes, got {array.dtype}")
    if images.size == 0:
        raise DataError(
            f"{image_path}: expected at least one image of at least one pixel, got {' x '.join(map(str, images.shape))}"
        )
    if len(images) != len(labels):
        raise DataError(f"{folder}: expected a label for each image, got {len(images)} images and {len(labels)} labels")
    return images, labels.astype(np.int64)


def _require(folder: Path, name: str) -> Path:
    path = _find(folder, name)
    if path is None:
        raise DataError(f"{folder}: expected one of {', '.join(_forms(name))}, there is none")
    return path


def _find(folder: Path, name: str) -> Path | None:
    return next((folder / form for form in _forms(name) if (folder / form).is_file()), None)


def _forms(name: str) -> list[str]:
    dotted = name.replace("-idx", ".idx")
    return [name, dotted, f"{name}.gz", f"{dotted}.gz"]
