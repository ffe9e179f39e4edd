"""Each feature map of linear attention against the kernel that its paper states, and at the ends of its range."""

import functools
import math

import pytest
import torch
from torch.nn import functional as F

from models import _feature_maps as maps
from models._cost import Shape
from models._rotary import turns
from models._sums import EPS
from models.linear_attention import Model, Options
from tests import attention
from tests.attention import SHAPE, call_of
from tests.contract import relative, tokens

EXACT = 1e-11
FORMS = Model.forms
MAPS = Options.CHOICES["feature_map"]
build = functools.partial(attention.build, Model)


def turned(x, rotation):
    """RoPE of x [T, K] as products of complex numbers."""
    if rotation == "none":
        return x
    P = x.shape[1] // 2
    phase = torch.arange(len(x))[:, None] * 10000.0 ** (-torch.arange(P, dtype=torch.float64) / P)
    pairs = torch.complex(x[:, 0::2], x[:, 1::2]) * torch.polar(torch.ones_like(phase), phase)
    return torch.stack((pairs.real, pairs.imag), 2).flatten(1)


def kernel(q, k, feature_map, rotation, phi, head):
    """Weights of every pair of tokens, above and below the fraction, straight from the paper of each map."""
    K, place = q.shape[1], torch.arange(len(q), dtype=torch.float64)
    if feature_map in maps.KERNELS:
        q, k = turned(q, rotation), turned(k, rotation)
    if feature_map == "taylor":
        s = q @ k.T / math.sqrt(K)
        weights = 1 + s + s**2 / 2
    elif feature_map == "hedgehog":
        q, k = q @ phi.W[head], k @ phi.W[SHAPE.heads + head]
        q, k = (torch.cat((x.exp(), (-x).exp()), 1) for x in (q, k))
        weights = (q / q.sum(1, keepdim=True)) @ (k / k.sum(1, keepdim=True)).T
    elif feature_map == "favor":
        q, k = q @ phi.directions.double() / K**0.25, (k / K**0.25)
        k = k @ phi.directions.double() - k.square().sum(1, keepdim=True) / 2
        weights = (q[:, None] + k[None] - q.amax(1)[:, None, None]).exp().sum(2)
    else:
        q, k = (F.elu(x) + 1 if feature_map == "elu" else x.clamp(min=0) for x in (q, k))
        weights = q @ k.T
        if feature_map == "cosformer":
            weights = weights * (math.pi * (place[:, None] - place) / (2 * SHAPE.max_length)).cos()
            phase = math.pi * place[:, None] / (2 * SHAPE.max_length)
            q, k = (torch.cat((x * phase.cos(), x * phase.sin()), 1) for x in (q, k))
        return turned(q, rotation) @ turned(k, rotation).T, weights
    return weights, weights


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("normaliser", Options.CHOICES["normaliser"])
@pytest.mark.parametrize("rotation", Options.CHOICES["rotation"])
@pytest.mark.parametrize("feature_map", MAPS)
def test_attention_is_its_masked_matrix(form, feature_map, rotation, normaliser):
    """y = (A * mask) V over the row sums of A * mask, for the kernel A that the paper of the map states."""
    if (feature_map, normaliser) == ("favor", "none"):
        pytest.skip("refused")
    model = build(feature_map=feature_map, rotation=rotation, normaliser=normaliser, chunk_size=3)
    mixer, x = model.blocks[0].mixer, torch.randn(1, 8, SHAPE.width, dtype=torch.float64)
    with torch.no_grad():
        qk, v = mixer.into(x)[0].split((2 * mixer.heads * mixer.K, mixer.heads * mixer.V), 1)
        q, k = qk.unflatten(1, (2, mixer.heads, mixer.K)).permute(1, 2, 0, 3)
        v = v.unflatten(1, (mixer.heads, mixer.V)).transpose(0, 1)
        y = []
        for head in range(mixer.heads):
            pairs = kernel(q[head], k[head], feature_map, rotation, mixer.phi, head)
            above, below = (weights.tril() for weights in pairs)
            total = below.sum(1, keepdim=True) + EPS if normaliser == "sum" else 1.0
            y.append(above @ v[head] / total)
        wanted = torch.cat(y, 1) @ mixer.out.weight.T
        assert relative(mixer(x, call_of(model, form, 8), {})[0], wanted) < EXACT


@pytest.mark.parametrize("kind", MAPS)
def test_no_map_looks_at_another_token(kind):
    phi = maps.FeatureMap(kind, 2, 6, maps.count(kind, 6, None)).double()
    x = 3 * torch.randn(2, 9, 4, 6, dtype=torch.float64)
    wave = turns(torch.arange(9), torch.tensor([0.1]), torch.float64).unsqueeze(-2)
    torch.testing.assert_close(phi(x[:, :5], wave[:5]), phi(x, wave)[:, :5], atol=0, rtol=1e-14)
    assert phi(x, wave).shape == (2, 9, 4, maps.count(kind, 6, None))


@pytest.mark.parametrize("size", [1, 2, 5, 16])
def test_taylor_features_give_the_second_order_exactly(size):
    x = torch.randn(1, 7, 2, size, dtype=torch.float64)
    q, k = maps.taylor(x)[0].unbind(1)
    s = x[0, :, 0] @ x[0, :, 1].T / math.sqrt(size)
    torch.testing.assert_close(q @ k.T, 1 + s + s**2 / 2, atol=1e-13, rtol=1e-13)
    assert q.shape[1] == 1 + size + size * (size + 1) // 2
    assert size != 16 or q.shape[1] == 153


def test_favor_approaches_the_softmax_kernel_with_more_features():
    x, error = 0.3 * torch.randn(1, 40, 2, 8, dtype=torch.float64), {}
    wanted = (x[0, :, 0] @ x[0, :, 1].T / math.sqrt(8)).softmax(1)
    for features in (64, 1024, 16384):
        torch.manual_seed(3)
        q, k = maps.favor(x, maps.orthogonal_directions(8, features))[0].unbind(1)
        weights = q @ k.T
        error[features] = (weights / weights.sum(1, keepdim=True) - wanted).norm() / wanted.norm()
    assert error[16384] < 0.012, "unevenly spread directions come no nearer than 0.04"
    assert error[16384] < error[1024] / 2 < error[64] / 3


def test_favor_directions_are_orthogonal_drawn_from_the_seed_and_no_parameters():
    model, same, other = (build(feature_map="favor", seed=seed) for seed in (1, 1, 2))
    directions = model.blocks[0].mixer.phi.directions
    assert torch.equal(directions, same.blocks[0].mixer.phi.directions)
    assert not torch.equal(directions, other.blocks[0].mixer.phi.directions)
    assert not torch.equal(directions, model.blocks[1].mixer.phi.directions)
    assert directions.shape == (4, round(4 * math.log(4)))
    assert not [name for name, _ in model.named_parameters() if "directions" in name]
    unit = F.normalize(directions[:, :4], dim=0)
    torch.testing.assert_close(unit.T @ unit, torch.eye(4, dtype=torch.float64), atol=0.01, rtol=0)
    kept = directions.clone()
    assert torch.equal(model.bfloat16().blocks[0].mixer.phi.directions.double(), kept), "a short type keeps the map"


@pytest.mark.parametrize("feature_map", MAPS)
@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_nothing_overflows_in_sixteen_thousand_tokens(feature_map, scale):
    """Also where queries and keys are far larger than a trained model's."""
    shape = Shape(width=16, layers=1, heads=2, ffn_width=6, vocabulary=11, max_length=16384)
    torch.manual_seed(0)
    model = Model(shape, Options(feature_map=feature_map))
    model.blocks[0].mixer.into.weight.data.mul_(scale / 0.02 / 4)
    logits, state = model.prefill(tokens(1, 16384))
    logits.square().sum().backward()
    assert all(tensor.isfinite().all() for tensor in (logits, *state.tensors()))
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_wide_heads_do_not_overflow_favor():
    """The exponent of a key is at most |w|^2/2, here 128 and more: past what float32 holds."""
    phi = maps.FeatureMap("favor", 1, 256, 300)
    keys = phi.directions.T[:, None] * 256**0.25  # each key along one direction, the worst there is
    features = phi(torch.cat((keys, keys), 1).unsqueeze(0), None)
    assert features.isfinite().all()
    assert features.max() == pytest.approx(math.exp(maps.LARGEST_EXPONENT), rel=1e-4), "the bound was never reached"


def test_tokens_without_a_common_feature_give_zero():
    model = build(feature_map="relu", rotation="none")
    mixer = model.blocks[0].mixer
    with torch.no_grad():
        q, k, _ = mixer.into.weight.chunk(3)
        q.copy_(-k)  # relu(q) and relu(k) are then never positive at once, for the same token
    x = torch.randn(1, 1, SHAPE.width, dtype=torch.float64).expand(1, 5, -1).clone().requires_grad_()
    for form in FORMS:
        y = mixer(x, call_of(model, form, 5), {})
        assert (y == 0).all()
        y.sum().backward()
        assert x.grad.isfinite().all()


def test_cosformer_refuses_positions_past_its_longest():
    model = build(feature_map="cosformer")
    with torch.no_grad():
        model(tokens(2, SHAPE.max_length))
        with pytest.raises(ValueError, match=r"37 positions; for 38 tokens .* larger max_length"):
            model(tokens(2, SHAPE.max_length + 1))
        _, state = model.prefill(tokens(2, SHAPE.max_length))
        with pytest.raises(ValueError, match="max_length"):
            model.step(tokens(2, 1)[:, 0], state)
        model(tokens(2, SHAPE.max_length + 1), padding=torch.tensor([1, 4]))  # slots, but not positions, past it
