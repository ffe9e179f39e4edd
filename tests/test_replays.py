"""What is captured as a CUDA graph and replayed, beside the same launched one by one or in float64. Needs a GPU."""

import dataclasses

import pytest
import torch

from harness.bench import Bench
from harness.decoding import Decoder
from models._portions import TABLE, WHOLE, Portion, Portions
from tests import tiny
from tests.contract import relative
from tests.programs import on_a_gpu
from tests.test_decoding import SHAPE, VARIANTS, begun, build

WIDE = dataclasses.replace(SHAPE, width=256, ffn_width=384, max_length=400)


@on_a_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("sequences", "padding"), [(3, None), (3, (0, 2, 4)), (1, None)])
@pytest.mark.parametrize("name", VARIANTS)
def test_a_replayed_graph_gives_the_logits_of_steps(name, dtype, sequences, padding):
    """In bfloat16 beside the same weights in float64 on the CPU, fed the same tokens."""
    exact = build(name, torch.float64, shape=WIDE)
    model = build(name, torch.float64, shape=WIDE).to("cuda", dtype)
    exact.load_state_dict(model.state_dict())
    bench, told = Bench(tiny.point("noop", "aft", options={}, device="cuda")), []
    with torch.inference_mode():
        token, context = begun(model, "cuda", padding, sequences=sequences)
        wanted_token, held = begun(exact, "cpu", padding, sequences=sequences)
        step = model.step
        model.step = lambda *given: (told.append(given), step(*given))[1]
        decoder = Decoder(model, token, context.clone(), bench.captured)
        assert bench.graph is True
        for old, new in zip(decoder._state.tensors(), context.tensors(), strict=True):
            old.copy_(new)
        decoder.token.copy_(token)
        calls = len(told)
        for _ in range(6):
            logits, held = exact.step(wanted_token, held)
            decoder.step()
            best = logits.gather(1, decoder.token.cpu().unsqueeze(1)).squeeze(1)
            assert (logits.amax(1) - best < (0.05 if dtype == torch.bfloat16 else 1e-4) * logits.std()).all()
            wanted_token = decoder.token.cpu()
        assert len(told) == calls, "replayed, not run"


@on_a_gpu
@pytest.mark.parametrize("name", VARIANTS)
def test_programs_may_hold_any_part_of_the_weights(name, monkeypatch):
    """And hold what the row of the architecture says."""
    exact = build(name, torch.float64, shape=WIDE)
    model = build(name, torch.float64, shape=WIDE).to("cuda", torch.bfloat16)
    exact.load_state_dict(model.state_dict())
    from models._kernels import skinny

    sizes = {"into": 2048, "out": 512, "up": 1024, "down": 256, "state": 512}
    row, held = Portions(**{place: Portion(size, once=True) for place, size in sizes.items()}), set()
    whole = skinny._map_one
    monkeypatch.setitem(TABLE, (model.layers_title, WIDE.width), row)
    monkeypatch.setattr(skinny, "_map_one", lambda portion, *given: (held.add(portion), whole(portion, *given))[1])
    with torch.inference_mode():
        token, state = begun(model, "cuda", None, sequences=1)
        wanted_token, wanted_state = begun(exact, "cpu", None, sequences=1)
        logits, _ = model.step(token, state)
        wanted, _ = exact.step(wanted_token, wanted_state)
    assert relative(logits.cpu(), wanted) < 0.05
    assert {row.down, WHOLE} <= held, "the feed-forward's, and the head's"
    assert held <= {*vars(row).values(), WHOLE}


@on_a_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", VARIANTS)
def test_a_replayed_prompt_is_read_anew(name, dtype):
    """Other tokens than those that were there when it was captured."""
    model = build(name, torch.float64, shape=WIDE).to("cuda", dtype)
    bench, told = Bench(tiny.point("noop", "aft", options={}, device="cuda")), {}
    prompts = torch.randint(0, 97, (2, 2, 300), generator=torch.Generator().manual_seed(1)).to("cuda")

    def read():
        told["logits"], told["state"] = model.prefill(given)

    with torch.inference_mode():
        given = prompts[0].clone()
        replay = bench.captured(read)
        assert bench.graph is True
        given.copy_(prompts[1])
        replay()
        logits, state = model.prefill(prompts[1])
        assert relative(told["logits"], logits) < 1e-6
        for found, wanted in zip(told["state"].tensors(), state.tensors(), strict=True):
            assert torch.equal(found, wanted)
