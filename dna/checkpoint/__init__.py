"""Saving and loading: one file holds all that a network needs to go on as if it had never stopped."""

from dna.checkpoint.container import MissingCheckpointError, read_state, write_state
from dna.checkpoint.rotation import LATEST, Checkpoints
from dna.checkpoint.state import State
from dna.checkpoint.validate import validate_state

__all__ = ["LATEST", "Checkpoints", "MissingCheckpointError", "State", "read_state", "validate_state", "write_state"]
