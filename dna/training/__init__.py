"""Training: losses, optimizers, the fit loop and what it tells."""

from dna.training.callbacks import Callback
from dna.training.fit import evaluate, find_loss, fit
from dna.training.history import Epoch, History
from dna.training.losses import LOSSES, Loss, SampleMaths
from dna.training.optimizers import OPTIMIZERS, SGD, Adam, AdamW, Optimizer, find_optimizer
from dna.training.samples import Samples, lay_out
from dna.training.standing import Standing
from dna.training.stepping import CountedStep, coefficients_of
from dna.training.stopping import EarlyStopping
from dna.training.watch import JSONLines, LivePage, TensorBoard

__all__ = [
    "LOSSES",
    "OPTIMIZERS",
    "SGD",
    "Adam",
    "AdamW",
    "Callback",
    "CountedStep",
    "EarlyStopping",
    "Epoch",
    "History",
    "JSONLines",
    "LivePage",
    "Loss",
    "Optimizer",
    "SampleMaths",
    "Samples",
    "Standing",
    "TensorBoard",
    "coefficients_of",
    "evaluate",
    "find_loss",
    "find_optimizer",
    "fit",
    "lay_out",
]
