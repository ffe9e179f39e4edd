"""Counts what a model does beside products with weights: operators, bytes through memory, bytes kept to go back and
those that are there at once."""

import dataclasses
import itertools

import torch
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from models._cost import Shape
from models._lm import LanguageModel
from models._state import State

WEIGHTED = {"linear", "matmul", "mm", "addmm"}  # with weights; what they move follows from the parameters
NOTHING = {"detach", "empty", "empty_like", "new_empty", "_unsafe_view"}  # allocates or renames alone


@dataclasses.dataclass
class Counted:
    """Of one pass; `moved` and `kept` in numbers of the model's format."""

    launches: float = 0
    moved: float = 0
    kept: float = 0


class Counter(TorchDispatchMode):
    """Every operator that computes: its inputs and results, each number once."""

    def __init__(self) -> None:
        super().__init__()
        self.found = Counted()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func._schema.name.split("::")[1]
        view = any(each.alias_info is not None and not each.alias_info.is_write for each in func._schema.returns)
        if view or name in NOTHING:
            return out
        self.found.launches += 1
        if name not in WEIGHTED:
            tensors = [each for each in tree_leaves((args, kwargs, out)) if isinstance(each, torch.Tensor)]
            self.found.moved += sum(min(t.numel() * t.element_size(), t.untyped_storage().nbytes()) for t in tensors)
        return out


def count(model: LanguageModel, tokens: torch.Tensor, form: str, backward: bool, state: State | None = None) -> Counted:
    """One pass over `tokens`; without `backward` one that keeps no gradients, or from a state one decode step."""
    kept: dict[int, int] = {}
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with Counter() as counter:
        if backward:
            with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
                logits = model(tokens, form)
            F.cross_entropy(logits.flatten(0, 1), tokens.flatten()).backward()
        else:
            with torch.inference_mode():
                model.prefill(tokens, form) if state is None else model.step(tokens[:, 0], state)
    size = model.head.weight.element_size()
    found = counter.found
    return Counted(found.launches, found.moved / size, sum(kept.values()) / size)


def of_a_layer(case, shape: Shape, form: str, backward: bool, length: int) -> Counted:
    """One layer's share, per token: what two layers add, in batches of 2 and 6, so that weights drop out."""
    told = {}
    for batch in (2, 6):
        for layers in (1, 3):
            model = case.build(dataclasses.replace(shape, layers=layers), torch.float32)
            tokens = torch.randint(0, shape.vocabulary, (batch, length))
            told[batch, layers] = count(model, tokens, form, backward)
    launches = (told[2, 3].launches - told[2, 1].launches) / 2

    def each(name: str) -> float:
        added = {batch: getattr(told[batch, 3], name) - getattr(told[batch, 1], name) for batch in (2, 6)}
        return (added[6] - added[2]) / 2 / (4 * length)

    return Counted(launches, each("moved"), each("kept"))


def most_at_once(case, shape: Shape, form: str, length: int) -> float:
    """Numbers per token at the peak of reading prompts, without the state: what four more sequences add."""
    most = {}
    for batch in (2, 6):
        model = case.build(shape, torch.float32)
        tokens = torch.randint(0, shape.vocabulary, (batch, length))
        with torch.inference_mode():
            model.prefill(tokens, form)  # what is made once and kept
            with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as told:
                _, state = model.prefill(tokens, form)
        changes = [event for event in told.profiler.kineto_results.events() if event.name() == "[memory]"]
        sizes = (event.nbytes() for event in sorted(changes, key=lambda event: event.start_ns()))
        most[batch] = max(itertools.accumulate(sizes)) - state.nbytes
    return (most[6] - most[2]) / 4 / length / 4
