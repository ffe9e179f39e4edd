"""Whether the forms of a model agree in the number format and at the size of heads that it is timed in.

In float64, where `harness.measures.forms` holds the forms to their definition, torch's operators compute. What is timed
on a GPU are programs for shorter formats. So here one layer of the point's own width, heads and feed-forward, in the
point's own dtype, is held to the same weights in float64:

- output: the logits of a pass without gradients, and of one of a single token after `SKIPPED`, to the recurrence's;
- state: the logits of `STEPS` tokens that are decoded after a prompt, in place and as a captured step where the model
  can be, as the measure `decode` does it, to the recurrence's;
- gradient: that of the training loss. In float64 the training form gives it, which agrees with the recurrence there; a
  recurrence would have to keep its state at every token. For the same reason it is left out here too, where a model has
  another form.

An error is the norm of the difference over the norm of what is wanted: of logits that of all tokens, or half of that of
the worst one, where this is larger; of gradients that of the worst parameter. The first `SKIPPED` tokens are read and
not compared: a norm or a quotient over what one of them gave divides by next to nothing where it is near zero, and no
short format tells its sign then.

What rounding may do: eps of a dtype is the step from 1 to the next number, and a result is off by half of it at most.
A layer rounds some ten times in a row, each time independently. So logits are off by about one eps, and the gradient
of a few numbers, whose terms cancel, by up to four: torch's own operators are, under every option of all models of this
house, in bfloat16 and in float16 alike. `ALLOWED` is 2.5 and 6. In float32 the order of sums over the tokens counts
more, and the device's products: `LEAST` is allowed in any dtype. A state that is kept in a shorter format than the
dtype has the eps of that one. Options may make more of it: a head whose gamma is a half forgets so soon that what a
norm divides by is near zero at a token in a hundred. So where errors are larger, torch's operators compute the same on
the CPU, and `AS_TORCH` times their errors are allowed.
"""

import copy
import dataclasses
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harness.decoding import Follower
from harness.graphs import WARM_CALLS
from models._state import State

if TYPE_CHECKING:
    from harness.bench import Bench
    from models._lm import LanguageModel

BATCH, STEPS, SKIPPED = 2, 5, 16
LENGTH = 777  # no chunk divides it, and programs cut it into several segments
VOCABULARY = 1009  # at most
NOISE, SPREAD = 0.1, 0.5  # added to each parameter: to vectors, and to matrices over the root of their inputs
ALLOWED = {"output_error": 2.5, "state_error": 2.5, "gradient_error": 6}  # eps
LEAST = 1e-4
AS_TORCH, PLAIN = 2.0, "cpu"


@dataclasses.dataclass(frozen=True)
class Error:
    """The largest one of a kind, where it was found, and what is allowed."""

    metric: str
    value: float
    where: str
    allowed: float

    def __str__(self) -> str:
        return f"{self.metric} {self.value:.1e} ({self.where}, at most {self.allowed:.1e} is rounding)"


def errors(bench: "Bench") -> list[Error]:
    """The largest errors of all forms of the point's model in the point's dtype."""
    model, tokens = _model(bench), _tokens(bench)
    exact = copy.deepcopy(model).double()
    logits, steps, _ = _computed(bench, exact, tokens, "recurrent")
    gradients = _gradients(exact, tokens, bench.kind.training_form(bench.options))
    del exact
    found = _found(bench, model, tokens, logits, steps, gradients)
    if bench.point.device == PLAIN or all(error.value <= error.allowed for error in found):
        return found
    moved = logits.to(PLAIN), steps.to(PLAIN), {name: told.to(PLAIN) for name, told in gradients.items()}
    by_torch = _found(bench, model.to(PLAIN), tokens.to(PLAIN), *moved)
    return [
        dataclasses.replace(error, allowed=max(error.allowed, AS_TORCH * plain.value))
        for error, plain in zip(found, by_torch, strict=True)
    ]


def _found(
    bench: "Bench", model: "LanguageModel", tokens: Tensor, logits: Tensor, steps: Tensor, gradients: dict[str, Tensor]
) -> list[Error]:
    """The largest errors of all forms beside what is given, where the model and the tokens are."""
    found: dict[str, list[tuple[float, str]]] = {metric: [] for metric in ALLOWED}
    formats = {bench.dtype}
    forms = bench.kind.available_forms(bench.options)
    for form in forms:
        output, decoded, kept = _computed(bench, model, tokens, form)
        formats |= kept
        found["output_error"].append((_error(output, logits), form))
        found["state_error"].append((_error(decoded, steps), form))
    for form in [form for form in forms if form != "recurrent"] or forms:
        own = _gradients(model, tokens, form)
        found["gradient_error"] += [(_off(own.get(name), told), f"{form} {name}") for name, told in gradients.items()]
    eps = dict.fromkeys(ALLOWED, torch.finfo(bench.dtype).eps)
    eps["state_error"] = max(torch.finfo(dtype).eps for dtype in formats)
    return [Error(m, *_largest(told), max(ALLOWED[m] * eps[m], LEAST)) for m, told in found.items()]


def _model(bench: "Bench") -> "LanguageModel":
    """One layer of the point's own, every parameter moved off its initial value, where zeros would hide mistakes."""
    shape = dataclasses.replace(
        bench.shape,
        layers=1,
        vocabulary=min(VOCABULARY, bench.shape.vocabulary),
        max_length=LENGTH + STEPS + WARM_CALLS,
    )
    model = type(bench)(dataclasses.replace(bench.point, **dataclasses.asdict(shape))).model()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter is not model.embedding.weight:  # which a mixer would add little to
                spread = NOISE if parameter.dim() < 2 else min(NOISE, SPREAD / math.sqrt(parameter.shape[-1]))
                parameter.add_(spread * torch.randn_like(parameter))
    return model


def _tokens(bench: "Bench") -> Tensor:
    kinds = min(VOCABULARY, bench.shape.vocabulary)
    return torch.randint(0, kinds, (BATCH, LENGTH + STEPS)).to(bench.point.device)


@torch.no_grad()
def _computed(
    bench: "Bench", model: "LanguageModel", tokens: Tensor, form: str
) -> tuple[Tensor, Tensor, set[torch.dtype]]:
    """Logits of the tokens before the last `STEPS`, the first of them also of a pass of its own; logits of the last as
    they are decoded; and the state's formats."""
    output = model(tokens[:, :LENGTH], form)[:, SKIPPED:]
    _, before = model.prefill(tokens[:, :SKIPPED], form, capacity=SKIPPED + 1)
    single, _ = model.prefill(tokens[:, SKIPPED : SKIPPED + 1], form, state=before, capacity=SKIPPED + 1)
    output = torch.cat([single.unsqueeze(1), output], 1)
    follower = Follower(model, tokens, bench.captured, prompt=LENGTH, form=form)
    steps = []
    for length in range(LENGTH + 1, LENGTH + STEPS + 1):
        follower.read_to(length)
        steps.append(follower.logits.clone())
    return output, torch.stack(steps, 1), {held.dtype for held in follower.states if held.is_floating_point()}


def _gradients(model: "LanguageModel", tokens: Tensor, form: str) -> dict[str, Tensor]:
    """Of the loss, less the first tokens; of the tokens' sum, as that of a mean underflows in float16."""
    model.zero_grad(set_to_none=True)
    hidden, _ = model.run(tokens[:, :LENGTH], form, State(0, None, []), keep_state=False)
    hidden, targets = hidden[:, SKIPPED:], tokens[:, SKIPPED + 1 : LENGTH + 1]
    (model.loss_after(hidden, targets) * targets.numel()).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def _error(found: Tensor, wanted: Tensor) -> float:
    """The error of all logits, or half of that of the worst token."""
    off, size = (found.double() - wanted).norm(dim=-1), wanted.norm(dim=-1)
    return torch.maximum(off.norm() / size.norm(), (off / size).max() / 2).item()


def _off(found: Tensor | None, wanted: Tensor) -> float:
    """The error of one parameter's gradient; infinite where there is none."""
    if found is None:
        return math.inf
    return ((found.double() - wanted).norm() / (wanted.norm() or 1.0)).item()


def _largest(told: Iterable[tuple[float, str]]) -> tuple[float, str]:
    """The first of those that are no number, or else the largest."""
    return max(told, key=lambda pair: math.inf if math.isnan(pair[0]) else pair[0])
