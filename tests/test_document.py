"""YAML as this house reads it: its words and numbers, the place of every key, and no text that breaks the reader."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import document, experiment
from harness.errors import UserError
from tests.planning import TEXT

WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"])) | st.text("0123456789.eE-+")
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS
NUMBERS = {"3e-4": 3e-4, "1e15": 1e15, "0.5": 0.5, ".5": 0.5, "-2.": -2.0, "7": 7, "-0": 0, "1_000": 1000}
CONSTANTS = {"true": True, "False": False, "null": None, "~": None, "": None}
TEXTS = ("no", "on", "none", "010", "1:30", "2026-01-02", "4M", "1e", "e5", ".")
HOSTILE = (
    *("[" * 5000, "a: " + "9" * 5000, "a: \x07", "a: 1\n---\nb: 2"),
    *("a: !!python/object:os.system {}", "a: !!python/name:os.system 1"),
    "a0: &a0 [1, 1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40)),
)
TAGGED = (
    "!!bool maybe",
    '!!int ""',
    "!!int foo",
    "!!float abc",
    "!!timestamp 2020-99-99",
    "!!timestamp x",
    "!!null [1]",
)


@pytest.mark.parametrize("sign", ["\0", "\x1b", "\x07"])
def test_a_character_that_is_no_text_is_told_by_line_and_column(sign):
    with pytest.raises(UserError) as refused:
        document.parse(f"# Is it so?\nmodels: [aft]\nseeds: {sign}[0]\n", "file.yaml")
    told = f"there is the character U+{ord(sign):04X} here, which no text holds; remove it"
    assert str(refused.value) == f"file.yaml:3:8: this is not valid YAML: {told}"


@pytest.mark.parametrize(("text", "value"), [*NUMBERS.items(), *CONSTANTS.items(), *zip(TEXTS, TEXTS, strict=True)])
def test_words_and_numbers_are_those_of_yaml_1_2(text, value):
    data, _ = document.parse(f"key: {text}", "file")
    assert data["key"] == value
    assert type(data["key"]) is type(value)


@pytest.mark.parametrize("text", [*NUMBERS, *CONSTANTS, *TEXTS])
def test_text_that_looks_like_a_number_stays_text(text):
    dumped = yaml.dump({"key": text}, Dumper=document.Dumper)
    assert document.parse(dumped, "file")[0] == {"key": text}


@given(st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text("abc1.e-"), inner), max_leaves=8))
def test_what_is_dumped_is_what_is_read(value):
    text = yaml.dump({"key": value}, Dumper=document.Dumper, allow_unicode=True)
    assert document.parse(text, "file")[0] == {"key": value}


def test_every_key_has_its_line():
    text = "a:\n  b: [1,\n    2]\n\nc: {d: 3,\n e: 4}\n"
    data, places = document.parse(text, "f")
    assert data == {"a": {"b": [1, 2]}, "c": {"d": 3, "e": 4}}
    lines = {("a",): 1, ("a", "b"): 2, ("a", "b", 0): 2, ("a", "b", 1): 3, ("c",): 5, ("c", "d"): 5, ("c", "e"): 6}
    assert {path: places[path] for path in lines} == {path: f"f:{line}" for path, line in lines.items()}


def test_a_path_is_told_as_people_write_it():
    assert document.tell(("models", 1, "gamma", 0)) == "models[1].gamma[0]"


def test_an_alias_is_its_value_and_no_loop():
    assert document.parse("a: &x [1, 2]\nb: *x\n", "f")[0] == {"a": [1, 2], "b": [1, 2]}
    with pytest.raises(UserError, match=r"f:1: a\.b: this alias points to what holds it"):
        document.parse("a: &x {b: *x}", "f")


def test_the_question_is_the_first_line():
    assert document.question("\n#  Is it fast?\n# or not\na: 1\n", "f") == "Is it fast?"


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_refused_in_one_line(text):
    with pytest.raises(UserError) as caught:
        document.parse(text, "file")
    assert str(caught.value).startswith("file")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", TAGGED)
def test_a_tag_that_its_value_does_not_fit_is_told_by_line(value):
    for flag, place in ((None, "file:2"), ("--set a=1", "--set a=1")):
        with pytest.raises(UserError) as caught:
            document.parse(f"x: 1\na: {value}\nb: 2", "file", flag)
        assert str(caught.value).startswith(f"{place}: a: "), caught.value
        assert "tag" in str(caught.value)


@pytest.mark.parametrize("value", ["", " ", "# none", "---"])
def test_an_override_without_a_value_takes_nothing_away(tmp_path, value):
    path = tmp_path / "asked.yaml"
    path.write_text("# Is it fast?\nbudget: {parameters: 1M}\n", encoding="utf-8")
    with pytest.raises(UserError, match=f"--set budget={value}: there is no value; .* write --set budget=null"):
        document.read(path, [f"budget={value}"])
    assert document.read(path, ["budget=null"]).data == {"budget": None}


def test_aliases_that_multiply_are_refused_at_once():
    with pytest.raises(UserError, match=r"^file:\d+: there are more than 10,000 values, those of aliases"):
        document.parse(HOSTILE[-1], "file")


@settings(max_examples=150)
@given(st.data())
def test_a_broken_file_is_told_or_loads_but_never_breaks_the_reader(tmp_path_factory, data):
    start = data.draw(st.integers(0, len(TEXT)))
    cut = data.draw(st.integers(0, 12))
    put = data.draw(st.text("[]{}:,-#&*!|>%@`'\"\t\n 09eM.~x", max_size=4))
    path = tmp_path_factory.mktemp("broken") / "broken.yaml"
    path.write_text(TEXT[:start] + put + TEXT[start + cut :], encoding="utf-8")
    told = str(path)
    try:
        experiment.load(path)
    except UserError as refused:
        told = str(refused)
    assert str(path) in told
