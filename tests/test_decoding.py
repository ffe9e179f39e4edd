"""Decoding with the chosen token fed back: steps that count on the device are the steps that the host counts."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import models
from harness.decoding import Decoder, Follower
from harness.graphs import WARM_CALLS
from models import _decoding, _gate, _kernels
from models._cost import Shape
from models._layers import FeedForward, known
from models._norm import RMSNorm
from tests.contract import relative

SHAPE = Shape(width=32, layers=2, heads=2, ffn_width=48, vocabulary=97, max_length=64)
VARIANTS = {
    "retnet": {},
    "retnet, learned": {"gamma": "learned", "group_norm": False},
    "retnet, rounded": {"state_dtype": "bfloat16"},
    "retnet, no rotation": {"rotation": "none", "gate": False, "ffn": "gelu"},
    "transformer": {},
    "transformer, grouped": {"kv_heads": 1, "rotation": "xpos"},
    "transformer, eager": {"implementation": "eager", "rotation": "none"},
    "linear_attention": {},
    "linear_attention, relu": {"feature_map": "relu", "normaliser": "none", "output_norm": True},
    "linear_attention, no rotation": {"rotation": "none"},
    "linear_attention, relu and norms": {"feature_map": "relu", "rotation": "none", "output_norm": True},
    "linear_attention, taylor": {"feature_map": "taylor", "feature_size": 6},
    "linear_attention, favor": {"feature_map": "favor", "rotation": "none", "output_norm": True},
    "rwkv": {"init": "published"},  # as declared, nothing of a mixer would show
    "rwkv, common": {"ffn": "swiglu", "init": "published"},
    "aft": {},
    "aft, window of three": {"window": 3},
    "aft, simple": {"variant": "simple"},
    "aft, local": {"variant": "local"},
}


def build(name, dtype=torch.float64, device="cpu", shape=SHAPE):
    kind = models.load(name.split(",")[0])
    torch.manual_seed(3)
    return kind(shape, kind.Options(**VARIANTS[name])).to(device, dtype)


def chosen(decoder, steps):
    """The tokens of each step, [steps, B]."""
    found = []
    for _ in range(steps):
        decoder.step()
        found.append(decoder.token.clone())
    return torch.stack(found)


@torch.inference_mode()
def begun(model, device="cpu", padding=None, length=7, sequences=3):
    tokens = torch.randint(0, 97, (sequences, length), generator=torch.Generator().manual_seed(1)).to(device)
    padding = None if padding is None else torch.tensor(padding, device=device)
    return tokens[:, -1], model.prefill(tokens[:, :-1], padding=padding, capacity=length + 20)[1]


@pytest.mark.parametrize("padding", [None, (0, 2, 4)])
@pytest.mark.parametrize("name", VARIANTS)
@torch.inference_mode()
def test_steps_in_place_choose_what_steps_choose(name, padding):
    model = build(name)
    token, context = begun(model, padding=padding)
    plain, in_place = Decoder(model, token, context.clone()), Decoder(model, token, context, in_place=True)
    assert in_place._position is not None, "else the same is compared with itself"
    wanted = chosen(plain, 12)
    assert torch.equal(chosen(in_place, 12), wanted)
    assert len(wanted.unique()) > 3, "a model that repeats itself would hide a wrong position"


@pytest.mark.parametrize("name", models.names())
@torch.inference_mode()
def test_a_step_in_place_leaves_every_tensor_where_it_is(name):
    kind = models.load(name)
    model = kind(SHAPE, kind.Options())
    if not model.counts_on_device(model.options):
        pytest.skip("does not count on the device")
    token, context = begun(model)
    places = [tensor.data_ptr() for tensor in context.tensors()]
    decoder = Decoder(model, token, context, in_place=True)
    chosen(decoder, 5)
    for state in (context, decoder._state):
        assert [tensor.data_ptr() for tensor in state.tensors()] == places


@torch.inference_mode()
def test_again_is_the_same_position_again():
    """Seen in the cache: the second round writes the slots of the first."""
    model = build("transformer")
    token, context = begun(model)
    decoder = Decoder(model, token, context, in_place=True)
    for _ in range(2):
        decoder.again()
        chosen(decoder, 3)
    written = (context.layers[0]["k"] != 0).any(-1)[0, 0]
    assert written.tolist() == [True] * (6 + 3) + [False] * (27 - 9)


@pytest.mark.parametrize(
    ("name", "options"), [("transformer", {"cache": "concatenated"}), ("aft", {"variant": "full"})], ids=str
)
@torch.inference_mode()
def test_what_the_host_must_count_is_not_captured(name, options):
    kind = models.load(name)
    model = kind(SHAPE, kind.Options(**options))
    token, context = begun(model)
    decoder = Decoder(model, token, context, captured=pytest.fail, in_place=True)
    assert len(chosen(decoder, 4)) == 4


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("name", VARIANTS)
@torch.inference_mode()
def test_given_tokens_are_read_as_steps_read_them(name, in_place):
    """Even though a step that is captured runs a few times before: what those read is forgotten."""
    model = build(name)
    given = torch.randint(0, 97, (3, 15), generator=torch.Generator().manual_seed(2))

    def captured(step):
        for _ in range(WARM_CALLS):
            step()
        return step

    follower = Follower(model, given, captured, in_place)
    _, state = model.prefill(given[:, :1], capacity=15 + WARM_CALLS)
    for length, token in enumerate(given.T[1:], 2):
        logits, state = model.step(token, state)
        follower.read_to(length)
        for found, wanted in zip([follower.logits, *follower.states], [logits, *state.tensors()], strict=True):
            assert relative(found, wanted) < 1e-12, length
    assert follower.read == 15


@pytest.mark.parametrize("in_place", [False, True])
@torch.inference_mode()
def test_only_the_tokens_asked_for_are_read(in_place):
    model, given = build("retnet"), torch.arange(20).view(2, 10)
    seen, step = [], model.step
    model.step = lambda token, state: (seen.append(token.tolist()), step(token, state))[1]
    follower = Follower(model, given, in_place=in_place)
    follower.read_to(4)
    follower.read_to(3)
    follower.read_to(6)
    assert seen == [[n, 10 + n] for n in range(1, 6)]


SWITCHED = [name for name in models.names() if "torch" in models.load(name).Options.CHOICES.get("implementation", ())]


@pytest.mark.parametrize("name", SWITCHED)
@torch.inference_mode()
def test_a_step_by_torch_enters_no_program_of_a_mixer(name, monkeypatch):
    """As on a GPU, where a part that has a `decode` is asked for that; the common feed-forward's is left out."""
    kind = models.load(name)
    entered = []
    monkeypatch.delattr(FeedForward, "decode")
    for implementation in ("torch", "auto"):
        model = kind(SHAPE, kind.Options(implementation=implementation))
        token, state = begun(model)
        right, _, after = model.passed(token.unsqueeze(1), "recurrent", state.clone())
        with monkeypatch.context() as patch:
            patch.setattr(_decoding, "fits", lambda x, form: x.shape[1] == 1)
            for kept in {type(part) for part in model.blocks[0].children() if hasattr(part, "decode")}:
                patch.setattr(kept, "decode", lambda part, x, delta, *more: entered.append(type(part)) or (x, delta))
            x, _, held = model.passed(token.unsqueeze(1), "recurrent", state)
        if implementation == "torch":
            assert not entered
            assert all(map(torch.equal, [x, *held.tensors()], [right, *after.tensors()]))
    assert len(entered) == SHAPE.layers * (2 if name == "rwkv" else 1), "with auto it is asked for"


@pytest.mark.parametrize(
    ("name", "form"), [(name, form) for name in models.names() for form in models.load(name).forms]
)
@torch.inference_mode()
def test_prompts_of_one_token_take_each_sequences_own_sum(name, form, monkeypatch):
    """As on a GPU, where single tokens in the recurrent form, and they alone, have what is to be added in parts."""
    model = build(name)
    if form not in model.available_forms(model.options):
        pytest.skip("these options do not offer the form")
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # so that every mixer and feed-forward adds something
    tokens = torch.tensor([[3], [50], [96]])
    right = model(tokens, form)
    monkeypatch.setattr(_decoding, "fits", lambda x, form: form == "recurrent" and x.shape[1] == 1)
    for part in (FeedForward, *{type(part) for part in model.blocks[0].children()}):
        monkeypatch.delattr(part, "decode", raising=False)
    assert relative(model(tokens, form), right) < 1e-12


@pytest.mark.parametrize("implementation", ["auto", "torch"])
def test_gates_by_torch_enter_no_program(implementation, monkeypatch):
    asked = []
    monkeypatch.setattr(_kernels, "usable", lambda *given: asked.append(given) and False)
    x = torch.randn(3, 5)
    torch.testing.assert_close(_gate.gated(x, x, None, implementation), F.silu(x) * x)
    torch.testing.assert_close(_gate.opened(x, x, implementation), torch.sigmoid(x) * x)
    torch.testing.assert_close(_gate.squared_relu(x, implementation), torch.relu(x) ** 2)
    assert len(asked) == (3 if implementation == "auto" else 0)


class Doubled(RMSNorm):
    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize("norm", [RMSNorm(6), nn.LayerNorm(6)], ids=str)
def test_programs_know_the_norms_of_the_models(norm):
    assert known(norm)


@pytest.mark.parametrize(
    "norm", [Doubled(6), nn.LayerNorm(6, bias=False), nn.LayerNorm(6, elementwise_affine=False), nn.LayerNorm((5, 6))]
)
def test_other_norms_are_left_to_torch(norm):
    assert not known(norm)


def test_a_position_too_far_would_be_seen():
    """What the comparison above rests on: another position chooses other tokens."""
    with torch.inference_mode():
        model = build("retnet")
        token, context = begun(model)
        right, wrong = (Decoder(model, token, context.clone(), in_place=True) for _ in range(2))
        wrong._position.add_(9)
        assert not torch.equal(chosen(right, 12), chosen(wrong, 12))
