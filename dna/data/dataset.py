"""A labelled set of images, and the fair division of one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dna.errors import DataError, OptionError


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images as rows, with their labels.

    Parameters
    ----------
    name : str
        A short name for reports.
    x : numpy.ndarray
        (samples, pixels) float32 in [0, 1].
    y : numpy.ndarray
        (samples,) int64, classes from 0.
    x_test, y_test : numpy.ndarray or None
        The held-out part, likewise. None where the source has none.
    image_shape : tuple of int
        (rows, columns); rows * columns = pixels.
    note : str
        Where the images come from.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray | None
    y_test: np.ndarray | None
    image_shape: tuple[int, int]
    note: str

    @property
    def n_classes(self) -> int:
        """One more than the largest label, so that every label has an output."""
        largest = int(self.y.max())
        return 1 + (largest if self.y_test is None else max(largest, int(self.y_test.max())))

    def __repr__(self) -> str:
        rows, columns = self.image_shape
        held_out = "" if self.x_test is None else f", {len(self.x_test)} held out"
        return f"<Dataset {self.name}: {len(self.x)} images of {rows} x {columns}{held_out}, {self.n_classes} classes>"


def scale_pixels(pixels: np.ndarray, peak: int) -> np.ndarray:
    """Return whole-number pixels in [0, peak] as float32 in [0, 1], one row an image."""
    rows: np.ndarray = np.divide(pixels.reshape(len(pixels), -1), np.float32(peak), dtype=np.float32)
    return rows


def stratified_split(labels: np.ndarray, test_share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide samples so that each class gives the same share to both parts.

    Parameters
    ----------
    labels : numpy.ndarray
        (samples,) integers.
    test_share : float
        In (0, 1). A class of n samples gives round(test_share * n) of them to the test, at least 1 and at most n - 1.
    seed : int
        At least 0. The same seed gives the same division on every machine.

    Returns
    -------
    train, test : numpy.ndarray
        Places in `labels`, int64, in a random order.

    Raises
    ------
    OptionError
        The share or the seed is out of range.
    DataError
        A class has one sample only, or there are none at all.
    """
    if not isinstance(test_share, (int, float)) or not 0 < test_share < 1:
        raise OptionError(f"test_share: expected a number in (0, 1), got {test_share!r}")
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or seed < 0:
        raise OptionError(f"seed: expected an integer of at least 0, got {seed!r}")
    if len(labels) == 0:
        raise DataError("labels: expected at least two samples of a class, got none at all")
    draw = np.random.Generator(np.random.PCG64(seed))
    train, test = [], []
    for label in np.unique(labels):
        places = draw.permutation(np.flatnonzero(labels == label))
        if len(places) < 2:
            raise DataError(f"labels: expected at least two samples of each class, got one of class {label}")
        held_out = min(max(math.floor(test_share * len(places) + 0.5), 1), len(places) - 1)
        test.append(places[:held_out])
        train.append(places[held_out:])
    return draw.permutation(np.concatenate(train)), draw.permutation(np.concatenate(test))
