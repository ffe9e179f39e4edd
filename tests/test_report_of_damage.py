"""Results that are damaged cost no other experiment its page, and no page or table tells less without saying so."""

import csv
import dataclasses
import html
import os
import pathlib
import re
import shutil

import pytest

from harness import drawing, planned, readme_parts, record
from harness.errors import UserError
from harness.writer import Writer
from reports import pages
from tests.folders import ENVIRONMENT, commit, contents, row
from tests.test_corners import corner_set

SEMICOLONS = ";".join(planned.TYPES) + "\n"
SIDE_FILES = {
    "environments.csv": (lambda text: text.replace("made up, for tests", "", 1), r"environments\.csv:2: .*nothing was"),
    "experiment.yaml": (lambda text: text.partition("measures")[0], r"experiment\.yaml: this is no .*; restore it"),
    "samples.csv": (lambda text: text.replace("0.333", "x.333", 1), r"samples\.csv:2: column value: .*; nothing was"),
    "curves.csv": (lambda text: text.replace("\n", "\n\n", 2), r"curves\.csv:2: 0 cells, .*; nothing was changed"),
    "planned.csv": (lambda text: SEMICOLONS, r"planned\.csv:1: semicolons .*; restore it .* harness\.planned"),
    "texts.json": (lambda text: "neither", r"texts\.json: this is no JSON .*; restore it"),
}  # fmt: skip


@pytest.fixture
def other(folder):
    """A sound experiment's results beside those of `tried`."""
    return shutil.copytree(folder, folder.parents[1] / "other" / "cpu-made-up")


@pytest.fixture
def report(typed, tmp_path):
    """A function that draws all results into `pages`: exit code, standard output, standard error."""
    return lambda: typed("report", "--results", tmp_path / "results", "--out", tmp_path / "pages")


@pytest.fixture(scope="module")
def both(tmp_path_factory, made):
    """The pages of `tried` and `other` while both are sound."""
    place = tmp_path_factory.mktemp("both")
    for name in ("tried", "other"):
        shutil.copytree(made, place / "results" / name / "cpu-made-up")
    assert drawing.draw(place / "results", place / "pages") == 0
    return place / "pages"


@pytest.fixture
def drawn(both, folder, other, tmp_path):
    """What `report` has drawn before anything is damaged."""
    return shutil.copytree(both, tmp_path / "pages")


def damage(folder, name):
    """Damages one file; gives the complaint that is to be told."""
    edit, told = SIDE_FILES[name]
    path = folder / name
    path.write_text(edit(path.read_text(encoding="utf-8") if path.exists() else ""), encoding="utf-8")
    return rf"^{re.escape(str(folder))}/{told}"


@pytest.mark.parametrize("name", SIDE_FILES)
def test_other_experiments_are_drawn_and_the_damaged_one_and_summaries_stay(
    folder, other, drawn, report, tmp_path, name
):
    before = contents(drawn)
    commit(other, 4)
    complaint = damage(folder, name)
    held = contents(folder)
    code, printed, told = report()
    assert code == 2
    assert re.search(complaint, told, re.DOTALL), told
    kept = "experiment-tried.html, index.html, claims.html, triangle.html"
    assert f"left as they were, until this is mended: {kept}\n" in told
    assert "of no experiment" not in told
    assert "Traceback" not in told
    assert printed.splitlines() == [str(tmp_path / "pages" / "experiment-other.html")]
    after = contents(tmp_path / "pages")
    assert {page for page in before if after[page] != before[page]} == {"experiment-other.html"}
    assert after.keys() == before.keys()
    assert contents(folder) == held
    assert b"experiment-tried.html" in after["experiment-other.html"], "the page that stays is still found"


TRAINED = {"learning_rate": 0.01, "training_sequence_length": 64, "training_batch_size": 3, "measure": "language"}


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("learning_rate", "0.0", "column learning_rate: found 0.0, expected above 0"),
        ("training_sequence_length", "0", "column training_sequence_length: found 0, expected at least 1"),
        ("training_sequence_length", "", "column training_sequence_length: found nothing, expected a value beside a"),
    ],
)
def test_a_training_that_none_can_have_been_is_damage(folder, other, report, column, value, told):
    """No figure could draw it: an axis is a logarithm of it, or a line is where it ends."""
    with Writer(folder) as held:
        held.commit(row(4, **TRAINED), {}, [], [], ENVIRONMENT)
    assert report()[0] == 0
    path = folder / "points.csv"
    head, *lines = csv.reader(path.read_text().splitlines())
    lines[-1][head.index(column)] = value
    path.write_text("".join(",".join(f'"{cell}"' for cell in line) + "\n" for line in (head, *lines)))
    code, printed, said = report()
    assert (code, "experiment-other.html" in printed) == (2, True)
    assert f"{path}:5: {told}" in said


@pytest.mark.parametrize("name", ["peak_flops", "peak_flops_bfloat16", "peak_flops_float16", "peak_bytes_per_second"])
def test_a_machine_that_computes_nothing_is_damage(folder, name):
    """A floor would be a time without end."""
    path = folder / "environments.csv"
    head, row = csv.reader(path.read_text().splitlines())
    row[head.index(name)] = "0.0"
    path.write_text("".join(",".join(f'"{cell}"' for cell in line) + "\n" for line in (head, row)))
    with pytest.raises(UserError, match=f"^{path}:2: column {name}: found 0.0, expected above 0"):
        record.load(folder)


def test_once_mended_all_is_drawn_again(folder, drawn, report, tmp_path):
    whole = contents(folder)
    before = contents(drawn)
    damage(folder, "samples.csv")
    report()
    (folder / "samples.csv").write_bytes(whole["samples.csv"])
    assert report()[0] == 0
    assert contents(tmp_path / "pages") == before


def test_where_there_are_no_old_pages_the_new_ones_say_what_they_lack(folder, other, report, tmp_path):
    complaint = damage(folder, "samples.csv")
    code, _, told = report()
    assert code == 2
    assert re.search(complaint, told)
    assert "left as they were" not in told
    drawn = {name: text.decode() for name, text in contents(tmp_path / "pages").items()}
    assert drawn.keys() == {"experiment-other.html", "index.html", "claims.html", "triangle.html"}
    for name in ("index.html", "claims.html", "triangle.html"):
        said = re.findall(r'<p class="caution">(.*?)</p>', html.unescape(drawn[name]))
        assert len(said) == 1
        assert "without the experiment tried, whose results are damaged" in said[0]
        assert str(folder / "samples.csv:2") in said[0]
    assert "caution" not in re.sub("<style>.*?</style>", "", drawn["experiment-other.html"], flags=re.DOTALL)
    linked = {link for text in drawn.values() for link in re.findall(r'href="([\w-]+\.html)', text)}
    assert linked <= drawn.keys()


def test_one_damaged_device_leaves_the_page_of_its_experiment_alone(folder, other, report, tmp_path):
    """Its page takes all devices together."""
    shutil.copytree(folder, folder.with_name("nvidia-made-up"))
    report()
    before = contents(tmp_path / "pages")
    complaint = damage(folder, "curves.csv")
    code, _, told = report()
    assert (code, contents(tmp_path / "pages")) == (2, before)
    assert re.search(complaint, told)


def test_where_everything_is_damaged_all_of_it_is_told_and_nothing_written(folder, other, report, tmp_path):
    complaints = [damage(folder, "samples.csv"), damage(other, "curves.csv")]
    code, printed, told = report()
    assert (code, printed) == (2, "")
    assert all(re.search(complaint, told, re.MULTILINE) for complaint in complaints)
    assert not (tmp_path / "pages").exists()


def test_the_picture_in_the_readme_is_left_alone(tmp_path):
    whole = [corner_set(name).build() for name in ("triangle", "triangle_gpu")]
    pages.write(whole, tmp_path)
    before = contents(tmp_path)
    written = pages.write(whole[1:], tmp_path, None, {"triangle": ["samples.csv: cut off"]})
    assert [path.name for path in written] == ["experiment-triangle_gpu.html"]
    assert contents(tmp_path) == before
    assert "triangle.svg" in before


def test_the_readme_is_not_written_from_part_of_the_results(folder, other, tmp_path, monkeypatch):
    """Not any of its parts."""
    path = tmp_path / "README.md"
    for part in readme_parts.PARTS:
        path.write_text((path.read_text() if path.exists() else "") + part.begin + "old\n" + part.end)
    parts = {dataclasses.replace(part, path=path): make for part, make in readme_parts.PARTS.items()}
    monkeypatch.setattr(readme_parts, "PARTS", parts)
    before = path.read_text()
    complaint = damage(folder, "samples.csv")
    with pytest.raises(UserError, match=complaint):
        readme_parts.write(tmp_path / "results")
    assert path.read_text() == before


def test_every_damaged_folder_is_on_the_account(folder, other):
    damaged = {}
    damage(folder, "samples.csv")
    (found,) = record.load_all(folder.parents[1], damaged)
    assert found.experiment == "other"
    assert list(damaged) == [folder]
    assert str(damaged[folder]).startswith(f"{folder}/samples.csv:2: ")


@pytest.mark.parametrize("level", [0, 1], ids=["device", "experiment"])
def test_a_folder_that_may_not_be_read_is_not_taken_for_one_without_results(
    folder, other, drawn, report, typed, refused, tmp_path, monkeypatch, level
):
    before = contents(drawn)
    shut = (folder, folder.parent)[level]
    monkeypatch.setattr(os, "access", lambda path, mode: pathlib.Path(path) != shut)
    told = f"{shut}: this folder cannot be read: Permission denied; allow it (as `chmod u+rwx` does), or move it away"
    code, printed, said = report()
    assert (code, said.splitlines()[0]) == (2, told)
    assert printed.splitlines() == [str(tmp_path / "pages" / "experiment-other.html")]
    assert contents(tmp_path / "pages") == before
    code, printed, said = typed("show", "--results", tmp_path / "results")
    assert (code, "other, cpu-made-up" in printed, said) == (2, True, f"{told}\n")
    assert refused("show", shut) == f"{told}\n"
    shutil.rmtree(other.parent)
    assert refused("report", "--results", tmp_path / "results", "--out", tmp_path / "pages") == f"{told}\n"


@pytest.mark.parametrize("words", [("show", "--results"), ("show",), ("report", "--results"), ("predict", "--results")])
def test_results_that_may_not_be_read_are_not_taken_for_none(folder, refused, monkeypatch, words):
    monkeypatch.setattr(os, "access", lambda path, mode: pathlib.Path(path) != folder.parents[1])
    assert refused(*words, folder.parents[1]).startswith(f"{folder.parents[1]}: this folder cannot be read: ")


def test_a_folder_in_a_table_s_place_is_told(folder, refused):
    (folder / "points.csv").unlink()
    for name in ("samples.csv", "curves.csv", "environments.csv"):
        (folder / name).unlink()
    (folder / "points.csv").mkdir()
    told = refused("show", "--results", folder.parents[1])
    assert told.startswith(f"{folder}/points.csv: cannot be read: Is a directory; ")
