"""An experiment's settings that were damaged beside its results: told like other damage, and no page of others lost."""

import shutil

import pytest

from harness import record
from harness.errors import UserError
from tests.folders import SETTINGS, contents

WRONG = {
    **{f"{key}: {given}": "a mapping" for key in ("training", "limits") for given in ("3", "[1]", "x", "true")},
    "sweep: [1]": "a mapping",
    "budget: 4M": "a mapping",
    "shape: [24, 2, 3]": "a mapping",
    "models: retnet": "a list",
    "measures: {noop: 1}": "a list",
    "seeds: 3": "a list",
    "corpus: 3": "a name, or a mapping of two",
    "corpus: [a, b]": "a name, or a mapping of two",
}


def with_line(line):
    """The settings of the small folder with one line of its own, and the number of that line."""
    key = line.partition(":")[0]
    kept = [old for old in SETTINGS.splitlines() if not old.startswith(f"{key}:")]
    return "\n".join([*kept, line, ""]), len(kept) + 1


def complaint(folder, line):
    """Damages the settings by that line; gives what is to be told of it."""
    text, number = with_line(line)
    (folder / record.SETTINGS).write_text(text, encoding="utf-8")
    return f"{folder / record.SETTINGS}:{number}: {line.partition(':')[0]}: found "


@pytest.mark.parametrize("line", WRONG)
def test_a_setting_of_another_kind_is_damage(folder, line):
    told = complaint(folder, line)
    with pytest.raises(UserError) as refused:
        record.load(folder)
    assert str(refused.value).startswith(told)
    assert str(refused.value).endswith(f", expected {WRONG[line]}; {record.ANEW}")


@pytest.mark.parametrize("words", [("report", "--out", "pages"), ("show",), ("predict",)])
def test_it_costs_no_other_experiment_anything(folder, typed, tmp_path, words, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder, folder.parents[1] / "other" / "cpu-made-up")
    told = complaint(folder, "training: 3")
    before = contents(folder)
    code, printed, said = typed(*words, "--results", tmp_path / "results")
    assert code == 2
    assert said.startswith(f"{told}3, expected a mapping; {record.ANEW}\n")
    assert "Traceback" not in said
    assert "other" in printed or words == ("predict",)
    assert (tmp_path / "pages" / "experiment-other.html").exists() == (words[0] == "report")
    assert contents(folder) == before


@pytest.mark.parametrize("line", ["training:", "sweep: {}", "corpus: {train: a, held_out: b}", "limits: null"])
def test_a_setting_that_is_empty_or_two_texts_is_none(folder, line):
    (folder / record.SETTINGS).write_text(with_line(line)[0], encoding="utf-8")
    assert len(record.load(folder).points) == 3
