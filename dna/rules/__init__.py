"""The rules of life and death: passthrough, selection, split, extinction and its schedule. No loops over cells, no targets."""

from dna.rules.amount import DIED, Budget, Share, budget_at, count_of, share_at
from dna.rules.births import Birth, Brood, Split
from dna.rules.deaths import Death, Delete
from dna.rules.extinction import Extinction
from dna.rules.node_deaths import DeleteNodes, DeleteStranded
from dna.rules.node_growth import GrowNodes
from dna.rules.node_insertion import InsertLevel, InsertNodes
from dna.rules.node_split import SplitNodes
from dna.rules.passthrough import PASSTHROUGHS, Passthrough, build_score, find_passthrough
from dna.rules.paths import UNTRAINED, Clock, Cosine, Cubic
from dna.rules.presets import depth_first, hybrid, width_first
from dna.rules.random import TWINS, build_uniform
from dna.rules.regrowth import Regrow
from dna.rules.schedule import NO_SIGNALS, SIGNALS, Every, Plateau, Schedule, ScheduleState, Signal, Signals, check_signals
from dna.rules.scope import SCOPES, Scope
from dna.rules.split import SPLIT_RULES, build_birth, build_split, inherits_state
from dna.rules.statistics import PERIOD, SAMPLES, STATISTICS, Statistic

__all__ = [
    "DIED",
    "NO_SIGNALS",
    "PASSTHROUGHS",
    "PERIOD",
    "SAMPLES",
    "SCOPES",
    "SIGNALS",
    "SPLIT_RULES",
    "STATISTICS",
    "TWINS",
    "UNTRAINED",
    "Birth",
    "Brood",
    "Budget",
    "Clock",
    "Cosine",
    "Cubic",
    "Death",
    "Delete",
    "DeleteNodes",
    "DeleteStranded",
    "Every",
    "Extinction",
    "GrowNodes",
    "InsertLevel",
    "InsertNodes",
    "Passthrough",
    "Plateau",
    "Regrow",
    "Schedule",
    "ScheduleState",
    "Scope",
    "Share",
    "Signal",
    "Signals",
    "Split",
    "SplitNodes",
    "Statistic",
    "budget_at",
    "build_birth",
    "build_score",
    "build_split",
    "build_uniform",
    "check_signals",
    "count_of",
    "depth_first",
    "find_passthrough",
    "hybrid",
    "inherits_state",
    "share_at",
    "width_first",
]
