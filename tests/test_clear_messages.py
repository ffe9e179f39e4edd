"""What a newcomer gets wrong first is answered with what to write instead, in words that need no manual."""

import re

import pytest

from harness import cli, document
from harness import run as runner
from harness.errors import UserError
from harness.writer import Writer
from tests.commands import SMALL


@pytest.fixture
def asked(tmp_path, refused):
    """A function that has an experiment checked which is wrong; gives the message without the file's name."""

    def check(text):
        path = tmp_path / "asked.yaml"
        path.write_text(text, encoding="utf-8")
        return refused("validate", path).replace(f"{path}:", "")

    return check


@pytest.mark.parametrize("given", ["1h", ".inf", "soon"])
def test_a_time_is_a_number_of_seconds(asked, given):
    told = asked(f"{SMALL}limits: {{seconds: {given}}}\n")
    assert told.startswith(f"5: limits.seconds: '{given}' ")
    assert "allowed is a number of seconds, such as 60 or 3600" in told
    training = f"training: {{seconds: {given}, sequence_length: 64, batch_size: 8, learning_rate: 3e-3}}"
    assert "training.seconds: " in (told := asked(f"{SMALL}{training}\n"))
    assert "allowed is a number of seconds, such as 60 or 3600" in told


def test_the_range_of_a_time_is_in_whole_seconds(asked):
    assert asked(f"{SMALL}limits: {{seconds: 0}}\n").endswith("0 is out of range; allowed is 0.1 to 8,640,000\n")


def test_one_value_where_a_list_is_wanted_is_written_as_one(asked):
    told = asked("# Q?\nmodels: retnet\nshape: {layers: 2, width: 48, heads: 3}\nmeasures: {name: noop}\n")
    assert told.splitlines() == [
        "2: models: 'retnet' is not a list; write it as [retnet]",
        "4: measures: {'name': 'noop'} is not a list; write it as [{name: noop, ...}]",
    ]


def test_a_name_given_as_a_key_is_written_as_the_name(asked):
    told = asked(SMALL.replace("[noop]", "[{decode: {batch_size: 3}}]").replace("aft", "{retnet: {gamma: single}}"))
    assert "2: models[0].name: it is missing; write {name: retnet, ...}" in told
    assert "4: measures[0].name: it is missing; write {name: decode, ...}" in told


def test_a_name_whose_key_is_mistyped_is_told(asked):
    told = asked(SMALL.replace("aft", "{nmae: aft}"))
    assert told == "2: models[0].name: it is missing; is it what 'nmae' is meant to be?\n"


@pytest.mark.parametrize("text", ["models: [aft]\n  shape: {width: 2}\n", "models: [aft]\n shape:\n", "models: [aft\n"])
def test_a_line_that_is_indented_wrongly_or_a_bracket_is_asked_for(asked, text):
    told = asked(f"# Q?\n{text}")
    assert "this is not valid YAML: " in told
    assert told.endswith("; is a line indented unlike those beside it, or a bracket left open?\n")


@pytest.mark.parametrize("measure", ["noop", "decode"])
def test_a_text_that_is_not_there_is_told_though_nothing_reads_it(measure, refused, tmp_path):
    """A run loads it all the same."""
    path = tmp_path / "asked.yaml"
    sweep = "sweep: {batch_size: 3, sequence_length: 64}\n" if measure == "decode" else ""
    path.write_text(f"{SMALL.replace('noop', measure)}corpus: nope\n{sweep}", encoding="utf-8")
    for words in (("validate",), ("run", "--dry-run"), ("run", "--out", tmp_path / "r")):
        assert refused(*words, path).startswith(
            f"{path}:5: corpus: unknown corpus 'nope'; allowed are a file, a folder"
        )
    assert not (tmp_path / "r").exists()


def test_one_text_to_train_on_and_to_hold_out_is_told_before_it_is_read(asked):
    told = asked(f"{SMALL}corpus: {{train: python-docs, held_out: python-docs}}\n")
    assert told == (
        "5: corpus.held_out: train and held_out are the same text; name another one to hold out, or leave held_out "
        "away\n"
    )


def test_a_factor_of_which_nothing_depends_is_to_be_removed(asked):
    told = asked(f"{SMALL}sweep: {{batch_size: [1, 2]}}\n")
    assert told == (
        "5: sweep.batch_size: none of this experiment's measures depends on batch_size; they depend on no factor; "
        "remove this one\n"
    )
    told = asked(SMALL.replace("[noop]", "[{name: noop, batch_size: 3}]"))
    assert (
        told
        == "4: measures[0].batch_size: noop does not depend on batch_size; it depends on no factor; remove this one\n"
    )
    told = asked(SMALL.replace("[noop]", "[{name: language, batch_size: 3}]"))
    assert "4: measures[0].batch_size: language does not depend on batch_size; it does on dtype\n" in told


@pytest.mark.parametrize("name", ["layers", "width", "heads"])
def test_a_list_of_sizes_is_to_be_swept(asked, name):
    told = asked(re.sub(rf"({name}: )\d+", r"\1[1, 2]", SMALL))
    assert told == (
        f"3: shape.{name}: [1, 2] is a list, and here stands one value; to try several write "
        f"sweep: {{{name}: [1, 2]}}\n"
    )


@pytest.mark.parametrize(("given", "told"), [("seed: [1]", "[1]"), ("seed: 3", "[3]"), ("seeds: [1, 2]", "[1, 2]")])
def test_seeds_are_a_key_of_their_own(asked, given, told):
    key = given.partition(":")[0]
    said = asked(f"{SMALL}sweep: {{{given}}}\n")
    assert said == f"5: sweep.{key}: seeds are swept by a key of their own; write seeds: {told} at the top\n"


def test_a_file_in_a_folder_s_place_is_named(tmp_path):
    """To make room would not help."""
    (file := tmp_path / "tried").write_text("not a folder")
    for folder, why in ((file, "File exists"), (file / "cpu", "Not a directory")):
        with pytest.raises(UserError) as refused:
            Writer(folder)
        assert str(refused.value) == (
            f"{folder}: cannot be written: {why}; what was there before is kept; {file} is a file where a folder "
            "should be; move it away, or name another folder with --out"
        )


def test_a_missing_file_is_answered_with_experiments_alone(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".pre-commit-config.yaml").write_text("repos: []\n")
    told = refused("validate", "unlikely.yaml")
    assert told.startswith(f"unlikely.yaml: there is no such file; in {document.FOLDER} there are ")
    assert "smoke.yaml" in told
    assert "pre-commit" not in told


@pytest.mark.parametrize("name", ["..yaml", ".yaml", ".decode.yaml"])
def test_an_experiment_s_name_begins_with_no_dot(refused, tmp_path, name):
    """Its results would stand in a folder that is hidden, or beside those of all others."""
    (path := tmp_path / name).write_text(SMALL, encoding="utf-8")
    for words in (("validate",), ("run", "--dry-run"), ("run", "--out", tmp_path / "r")):
        told = refused(*words, path)
        assert told.startswith(f"{path}: the folder of its results would be called '.")
        assert told.endswith("; rename it to a word such as decode.yaml\n")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ((), "the same command again goes on from there"),
        (("--fresh",), "the same command again starts over, and without --fresh it runs what has no row yet"),
    ],
)
def test_an_interrupted_run_tells_how_to_go_on(typed, tmp_path, monkeypatch, flags, told):
    def interrupted(asked, points, out, device, **how):
        (out / asked.name / "cpu").mkdir(parents=True)
        (out / asked.name / "cpu" / "points.csv").write_text("schema\n2\n")
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run", interrupted)
    path = tmp_path / "asked.yaml"
    path.write_text(SMALL, encoding="utf-8")
    code, _, said = typed("run", path, "--out", tmp_path / "r", *flags)
    assert code == 130
    assert said == f"\nstopped: every finished point is kept in {tmp_path / 'r' / 'asked'}; {told}\n"


def test_help_says_in_a_whole_sentence_what_each_command_does(typed):
    listed = typed("--help")[1].partition("Commands:")[2].strip().splitlines()
    assert len(listed) == len(cli.app.registered_commands)
    assert all(re.fullmatch(r" *\w+ +[A-Z].*[^.]\.", line) for line in listed), listed
