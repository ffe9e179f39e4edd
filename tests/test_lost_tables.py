"""Files of a results folder that are gone, emptied, of a spreadsheet or end in blank lines: what is wrong is told."""

import pytest

from harness import planned, record
from harness.damage import OWNED
from harness.errors import UserError
from harness.writer import Writer
from tests.folders import SETTINGS, commit, contents


@pytest.mark.parametrize("left", [None, "", "\n", "schema,poi"])
def test_a_file_whose_rows_nobody_counts_is_made_anew(tmp_path, left):
    folder = tmp_path / "results" / "tried" / "cpu-made-up"
    commit(folder, 1, 2, steps=0)
    before = contents(folder)
    (folder / "curves.csv").unlink()
    if left is not None:
        (folder / "curves.csv").write_text(left)
    assert len(record.load(folder).points) == 2
    commit(folder)
    after = contents(folder)
    assert {name: text for name, text in after.items() if not name.endswith(".cut")} == before
    commit(folder, 3)
    assert len(record.load(folder).points) == 3


@pytest.mark.parametrize("name", ["points", "samples", "curves", "environments"])
def test_blank_lines_at_the_end_do_no_harm(folder, name):
    before = contents(folder)
    with (folder / f"{name}.csv").open("a") as file:
        file.write("\n\n")
    assert len(record.load(folder).points) == 3
    assert commit(folder) == ()
    assert contents(folder) == before


def test_what_the_first_point_left_is_taken_out(tmp_path):
    folder = tmp_path / "results" / "tried" / "cpu-made-up"
    commit(folder, 1)
    points = (folder / "points.csv").read_text().splitlines(True)
    (folder / "points.csv").write_text(points[0])
    whole = [f"{folder}/{name}.csv: lines 2 to 3 of a point that was not written whole" for name in OWNED]
    assert record.load(folder).notes == tuple(whole)
    assert commit(folder, 1) == tuple(whole)
    assert (folder / "points.csv").read_text() == "".join(points)


STATES = {
    None: "the file is gone",
    "": "it holds nothing whole",
    "header": "it holds no row",
    "half a header": "it holds nothing whole",
}


@pytest.mark.parametrize("left", STATES)
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("points", r"points.csv: STATE, but there are 6 rows of samples.csv, 6 rows of curves.csv"),
        ("samples", r"samples.csv: STATE, but points.csv counts 6 rows of it"),
        ("curves", r"curves.csv: STATE, but points.csv counts 6 rows of it"),
        ("environments", r"environments.csv: STATE, but points.csv names rows of it"),
    ],
)
def test_a_table_that_is_gone_is_refused_and_nothing_is_changed(folder, name, told, left):
    path = folder / f"{name}.csv"
    header = path.read_text().splitlines(True)[0]
    path.unlink()
    if left is not None:
        path.write_text({"": "", "header": header, "half a header": header[:9]}[left])
    before = contents(folder)
    for use in (record.load, Writer, lambda _: record.load_all(folder.parents[1])):
        with pytest.raises(UserError, match=told.replace("STATE", STATES[left])) as refused:
            use(folder)
        assert "--out" in str(refused.value)
    assert contents(folder) == before


@pytest.mark.parametrize("name", ["points", "samples", "curves", "environments", "planned"])
def test_semicolons_of_a_spreadsheet_are_told(folder, name):
    """Excel in German saves a CSV so, here with a cell that it quotes."""
    path = folder / f"{name}.csv"
    header = path.read_text().splitlines()[0] if path.exists() else ",".join(planned.TYPES)
    path.write_text(header.replace(",", ";") + '\n2;0,5;"a; b","c";0,25\n')
    with pytest.raises(UserError, match=f"^{path}:1: semicolons separate its columns, where commas must") as refused:
        record.load(folder)
    assert "git restore" in str(refused.value)


@pytest.mark.parametrize(
    "left",
    ["", "\n", "# Q?\n", "# Q?\nfoo: 1\n", "foo: 1\n", "# Q?\n- models\n", SETTINGS.partition("measures")[0],
     "# Q?\nmodels: [", "# Q?\nmodels: []\nshape: {width: 24}\nmeasures: [noop]\n", "\udcff"],
)  # fmt: skip
def test_settings_that_are_no_whole_experiment_are_refused(folder, left):
    path = folder / record.SETTINGS
    path.write_text(left, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(UserError, match=f"^{path}: ?") as refused:
        record.load(folder)
    assert str(refused.value).endswith("or remove it: the next run writes it anew")
    assert "write it there" not in str(refused.value)
    path.unlink()
    assert record.load(folder).settings == {}


@pytest.mark.parametrize(("name", "fix"), [("planned.csv", "python -m harness.planned"), ("texts.json", "remove it")])
@pytest.mark.parametrize("command", ["report", "show", "predict"])
def test_damage_beside_the_tables_is_one_line_that_tells_the_fix(folder, tmp_path, refused, command, name, fix):
    """As damaged tables are."""
    (folder / name).write_text("neither")
    out = ("--out", str(tmp_path / "pages")) if command == "report" else ()
    told = refused(command, "--results", str(folder.parents[1]), *out)
    assert told.startswith(f"{folder / name}:")
    assert fix in told
    assert "git restore" in told
    assert len(told.splitlines()) == 1
