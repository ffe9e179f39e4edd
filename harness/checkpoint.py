"""Where an unfinished training stands: one safetensors file with weights, AdamW's moments and the rows told so far.

The state of torch's generator is in it too, so that a model that draws random numbers goes on with the same ones. It is
written whole or not at all; one that cannot be read is removed, and the training starts over.
"""

import contextlib
import dataclasses
import json
import pathlib
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from harness import cache
from harness.measures import Progress


@dataclasses.dataclass
class Done:
    """How far a training is."""

    step: int = 0  # optimiser steps done
    seconds: float = 0.0  # of training
    told: int = 0  # the part of the budget at which the last row was told
    losses: list[float] = dataclasses.field(default_factory=list)  # of the steps since the last row
    rows: list[Progress] = dataclasses.field(default_factory=list)


def save(path: pathlib.Path, model: nn.Module, optimiser: torch.optim.Optimizer, done: Done) -> None:
    """Puts the file in place of the one before. Raises OSError or SafetensorError where it cannot be written."""
    tensors = _tensors(model, optimiser) | {"generator": torch.get_rng_state()}
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    told = {"done": json.dumps(dataclasses.asdict(done))}
    cache.write(path, lambda file: save_file(held, file.name, metadata=told))


def keep(path: pathlib.Path, model: nn.Module, optimiser: torch.optim.Optimizer, done: Done) -> None:
    """`save`, where the file can be written: what is lost else is that the training can go on, and not the training."""
    with contextlib.suppress(OSError, SafetensorError):  # the latter of a full disk
        save(path, model, optimiser, done)


def remove(path: pathlib.Path) -> None:
    """Of no more use; where it cannot be removed it is left."""
    with contextlib.suppress(OSError):
        path.unlink()


def load(path: pathlib.Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> Done | None:
    """Brings model and optimiser to where the file says. None, and both as they were, where there is none to use."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
            told = json.loads(file.metadata()["done"])
        done = Done(**told | {"rows": [Progress(**row) for row in told["rows"]]})
        weights = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
        wanted = {name: tensor.shape for name, tensor in model.state_dict().items()}
        if {name: tensor.shape for name, tensor in weights.items()} != wanted:
            raise ValueError("it is of another model")
        generator = tensors["generator"]
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        remove(path)
        return None
    model.load_state_dict(weights)
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, index, key = name.split(".")
            moments.setdefault(int(index), {})[key] = tensor
    groups: Any = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": moments, "param_groups": groups})
    torch.set_rng_state(generator)
    return done


def _tensors(model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        found |= {f"optimiser.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
    return found
