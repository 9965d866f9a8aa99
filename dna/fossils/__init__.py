"""The fossil record: what each extinction did, to whom, and how it is taken back."""

from dna.fossils.event import Change, ExtinctionEvent, Losses
from dna.fossils.lineage import Lineage
from dna.fossils.record import FossilRecord
from dna.fossils.remains import BORN_COLUMNS, DEAD_COLUMNS, SPLIT_COLUMNS, Remains
from dna.fossils.rewind import rewind
from dna.fossils.tables import pack, unpack

__all__ = [
    "BORN_COLUMNS",
    "DEAD_COLUMNS",
    "SPLIT_COLUMNS",
    "Change",
    "ExtinctionEvent",
    "FossilRecord",
    "Lineage",
    "Losses",
    "Remains",
    "pack",
    "rewind",
    "unpack",
]
