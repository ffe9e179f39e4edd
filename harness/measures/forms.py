"""Whether a model's forms compute one function: the first thing that is measured of it, and held to a tolerance.

The point's own options and heads, in small: a width that the heads leave, two layers, `LENGTH` tokens, which no chunk
divides. Every parameter is moved off its initial value, where zeros would hide mistakes. Each form is compared with the
recurrent one, step by step, which is the definition: in the logits, in what the state at the end is worth, namely the
logits of `STEPS` more steps from it, and in the gradient of both with respect to every parameter. A difference is the
largest absolute one over the largest absolute value; what is told is the worst of all forms, and of all parameters.
The steps are compared with one pass over all tokens as well, for forms that forget between calls would agree.

Where programs of our own compute what is timed, they do in short formats alone. There the forms are compared in the
point's dtype and at its size of heads as well: see `harness.agreement`.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from harness.measures import Failure, FormsDisagree, Metric, Progress, Sample
from harness.point import Point

if TYPE_CHECKING:
    from torch import Tensor

    from harness.bench import Bench
    from models._cost import Shape

BATCH, LENGTH, STEPS = 2, 149, 5
LAYERS, VOCABULARY, FFN_WIDTH = 2, 23, 24
HEAD_SIZES = (8, 12, 16, 32, 64, 128)  # the first that the model accepts
NOISE = 0.1  # added to each parameter
UNROUNDED = "float32"  # of the option `state_dtype`: at least
TOLERANCES = {"float64": 1e-8, "float32": 1e-3}  # float32 only where the device has no float64


class Measure:
    title = "Forms"
    metrics = {
        "output_difference": Metric("1", "lower", "largest relative difference in logits between the forms"),
        "state_difference": Metric("1", "lower", "the same in the logits of the steps that follow"),
        "gradient_difference": Metric("1", "lower", "the same in the gradients of all parameters"),
        "output_error": Metric("1", "lower", "of a token's logits in the point's dtype beside float64; CUDA alone"),
        "state_error": Metric("1", "lower", "the same of tokens that are decoded after a prompt"),
        "gradient_error": Metric("1", "lower", "the same of a parameter's gradient"),
    }
    factors: tuple[str, ...] = ()
    trains = False
    reads_corpus = False
    every_dtype_on = ("cuda",)  # where programs of our own compute

    def run(self, point: Point, bench: "Bench") -> Iterator[Sample | Progress]:
        import torch

        dtype = "float32" if point.device == "mps" else "float64"
        small = dataclasses.replace(bench.point, dtype=dtype, **dataclasses.asdict(_small(bench)))
        model = type(bench)(small).model()
        _check_count(model, bench)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(NOISE * torch.randn_like(parameter))
        tokens = torch.randint(0, VOCABULARY, (BATCH, LENGTH + STEPS)).to(point.device)
        wanted = _computed(model, tokens, "recurrent")
        worst = dict.fromkeys(wanted, (0.0, ""))
        for form in bench.kind.available_forms(bench.options):
            found = _computed(model, tokens, form)
            for metric, told in worst.items():
                for part, value in wanted[metric].items():
                    told = max(told, (_relative(found[metric][part], value), f"{form} {part}".strip()), key=_size)
                worst[metric] = told
        told = _against_one_pass(model, tokens, wanted["state_difference"][""], bench)
        worst["state_difference"] = max(worst["state_difference"], told, key=_size)
        for metric, (difference, _) in worst.items():
            if math.isfinite(difference):
                yield Sample(metric, difference)
        wrong = [f"{m} {d:.1e} ({where})" for m, (d, where) in worst.items() if not d <= TOLERANCES[dtype]]
        if wrong:
            raise FormsDisagree(f"{', '.join(wrong)}; at most {TOLERANCES[dtype]:g} is rounding")
        if point.device in self.every_dtype_on and point.dtype != dtype:
            from harness import agreement

            errors = agreement.errors(bench)
            yield from (Sample(error.metric, error.value) for error in errors)
            wrong = [str(error) for error in errors if not error.value <= error.allowed]
            if wrong:
                raise FormsDisagree(f"in {point.dtype} at the model's own width: {', '.join(wrong)}")


class Miscounted(Failure):
    """A model states other parameters than it has, by which its budget is held."""

    verdict = True


def _check_count(model: Any, bench: "Bench") -> None:
    stated = bench.kind.parameters_count(model.shape, bench.options)
    there = sum(parameter.numel() for parameter in model.parameters())
    if stated != there:
        fix = "mend its mixer_count, or what else it counts"
        raise Miscounted(f"it states {stated:,} parameters and has {there:,} at this size; {fix}")


def _small(bench: "Bench") -> "Shape":
    """The smallest shape with the point's heads that the model accepts; its own where none of the small ones is."""
    for size in HEAD_SIZES:
        shape = dataclasses.replace(
            bench.shape,
            width=size * bench.shape.heads,
            layers=min(LAYERS, bench.shape.layers),
            ffn_width=FFN_WIDTH,
            vocabulary=VOCABULARY,
            max_length=LENGTH + STEPS,
        )
        try:
            bench.kind.check(shape, bench.options)
        except ValueError:
            continue
        return shape
    return dataclasses.replace(bench.shape, max_length=LENGTH + STEPS)


def _computed(model: Any, tokens: "Tensor", form: str) -> dict[str, dict[str, "Tensor"]]:
    """Logits, logits of the steps after them, and gradients by parameter, under the metric that compares them.

    Raises FormsDisagree where a parameter has no part in them.
    """
    import torch

    from models._state import State

    model.zero_grad(set_to_none=True)
    hidden, state = model.run(tokens[:, :LENGTH], form, State(0, None, []), capacity=LENGTH + STEPS)
    output, steps = model.head(hidden), []
    for token in tokens[:, LENGTH:].unbind(1):
        logits, state = model.step(token, state)
        steps.append(logits)
    after = torch.stack(steps, 1)
    weights = torch.sin(torch.arange(output.numel(), dtype=output.dtype, device=output.device)).view_as(output)
    ((output * weights).sum() + (after**2).sum()).backward()
    if unused := [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]:
        more = f" and {len(unused) - 1} more" if len(unused) > 1 else ""
        fix = "let the mixer return what it computes, with all of its parameters in it"
        raise FormsDisagree(f"no gradient reaches {unused[0]}{more} in the form {form}; {fix}")
    return {
        "output_difference": {"": output.detach()},
        "state_difference": {"": after.detach()},
        "gradient_difference": {name: p.grad for name, p in model.named_parameters() if p.grad is not None},
    }


def _against_one_pass(model: Any, tokens: "Tensor", steps: "Tensor", bench: "Bench") -> tuple[float, str]:
    """How far the steps after a state are from one pass over all tokens: where every form forgets, forms agree.

    A state that is rounded between tokens is meant to be another than within a pass: the measure `state_drift` tells.
    """
    import torch

    from models._state import State

    if getattr(bench.options, "state_dtype", UNROUNDED) != UNROUNDED:
        return 0.0, ""
    form = bench.kind.training_form(bench.options)
    with torch.no_grad():
        hidden, _ = model.run(tokens, form, State(0, None, []), keep_state=False)
        return _relative(model.head(hidden[:, LENGTH:]), steps), f"{form} of all tokens at once"


def _size(told: tuple[float, str]) -> float:
    """What is no number is worse than any: compared as it is, it would be larger than none."""
    return math.inf if math.isnan(told[0]) else told[0]


def _relative(found: "Tensor", wanted: "Tensor") -> float:
    scale = wanted.abs().max().item()
    return (found - wanted).abs().max().item() / (scale or 1.0)
