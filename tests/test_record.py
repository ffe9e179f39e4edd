"""Results folders: what is written reads back, exactly, and as the README of the results says."""

import csv
import pathlib
import re
import shutil

import pandas as pd
import pytest

from harness import csvfile, record, tables
from harness.errors import UserError
from harness.writer import Writer
from reports import rows
from tests.folders import ENVIRONMENT, FILES, commit, contents, row, sample

# Writing and reading ---------------------------------------------------------------------------------------------


def test_what_is_written_reads_back(folder):
    results = record.load(folder)
    assert (results.experiment, results.device, results.question) == ("tried", "cpu-made-up", "Is it so?")
    shape = {"width": 24, "layers": 2, "heads": 3}
    assert results.settings == {"models": ["retnet"], "shape": shape, "measures": ["noop"], "seeds": [0]}
    assert results.notes == ()
    assert list(results.points["point"]) == [f"{number:016x}" for number in (1, 2, 3)]
    assert list(results.points["label"]) == ["a, b"] * 3
    assert results.points["form"].isna().all()
    assert list(results.points["samples"]) == [2, 2, 2]
    assert list(results.samples["value"]) == [1 / 3, 1 / 3, 2 / 3, 2 / 3, 1.0, 1.0]
    assert list(results.curves["tokens"]) == [0, 7] * 3
    assert list(results.environments["cores"]) == [3]
    assert {path.name for path in folder.iterdir()} == {record.SETTINGS, *(f"{name}.csv" for name in FILES)}


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e-310, 9.876543210987654e29, -2.5, 2.0**53 + 2, 123456789.123456789])
def test_numbers_read_back_exactly(tmp_path, value):
    with Writer(tmp_path) as held:
        held.commit(row(1), {}, [sample(1, 0, value) | {"metric": "made_up", "unit": "1"}], [], ENVIRONMENT)
    assert record.load(tmp_path).samples["value"][0] == value


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("points", ",24,", f",{2**63},", "column width: found '9223372036854775808', expected a whole number below 2"),
        ("points", ",24,", f",{'9' * 5000},", "column width: found '9999.*, expected a whole number below 2"),
        ("samples", ",0.3333333333333333", ",1e999", "column value: found '1e999', expected a number"),
    ],
)
def test_a_number_beyond_all_bounds_is_refused(folder, name, old, new, told):
    path = folder / f"{name}.csv"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=f"{name}.csv:2: {told}"):
        record.load(folder)


@pytest.mark.parametrize(
    ("column", "cell", "told"),
    [
        *((size, "0", "found 0, expected at least 1") for size in ("width", "layers", "heads", "vocabulary")),
        *((size, "0", "found 0, expected at least 1") for size in ("batch_size", "sequence_length")),
        ("dtype", "float8", "found 'float8', expected one of float32, bfloat16, float16, float64"),
        ("device", "tpu", "found 'tpu', expected one of cpu, cuda, mps"),
    ],
)
def test_a_size_or_a_name_that_no_run_writes_is_refused(folder, column, cell, told):
    header, first, *more = (folder / "points.csv").read_text().splitlines()
    cells = dict(zip(header.split(","), next(csv.reader([first])), strict=True)) | {column: cell}
    lines = [header, csvfile.line(header.split(","), cells), *more]
    (folder / "points.csv").write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(UserError, match=f"points.csv:2: column {column}: {told}"):
        record.load(folder)


def test_options_are_columns_and_new_ones_grow(folder):
    before = record.load(folder)
    commit(folder, 4, options={"gamma": (0.5, 0.25), "gate": True, "chunk": 64, "scale": 0.1, "file": None})
    commit(folder, 5, options={"gate": False, "head": "a, b"})
    points = record.load(folder).points
    assert [name for name in points if name.startswith("option.")] == [
        *("option.chunk", "option.file", "option.gamma", "option.gate", "option.scale", "option.head"),
    ]
    assert points.loc[3, "option.gamma"] == "0.5,0.25"
    assert list(points["option.gate"][3:]) == ["true", "false"]
    assert (points.loc[3, "option.chunk"], points.loc[3, "option.scale"]) == ("64", "0.1")
    assert points["option.file"].isna().all()
    assert points["option.gate"][:3].isna().all()
    assert points.loc[4, "option.head"] == "a, b"
    assert points.loc[:2, before.points.columns].equals(before.points)


def test_a_file_of_before_a_column_reads_and_grows(folder):
    path, later = folder / "points.csv", list(tables.LATER["points"])
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    frame.drop(columns=later).to_csv(path, index=False)
    assert record.load(folder).points[later].isna().all(axis=None)
    before = record.load(folder).points
    with Writer(folder) as held:
        held.commit(row(4, others_share=0.25), {}, [sample(4, 0)], [], ENVIRONMENT)
    points = record.load(folder).points
    assert list(points["others_share"].fillna(-1)) == [-1, -1, -1, 0.25]
    assert points.loc[:2, before.columns].equals(before)
    frame.drop(columns="attempts").to_csv(path, index=False)
    with pytest.raises(UserError, match="column 'attempts' is missing"):
        record.load(folder)


@pytest.mark.parametrize("few", [0, 1])
def test_many_complaints_are_cut_in_one_shape(tmp_path, few):
    """Of columns, and of cells."""
    path, most = tmp_path / "curves.csv", csvfile.MOST_COMPLAINTS
    header = csvfile.columns("curves")
    more = [f"column{number}" for number in range(most + 2 - few)]
    told = "1 more problem" if few else "2 more problems"
    with pytest.raises(UserError, match=rf"is unknown, \.\.\. and {told}; "):
        csvfile.parse(path, "curves", ",".join([*header, *more]) + "\n")
    rows = [f"{tables.VERSION},{number:016x},-{number + 1},1,1.0,1.0\n" for number in range(most + 2 - few)]
    with pytest.raises(UserError, match=rf"at least 0\n\.\.\. and {told}\n"):
        csvfile.parse(path, "curves", ",".join(header) + "\n" + "".join(rows))


def test_a_row_stays_on_its_line(tmp_path):
    with Writer(tmp_path) as held:
        held.commit(row(1, status="error", reason='two\nlines, "quoted"\r and \u2028 more'), {}, [], [], ENVIRONMENT)
    assert record.load(tmp_path).points["reason"][0] == 'two lines, "quoted" and more'
    assert (tmp_path / "points.csv").read_text().count("\n") == 2


def test_the_environment_of_a_run_is_written_once_and_only_with_a_point(tmp_path):
    commit(tmp_path)
    assert len(record.load(tmp_path).environments) == 0
    commit(tmp_path, 1, 2)
    commit(tmp_path, 3)
    assert len(record.load(tmp_path).environments) == 1


def test_rows_that_break_the_schema_are_not_written(folder):
    before = contents(folder)
    with Writer(folder) as held, pytest.raises(UserError, match="column status: found 'fine', expected one of"):
        held.commit(row(4, status="fine"), {}, [sample(4, 0)], [], ENVIRONMENT)
    with Writer(folder) as held, pytest.raises(KeyError, match="no column for invented"):
        held.commit(row(4, invented=1), {}, [sample(4, 0)], [], ENVIRONMENT)
    assert contents(folder) == before


def test_all_folders_are_found_in_order(folder):
    shutil.copytree(folder, folder.with_name("another-device"))
    shutil.copytree(folder, folder.parents[1] / "a_sweep" / "nvidia-made-up")
    (folder.parents[1] / "README.md").write_text("not one of them")
    found = [(results.experiment, results.device) for results in record.load_all(folder.parents[1])]
    assert found == [("a_sweep", "nvidia-made-up"), ("tried", "another-device"), ("tried", "cpu-made-up")]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("resluts", r"resluts: there is no such folder; did you mean results\?"),
        ("results/tried", r"results/tried: this is one experiment's folder; did you mean results\?"),
        ("results/tried/cpu-made-up", r"this is one device's results; did you mean results\?"),
        (".", r"this is no folder of results; did you mean results\?"),
        ("file", r"file: this is a file; name a folder such as results"),
        ("empty", r"empty: there are no results, .* `python -m harness run` makes some"),
    ],
)
def test_a_folder_without_results_is_refused_and_the_nearest_named(folder, tmp_path, monkeypatch, asked, told):
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=told):
        record.load_all(pathlib.Path(asked))


def test_from_another_folder_the_project_s_own_results_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"results: there is no such folder; did you mean {record.FOLDER}"):
        record.load_all(pathlib.Path("results"))


def test_a_folder_without_results_is_said(tmp_path):
    with pytest.raises(UserError, match="there are no results in it"):
        record.load(tmp_path)


# The README -------------------------------------------------------------------------------------------------------


def test_the_readme_has_the_columns_as_they_are():
    text = tables.README.read_text(encoding="utf-8")
    assert tables.described(text) == text, "run `python -m harness.tables`"
    for name, schema in tables.TABLES.items():
        assert f"### {name}.csv" in text
        assert all(f"| `{column}` |" in text for column in schema.columns if column in csvfile.columns(name))
    assert tables.described(text.replace("| `status` | text |", "| `status` | word |")) == text


def run_again(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder of committed results whose last training was run again and took another time."""
    folder = tmp_path / "again"
    shutil.copytree(tables.README.parent / "length_sweep/cpu-intel-xeon-processor-2-cores", folder)
    read = {"dtype": str, "keep_default_na": False}
    points, samples = (pd.read_csv(folder / f"{name}.csv", **read) for name in ("points", "samples"))
    last = points[(points.measure == "training") & (points.status == "ok")].tail(1)
    values = samples[samples.point == last.point.item()]
    values = values.assign(point="0" * 16, value=(values.value.astype(float) * 2).astype(str))
    pd.concat([points, last.assign(point="0" * 16)]).to_csv(folder / "points.csv", index=False)
    pd.concat([samples, values]).to_csv(folder / "samples.csv", index=False)
    return folder


def test_the_readme_s_ways_to_read_the_tables_give_what_the_pages_show(tmp_path, monkeypatch, capsys):
    folder = run_again(tmp_path)
    blocks = re.findall(r"```python\n(.+?)```", tables.README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    named = re.findall(r'"results/[^/"]+/[^/"]+"', blocks[0])
    assert len(named) == 1
    exec(blocks[0].replace(*named, repr(str(folder))), with_us := {})
    assert with_us["rows"].current(with_us["results"].points).shape[0] < with_us["results"].points.shape[0]
    monkeypatch.chdir(folder)
    exec(blocks[1], without_us := {})
    assert set(without_us["same"].split()) == set(rows.SAME_POINT) | {"learning_rate", "role"}
    shown = rows.summary(with_us["results"], "training", "tokens_per_second")
    assert len(shown) > 5
    keys = ["label", "sequence_length", "batch_size"]
    found = without_us["told"].query("measure == 'training'").groupby(keys)["value"].median()
    told = shown.set_index(["series", "sequence_length", "batch_size"])["tokens_per_second"]
    assert found.to_dict() == pytest.approx(told.to_dict())
    assert "training  aft" in re.sub(" +", "  ", capsys.readouterr().out)


def test_every_description_is_there():
    for name, schema in tables.TABLES.items():
        assert all(column.description for column in schema.columns.values()), name
