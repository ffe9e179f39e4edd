"""A model at work, over one device or several, and what each device holds in memory for it."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from harness import contexts
from harness.schema import ITEM_BYTES
from models._cost import Shape
from models._traffic import Traffic, rest_traffic, step_traffic

if TYPE_CHECKING:
    from models._lm import LanguageModel

PROBABILITY_BYTES = 8  # of a logit in training: its float32 probability and that one's gradient


@dataclasses.dataclass(frozen=True)
class Job:
    """A model at work. `batch` counts sequences over all devices."""

    kind: "type[LanguageModel]"
    shape: Shape
    options: Any
    batch: int
    length: int  # tokens of each sequence; for a decode step, of the context
    dtype: str = "float32"
    form: str | None = None  # None: the one that the model trains with
    autocast: bool = False  # weights, gradients and moments stay float32 while `dtype` multiplies
    recompute: bool = False  # keep each layer's input alone, and go forward once more going backward
    graph: bool = False  # launches are those of a captured graph
    programs: bool = False  # those of models/_kernels compute what they can
    devices: int = 1
    tensor_parallel: int = 1

    def __post_init__(self) -> None:
        if self.options.recompute:  # the model's own option asks for it as well
            object.__setattr__(self, "recompute", True)

    @property
    def replicas(self) -> int:
        return self.devices // self.tensor_parallel

    @property
    def sequences(self) -> float:
        """Of one replica."""
        return self.batch / self.replicas

    @property
    def form_used(self) -> str:
        return self.form or self.kind.training_form(self.options)

    @property
    def item(self) -> int:
        """Bytes of an activation."""
        return ITEM_BYTES[self.dtype]

    @property
    def weight_item(self) -> int:
        """Bytes of a weight, of its gradient and of each of its moments."""
        return ITEM_BYTES["float32"] if self.autocast else self.item

    @property
    def parameters(self) -> int:
        return self.kind.parameters_count(self.shape, self.options)

    @property
    def linear(self) -> tuple[int, int]:
        """Weights that multiply every token: of one layer, and of the head."""
        layer = self.kind.mixer_count(self.shape, self.options), self.kind.ffn_count(self.shape, self.options)
        return sum(part.linear for part in layer), self.shape.vocabulary * self.shape.width

    @property
    def stepped(self) -> bool:
        """Whether a decode step is that of the programs, which read and write a state in its place, once."""
        return self.programs and self.kind.steps_by_programs(self.options)

    def traffic(self, form: str, length: int, backward: bool = False) -> tuple[Traffic, Traffic]:
        """Of one layer: what tensor parallelism splits, and what it does not."""
        mixer, ffn, rest = self._parts(form, length, backward)
        return mixer + ffn, rest

    def passing(self, length: int) -> tuple[float, float]:
        """Numbers per token that are there at once while `length` tokens of each sequence are inferred: those of one
        layer that tensor parallelism splits, and the others. Its mixer's are gone when its feed-forward begins."""
        mixer, ffn, rest = self._parts("recurrent" if length == 1 else self.form_used, length, False)
        return max(mixer.kept, ffn.kept), rest.kept

    def _parts(self, form: str, length: int, backward: bool) -> tuple[Traffic, Traffic, Traffic]:
        """Of one layer's mixer, of its feed-forward and of the norms and sums around them."""
        shape, options = self.shape, self.options
        step = form == "recurrent" and length == 1 and not backward
        if self.stepped and step:
            return step_traffic(shape.width, shape.ffn_width, self.sequences), Traffic(0, 0, 0), Traffic(0, 0, 0)
        mixer = self.kind.mixer_traffic(shape, options, form, length, backward)
        ffn, rest = self.kind.ffn_traffic(shape, options, backward), rest_traffic(shape.width, backward)
        if not self.programs or step:
            return mixer, ffn, rest
        own = getattr(options, "implementation", "auto") != "torch"
        return mixer.by_programs if own else mixer, ffn.by_programs, rest.by_programs


def state_bytes(job: Job) -> float:
    """Bytes of one replica: as the model states it, exactly the live tensors'."""
    sequences = math.ceil(job.sequences)
    return job.kind.state_bytes(job.shape, job.options, sequences, job.length, job.item)


def inference_memory(job: Job) -> dict[str, float]:
    """Bytes that one device holds from call to call, by what they are for."""
    weights = job.parameters * job.weight_item / job.tensor_parallel
    return {"weights": weights, "state": state_bytes(job) / job.tensor_parallel}


def live_memory(job: Job, tokens: float, length: int) -> dict[str, float]:
    """Bytes of one device while it infers `tokens`, each sequence's last of `length`: a layer's, a row of logits."""
    split, whole = job.passing(length)
    logits = job.sequences * job.shape.vocabulary
    return {"activations": (tokens * (split / job.tensor_parallel + whole) + logits) * job.item}


def context_memory(job: Job) -> dict[str, float]:
    """Bytes of one device at the peak while a context is read in pieces and a token after it decoded.

    A state that a pass replaces is there twice meanwhile, before and after; one that it writes in its place is not.
    """
    held, piece = inference_memory(job), min(contexts.piece(job.sequences, job.length), job.length)
    placed = job.stepped or job.kind.steps_in_place(job.options)
    read = live_memory(job, job.sequences * piece, job.length)
    decoded = live_memory(job, job.sequences, 1)
    again = {"state": 2 * held["state"]}
    moments = (
        held | read | ({} if piece == job.length or job.kind.pieces_in_place(job.shape, job.options) else again),
        held | decoded | ({} if placed else again),
    )
    return max(moments, key=lambda moment: sum(moment.values()))


def training_memory(job: Job) -> dict[str, float]:
    """Bytes of one device at the fullest moment of a step, by what they are for.

    That is at the loss, with the logits of a chunk; or in the layer that goes back first, with about as much passing
    as it has kept, both beside the gradients of the head's inputs and, in float32, of its weight; or in the layer that
    goes back last, with all gradients.
    """
    weights = job.parameters * job.weight_item / job.tensor_parallel
    tokens, layers = job.sequences * job.length, job.shape.layers
    split, rest = job.traffic(job.form_used, job.length, backward=True)
    layer = tokens * (split.kept / job.tensor_parallel + rest.kept) * job.item
    kept = layers * tokens * job.shape.width * job.item + layer if job.recompute else layers * layer
    of_a_logit = job.item + (0 if job.programs else PROBABILITY_BYTES)
    logits = _chunk(job) * job.shape.vocabulary * of_a_logit / job.tensor_parallel
    inputs = tokens * job.shape.width * job.item
    head = job.linear[1] * ITEM_BYTES["float32"] / job.tensor_parallel
    first, last = kept + inputs + max(logits, layer), 2 * layer
    held = {"weights": weights, "gradients": weights, "moments": 2 * weights}
    if head + first > weights + last:
        return held | {"gradients": head, "activations": first}
    return held | {"activations": last}


def _chunk(job: Job) -> int:
    """Tokens whose logits are there at once."""
    import torch

    from models import _loss

    return _loss.chunk(math.ceil(job.sequences * job.length), job.shape.vocabulary, getattr(torch, job.dtype))
