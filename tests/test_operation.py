"""What mixers do over time, taken apart: the operation that is timed is the one that the model computes."""

import pytest
import torch
from torch.nn import functional as F

import models
from harness.bench import Bench
from harness.measures import NotApplicable
from harness.measures.operation import Measure
from models import _decay, _retention, _wkv
from models._cost import Shape
from tests import tiny

SHAPE = Shape(width=24, layers=1, heads=2, ffn_width=32, vocabulary=97, max_length=64)
EXACT = torch.empty(0, dtype=torch.float64)


def taken(name, **options):
    kind = models.load(name)
    torch.manual_seed(3)
    return kind.operation(SHAPE, kind.Options(**options), 3, 19, EXACT)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("kv_heads", [None, 1])
def test_the_transformers_is_causal_attention(implementation, kv_heads):
    run, (q, k, v) = taken("transformer", implementation=implementation, kv_heads=kv_heads)
    torch.testing.assert_close(run(q, k, v), F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True))


@pytest.mark.parametrize("gamma", ["paper", "learned", "none"])
def test_retnets_is_retention(gamma):
    run, (q, k, v, *decay) = taken("retnet", gamma=gamma, value_factor=2.0)
    assert len(decay) == (gamma == "learned")
    assert (q.shape, v.shape) == ((3, 2, 19, 12), (3, 2, 19, 24))
    name = "torchscale" if gamma == "learned" else gamma  # where the default preset starts from
    decay = torch.tensor(_decay.schedule(name, 2), dtype=torch.float64).log() if not decay else decay[0]
    torch.testing.assert_close(run(q, k, v, *[decay] * (gamma == "learned")), _retention.recurrent(q, k, v, decay)[0])


def test_rwkvs_is_the_average_by_channel():
    run, (k, v, w, u) = taken("rwkv")
    right, _ = _wkv.wkv(k, v, w, u, _wkv.empty(3, 24, k), "recurrent")
    torch.testing.assert_close(run(k, v, w, u), right)


@pytest.mark.parametrize(
    ("options", "F", "divided"),
    [
        ({}, 12, True),
        ({"feature_map": "taylor", "feature_size": 2}, 6, True),
        ({"rotation": "none"}, 12, True),
        ({"normaliser": "none", "output_norm": True}, 12, False),
    ],
    ids=str,
)
def test_linear_attentions_is_retention_of_features_over_their_sums(options, F, divided):
    run, (q, k, v) = taken("linear_attention", chunk_size=5, **options)
    assert (q.shape, v.shape) == ((3, 19, 2, F), (3, 19, 2, 12))
    assert min(q.min(), k.min()) >= 0
    weights = torch.einsum("bthf,bshf->bhts", q, k).tril()
    right = torch.einsum("bhts,bshv->bthv", weights, v)
    right = right / (weights.sum(-1).mT.unsqueeze(-1) + 1e-6) if divided else right
    torch.testing.assert_close(run(q, k, v), right)


def test_afts_is_the_average_by_channel_with_biases():
    run, (k, v, table) = taken("aft", window=4)
    assert table.shape == (2, 4)
    distance = torch.arange(19).unsqueeze(-1) - torch.arange(19)
    bias = table[:, distance.clamp(0, 3)].masked_fill(distance > 3, 0).masked_fill(distance < 0, -torch.inf)
    weights = (bias.repeat_interleave(12, 0) + k.mT.unsqueeze(2)).softmax(-1)
    torch.testing.assert_close(run(k, v, table), torch.einsum("bdts,bsd->btd", weights, v))
    assert all(each.any() for each in torch.autograd.grad(run(k, v, table.requires_grad_()).sum(), [table]))


def test_simple_afts_has_no_biases():
    run, (k, v) = taken("aft", variant="simple")
    zero = torch.zeros(24, dtype=torch.float64)
    torch.testing.assert_close(run(k, v), _wkv.wkv(k, v, zero, zero, _wkv.empty(3, 24, k), "recurrent")[0])


@pytest.mark.parametrize("name", models.names())
def test_an_operation_is_timed_with_and_without_gradients(name):
    if taken(name) is None:
        pytest.skip("names no operation")
    bench = Bench(tiny.point("operation", name, options={}, batch_size=3, sequence_length=19, repeats=2))
    found = {sample.metric: sample.value for sample in Measure().run(bench.point, bench)}
    assert set(found) == set(Measure.metrics)
    assert all(value > 0 for value in found.values())
    assert found["token_ns"] == pytest.approx(1e6 * found["forward_ms"] / (bench.point.batch_size * 19))


def test_a_model_that_names_none_is_told():
    bench = Bench(tiny.point("operation", "aft", options={"variant": "local"}, batch_size=3, sequence_length=19))
    with pytest.raises(NotApplicable, match="AFT names no operation"):
        next(Measure().run(bench.point, bench))
