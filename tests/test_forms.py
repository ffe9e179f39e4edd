"""A model whose forms disagree gets no other number."""

import dataclasses
import math
import re

import pytest
import torch

import models
from harness import agreement, measures
from harness.bench import Bench
from harness.decoding import Decoder
from harness.measures import FormsDisagree
from harness.measures.forms import Measure, Miscounted
from models._cost import Count
from tests import tiny
from tests.planning import of, points
from tests.test_measures import measured, point, values


@pytest.fixture
def only_tiny(monkeypatch):
    monkeypatch.setattr(models, "load", lambda name: tiny.Model)


@pytest.mark.parametrize("wrong", ["output", "state", "gradient"])
def test_forms_that_disagree_are_told_and_refused(only_tiny, wrong):
    made = point("forms", options={**dataclasses.asdict(tiny.Options()), "wrong": wrong})
    rows, run = [], measures.load("forms").run(made, Bench(made))
    with pytest.raises(FormsDisagree, match=rf"{wrong}_difference \d\.\de-0\d \(parallel.*; at most 1e-08"):
        rows.extend(run)
    assert [row.metric for row in rows] == [f"{part}_difference" for part in ("output", "state", "gradient")]
    assert values(rows, f"{wrong}_difference")[0] > 1e-4


def forgetful(self, x, call, state):
    """The real mixer, from nothing in every call."""
    return REAL(self, x, call, {})


def memoryless(self, x, call, state):
    return self.out(torch.tanh(self.into(x)))


REAL = tiny.Mixer.forward


@pytest.mark.parametrize("forms", [("recurrent",), ("parallel", "recurrent")])
def test_a_model_that_forgets_between_calls_is_refused_whatever_forms_it_has(only_tiny, monkeypatch, forms):
    """Its forms agree with each other, all from nothing; they do not with one pass over all tokens."""
    monkeypatch.setattr(tiny.Model, "forms", forms)
    monkeypatch.setattr(tiny.Model, "default_form", forms[0])
    monkeypatch.setattr(tiny.Mixer, "forward", forgetful)
    told, rows = failure(point("forms"))
    assert re.fullmatch(
        rf"state_difference \S+ \({forms[0]} of all tokens at once\); at most 1e-08 is rounding", told
    ), told
    assert values(rows, "state_difference")[0] > 0.01
    monkeypatch.setattr(tiny.Mixer, "forward", memoryless)
    assert values(measured("forms"), "state_difference")[0] < 1e-12, "there is nothing to forget"


def test_a_state_that_is_rounded_between_tokens_is_another_than_in_one_pass():
    rounded = dataclasses.asdict(models.load("retnet").Options(state_dtype="bfloat16"))
    rows = measured("forms", "retnet", width=24, heads=3, options=rounded)
    assert values(rows, "state_difference")[0] < 1e-8


def test_a_form_that_gives_no_number_is_refused(only_tiny):
    told, rows = failure(point("forms", options={**dataclasses.asdict(tiny.Options()), "wrong": "no number"}))
    assert told.startswith("output_difference nan (parallel), state_difference nan (parallel), gradient_difference nan")
    assert rows == [], "what is no number is no row"


def test_a_mixer_that_returns_nothing_is_refused(only_tiny):
    told, rows = failure(point("forms", options={**dataclasses.asdict(tiny.Options()), "wrong": "nothing returned"}))
    assert told == (
        "no gradient reaches blocks.0.mixer_norm.weight and 5 more in the form recurrent; "
        "let the mixer return what it computes, with all of its parameters in it"
    )
    assert rows == []


def test_a_model_that_counts_its_parameters_wrong_is_refused(only_tiny, monkeypatch):
    """Its feed-forward would be given the wrong width, and the budget would not be held."""
    monkeypatch.setattr(tiny.Model, "mixer_count", classmethod(lambda cls, shape, options: Count(3 * shape.width**2)))
    with pytest.raises(Miscounted, match=r"^it states \d,\d{3} parameters and has \d,\d{3} at .*mixer_count"):
        measured("forms")


def test_forms_are_compared_in_the_points_options_and_heads_at_a_small_size(only_tiny, monkeypatch):
    seen, run = [], tiny.Model.run
    monkeypatch.setattr(tiny.Model, "run", lambda self, *a, **k: seen.append(self) or run(self, *a, **k))
    rows = measured(
        "forms", width=3 * 640, layers=7, ffn_width=5000, options={**dataclasses.asdict(tiny.Options()), "ffn": "gelu"}
    )
    shape = seen[0].shape
    assert (shape.heads, shape.layers) == (3, 2)
    assert shape.width < 100
    assert seen[0].options.ffn == "gelu"
    assert seen[0].embedding.weight.dtype == torch.float64
    assert values(rows, "output_difference") == [0.0], "two forms that are one code differ in nothing"


# In the dtype that is timed --------------------------------------------------------------------------------------


BOUND = {"output_error": 2, "state_error": 2, "gradient_error": 5}  # eps; somewhat less than is allowed


@pytest.fixture
def programmed(monkeypatch):
    """As if programs of our own computed on the cpu, where torch's operators do; and quicker."""
    monkeypatch.setattr(Measure, "every_dtype_on", ("cpu",))
    monkeypatch.setattr(agreement, "LENGTH", 45)


def short(model, dtype="bfloat16", **options):
    chosen = dataclasses.asdict(models.load(model).Options(**options))
    return point("forms", model, options=chosen, dtype=dtype, width=96, heads=3, ffn_width=80, layers=4)


def failure(made):
    """What a comparison of the forms ends with, and what it gave before."""
    rows, run = [], measures.load("forms").run(made, Bench(made))
    with pytest.raises(FormsDisagree) as caught:
        rows.extend(run)
    return str(caught.value), rows


@pytest.mark.parametrize(
    ("model", "dtype"),
    [*((model, dtype) for model in models.names() for dtype in ("bfloat16", "float32")), ("rwkv", "float16")],
)
def test_torch_s_own_operators_agree_in_every_dtype(programmed, model, dtype):
    made = short(model, dtype)
    rows = list(measures.load("forms").run(made, Bench(made)))
    assert [row.metric for row in rows] == list(Measure.metrics)
    found = {row.metric: row.value for row in rows}
    assert all(0 < found[metric] < eps * torch.finfo(getattr(torch, dtype)).eps + 1e-5 for metric, eps in BOUND.items())


def test_one_layer_of_the_model_s_own_width_is_compared(programmed, monkeypatch):
    seen, run = [], models.load("retnet").run
    monkeypatch.setattr(models.load("retnet"), "run", lambda self, *a, **k: seen.append(self) or run(self, *a, **k))
    agreement.errors(Bench(short("retnet")))
    assert {(m.shape.width, m.shape.heads, m.shape.ffn_width, m.shape.layers) for m in seen} == {(96, 3, 80, 1)}
    assert {m.head.weight.dtype for m in seen} == {torch.bfloat16, torch.float64}


@pytest.mark.parametrize("model", models.names())
def test_an_operator_that_is_off_by_a_twentieth_in_short_formats_alone_is_refused(programmed, monkeypatch, model):
    """As a program of ours would be, which float64 never reaches."""
    build = models.load(model).build_mixer

    def off(module, given):
        return (given[0] * 1.05 if given[0].dtype == torch.bfloat16 else given[0],)

    def built(self, layer):
        mixer = build(self, layer)
        mixer.out.register_forward_pre_hook(off)
        return mixer

    monkeypatch.setattr(models.load(model), "build_mixer", built)
    told, rows = failure(short(model))
    assert told.startswith("in bfloat16 at the model's own width: ")
    assert "output_error" in told or "gradient_error" in told
    assert [row.metric for row in rows] == list(Measure.metrics), "what was found is kept"


def test_a_decode_step_that_is_off_is_refused(programmed, monkeypatch):
    real = models.load("retnet").step

    def step(self, token, state):
        logits, after = real(self, token, state)
        return (logits * 1.05 if logits.dtype == torch.bfloat16 else logits), after

    monkeypatch.setattr(models.load("retnet"), "step", step)
    told, _ = failure(short("retnet"))
    assert told.startswith("in bfloat16 at the model's own width: state_error 5.")
    assert "output_error" not in told
    assert "gradient_error" not in told


def test_tokens_are_decoded_in_place_as_they_are_timed(programmed, monkeypatch):
    """A model that counts on the device keeps its state where it is, and forms agree there too."""
    made, init = short("retnet"), Decoder.__init__
    monkeypatch.setattr(Decoder, "__init__", lambda self, *a, **k: init(self, *a[:4], True, **k))
    assert all(error.value <= error.allowed for error in agreement.errors(Bench(made)))


def test_a_state_in_a_shorter_format_is_held_to_that_one(programmed):
    errors = {e.metric: e for e in agreement.errors(Bench(short("retnet", "float32", state_dtype="bfloat16")))}
    assert errors["state_error"].allowed == 2.5 * torch.finfo(torch.bfloat16).eps
    assert all(error.value <= error.allowed for error in errors.values())
    assert errors["output_error"].allowed == errors["gradient_error"].allowed == 1e-4


def test_one_token_that_is_off_is_an_error_among_many():
    wanted = torch.randn(2, 500, 11, dtype=torch.float64)
    found = wanted.clone()
    found[1, 77] *= 1.5
    assert agreement._error(found, wanted) == pytest.approx(0.25)
    assert agreement._error(wanted * 1.5, wanted) == pytest.approx(0.5)


def test_what_torch_s_own_operators_are_off_by_is_no_error_of_a_program(programmed, monkeypatch):
    """A gamma of 0.1 leaves next to nothing to divide by; programs on a GPU are held to what the CPU makes of it."""
    monkeypatch.setattr(agreement, "LENGTH", 777)
    made = dataclasses.replace(short("retnet", gamma=(0.1, 0.1, 0.1)), seed=1)
    assert any(error.value > error.allowed for error in agreement.errors(Bench(made)))
    monkeypatch.setattr(agreement, "PLAIN", "cpu:0")  # as if the point's device were another
    found, asked = agreement.errors(Bench(made)), []
    assert all(error.value <= error.allowed for error in found)
    exact = agreement._found

    def off(*given):
        asked.append(given)
        factor = 1.0 if len(asked) > 1 else 3.0  # the program's alone
        return [dataclasses.replace(error, value=error.value * factor) for error in exact(*given)]

    monkeypatch.setattr(agreement, "_found", off)
    wrong = [error for error in agreement.errors(Bench(made)) if not error.value <= error.allowed]
    assert len(asked) == 2
    assert [error.metric for error in wrong] == [error.metric for error in found]


def test_what_is_no_number_or_missing_is_an_error():
    assert math.isnan(agreement._error(torch.full((2, 3), math.nan), torch.ones(2, 3)))
    assert agreement._largest([(0.5, "a"), (float("nan"), "b"), (2.0, "c")])[1] == "b"
    assert agreement._off(None, torch.ones(3)) == float("inf")
    assert agreement._off(torch.zeros(3), torch.zeros(3)) == 0


def test_on_a_gpu_forms_are_compared_in_every_dtype_that_is_measured():
    asked = ("measures=[{name: decode, dtype: [bfloat16, float32]}, {name: language, dtype: float16}]",)
    found = of(points(*asked, device="cuda"), "forms")
    assert {(p.model, p.dtype) for p in found} == {
        (model, dtype) for model in ("retnet", "transformer", "aft") for dtype in ("bfloat16", "float32", "float16")
    }
    autocast = of(points("measures=[decode, language]", "training.autocast=true", device="cuda"), "forms")
    assert {p.dtype for p in autocast} == {"float32", "bfloat16"}
    assert {p.dtype for p in of(points(*asked), "forms")} == {"float32"}, "elsewhere torch's operators compute all"
