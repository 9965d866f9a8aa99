"""`dna train`: train on IDX files, or on the digits that packages ship, and leave a folder with all that came of it."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from dna.cli.options import TellDefaults
from dna.data import Dataset, load_bundled, load_idx_folder
from dna.errors import OptionError
from dna.network import Network
from dna.rules import Extinction
from dna.run import write_run
from dna.training import find_optimizer


def add_commands(commands: Any) -> None:
    """Add `train` to the parser."""
    parser = commands.add_parser(
        "train",
        help="train on images and let cells split and die",
        description="Train on IDX files, or on the digits that packages ship, and leave a folder with all that came of it.",
        formatter_class=TellDefaults,
    )
    parser.add_argument("--data", metavar="DIR", help="MNIST-style IDX files, plain or .gz; by default digits that packages ship")
    parser.add_argument("--out", metavar="DIR", default="runs/train", help="where model, topology and pictures go")
    parser.add_argument("--no-pictures", action="store_true", help="write no PNGs (they take matplotlib)")
    network = parser.add_argument_group("network")
    network.add_argument("--hidden", metavar="N", type=int, nargs="*", default=[], help="nodes of each hidden level")
    network.add_argument("--cell", default="linear", help="linear, relu or tanh")
    network.add_argument("--activation", help="of hidden nodes; by default relu for linear cells, identity for others")
    network.add_argument("--init", help="ones, reciprocal, he, glorot or spread; by default ones without hidden levels")
    network.add_argument("--density", type=float, default=1.0, help="share of all pairs of nodes that get a cell")
    network.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    network.add_argument("--seed", type=int, default=0, help="of inits, shuffles and the division of the digits")
    training = parser.add_argument_group("training")
    training.add_argument("--epochs", metavar="N", type=int, default=30, help="how often all samples are seen")
    training.add_argument("--batch-size", metavar="N", type=int, default=128, help="samples of a step")
    training.add_argument("--optimizer", default="adam", help="adam, adamw or sgd")
    training.add_argument("--lr", type=float, default=1e-3, help="learning rate")
    training.add_argument("--momentum", type=float, default=0.0, help="of sgd")
    training.add_argument("--weight-decay", type=float, default=0.0, help="of weights and biases")
    training.add_argument("--bias-lr", type=float, help="factor of lr for biases; by default 1, or less with hidden levels")
    evolution = parser.add_argument_group("extinction")
    evolution.add_argument("--no-extinction", action="store_true", help="a topology that stays as it is")
    evolution.add_argument("--split", type=float, default=0.10, help="share of the cells that splits")
    evolution.add_argument("--delete", type=float, default=0.10, help="share of the cells that dies")
    evolution.add_argument("--passthrough", default="weight", help="weight, weight_bias, gradient, current, hebbian or random")
    evolution.add_argument("--rule", default="preserve", help="preserve or article")
    evolution.add_argument("--scope", default="network", help="network or layer")
    evolution.add_argument("--every", type=int, default=5, help="epochs between extinctions, at least")
    evolution.add_argument("--patience", type=int, default=3, help="epochs without improvement that the loss is allowed")
    evolution.add_argument("--min-delta", type=float, default=1e-3, help="what counts as improvement")
    parser.set_defaults(run=train)


def train(options: argparse.Namespace) -> int:
    """Train, judge, and write the run's folder; after Ctrl-C too, then with status 130."""
    data = load_idx_folder(options.data) if options.data else load_bundled(seed=options.seed)
    extinction, optimizer = _extinction(options), _optimizer(options)
    network = Network(
        [data.x.shape[1], *options.hidden, data.n_classes],
        cell=options.cell,
        activation=options.activation,
        init=options.init,
        device=options.device,
        seed=options.seed,
        density=options.density,
        input_shape=data.image_shape,
    )
    print(f"data: {data.note} ({len(data.x)} to train on)")
    print(f"device: {network.device_reason}")
    interrupted, progress = False, sys.stderr.isatty()
    try:
        network.fit(
            data.x,
            data.y,
            epochs=options.epochs,
            batch_size=options.batch_size,
            optimizer=optimizer,
            extinction=extinction,
            progress=progress,
        )
    except KeyboardInterrupt:
        interrupted = True
        print("interrupted: the network is whole and is written as it stands")
    if not progress:
        for event in network.fossils:
            print(event)
    _report(network, data)
    if len(network.history):
        for path in write_run(network, network.history, options.out, pictures=not options.no_pictures):
            print(f"wrote {path}")
    return 130 if interrupted else 0


def _extinction(options: argparse.Namespace) -> Extinction | None:
    if options.no_extinction:
        return None
    names = ("split", "delete", "passthrough", "rule", "scope", "every", "patience", "min_delta")
    return Extinction(**{name: getattr(options, name) for name in names})


def _optimizer(options: argparse.Namespace) -> Any:
    arguments = {"lr": options.lr, "weight_decay": options.weight_decay}
    if options.bias_lr is not None:
        arguments["bias_lr"] = options.bias_lr
    if options.optimizer == "sgd":
        arguments["momentum"] = options.momentum
    elif options.momentum:
        raise OptionError(f"--momentum: expected with --optimizer sgd, got it with {options.optimizer}")
    return find_optimizer(options.optimizer, **arguments)


def _report(network: Network, data: Dataset) -> None:
    x, y, which = (data.x, data.y, "training") if data.x_test is None else (data.x_test, data.y_test, "held-out")
    result = network.evaluate(x, y)
    print(f"{which} accuracy {result['accuracy']:.4f}, loss {result['loss']:.4f}, {len(network)} cells")
