"""A model at work, over one device or several, and what each device holds in memory for it."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from harness.schema import ITEM_BYTES
from models._cost import Shape
from models._traffic import Traffic, rest_traffic

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

    def traffic(self, form: str, length: int, backward: bool = False) -> tuple[Traffic, Traffic]:
        """Of one layer: what tensor parallelism splits, and what it does not."""
        mixer = self.kind.mixer_traffic(self.shape, self.options, form, length, backward)
        split = mixer + self.kind.ffn_traffic(self.shape, self.options, backward)
        return split, rest_traffic(self.shape.width, backward)


def state_bytes(job: Job) -> float:
    """Bytes of one replica: as the model states it, exactly the live tensors'."""
    sequences = math.ceil(job.sequences)
    return job.kind.state_bytes(job.shape, job.options, sequences, job.length, job.item)


def inference_memory(job: Job) -> dict[str, float]:
    """Bytes that one device holds from call to call, by what they are for."""
    weights = job.parameters * job.weight_item / job.tensor_parallel
    return {"weights": weights, "state": state_bytes(job) / job.tensor_parallel}


def live_memory(job: Job, tokens: float) -> dict[str, float]:
    """Bytes of one device while it infers: about what one layer of training would keep, and one row of logits."""
    length = max(round(tokens / job.sequences), 1)
    split, rest = job.traffic("recurrent" if length == 1 else job.form_used, length)
    logits = job.sequences * job.shape.vocabulary
    return {"activations": (tokens * (split.kept / job.tensor_parallel + rest.kept) + logits) * job.item}


def training_memory(job: Job) -> dict[str, float]:
    """Bytes of one device at the end of the pass forward, which is the peak, by what they are for."""
    weights = job.parameters * job.weight_item / job.tensor_parallel
    tokens, layers = job.sequences * job.length, job.shape.layers
    split, rest = job.traffic(job.form_used, job.length, backward=True)
    layer = tokens * (split.kept / job.tensor_parallel + rest.kept) * job.item
    kept = layers * tokens * job.shape.width * job.item + layer if job.recompute else layers * layer
    logits = tokens * job.shape.vocabulary * (job.item + PROBABILITY_BYTES) / job.tensor_parallel
    return {"weights": weights, "gradients": weights, "moments": 2 * weights, "activations": kept + logits}
