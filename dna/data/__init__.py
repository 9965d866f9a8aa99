"""Data sets: IDX files of the user's own, and the digits that other packages ship."""

from dna.data.bundled import load_bundled
from dna.data.dataset import Dataset, stratified_split
from dna.data.idx import read_idx
from dna.data.images import find_mnist, load_idx_folder

__all__ = ["Dataset", "find_mnist", "load_bundled", "load_idx_folder", "read_idx", "stratified_split"]
