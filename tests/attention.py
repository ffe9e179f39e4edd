"""What the tests of softmax and of linear attention share: small models, one mixer alone, and passes from any state."""

import torch

from models._cost import Shape
from models._lm import LanguageModel
from models._state import Call, State
from tests.contract import continued, relative, tokens

SHAPE = Shape(width=24, layers=2, heads=6, ffn_width=10, vocabulary=11, max_length=37)


def build(kind: type[LanguageModel], shape: Shape = SHAPE, dtype=torch.float64, seed: int = 0, **options):
    """A model whose every parameter is away from its initial value."""
    torch.manual_seed(seed)
    model = kind(shape, kind.Options(**options)).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def call_of(model: LanguageModel, form: str, length: int, keep_state: bool = False) -> Call:
    """What a mixer is told in the first pass over `length` unpadded tokens."""
    call = Call(form, torch.arange(length), None, None, 0, keep_state, None)
    call.shared = model.share(call)
    return call


def gradients(model: LanguageModel, loss: torch.Tensor) -> torch.Tensor:
    """Of all parameters, one after the other."""
    model.zero_grad(set_to_none=True)
    loss.backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def largest_disagreement(model: LanguageModel, batch: int, lengths: tuple[int, int, int], padded: bool) -> float:
    """Of all forms with the recurrence, in a pass of `lengths[1]` tokens after one of `lengths[0]`, before steps.

    In outputs, which must also be those of one pass over everything, in what is carried on, and in all gradients.
    """
    before, now, _ = lengths
    padding = torch.arange(batch) % before if padded and before else None
    text, found, worst = tokens(batch, sum(lengths)), {}, []
    for form in model.forms:
        state = State(0, padding, [])
        if before:
            _, state = model.prefill(text[:, :before], form, padding)
        logits, state = model.prefill(text[:, before : before + now], form, state=state)
        kept = torch.cat([part.flatten() for layer in state.layers for part in real(layer, padding)])
        rest = continued(model, state, text[:, before + now :])
        loss = logits.sin().sum() + rest.sin().sum() + kept.sin().sum()
        outputs = torch.cat([logits.unsqueeze(1), rest], 1)
        worst.append(relative(outputs, model(text, form, padding)[:, before + now - 1 :]))
        found[form] = outputs, kept, gradients(model, loss)
    for other in found.values():
        worst += [relative(part, wanted) for part, wanted in zip(other, found["recurrent"], strict=True)]
    return max(worst)


def real(layer: dict[str, torch.Tensor], padding: torch.Tensor | None) -> list[torch.Tensor]:
    """The state of a layer, a cache `k` and `v` [B, G, S, K] without its slots of padding, which mean nothing."""
    if padding is None or "k" not in layer:
        return list(layer.values())
    slots = torch.arange(layer["k"].shape[2])
    return [tensor.masked_fill((slots < padding[:, None])[:, None, :, None], 0) for tensor in layer.values()]
