"""The rules of life and death: passthrough, selection, split, extinction and its schedule. No loops over cells, no targets."""

from dna.rules.extinction import SCOPES, Extinction, ScheduleState
from dna.rules.passthrough import PASSTHROUGHS, Passthrough, build_score, find_passthrough
from dna.rules.random import TWINS, build_uniform
from dna.rules.split import SPLIT_RULES, build_birth, build_split, inherits_state

__all__ = [
    "PASSTHROUGHS",
    "SCOPES",
    "SPLIT_RULES",
    "TWINS",
    "Extinction",
    "Passthrough",
    "ScheduleState",
    "build_birth",
    "build_score",
    "build_split",
    "build_uniform",
    "find_passthrough",
    "inherits_state",
]
