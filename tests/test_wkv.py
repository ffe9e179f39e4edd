"""WKV against the authors' numbers, against plain exponentials, and each form against the recurrence."""

import json
import pathlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models import _wkv
from tests.contract import relative

FORMS = ("recurrent", "scan", "chunkwise")
PARALLEL = ("scan", "chunkwise")
every_form = pytest.mark.parametrize("form", FORMS)
every_parallel_form = pytest.mark.parametrize("form", PARALLEL)


def golden():
    path = pathlib.Path(__file__).parent / "golden" / "rwkv4_wkv.json"
    return json.loads(path.read_text(encoding="utf-8"))


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def inputs(batch=2, length=29, channels=5, spread=3.0, seed=0, dtype=torch.float64):
    """k, v, w, u and a state (m, p, q) that holds something, all wanting gradients."""
    generator = torch.Generator().manual_seed(seed)
    k, v = (torch.randn(batch, length, channels, generator=generator, dtype=torch.float64) for _ in range(2))
    w = -torch.exp(2 * torch.randn(channels, generator=generator, dtype=torch.float64))
    u, m, p = (
        torch.randn(*size, channels, generator=generator, dtype=torch.float64) for size in ((), (batch,), (batch,))
    )
    q = 0.1 + torch.rand(batch, channels, generator=generator, dtype=torch.float64)
    return [x.to(dtype).requires_grad_() for x in (spread * k, v, w, u, m, p, q)]


def sums(state):
    """What the triple stands for."""
    m, p, q = state
    return p * m.exp(), q * m.exp()


def plain(k, v, w, u, a, b):
    """The formula with plain exponentials: averages, and the sums after the last token."""
    ys = []
    for k_t, v_t in zip(k.unbind(1), v.unbind(1), strict=True):
        ys.append((a + torch.exp(u + k_t) * v_t) / (b + torch.exp(u + k_t)))
        a, b = torch.exp(w) * a + torch.exp(k_t) * v_t, torch.exp(w) * b + torch.exp(k_t)
    return torch.stack(ys, 1), a, b


def outcome(form, arguments):
    """Averages, final sums, and gradients with respect to all arguments of a loss that knows all of these."""
    y, state = _wkv.wkv(*arguments[:4], tuple(arguments[4:]), form)
    loss = (y * torch.cos(torch.arange(y.numel(), dtype=y.dtype)).view_as(y)).sum()
    loss = loss + sum((x / (1 + x.detach().abs())).sum() for x in sums(state))
    return [y, *sums(state), *torch.autograd.grad(loss, arguments)]


NAMES = ("y", "a", "b", "dk", "dv", "dw", "du", "dm", "dp", "dq")


def assert_same(found, wanted, tolerance):
    for name, x, y in zip(NAMES, found, wanted, strict=True):
        assert relative(x, y) < tolerance, name


# The authors' numbers ---------------------------------------------------------------------------------------------


@every_form
def test_golden_output_state_and_gradients(form):
    file = golden()
    decay, u = (tensor(file["weights"][name]).requires_grad_() for name in ("w (time_decay)", "u (time_first)"))
    k, v = (tensor(file["inputs"][name]).requires_grad_() for name in "kv")
    y, state = _wkv.wkv(k, v, -torch.exp(decay), u, _wkv.empty(k.shape[0], k.shape[2], k), form)
    found = torch.autograd.grad((y * tensor(file["inputs"]["cotangent"])).sum(), (decay, u, k, v))
    wanted, after = file["outputs"], file["outputs"]["final_state"]
    torch.testing.assert_close(y, tensor(wanted["y"]), atol=1e-11, rtol=1e-11)
    for x, name in zip(sums(state), ("aa", "bb"), strict=True):
        torch.testing.assert_close(x, tensor(after[name]) * tensor(after["pp"]).exp(), atol=1e-11, rtol=1e-11)
    for gradient, name in zip(found, "wukv", strict=True):
        torch.testing.assert_close(gradient, tensor(file["gradients"][name]), atol=1e-11, rtol=1e-11)


@every_form
def test_golden_from_a_state(form):
    file = golden()
    start, wanted = file["inputs"]["initial_state"], file["outputs"]["from_initial_state"]
    state = tuple(tensor(start[name]) for name in ("pp", "aa", "bb"))
    w, u = -torch.exp(tensor(file["weights"]["w (time_decay)"])), tensor(file["weights"]["u (time_first)"])
    y, state = _wkv.wkv(tensor(file["inputs"]["k"]), tensor(file["inputs"]["v"]), w, u, state, form)
    torch.testing.assert_close(y, tensor(wanted["y"]), atol=1e-11, rtol=1e-11)
    for x, name in zip(sums(state), ("aa", "bb"), strict=True):
        after = wanted["final_state"]
        torch.testing.assert_close(x, tensor(after[name]) * tensor(after["pp"]).exp(), atol=1e-11, rtol=1e-11)


# The forms are one function ---------------------------------------------------------------------------------------


def test_the_recurrence_is_the_formula():
    arguments = inputs()
    y, *state = outcome("recurrent", arguments)[:3]
    m, p, q = arguments[4:]
    wanted = plain(*arguments[:4], *sums((m, p, q)))
    for found, x in zip((y, *state), wanted, strict=True):
        assert relative(found, x) < 1e-12


@every_parallel_form
@given(
    batch=st.integers(1, 3), length=st.integers(1, 40), channels=st.integers(1, 4), seed=st.integers(0, 99),
    spread=st.sampled_from([0.3, 3.0, 30.0]),
)  # fmt: skip
def test_forms_agree_in_output_state_and_gradients(form, batch, length, channels, seed, spread):
    arguments = inputs(batch, length, channels, spread, seed)
    assert_same(outcome(form, arguments), outcome("recurrent", arguments), 1e-9)


@every_parallel_form
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 16, 17, 63, 64, 65, 257])
def test_forms_agree_at_lengths_around_powers_and_squares(form, length):
    arguments = inputs(length=length)
    assert_same(outcome(form, arguments), outcome("recurrent", arguments), 1e-9)


@every_parallel_form
def test_gradients_equal_finite_differences(form):
    arguments = inputs(batch=1, length=6, channels=2, spread=1.0)

    def function(k, v, w, u, m, p, q):
        y, state = _wkv.wkv(k, v, w, u, (m, p, q), form)
        return y, *sums(state)

    assert torch.autograd.gradcheck(function, arguments)


@every_form
def test_a_state_goes_on_where_the_sequence_was_cut(form):
    k, v, w, u, *state = (x.detach() for x in inputs(length=23))
    whole, after = _wkv.wkv(k, v, w, u, tuple(state), form)
    for cut in (1, 8, 22):
        first, between = _wkv.wkv(k[:, :cut], v[:, :cut], w, u, tuple(state), form)
        second, end = _wkv.wkv(k[:, cut:], v[:, cut:], w, u, between, form)
        assert relative(torch.cat((first, second), 1), whole) < 1e-13
        assert all(relative(x, y) < 1e-13 for x, y in zip(sums(end), sums(after), strict=True))


@every_form
def test_gradients_pass_through_a_state(form):
    arguments = inputs(length=23)
    k, v, w, u, *state = arguments
    outcomes = []
    for cut in (0, 9):
        y, between = [], tuple(state)
        for part in (slice(0, cut), slice(cut, None)):
            if k[:, part].shape[1]:
                more, between = _wkv.wkv(k[:, part], v[:, part], w, u, between, form)
                y.append(more)
        outcomes.append(torch.autograd.grad((torch.cat(y, 1) ** 2).sum() + sums(between)[0].sum(), arguments))
    assert all(relative(x, y) < 1e-11 for x, y in zip(outcomes[1], outcomes[0], strict=True))


@every_form
def test_the_future_has_no_gradient_at_all(form):
    arguments = inputs(length=21, spread=20.0)
    for t in (0, 7, 19):
        y, _ = _wkv.wkv(*arguments[:4], tuple(arguments[4:]), form)
        for gradient in torch.autograd.grad(y[:, t].pow(2).sum(), arguments[:2]):
            assert (gradient[:, t + 1 :] == 0).all()
            assert (gradient[:, : t + 1] != 0).any()


@pytest.mark.parametrize("sweep", [_wkv.scan, _wkv.chunks])
@pytest.mark.parametrize("backwards", [False, True])
@given(elements=st.integers(1, 50), batch=st.integers(1, 2))
def test_a_sweep_runs_any_recurrence_both_ways(sweep, backwards, elements, batch):
    links, x = torch.randn(batch, elements - 1, 3, dtype=torch.float64), torch.randn(batch, elements, 3).double()
    wanted_sum, wanted_maximum = x.clone(), x.clone()
    for t in reversed(range(elements - 1)) if backwards else range(1, elements):
        near, link = (t + 1, links[:, t]) if backwards else (t - 1, links[:, t - 1])
        wanted_sum[:, t] += link * wanted_sum[:, near]
        wanted_maximum[:, t] = torch.maximum(wanted_maximum[:, t], wanted_maximum[:, near] + link)
    for recurrence, wanted in ((_wkv.SUM, wanted_sum), (_wkv.MAXIMUM, wanted_maximum)):
        found = x.clone()
        sweep(links, found, recurrence, backwards)
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


# What it is -------------------------------------------------------------------------------------------------------


@every_form
def test_without_decay_and_bonus_it_is_aft_simple(form):
    k, v, *_ = (x.detach() for x in inputs())
    zero = torch.zeros(k.shape[2], dtype=k.dtype)
    y, state = _wkv.wkv(k, v, zero, zero, _wkv.empty(k.shape[0], k.shape[2], k), form)
    weights = torch.exp(k)
    assert relative(y, torch.cumsum(weights * v, 1) / torch.cumsum(weights, 1)) < 1e-13
    assert all(relative(x, z) < 1e-13 for x, z in zip(sums(state), ((weights * v).sum(1), weights.sum(1)), strict=True))


@every_form
def test_an_average_stays_within_its_values(form):
    k, v, w, u, *_ = (x.detach() for x in inputs(spread=50.0))
    y, _ = _wkv.wkv(k, v, w, u, _wkv.empty(k.shape[0], k.shape[2], k), form)
    assert (y <= torch.cummax(v, 1).values + 1e-12).all()
    assert (y >= torch.cummin(v, 1).values - 1e-12).all()


@every_form
def test_keys_of_nothing_count_for_nothing(form):
    arguments = [x.detach().clone() for x in inputs(length=11)]
    k, v, w, u = arguments[:4]
    lead = torch.full_like(k[:, :6], _wkv.NOTHING)
    padded_k = torch.cat((lead, k), 1).requires_grad_()
    padded_v = torch.cat((torch.full_like(lead, 1e3), v), 1).requires_grad_()
    state = _wkv.empty(k.shape[0], k.shape[2], k)
    wanted, after = _wkv.wkv(k, v, w, u, state, form)
    found, padded_after = _wkv.wkv(padded_k, padded_v, w, u, state, form)
    assert torch.equal(found[:, 6:], wanted) or relative(found[:, 6:], wanted) < 1e-13
    assert all(relative(x, y) < 1e-13 for x, y in zip(sums(padded_after), sums(after), strict=True))
    for gradient in torch.autograd.grad(found[:, 6:].pow(2).sum(), (padded_k, padded_v)):
        assert (gradient[:, :6] == 0).all()
        assert gradient.isfinite().all()
