"""Checks at the boundary: what users hand in, before anything changes."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from dna.errors import DataError, DNAError, OptionError, ShapeError


def real_batch(name: str, values: Any, width: int, dtype: np.dtype[Any], *, rows: int | None = None) -> np.ndarray:
    """Return `values` as a C-contiguous (rows, width) array of `dtype`.

    Raises
    ------
    ShapeError
        The shape is another.
    DataError
        There is no sample, or the values are no real numbers.
    """
    if type(values) is np.ndarray and values.dtype is dtype and rows is None:
        shape = values.shape
        if len(shape) == 2 and shape[1] == width and shape[0] > 0 and values.flags.c_contiguous:  # as most batches come
            return values
    array = real_array(name, values)
    if array.ndim != 2 or array.shape[1] != width or (rows is not None and array.shape[0] != rows):
        expected = f"({'batch' if rows is None else rows}, {width})"
        raise ShapeError(f"{name}: expected shape {expected}, got {array.shape}{_reshaped(name, array.shape, width)}")
    if array.shape[0] == 0:
        raise DataError(f"{name}: expected at least one sample, got none")
    with np.errstate(over="ignore"):  # what is past the range of `dtype` becomes Inf, and is found with the others
        return np.ascontiguousarray(array, dtype=dtype)


def real_array(name: str, values: Any) -> np.ndarray:
    """Return `values` as an array of real numbers of any shape."""
    array = as_array(name, values)
    if array.dtype.kind not in "fiub":
        hint = ""
        if array.dtype == object and array.ndim == 0:
            hint = f", a {type(values).__name__}" + (f"; take {name}.toarray()" if hasattr(values, "toarray") else "")
        elif hasattr(values, "to_numpy"):
            hint = f"; if its columns are numbers and none is missing, take {name}.to_numpy('float32')"
        raise DataError(f"{name}: expected real numbers, got dtype {array.dtype}{hint}")
    return array


def as_array(name: str, values: Any) -> np.ndarray:
    """Return `values` as an array.

    Raises
    ------
    ShapeError
        Rows are of unequal length.
    DataError
        NumPy cannot make an array of it, such as of a tensor on a GPU.
    """
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ShapeError(f"{name}: expected a rectangular array, got one with rows of unequal length") from error
    except (TypeError, RuntimeError) as error:  # as tensors of PyTorch raise, with the words that help
        raise DataError(f"{name}: expected what NumPy makes an array of, got {type(values).__name__}: {error}") from error


def _reshaped(name: str, shape: tuple[int, ...], width: int) -> str:
    """Return what to do about a batch that is right but for its shape, as words to append."""
    if shape == (width,):
        return f"; one sample is {name}.reshape(1, -1)"
    if len(shape) > 2 and math.prod(shape[1:]) == width:
        return f"; {name}.reshape(len({name}), -1) makes a row of each sample"
    return ""


def choice(found: Any, candidates: np.ndarray, *, numbers: str, things: str, whom: str) -> np.ndarray:
    """Return what a function of the user's chose of the candidates: numbers in one dimension, each once; maybe none.

    The words say what was expected: `numbers` ("ids") of `things` ("cells"), which are to be `whom` ("ids of living cells").

    Raises
    ------
    ShapeError, DataError
    """
    chosen = as_array("choose", found)
    if chosen.size == 0:
        return np.empty(0, candidates.dtype)
    if chosen.ndim != 1:
        raise ShapeError(f"choose: expected the {numbers} of {things} in one dimension, got shape {chosen.shape}")
    if chosen.dtype.kind not in "iu":
        raise DataError(f"choose: expected the {numbers} of {things} as integers, got dtype {chosen.dtype}")
    strangers = chosen[~np.isin(chosen, candidates)]
    if len(strangers):
        raise DataError(f"choose: expected {whom}, got {strangers[0]}")
    different = len(np.unique(chosen))
    if different < len(chosen):
        raise DataError(f"choose: expected every {things[:-1]} once, got {len(chosen)} {numbers} of {different} {things}")
    return chosen


def require_finite(name: str, array: np.ndarray) -> None:
    """Raise DataError where a value is NaN or Inf, and say where the first one is."""
    if np.isfinite(array.sum(dtype=np.float64)):  # one cheap pass; an overflow of the sum only leads to the exact look below
        return
    if not np.isfinite(array).all():
        raise not_finite(name, array)


def not_finite(name: str, array: np.ndarray) -> DataError:
    """Return the error for an array that holds NaN or Inf: it says where the first one is."""
    bad = ~np.isfinite(array)
    place = tuple(int(i) for i in np.argwhere(bad)[0])
    return DataError(f"{name}: expected finite values, got {array[place]} at {place}; {int(bad.sum())} in all")


def labels(name: str, values: Any, rows: int, classes: int) -> np.ndarray:
    """Return class labels as (rows, 1) int64; of booleans True is class 1.

    Raises
    ------
    ShapeError, DataError
        They are not one integer in [0, classes) a sample.
    """
    array = as_array(name, values)
    if array.shape not in ((rows,), (rows, 1)):
        hint = f"; of one-hot rows take {name}.argmax(1)" if array.shape == (rows, classes) else ""
        raise ShapeError(f"{name}: expected class labels of shape ({rows},), got {array.shape}{hint}")
    if array.dtype.kind not in "iub":
        hint = f"; np.unique({name}, return_inverse=True)[1] numbers them" if array.dtype.kind in "USOT" else ""
        raise DataError(f"{name}: expected class labels as integers, got dtype {array.dtype}{hint}")
    if array.size and (array.min() < 0 or array.max() >= classes):
        raise DataError(f"{name}: expected labels in [0, {classes}), got {array.min()} to {array.max()}")
    return np.ascontiguousarray(array.reshape(rows, 1), dtype=np.int64)


def count(name: str, value: Any, low: int, high: int = 2**63 - 1) -> int:
    """Return an integer in [low, high], or raise OptionError."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
        raise OptionError(f"{name}: expected an integer of at least {low}, got {value!r}")
    if value > high:
        raise OptionError(f"{name}: expected an integer of at most {high}, got {value!r}")
    return int(value)


def image_shape(shape: Any, pixels: int) -> tuple[int, int] | None:
    """Return (height, width) of an image of so many pixels, or None as it came."""
    if shape is None:
        return None
    try:
        height, width = (side.__index__() for side in shape)
    except (TypeError, ValueError, AttributeError):
        raise OptionError(f"input_shape: expected (height, width), got {shape!r}") from None
    if height < 1 or height * width != pixels:
        raise OptionError(f"input_shape: expected (height, width) of {pixels} pixels, got ({height}, {width})")
    return height, width


def require_range(name: str, array: np.ndarray, low: float, high: float) -> None:
    """Raise DataError where a value is outside [low, high]."""
    if array.min() < low or array.max() > high:
        raise DataError(f"{name}: expected values in [{low}, {high}], got {array.min()} to {array.max()}")


def require_room(size: int, error: type[DNAError]) -> None:
    """Raise `error` where this machine has no memory for `size` bytes of a file, which may be all holes or packed."""
    if size > memory():
        raise error(f"content: expected bytes that fit into memory, got {size}; this machine has {memory()}")


def memory() -> int:
    """Return how many bytes this process may hope for: the machine's memory, or what its control group allows of it."""
    limits = [2**63 - 1]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for place in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limits.append(int(Path(place).read_text()))
        except (OSError, ValueError):  # no control group, or "max"
            continue
    return min(limits)
