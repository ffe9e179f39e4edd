"""RetNet: the authors' layer, its options, and its place in the family.

`golden/retention_torchscale.json` is the authors' layer in float64 with the eps of the head norm next to 0, where the
rescaling that differs between their forms cancels. It changes only with the formula.
"""

import dataclasses
import functools
import math

import pytest
import torch
from torch.nn import functional as F

from models import _decay, _decoding, _retnet_tables, _rotary
from models._cost import Shape
from models._state import Call, State
from models.retnet import Model, Options, sizes
from tests.contract import CLOSE, EXACT, SHAPE, continued, golden_at, golden_file, relative, tokens

GOLDEN = golden_file("retention_torchscale")
golden = functools.partial(golden_at, GOLDEN)


def authors_layer(form, chunk_size, norm_eps):
    """The authors' weights in a mixer of ours, its input, output and state."""
    config = GOLDEN["config"]
    options = Options(value_factor=config["value_dim"] / config["embed_dim"], chunk_size=chunk_size, norm_eps=norm_eps)
    model = Model(Shape(config["embed_dim"], 1, config["heads"], 4), options).double()
    mixer = model.blocks[0].mixer
    with torch.no_grad():
        mixer.into.weight.copy_(torch.cat([golden("weights", f"{name}_proj.weight") for name in "qkvg"]))
        mixer.out.weight.copy_(golden("weights", "out_proj.weight"))
    call = Call(form, torch.arange(config["length"]), None, None, 0, True, None)
    call.shared = model.share(call)
    x, state = golden("inputs", "x").requires_grad_(), {}
    return mixer, x, mixer(x, call, state), state


@pytest.mark.parametrize(("form", "chunk"), [("recurrent", 8), ("parallel", 8), *(("chunkwise", n) for n in (1, 5, 8))])
def test_golden_vectors(form, chunk):
    mixer, x, y, state = authors_layer(form, chunk, 1e-30)
    torch.testing.assert_close(y, golden("outputs", "eps0", "parallel"), **CLOSE)
    torch.testing.assert_close(state["S"], golden("outputs", "final_state"), **CLOSE)
    (y * golden("inputs", "cotangent")).sum().backward()
    torch.testing.assert_close(x.grad, golden("gradients", "eps0", "x"), **CLOSE)
    parts = mixer.into.weight.grad.split([len(GOLDEN["weights"][f"{name}_proj.weight"]) for name in "qkvg"])
    for name, gradient in zip("qkvg", parts, strict=True):
        torch.testing.assert_close(gradient, golden("gradients", "eps0", f"{name}_proj.weight"), **CLOSE)
    torch.testing.assert_close(mixer.out.weight.grad, golden("gradients", "eps0", "out_proj.weight"), **CLOSE)


def test_at_the_eps_of_training_the_layer_is_near_the_authors():
    """Theirs rescales before the norm, differently in each form; ours does not, so that all of ours agree."""
    found = [authors_layer(form, 8, 1e-6)[2] for form in ("recurrent", "parallel", "chunkwise")]
    assert max(relative(y, found[0]) for y in found) < 1e-13
    for form in ("parallel", "chunkwise", "recurrent"):
        torch.testing.assert_close(found[0], golden("outputs", "eps1e-6", form), atol=1e-3, rtol=1e-3)


def test_the_forms_agree_at_the_authors_own_initial_values():
    """Where theirs are 1 to 4% apart: no parameter is moved here, the eps is that of training."""
    model = Model(Shape(width=48, layers=2, heads=3, ffn_width=20, vocabulary=11)).double()
    with torch.no_grad():
        wanted = model(tokens(length=64), "recurrent")
        assert relative(model(tokens(length=64), "parallel"), wanted) < EXACT
        assert relative(model(tokens(length=64), "chunkwise"), wanted) < EXACT


@pytest.mark.parametrize("name", ["torchscale", "paper"])
def test_presets_have_the_published_widths(name):
    options = Options(preset=name)
    factor = {"torchscale": 1.6875, "paper": 2.0}[name]
    assert (options.value_factor, options.gamma) == (factor, name)
    assert options.ffn == {"torchscale": "swiglu", "paper": "gelu"}[name]
    assert Model.default_ffn_width(2048, options) == factor * 2048


def test_the_paper_s_layer_has_twelve_squares_of_its_width():
    shape = Shape(width=64, layers=1, heads=2, ffn_width=128)
    options = Options(preset="paper")
    count = Model.mixer_count(shape, options).linear + Model.ffn_count(shape, options).linear
    assert count == 12 * 64**2


def test_an_option_given_beats_the_preset():
    options = Options(preset="paper", gamma="single", ffn="swiglu", value_factor=1.0)
    assert (options.gamma, options.ffn, options.value_factor) == ("single", "swiglu", 1.0)


@pytest.mark.parametrize("changed", [{"gate": False}, {"group_norm": False}, {"head_size": 4}, {"chunk_size": 3}])
def test_switches_keep_the_forms_one_function(changed):
    torch.manual_seed(0)
    model = Model(SHAPE, Options(**changed)).double()
    live = sum(parameter.numel() for parameter in model.parameters())
    assert Model.parameters_count(SHAPE, model.options) == live
    with torch.no_grad():
        wanted = model(tokens(), "recurrent")
        for form in ("parallel", "chunkwise"):
            assert relative(model(tokens(), form), wanted) < EXACT
        _, state = model.prefill(tokens()[:, :7])
        assert relative(continued(model, state, tokens()[:, 7:]), wanted[:, 7:]) < EXACT


def test_a_head_size_makes_the_heads():
    assert sizes(SHAPE, Options(head_size=4))[:2] == (6, 4)
    with pytest.raises(ValueError, match="head_size"):
        Model(SHAPE, Options(head_size=7))
    with pytest.raises(ValueError, match="head_size is 3; rotation turns pairs"):
        Model(SHAPE, Options(head_size=3))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"value_factor": math.inf}, "value_factor is inf; it must be finite"),
        ({"value_factor": math.nan}, "value_factor is nan; it must be finite"),
        ({"value_factor": 0.24, "head_size": 4}, "value_factor is 0.24; it must be at least 0.25"),
        ({"norm_eps": math.nan}, "norm_eps is nan; it must be finite"),
        ({"chunk_size": 0}, "chunk_size is 0; it must be at least 1"),
        ({"norm_eps": 1e-5, "group_norm": False}, "norm_eps is given without the norm it is of; leave it out, or set"),
    ],
    ids=str,
)
def test_an_option_that_cannot_be_is_refused(given, told):
    with pytest.raises(ValueError, match=f"^{told}"):
        Model(SHAPE, Options(**given))
    Model(SHAPE, Options(value_factor=0.25, head_size=4, norm_eps=1e-5, chunk_size=1))


@pytest.mark.parametrize("gamma", [(0.9,), (0.9, 0.0), (0.9, 1.5)])
def test_a_list_of_decays_must_fit(gamma):
    with pytest.raises(ValueError, match="gamma"):
        Model(SHAPE, Options(gamma=gamma))


def test_a_list_equal_to_a_schedule_is_that_schedule():
    torch.manual_seed(0)
    named = Model(SHAPE, Options(gamma="paper")).double()
    listed = Model(SHAPE, Options(gamma=_decay.schedule("paper", 2))).double()
    listed.load_state_dict(named.state_dict())
    with torch.no_grad():
        assert torch.equal(named(tokens()), listed(tokens()))


def test_learned_decays_start_at_the_schedule_and_learn():
    torch.manual_seed(0)
    fixed, learned = Model(SHAPE).double(), Model(SHAPE, Options(gamma="learned")).double()
    learned.load_state_dict(fixed.state_dict(), strict=False)
    with torch.no_grad():
        assert relative(learned(tokens()), fixed(tokens())) < 1e-6  # the logits are kept in float32 at first
    found = {}
    for form in Model.forms:
        learned.zero_grad()
        learned(tokens(), form).square().sum().backward()
        found[form] = learned.blocks[0].mixer.gamma_logit.grad.clone()
    assert found["recurrent"].abs().min() > 0
    assert relative(found["chunkwise"], found["recurrent"]) < 1e-8
    assert relative(found["parallel"], found["recurrent"]) < 1e-8


def test_without_decay_gate_norm_and_rotation_it_is_unnormalised_linear_attention():
    """The family tree: what is left is sum_{m<=n} (q_n . k_m) v_m / sqrt(n), the root standing in for the norm."""
    torch.manual_seed(0)
    options = Options(gamma="none", gate=False, group_norm=False, rotation="none")
    model = Model(dataclasses.replace(SHAPE, layers=1), options).double()
    mixer, x = model.blocks[0].mixer, torch.randn(2, 13, SHAPE.width, dtype=torch.float64)
    call = Call("chunkwise", torch.arange(13), None, None, 0, False, None)
    call.shared = model.share(call)
    q, k, v = (
        part.unflatten(-1, (2, -1)).transpose(1, 2)
        for part in F.linear(x, mixer.into.weight).split([24, 24, mixer.heads * mixer.V], -1)
    )
    y = (q @ k.mT * mixer.K**-0.5).tril() @ v / torch.arange(1, 14).double().sqrt().unsqueeze(-1)
    wanted = F.linear(y.transpose(1, 2).flatten(2), mixer.out.weight)
    assert relative(mixer(x, call, {}), wanted) < EXACT


def test_decoding_writes_into_the_state():
    model = Model(SHAPE)
    with torch.no_grad():
        _, state = model.prefill(tokens())
        held = state.layers[0]["S"].data_ptr()
        _, after = model.step(tokens()[:, 0], state)
    assert isinstance(after, State)
    assert after.layers[0]["S"].data_ptr() == held


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(("seen", "length"), [(0, 5), (1022, 2), (1022, 3), (1024, 1), (5000, 1), (700, 3000)])
def test_rotations_are_those_of_their_positions_wherever_tables_end(seen, length, padded):
    padding = torch.tensor([0, 3]) if padded else None
    positions = torch.arange(seen, seen + length)
    if padded:
        positions = positions - padding.unsqueeze(1)
    call = Call("recurrent", positions, None, padding, seen, True, None)
    found = _retnet_tables.turn(_rotary.retnet_angles, 6, call, torch.float64)
    given = positions.clamp(min=0).unsqueeze(1) if padded else positions
    right = _rotary.turns(given, _rotary.retnet_angles(6), torch.float64)
    assert found.shape == (2, *right.shape)
    torch.testing.assert_close(found, torch.stack([right, right * 6**-0.5]), rtol=0, atol=1e-15)


@torch.no_grad()
@pytest.mark.parametrize("padding", [None, (0, 3, 1), (0,)])
def test_a_step_on_a_gpu_is_given_a_rotation_of_each_sequence_or_of_all(monkeypatch, padding):
    step = pytest.importorskip("models._kernels.step", reason="Triton is for Linux", exc_type=ImportError)
    given = []
    monkeypatch.setattr(_decoding, "read", lambda x, *asked, **how: (x, None))
    monkeypatch.setattr(step, "step_", lambda *asked: given.append(asked))
    model, padding = Model(SHAPE, Options()), None if padding is None else torch.tensor(padding)
    rows = 3 if padding is None else len(padding)
    _, state = model.prefill(torch.ones(rows, 5, dtype=torch.int64), padding=padding)
    positions = torch.tensor([5]) if padding is None else 5 - padding.unsqueeze(1)
    call = Call("recurrent", positions, None, padding, 5, True, None)
    call.shared = model.share(call)
    with pytest.raises(TypeError):  # once it has been asked
        model.blocks[0].mixer.decode(torch.ones(rows, 1, SHAPE.width), None, model.norm, call, state.layers[0])
    assert given[0][1].shape == (2, 1 if padding is None else rows, SHAPE.width // SHAPE.heads // 2)


def test_tables_of_rotations_stay_small_however_far_tokens_are():
    """What a state of one size is worth would be lost beside a table of all positions."""
    _retnet_tables._table.cache_clear()
    for seen in (0, 2000, 60_000):
        call = Call("recurrent", torch.arange(seen, seen + 1), None, None, seen, True, None)
        turn = _retnet_tables.turn(_rotary.retnet_angles, 64, call, torch.float32)
        assert turn.untyped_storage().nbytes() <= 2 * 1024 * 32 * 8
