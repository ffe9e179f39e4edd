"""The cost model: answers known by hand, floors, limits of the roofline, and what grows with what."""

import dataclasses
import math

import pytest

import models
from harness import cost, hardware, network
from harness.errors import UserError
from harness.job import Job, state_bytes
from models._cost import Shape
from tests.contract import cases, label

H200 = hardware.load("h200")
OPERATORS = H200.model_copy(update={"programs": False})  # the same card without the programs of models/_kernels
PAPER_1B = Shape(2048, 24, 8, 4096, 32_000, 8200)  # RetNet's Table 2
PAPER_7B = Shape(4096, 32, 16, 8192, 32_000, 8200)
LLAMA_7B = Shape(4096, 32, 32, 11_008, 32_000, 8200)
SMALL = Shape(48, 3, 4, 112, 50, 700)
PLAIN = hardware.Machine(
    title="plain", source="made up", device="cpu", memory=10**9, flops_per_second={"float32": 1e12, "bfloat16": 4e12},
    bytes_per_second=1e11, achieved={"flops": 0.5, "bytes": 0.8}, launch_seconds=1e-6, graph_launch_seconds=1e-7,
    node_devices=4, link={"bytes_per_second": 1e10, "seconds": 1e-5},
    network={"bytes_per_second": 1e9, "seconds": 1e-4},
)  # fmt: skip


def job(model, shape, batch=8, length=8192, dtype="bfloat16", options=None, **more):
    kind = models.load(model)
    return Job(kind, shape, kind.Options(**(options or {})), batch, length, dtype, **more)


def retnet(shape=PAPER_7B, **more):
    return job("retnet", shape, options={"preset": "paper"}, **more)


# Known answers ---------------------------------------------------------------------------------------------------


def test_state_and_cache_of_the_papers_largest_model():
    """State: 512 D numbers a layer at heads of 256 and 512, in float32. Cache: 2 D numbers a token, in bfloat16."""
    assert state_bytes(retnet(batch=1)) == 32 * 512 * 4096 * 4
    assert state_bytes(job("transformer", LLAMA_7B, batch=1)) == 32 * 2 * 4096 * 8192 * 2
    assert state_bytes(job("transformer", LLAMA_7B)) == 2**35  # 32 GiB, of 8 sequences


def test_a_cache_outgrows_the_state_at_512_tokens():
    """At 256 in numbers, as the paper counts; at 512 in bytes, as a state is float32 and a cache bfloat16."""
    for dtype, crossing in (("float32", 256), ("bfloat16", 512)):
        state = state_bytes(retnet(dtype=dtype))
        assert state_bytes(job("transformer", LLAMA_7B, length=crossing, dtype=dtype)) == state
        assert state_bytes(job("transformer", LLAMA_7B, length=crossing + 1, dtype=dtype)) > state


def test_flops_of_a_small_model_by_hand():
    """No launches, no bytes: 1e12 * 0.5 FLOP/s, and every product counted here once more, of pairs 600 * 601 / 2."""
    fast = PLAIN.model_copy(update={"bytes_per_second": 1e30})
    asked = job("transformer", SMALL, batch=2, length=600, dtype="float32", options={"ffn": "gelu"})
    weights = 3 * (4 * 48**2 + 2 * 48 * 112)
    mixed = 3 * 2 * 4 * 48 * 600 * 601 // 2
    layers = 2 * 600 * 2 * weights + mixed
    assert cost.prefill(asked, fast).causes["compute"] == pytest.approx((layers + 2 * 2 * 50 * 48) / 5e11)
    step = 3 * (layers + 2 * 600 * 2 * 50 * 48)
    found = cost.training(asked, fast)
    assert found.causes["compute"] == pytest.approx((step + mixed / 2) / 5e11)  # sdpa computes its scores once more
    assert found.floor_seconds == pytest.approx(step / 5e11)
    again = cost.training(dataclasses.replace(asked, recompute=True), fast)
    assert again.causes["compute"] == pytest.approx((step + mixed / 2 + layers + 2 * 600 * 2 * 50 * 48) / 5e11)
    assert again.floor_seconds == pytest.approx(step / 5e11), "what is done again is not needed"
    eager = job("transformer", SMALL, batch=2, length=600, dtype="float32", options={"implementation": "eager"})
    masked = 3 * 2 * 4 * 48 * (600**2 - 600 * 601 // 2)
    computed = cost.prefill(eager, fast).causes["compute"] - cost.prefill(eager, fast).floor_seconds
    assert computed == pytest.approx(masked / 5e11), "eager attention computes the whole square"


def test_floors_of_decoding_at_the_papers_largest_size():
    """At 4.3 TB/s: weights and bfloat16 cache, 720 tokens/s; weights and float32 state read and written, 1944.

    No measurements, but the bytes to move over the bandwidth of a copy as measured on one NVIDIA H200.
    """
    cached, kept = (cost.decode(asked, H200) for asked in (job("transformer", LLAMA_7B), retnet()))
    assert 8 / cached.floor_seconds == pytest.approx(720, rel=0.02)
    assert 8 / kept.floor_seconds == pytest.approx(1944, rel=0.02)


def test_floor_of_one_token_at_1_3b():
    """0.68 ms with the embedding table, of which a step reads one row: no measurement, but the bytes to move over the
    bandwidth of a copy as measured on one NVIDIA H200."""
    found = cost.decode(retnet(PAPER_1B, batch=1), H200).floor_seconds
    table = 2 * PAPER_1B.vocabulary * PAPER_1B.width
    assert found + table / H200.bandwidth == pytest.approx(0.68e-3, rel=0.03)


@pytest.mark.parametrize(
    ("model", "batch", "length", "measured"),
    [
        ("retnet", 8, 2048, 51_936),
        ("retnet", 1, 32_768, 52_184),
        ("transformer", 8, 2048, 44_141),
        ("transformer", 1, 32_768, 24_500),
    ],
)
def test_training_of_whole_models_elsewhere_is_near(model, batch, length, measured):
    """Tokens/s of 1.3B models measured on one NVIDIA H200 with other libraries under torch 2.11, by plain calls: the
    RetNet of fla-core 0.6.0, and the Llama of Hugging Face's transformers."""
    shape = Shape(2048, 24, 16, 4096 if model == "retnet" else 5504, 32_000, length)
    found = cost.training(job(model, shape, batch, length), OPERATORS)
    assert measured / 1.4 < found.tokens_per_second < measured * 1.4


# Limits ----------------------------------------------------------------------------------------------------------


def test_one_sequence_decodes_at_the_speed_of_its_weights():
    asked = job("transformer", LLAMA_7B, batch=1, length=1)
    read = 2 * (asked.parameters - LLAMA_7B.vocabulary * LLAMA_7B.width)
    assert cost.decode(asked, H200).floor_seconds == pytest.approx(read / H200.bandwidth, rel=0.01)


def test_large_batches_train_at_the_speed_of_products():
    asked = job("transformer", LLAMA_7B, batch=64, length=2048, graph=True)
    flops = 64 * asked.kind.needed_flops(asked.shape, asked.options, "parallel", 2048, backward=True)
    again = 64 * 32 * 2 * 4096 * 2048 * 2049 // 2  # the scores, once more
    found = cost.training(asked, H200)
    assert found.causes["compute"] == pytest.approx((flops + again) / H200.flops("bfloat16"), rel=1e-9)
    assert found.bound == "compute"
    assert found.floor_seconds == pytest.approx(flops / H200.flops("bfloat16"), rel=0.01)


def test_launches_bound_a_tiny_model_and_a_graph_frees_it():
    asked = job("retnet", SMALL, batch=1, length=64)
    assert cost.decode(asked, H200).bound == "launches"
    free = cost.decode(dataclasses.replace(asked, graph=True), H200)
    assert free.seconds < cost.decode(asked, H200).seconds / 5
    assert free.floor_seconds == cost.decode(asked, H200).floor_seconds


@pytest.mark.parametrize("case", cases(), ids=label)
def test_no_model_is_faster_than_its_floor_and_more_work_takes_longer(case):
    """The state part of memory is exactly what the model states."""
    asked = Job(case.kind, dataclasses.replace(SMALL, max_length=4100), case.options, 2, 64, "float32")
    for phase in (cost.training, cost.prefill, cost.decode):
        base = phase(asked, PLAIN)
        assert 0 < base.floor_seconds <= base.seconds * (1 + 1e-12)
        assert base.bound in cost.CAUSES
        assert all(math.isfinite(part) and part >= 0 for part in (*base.causes.values(), *base.memory.values()))
        assert phase(dataclasses.replace(asked, batch=32), PLAIN).seconds > base.seconds
        assert phase(dataclasses.replace(asked, batch=32), PLAIN).memory_bytes > base.memory_bytes
        assert phase(asked, PLAIN.model_copy(update={"bytes_per_second": 2e11})).seconds < base.seconds
    for length in (64, 4096):
        longer = dataclasses.replace(asked, length=length)
        stated = case.kind.state_bytes(asked.shape, case.options, 2, length)
        assert cost.decode(longer, PLAIN).memory["state"] == cost.prefill(longer, PLAIN).memory["state"] == stated
    assert cost.training(dataclasses.replace(asked, length=4096), PLAIN).seconds > cost.training(asked, PLAIN).seconds


@pytest.mark.parametrize("name", models.names())
def test_a_million_tokens_and_65_billion_parameters_take_no_time_to_predict(name):
    shape = Shape(8192, 80, 32, 22_016, 32_000, 64)
    found = cost.phases(job(name, shape, length=2**20, devices=8, tensor_parallel=8), H200)
    assert all(phase.seconds < 1e6 for phase in found)


def test_recomputation_trades_time_for_memory():
    asked = job("transformer", LLAMA_7B, batch=8, length=2048)
    plain, again = (cost.training(dataclasses.replace(asked, recompute=on), H200) for on in (False, True))
    assert again.memory["activations"] < plain.memory["activations"] / 5
    assert 1.2 < again.seconds / plain.seconds < 4 / 3
    assert again.causes["compute"] > plain.causes["compute"]


def test_autocast_keeps_16_bytes_a_parameter():
    for autocast, size in ((False, 8), (True, 16)):
        memory = cost.training(retnet(batch=1, length=64, autocast=autocast), OPERATORS).memory
        held = memory["weights"] + memory["gradients"] + memory["moments"]
        assert held == size * retnet().parameters


# Several devices -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("devices", "sent"), [(1, 0), (2, 1000), (4, 1500), (5, 1600)])
def test_a_ring_sends_its_share(devices, sent):
    assert network.ring_bytes(1000, devices) == sent
    link = hardware.Link(bytes_per_second=1e6, seconds=1e-3)
    latencies = 2 * (devices - 1) * 1e-3 * 3 * (devices > 1)
    assert network.ring_seconds(1000, devices, link, messages=3) == pytest.approx(sent / 1e6 + latencies)


def test_tensor_parallel_waits_twice_a_layer_and_direction():
    asked = job("transformer", SMALL, batch=2, length=64, dtype="float32", devices=4, tensor_parallel=4)
    size = 2 * 64 * 48 * 4
    once = 1.5 * size / 1e10 + 6 * 1e-5
    assert cost.prefill(asked, PLAIN).causes["network"] == pytest.approx(3 * 2 * once)
    assert cost.training(asked, PLAIN).causes["network"] == pytest.approx(3 * 4 * once)
    token = 1.5 * 2 * 48 * 4 / 1e10 + 6 * 1e-5
    assert cost.decode(asked, PLAIN).causes["network"] == pytest.approx(3 * 2 * token)


def test_data_parallel_adds_up_gradients_behind_the_backward_pass():
    alone = job("transformer", LLAMA_7B, batch=8, length=2048)
    spread = dataclasses.replace(alone, batch=64, devices=8)
    one, eight = cost.training(alone, H200), cost.training(spread, H200)
    size = 2 * alone.parameters
    buckets = math.ceil(size / cost.BUCKET_BYTES)
    whole = network.ring_seconds(size, 8, H200.link, buckets)
    assert eight.causes["network"] == pytest.approx(whole / buckets)  # hidden but for the last bucket
    assert eight.memory == one.memory
    assert eight.tokens_per_second == pytest.approx(8 * one.tokens_per_second, rel=0.02)
    slow = H200.model_copy(update={"link": hardware.Link(bytes_per_second=1e9, seconds=1e-6)})
    assert cost.training(spread, slow).bound == "network"
    assert cost.training(spread, slow).causes["network"] < network.ring_seconds(size, 8, slow.link, buckets)
    assert cost.decode(spread, H200).causes["network"] == 0


def test_tensor_parallel_splits_memory_and_not_what_every_device_repeats():
    whole, split = (cost.training(retnet(batch=1, devices=n, tensor_parallel=n), H200).memory for n in (1, 8))
    for part in ("weights", "gradients", "moments"):
        assert split[part] == whole[part] / 8
    assert whole["activations"] / 8 < split["activations"] < whole["activations"] / 2
    assert cost.decode(retnet(devices=8, tensor_parallel=8), H200).memory["state"] == state_bytes(retnet()) / 8
    layer = cost.placed(retnet(batch=1), H200).passing(8192)[0] * 8192 * 2
    one, each = (cost.prefill(retnet(batch=1, devices=n, tensor_parallel=n), H200).memory for n in (1, 8))
    assert one["activations"] - each["activations"] == pytest.approx(7 / 8 * layer)


def test_rings_between_nodes_go_over_the_network():
    """One ring for each member of a node, each over an adapter of its own, and no faster than inside."""
    assert network.joined(PLAIN, 4, 1) == PLAIN.link
    assert network.joined(PLAIN, 8, 1).bytes_per_second == 4e9
    assert network.joined(PLAIN, 2, 4).bytes_per_second == 1e9
    assert network.joined(PLAIN, 2, 4).seconds == 1e-4
    with pytest.raises(UserError, match="states no network between devices; use fewer"):
        network.joined(PLAIN.model_copy(update={"network": None}), 8, 1)


def test_a_number_format_without_a_rate_is_refused():
    with pytest.raises(UserError, match="plain states no rate for float16; it does for float32, bfloat16"):
        cost.prefill(job("retnet", SMALL, dtype="float16"), PLAIN)


def test_an_optimiser_step_moves_its_numbers_whatever_the_batch():
    """Of one token nothing counts but weights: three passes of products, then AdamW's seven numbers each."""
    asked = job("transformer", LLAMA_7B, batch=1, length=1)
    products = asked.parameters - LLAMA_7B.vocabulary * LLAMA_7B.width
    floor = (3 * products + 7 * asked.parameters) * 2 / H200.bandwidth
    assert cost.training(asked, H200).floor_seconds == pytest.approx(floor, rel=0.01)
