"""The cost model's memory: moments of a step and of a context read in pieces, by hand and beside what was measured."""

import dataclasses
import inspect

import pytest

from harness import accuracy, contexts, cost, hardware, measures
from harness.job import Job, context_memory, state_bytes
from models._traffic import attention_traffic
from tests.contract import cases, label
from tests.test_cost import H200, LLAMA_7B, OPERATORS, PAPER_1B, PLAIN, SMALL, job, retnet

GIB = 2**30
NAIVE = {"implementation": "eager", "cache": "concatenated"}
NEAR = {  # predicted over measured, medians of models on one machine
    "peak_bytes": (0.75, 1.3),
    "peak_allocated_bytes": (0.95, 1.05),
    "peak_resident_bytes": (0.7, 1.1),  # of a whole process, whose libraries hold more beside tensors
}
WITHIN = (0.85, 1.15)  # single points, where an allocator counts tensors


def context(model, batch, length, **options):
    """By the programs of an H200; the parts that one device holds."""
    return context_memory(cost.placed(job(model, LLAMA_7B, batch=batch, length=length, options=options), H200))


# Contexts --------------------------------------------------------------------------------------------------------


def test_a_piece_has_as_many_pairs_for_every_batch_and_length():
    assert [contexts.piece(*sizes) for sizes in ((16, 32_768), (1, 2048), (0.5, 4096))] == [64, 16_384, 16_384]
    assert contexts.piece(64, 2**24) == 1, "a token at least"


def test_a_long_context_passes_through_in_pieces():
    """16 x 64 tokens of 32,768 at a time; in numbers of D: sums 4, SwiGLU 3 of F and its output."""
    passing = 16 * 64 * (5 * 4096 + 3 * 11_008) * 2 + 16 * 32_000 * 2
    assert context("transformer", 16, 32_768)["activations"] == passing
    whole = cost.prefill(job("transformer", LLAMA_7B, batch=16, length=32_768), H200).memory["activations"]
    assert whole == pytest.approx(512 * passing, rel=0.02)


def test_scores_that_are_written_out_pass_in_both_formats():
    """While the softmax is taken in 16 bits: read and as they were in bfloat16, their float32 form and the result."""
    passing = 4096 * (11 * 4096 + 5 * 32 * 4096) + 32_000
    assert context("transformer", 1, 4096, **NAIVE)["activations"] == passing * 2
    assert attention_traffic(64, 4, 9, False, False).kept == 7 * 64 + 2 * 4 * 9, "in float32 there are two"


@pytest.mark.parametrize(("machine", "mixer", "squares"), [(H200, 9, 2), (OPERATORS, 14, 3)])
def test_a_mixers_numbers_are_gone_when_its_feed_forward_begins(machine, mixer, squares):
    """RWKV's: blends, k, v, r and the average behind its gate; or blends, r, and k of F up to its square."""
    for ffn_width in (32, 480):
        shape = dataclasses.replace(SMALL, width=96, ffn_width=ffn_width)
        found = cost.prefill(job("rwkv", shape, batch=2, length=600), machine).memory["activations"]
        assert found == 2 * (2 * 600 * (4 * 96 + max(mixer * 96, 3 * 96 + squares * ffn_width)) + 2 * 50)


def test_a_state_that_is_replaced_is_there_twice():
    """A cache that grows in its place is not, nor a state that is made by one piece and overwritten by steps."""
    placed, copied = (context("transformer", 8, 8192, **each)["state"] for each in ({}, NAIVE))
    assert (placed, copied) == (32 * GIB, 64 * GIB)
    short, long = (retnet(batch=8, length=length) for length in (1024, 65_536))
    for asked, times in ((short, 1), (long, 2)):
        assert context_memory(cost.placed(asked, H200))["state"] == times * state_bytes(asked)
    for model, options, copies in (("retnet", {}, 1), ("aft", {"variant": "full"}, 1), ("aft", {}, 2), ("rwkv", {}, 2)):
        token = job(model, SMALL, batch=2, length=1, dtype="float32", options=options)
        assert context_memory(token)["state"] == copies * state_bytes(token), f"{model} by operators"
    plain = {"implementation": "torch"}
    for model, options, copies in (
        ("aft", {"variant": "simple"}, 1),
        ("aft", {"variant": "conv"}, 1),
        ("aft", {"variant": "conv", "window": 600}, 2),
        ("aft", {"variant": "local"}, 2),
        ("aft", {"variant": "full"}, 1),
        ("rwkv", {}, 1),
        ("rwkv", plain, 2),
        ("retnet", plain, 1),
        ("linear_attention", {"feature_map": "taylor"}, 1),
    ):
        token = cost.placed(job(model, SMALL, batch=2, length=1, options=options), H200)
        assert context_memory(token)["state"] == copies * state_bytes(token), f"{model} {options} by programs"
    many = dataclasses.replace(SMALL, max_length=2**20)
    pieces = job("aft", many, batch=16, length=32_768, options={"variant": "full"})
    assert context_memory(pieces)["state"] == state_bytes(pieces)


@pytest.mark.parametrize("case", cases(), ids=label)
def test_a_context_holds_no_more_than_a_prompt_read_at_once_but_its_state_twice(case):
    asked = Job(case.kind, dataclasses.replace(SMALL, max_length=70_000), case.options, 8, 65_536, "bfloat16")
    for machine in (H200, OPERATORS):
        whole = cost.prefill(asked, machine)
        assert 0 < cost.context_bytes(asked, machine) <= whole.memory_bytes + whole.memory["state"]


@pytest.mark.parametrize("name", measures.names())
def test_measures_say_whether_they_read_a_context_and_take_optimiser_steps(name):
    measure = measures.load(name)
    code = inspect.getsource(inspect.getmodule(type(measure)))
    assert measures.stated(measure, "reads_context") == ("bench.context(" in code)
    assert measures.stated(measure, "optimises") == ("bench.stepper(" in code)


# Training --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("machine", "bytes_of_a_logit"), [(H200, 2), (OPERATORS, 10)])
def test_there_is_a_chunk_of_logits_however_many_there_are(machine, bytes_of_a_logit):
    """131,072,000 logits with either vocabulary, and a gradient of the head's weight in float32; of one thin layer."""
    thin = dataclasses.replace(LLAMA_7B, width=64, ffn_width=16, layers=1)
    asked = job("transformer", thin, batch=8, length=2048)
    more = dataclasses.replace(asked, shape=dataclasses.replace(thin, vocabulary=64_000))
    few, many = (cost.training(each, machine).memory for each in (asked, more))
    kept = 16_384 * 2 * (8 * 64 + (3 if machine is H200 else 4) * 16 + 64)
    assert few["activations"] == many["activations"] == kept + 131_072_000 * bytes_of_a_logit
    assert few["gradients"] == 32_000 * 64 * 4 == many["gradients"] / 2


def test_a_layer_that_goes_back_has_as_much_passing_as_it_has_kept():
    """RetNet's layer in numbers of D: sums and norms 4, q and k 2, four of values 2 D wide 8, GELU's feed-forward 4."""
    paper, tokens = retnet(PAPER_1B, batch=2), 2 * 8192
    layer = (4 + 2 + 8 + 4) * 2048 + 8 * 64
    assert cost.training(paper, H200).memory["activations"] == 2 * tokens * (25 * layer + 2048)
    again = cost.training(dataclasses.replace(paper, recompute=True), H200).memory
    assert again["activations"] == 2 * tokens * 2 * layer
    assert again["gradients"] == again["weights"]


# Machines --------------------------------------------------------------------------------------------------------


def test_what_libraries_hold_counts_beside_tensors():
    asked = job("retnet", SMALL, batch=2, length=64)
    more = PLAIN.model_copy(update={"workspace": 5000})
    for one, other in zip(cost.phases(asked, PLAIN), cost.phases(asked, more), strict=True):
        assert other.memory_bytes - one.memory_bytes == 5000
    assert cost.context_bytes(asked, more) - cost.context_bytes(asked, PLAIN) == 5000
    assert hardware.load("h200").workspace == 2**25


def test_peaks_are_predicted_near_what_was_measured(predicted):
    """Of a processor medians alone: some of its rows are of contexts that were read whole.

    Beyond these bounds a part is counted that is gone by then, or is left out.
    """
    peaks = predicted[predicted["metric"].isin(NEAR)]
    assert set(peaks["metric"]) == set(NEAR)
    medians = accuracy.summary(peaks)
    for metric, bounds in NEAR.items():
        found = medians[medians["metric"] == metric]
        assert found["median"].between(*bounds).all(), found
    single = peaks[peaks["metric"] == "peak_allocated_bytes"]
    assert single["ratio"].between(*WITHIN).all(), single[~single["ratio"].between(*WITHIN)]
