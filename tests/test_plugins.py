"""A model, a measure, a figure or a claim that is not whole is told by its file and by what it lacks."""

import importlib
import re
import sys

import pytest
import torch

import models
from harness import cli, document, experiment, plugins
from harness.errors import UserError
from reports import figures, sections
from tests.report_data import triangle

MODEL = """
import dataclasses
import torch
from typing import ClassVar
from models._cost import CommonOptions, Count
from models._lm import LanguageModel

@dataclasses.dataclass(frozen=True)
class Options(CommonOptions):
    size: int{default}

class Mixer(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.out = torch.nn.Linear(width, width)

    def forward(self, x, call, state):
        return self.out(x)

class Model(LanguageModel):
    title: ClassVar[str] = "Toy"
    Options = Options
    colour = "#123456"
    marker = "x"
    citation = "a paper"
    forms = ("parallel",)
    default_form = "parallel"
"""
FIGURE = """
import pandas as pd

class Figure:
    def data(self, result_set):
        return pd.DataFrame({"point": ["0" * 16]})
"""
BROKEN = {
    "an empty model": ("model", "", "no class Model"),
    "a bare model": ("model", "class Model: pass", "not state title, colour, marker, citation, forms"),
    "a model without a mixer": ("model", MODEL.format(default=" = 3"), "build_mixer, .*mixer_count"),
    "a bare measure": (
        "measure",
        "class Measure: pass",
        "title, metrics, factors, trains, reads_corpus, run;",
    ),
    "a measure without a class": ("measure", "x = 1", "there is no class Measure in it"),
    "a bare figure": ("figure", "class Figure: title = 'Why?'", "not state place, note, data, draw, text;"),
    "a bare claim": ("claim", "class Claim: place = 3", "not state statement, published, rule, judge;"),
    "half a line": ("figure", "class Figure(", r"cannot be loaded: SyntaxError: .*\(\S*toy\.py:1\)$"),
    "a missing library": ("measure", "import nothing_of_the_kind", "cannot be loaded: ModuleNotFoundError: No module"),
}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Puts a file `toy.py` of some kind into a folder of its own, which the room then lists alone."""

    def write(kind, text, name="toy"):
        room = importlib.import_module(plugins.KINDS[kind])
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        monkeypatch.setattr(room, "FOLDER", tmp_path)
        monkeypatch.setattr(room, "__path__", [str(tmp_path), *room.__path__])
        monkeypatch.delitem(sys.modules, f"{plugins.KINDS[kind]}.toy", raising=False)
        models.card.cache_clear()

    yield write
    models.card.cache_clear()
    for name in plugins.KINDS.values():
        sys.modules.pop(f"{name}.toy", None)


@pytest.mark.parametrize("broken", BROKEN)
def test_a_file_that_is_not_whole_is_told_by_name(toy, broken):
    kind, text, told = BROKEN[broken]
    toy(kind, text)
    with pytest.raises(UserError) as refused:
        plugins.check_named(kind, ["toy"])
    assert str(refused.value).startswith(f"{plugins.KINDS[kind].replace('.', '/')}/toy.py: ")
    assert re.search(told, str(refused.value)), refused.value
    assert "\n" not in str(refused.value)


def test_an_option_needs_a_default_and_the_default_form_is_one_of_the_forms(toy):
    whole = MODEL.format(default=" = 3") + COUNTS
    toy("model", whole)
    plugins.check_named("model", ["toy"])
    for old, new, told in (
        ("int = 3", "int = dataclasses.field(kw_only=True)", "every option needs a default: .*'size'"),
        ("@dataclasses.dataclass(frozen=True)", "", "Options is no dataclass"),
        ('"parallel"\n', '"scan"\n', "default_form is 'scan'; allowed are its forms, parallel"),
    ):
        toy("model", whole.replace(old, new))
        with pytest.raises(UserError, match=f"models/toy.py: {told}"):
            plugins.check_named("model", ["toy"])


COUNTS = """    build_mixer = lambda self, layer: Mixer(self.shape.width)
    mixer_count = classmethod(lambda cls, *given: Count(3, 4))
    mixing_flops = classmethod(lambda cls, *given, context=0: 5)
    layer_state_bytes = classmethod(lambda cls, *given: 6)
"""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("Count(3, 4)", "7", "mixer_count gives 7, expected a Count of whole numbers from 0 on"),
        ("Count(3, 4)", "Count(3, -4)", r"mixer_count gives Count\(linear=3, other=-4\), expected a Count of whole"),
        (": 5", ": 1 / 0", r"mixing_flops raised ZeroDivisionError: division by zero"),
        (": 5", ": float('nan')", "mixing_flops gives nan, expected a number from 0 on"),
        ("*given, context=0", "shape", "mixing_flops raised TypeError: .*positional arguments? but"),
        (": 6", ": None", "layer_state_bytes gives null, expected a whole number from 0 on"),
        (": 6", ": -1", "layer_state_bytes gives -1, expected a whole number from 0 on"),
        (" Options = Options", " Options = 3", "Options is no dataclass"),
    ],
)
def test_what_a_model_states_of_its_cost_is_tried(toy, old, new, told):
    whole = MODEL.format(default=" = 3") + COUNTS
    toy("model", whole)
    plugins.check_named("model", ["toy"])
    toy("model", whole.replace(old, new))
    with pytest.raises(UserError, match=f"^models/toy.py: {told}") as refused:
        plugins.check_named("model", ["toy"])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "self.out(x)",
            "self.out(x)[:, :1]",
            r"the mixer gives \[2, 1, 16\] float32 for \[2, 3, 16\] float32, in the form par",
        ),
        ("self.out(x)", "self.out(x)[:1]", r"the mixer gives \[1, 3, 16\] float32 for"),
        ("self.out(x)", "self.out(x)[..., :1]", r"the mixer gives \[2, 3, 1\] float32 for"),
        ("self.out(x)", "self.out(x).half()", r"the mixer gives \[2, 3, 16\] float16 for \[2, 3, 16\] float32"),
        ("self.out(x)", "self.nothing(x)", "AttributeError: 'Mixer' object has no attribute 'nothing'.*, in the form"),
        ("Mixer(self.shape.width)", "Mixer(-1)", "cannot be built: RuntimeError"),
    ],
)
def test_what_a_mixer_gives_is_like_what_it_is_given(toy, old, new, told):
    whole = (MODEL.format(default=" = 3") + COUNTS).replace('("parallel",)', '("parallel", "recurrent")')
    toy("model", whole)
    state = torch.get_rng_state()
    plugins.check_named("model", ["toy"])
    assert torch.equal(torch.get_rng_state(), state), "a check draws nothing that others would"
    assert old in whole
    toy("model", whole.replace(old, new))
    with pytest.raises(UserError, match=f"^models/toy.py: {told}") as refused:
        plugins.check_named("model", ["toy"])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"#123456"', '"purple"', "colour is 'purple'; write it as #RRGGBB, such as '#56B4E9'"),
        ('"#123456"', "3", "colour is 3; write it as"),
        ('"x"', '"??"', r"marker is '\?\?'; allowed are ., o, v, "),
        ('"Toy"', "3", "title is 3; write it as text"),
        ('("parallel",)', '"parallel"', r"forms is 'parallel'; write it as \('parallel',\)"),
    ],
)
def test_what_no_page_could_be_drawn_with_is_told_before_a_run(toy, old, new, told):
    toy("model", (MODEL.format(default=" = 3") + COUNTS).replace(old, new))
    for check in (lambda: plugins.check("model"), lambda: plugins.check_named("model", ["toy"])):
        with pytest.raises(UserError, match=f"^models/toy.py: {told}"):
            check()


def test_what_is_read_without_torch_must_be_a_literal(toy):
    toy("model", (MODEL.format(default=" = 3") + COUNTS).replace('"Toy"', '"To" + str(1)'))
    for check in (lambda: plugins.check("model"), lambda: plugins.check_named("model", ["toy"])):
        with pytest.raises(UserError, match=r"^models/toy.py: class Model does not state title as a literal; CONTRIB"):
            check()


@pytest.mark.parametrize("kind", plugins.KINDS)
@pytest.mark.parametrize(
    ("name", "better"), [("my-toy", "my_toy"), ("a.toy", "a_toy"), ("the toy", "the_toy"), ("2toys", "KIND_2toys")]
)
def test_a_file_whose_name_python_has_none_for_is_refused(toy, kind, name, better):
    toy(kind, "raise SystemExit", name)
    told = f"{plugins.KINDS[kind].replace('.', '/')}/{name}.py: {name!r} is no name of Python's; allowed are letters, "
    told += f"digits and underscores, a digit not first; rename it to {better.replace('KIND', kind)}.py"
    for check in (lambda: plugins.check(kind), lambda: plugins.check_named(kind, [name])):
        with pytest.raises(UserError) as refused:
            check()
        assert str(refused.value) == told


def test_a_model_by_such_a_name_is_refused_by_the_commands(toy, tmp_path, refused):
    toy("model", MODEL.format(default=" = 3") + COUNTS, "my-toy")
    asked = tmp_path / "asked.yaml"
    asked.write_text("# Is it so?\nmodels: [my-toy]\nshape: {width: 48, layers: 2, heads: 3}\nmeasures: [noop]\n")
    for words in (("validate", asked), ("run", asked, "--dry-run"), ("list", "models")):
        assert refused(*words).startswith("models/my-toy.py: 'my-toy' is no name of Python's; ")
    assert refused("predict", "my-toy", "--parameters", "125M").startswith("models/my-toy.py: 'my-toy' is no name")


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_what_there_is_is_whole(kind):
    plugins.check(kind)
    names = plugins._names(kind)
    assert names
    plugins.check_named(kind, names)


def test_the_commands_say_it(toy, tmp_path, monkeypatch, capsys):
    toy("measure", "class Measure: pass")
    asked = tmp_path / "asked.yaml"
    asked.write_text("# Is it so?\nmodels: [aft]\nshape: {width: 48, layers: 2, heads: 3}\nmeasures: [toy]\n")
    with pytest.raises(UserError, match=r"harness/measures/toy.py: class Measure does not state title"):
        experiment.load(asked)
    monkeypatch.setattr(document, "FOLDER", tmp_path)
    for words in (("list",), ("list", "measures"), ("validate", str(asked))):
        monkeypatch.setattr(sys, "argv", ["harness", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 2
        assert "harness/measures/toy.py: class Measure does not state" in capsys.readouterr().err


def test_a_figure_s_table_has_the_columns_that_every_one_has(toy):
    toy("figure", FIGURE)
    with pytest.raises(figures.Incomplete, match=r"^the table of data\(\) lacks series, model;"):
        sections.figure("toy", triangle(), "key")
