"""The language-model shell that every architecture shares, and what an architecture must state about itself.

Letters: B batch, T tokens, V vocabulary, D width, F feed-forward width, H heads, L layers.

A model is an embedding, L blocks (norm, mixer, norm, feed-forward), a norm and a head. The mixer is the architecture;
everything else is common, so that a comparison of two models compares their mixers. There are three ways in, the same
for every model:

    forward(tokens, form)  -> logits [B, T, V]         scoring; `loss` of training is its mean cross-entropy
    prefill(tokens)        -> logits [B, V], state     a whole prompt at once
    step(token, state)     -> logits [B, V], state     one more token

`form` says how the mixer is computed; all forms of a model compute the same function.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models import _decoding, _loss
from models._cost import Chosen, CommonOptions, Cost, Shape
from models._layers import Block, FeedForward, added, known
from models._norm import RMSNorm
from models._portions import portions
from models._state import Call, State

Operation = tuple[Callable[..., Tensor], list[Tensor]]  # a function of tensors, and its inputs


class LanguageModel(Cost, nn.Module):
    """The shell. An architecture subclasses it as `Model` and states what follows.

    Mixers and feed-forwards are modules called as `module(x [B, T, D], call, state) -> [B, T, D]`. They read their
    entries of `state`, a dict that is empty at the start of a sequence, and, where `call.keep_state`, replace them by
    those after the last token. Where gradients are off they may update tensors of the state in place.
    """

    title: ClassVar[str]  # as the field writes it
    colour: ClassVar[str]  # of the model in every figure, with
    marker: ClassVar[str]  # its marker
    citation: ClassVar[str]
    forms: ClassVar[tuple[str, ...]]  # every form that some options offer
    default_form: ClassVar[str]  # that it trains in where none is asked for
    tuned: ClassVar[tuple[dict[str, Any], ...]] = ({},)  # options, each with a `layers_title` of its own

    Options: ClassVar[type[CommonOptions]] = CommonOptions

    def __init__(self, shape: Shape, options: Chosen | None = None):
        super().__init__()
        self.shape = shape
        self.options: Chosen = options if options is not None else self.Options()
        self.check(self.shape, self.options)
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.embedding_norm = self.build_embedding_norm()
        self.blocks = nn.ModuleList(
            Block(self.build_norm(), self.build_mixer(layer), self.build_norm(), self.build_ffn(layer))
            for layer in range(shape.layers)
        )
        self.norm = self.build_norm()
        self.head = nn.Linear(shape.width, shape.vocabulary, bias=False)
        self.initialise()

    @property
    def layers_title(self) -> str:
        """The row of `_portions.TABLE`: the title, and what options make other sizes of its layers."""
        return self.title

    # What an architecture states --------------------------------------------------------------------------------

    def build_mixer(self, layer: int) -> nn.Module:
        raise NotImplementedError(f"{type(self).__name__} does not say what its mixer is")

    def build_ffn(self, layer: int) -> nn.Module:
        return FeedForward(self.shape.width, self.shape.ffn_width, self.options.ffn)

    def build_norm(self) -> nn.Module:
        return RMSNorm(self.shape.width)

    def build_embedding_norm(self) -> nn.Module:
        return nn.Identity()

    def initialise(self) -> None:
        """Normal(0, 0.02), and 0.02/sqrt(2L) for the matrices that write into the residual stream (GPT-2): those of
        mixers and feed-forwards that are called `out`."""
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                residual = name.endswith("out.weight")
                nn.init.normal_(parameter, std=0.02 / (math.sqrt(2 * self.shape.layers) if residual else 1.0))

    def share(self, call: Call) -> Any:
        """What all layers need of the positions of one pass, made once (rotations, decay matrices)."""
        return None

    @classmethod
    def check(cls, shape: Shape, options: Chosen) -> None:
        """Raises ValueError, saying what was given, what is allowed and the fix, where the sizes do not fit."""
        for field in dataclasses.fields(shape):
            if getattr(shape, field.name) < 1:
                raise ValueError(f"{field.name} is {getattr(shape, field.name)}; it must be at least 1")
        if shape.width % shape.heads:
            raise ValueError(f"heads is {shape.heads}, which does not divide the width {shape.width}; change either")
        for name, allowed in options.CHOICES.items():
            if getattr(options, name) not in allowed:
                raise ValueError(f"{name} is {getattr(options, name)!r}; allowed are {', '.join(allowed)}")

    @classmethod
    def counts_on_device(cls, options: Chosen) -> bool:
        """Whether `step` takes its place from a state's `position`, and keeps the sizes of all tensors of the state."""
        return False

    @classmethod
    def steps_by_programs(cls, options: Chosen) -> bool:
        """Whether the programs of `_kernels` take a decode step whole, reading and writing the state once, in place."""
        return cls.counts_on_device(options) and getattr(options, "implementation", "auto") != "torch"

    @classmethod
    def available_forms(cls, options: Chosen) -> tuple[str, ...]:
        """The forms that these options can be computed in."""
        return cls.forms

    @classmethod
    def operation(cls, shape: Shape, options: Chosen, batch: int, length: int, like: Tensor) -> Operation | None:
        """What one mixer does over time, by itself, in its training form: a function, and inputs for it from torch's
        random state, of the dtype and on the device of `like`. None where a model names none.
        """
        return None

    @classmethod
    def training_form(cls, options: Chosen) -> str:
        """The default form where these options offer it, else the first that is not the recurrence, if there is one."""
        offered = cls.available_forms(options)
        parallel = [form for form in offered if form != "recurrent"]
        return cls.default_form if cls.default_form in offered else [*parallel, *offered][0]

    # The three ways in ------------------------------------------------------------------------------------------

    def forward(
        self, tokens: Int[Tensor, "B T"], form: str | None = None, padding: Int[Tensor, "B"] | None = None
    ) -> Float[Tensor, "B T V"]:
        """Logits of the next token at every position. `padding` counts the slots to ignore on each sequence's left."""
        hidden, _ = self.run(tokens, form, State(0, padding, []), keep_state=False)
        return self.head(hidden)

    def loss(
        self, tokens: Int[Tensor, "B T"], targets: Int[Tensor, "B T"], form: str | None = None
    ) -> Float[Tensor, ""]:
        """Mean cross-entropy of the targets in nats, in float32 at least; long vocabularies never see all their logits.

        A model with a forward pass or a head of its own is scored by its own logits.
        """
        if type(self).forward is not LanguageModel.forward:
            return _loss.of_logits(self(tokens, form), targets)
        hidden, _ = self.run(tokens, form, State(0, None, []), keep_state=False)
        return self.loss_after(hidden, targets)

    def loss_after(self, hidden: Float[Tensor, "B T D"], targets: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
        """`loss` of hidden states after the last norm."""
        head = self.head
        plain = type(head) is nn.Linear and head.bias is None
        return _loss.cross_entropy(hidden, head.weight, targets) if plain else _loss.of_logits(head(hidden), targets)

    def prefill(
        self,
        tokens: Int[Tensor, "B T"],
        form: str | None = None,
        padding: Int[Tensor, "B"] | None = None,
        state: State | None = None,
        capacity: int | None = None,
    ) -> tuple[Float[Tensor, "B V"], State]:
        """Logits after the last token, and the state there. `capacity` reserves token slots in states that grow.

        A prompt may be read in pieces, each from the state after the one before. `padding` belongs to the first: a
        later piece knows it from the state, as long as it is more than one token, which is never taken for padding.
        Raises ValueError where a later piece is given some.
        """
        if padding is not None and state is not None:
            raise ValueError("padding is given with a state, which keeps that of the first piece; leave padding away")
        start = state if state is not None else State(0, padding, [])
        hidden, after = self.run(tokens, form, start, capacity=capacity)
        return self.head(hidden[:, -1]), after

    def step(self, token: Int[Tensor, "B"], state: State) -> tuple[Float[Tensor, "B V"], State]:
        """Logits after one more token of each sequence. Consumes `state`."""
        x, delta, after = self.passed(token.unsqueeze(1), "recurrent", state)
        if _decoding.fits(x, "recurrent"):
            if known(self.norm):
                return _decoding.read(x, delta, self.norm, self.head.weight)[1], after
            delta = _decoding.summed(delta, x)
        return self.head(added(x, delta, self.norm)[1][:, 0]), after

    def run(
        self,
        tokens: Int[Tensor, "B T"],
        form: str | None,
        state: State,
        keep_state: bool = True,
        capacity: int | None = None,
    ) -> tuple[Float[Tensor, "B T D"], State]:
        """The pass under `forward` and `prefill`: hidden states after the last norm, and the state after the last one.

        Raises ValueError for a form that the model's options do not offer.
        """
        form = form or self.training_form(self.options)
        x, delta, after = self.passed(tokens, form, state, keep_state, capacity)
        delta = _decoding.summed(delta, x) if _decoding.fits(x, form) else delta
        return added(x, delta, self.norm)[1], after

    def passed(
        self,
        tokens: Int[Tensor, "B T"],
        form: str,
        state: State,
        keep_state: bool = True,
        capacity: int | None = None,
    ) -> tuple[Float[Tensor, "B T D"], Tensor | None, State]:
        """`run` before the last norm: x and what is to be added to it, as the last block gives them, and the state."""
        if form not in (offered := self.available_forms(self.options)):
            raise ValueError(f"{self.title} has no form {form!r} with these options; it has {', '.join(offered)}")
        length = tokens.shape[1]
        if state.position is None:
            positions = torch.arange(state.seen, state.seen + length, device=tokens.device)
        else:
            positions = state.position.unsqueeze(0)
        valid = None
        if state.padding is not None:
            positions = positions - state.padding.unsqueeze(1)
            if state.seen == 0 or length > 1:
                valid = positions >= 0
        call = Call(form, positions, valid, state.padding, state.seen, keep_state, capacity, state.position)
        call.portions = portions(self.layers_title, self.shape.width)
        x, delta = self.embedding_norm(_decoding.embedded(self.embedding, tokens)), None
        call.shared = self.share(call)  # after the embedding: see `_kernels.early`
        layers = [dict(layer) for layer in state.layers] or [{} for _ in self.blocks]
        again = self.options.recompute and torch.is_grad_enabled() and not (keep_state or state.layers)
        for block, layer in zip(self.blocks, layers, strict=True):
            if again:
                x = x if delta is None else x + delta  # one tensor to keep
                x, delta = checkpoint(block, x, None, call, layer, use_reentrant=False, preserve_rng_state=False)
            else:
                x, delta = block(x, delta, call, layer)
        return x, delta, State(state.seen + length, state.padding, layers, state.position)
