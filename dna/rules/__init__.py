"""The rules of life and death: passthrough, selection, split, extinction and its schedule. No loops over cells, no targets."""

from dna.rules.births import Birth, Brood, Split
from dna.rules.deaths import Death, Delete
from dna.rules.extinction import Extinction
from dna.rules.options import count_of
from dna.rules.passthrough import PASSTHROUGHS, Passthrough, build_score, find_passthrough
from dna.rules.random import TWINS, build_uniform
from dna.rules.schedule import Plateau, Schedule, ScheduleState
from dna.rules.scope import SCOPES, Scope
from dna.rules.split import SPLIT_RULES, build_birth, build_split, inherits_state

__all__ = [
    "PASSTHROUGHS",
    "SCOPES",
    "SPLIT_RULES",
    "TWINS",
    "Birth",
    "Brood",
    "Death",
    "Delete",
    "Extinction",
    "Passthrough",
    "Plateau",
    "Schedule",
    "ScheduleState",
    "Scope",
    "Split",
    "build_birth",
    "build_score",
    "build_split",
    "build_uniform",
    "count_of",
    "find_passthrough",
    "inherits_state",
]
