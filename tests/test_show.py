"""`show`: what results folders hold, as tables in the terminal; it only reads, loads no torch and fits 100 columns."""

import json
import shutil
import subprocess
import sys

import pytest

from harness import record, show
from harness.writer import Writer
from tests.folders import ENVIRONMENT, commit, contents, row, sample
from tests.tree import ROOT


def result(number, value, samples=None, **changed):
    """A point that finished, as the writer takes it."""
    given = [sample(number, repeat, value + repeat) for repeat in range(3)] if samples is None else samples
    return row(number, label=changed.pop("label", "retnet"), **changed), given


def write(folder, *results):
    with Writer(folder) as held:
        for point, given in results:
            held.commit(point, {}, given, [], ENVIRONMENT | {"peak_flops": 100.0, "peak_bytes_per_second": 1000.0})


@pytest.fixture
def results(tmp_path):
    """Two experiments: `one` decodes with a failure and trains at two rates, `two` holds what `commit` writes."""
    share = {"metric": "bytes_per_second", "unit": "bytes/s"}
    length = {"measure": "language", "metric": "bits_per_byte", "unit": "bits/byte"}
    form = {"measure": "forms", "metric": "output_difference", "unit": "1"}
    trial = {"measure": "language", "training_sequence_length": 64, "role": "trial"}
    write(
        tmp_path / "results" / "one" / "cpu-made-up",
        result(1, 1.5, batch_size=2, sequence_length=128),
        result(
            2,
            0,
            [sample(2, 0, 7.25), sample(2, 0, 432.0) | share, sample(2, 1, 9.0) | {"bucket": 8}],
            batch_size=16,
            sequence_length=128,
        ),
        result(3, 0, [], batch_size=32, sequence_length=128, status="oom", reason="no room\tat all " + 99 * "long "),
        result(
            4, 0, [sample(4, 0, n / 10) | length | {"length": n} for n in (32, 64, 128)], learning_rate=0.01, **trial
        ),
        result(5, 0, [sample(5, 0, n / 10) | length | {"length": n} for n in (16, 128)], learning_rate=0.1, **trial),
        result(6, 0, [], learning_rate=10.0, status="error", reason="diverged", **trial),
        result(9, 0, [sample(9, 0, 1e-15) | form], measure="forms"),
        result(7, 8.5, batch_size=2, sequence_length=128, label="aft", model="aft"),
    )
    commit(tmp_path / "results" / "two" / "cpu-made-up", 1, 2)
    return tmp_path / "results"


def table(printed, measure):
    """The lines of one measure, without its title and the two lines of its head."""
    lines = [line.rstrip() for line in printed.splitlines()]
    at = lines.index(measure)
    return [line.split() for line in lines[at + 3 : lines.index("", at)]]


def test_a_measure_is_a_table_of_medians_states_and_shares(results, typed):
    before = contents(results / "one" / "cpu-made-up")
    code, printed, told = typed("show", "--results", results)
    assert (code, told) == (0, "")
    assert contents(results / "one" / "cpu-made-up") == before
    assert table(printed, "decode") == [
        ["aft", "2x128", "ok", "9.5", "-"],
        ["retnet", "2x128", "ok", "2.5", "-"],
        ["retnet", "16x128", "ok", "7.25", "43.2%"],
        ["retnet", "32x128", "oom", "-", "-"],
    ]
    assert "token_ms" in printed
    assert "one, cpu-made-up: no question is kept" in printed
    assert "two, cpu-made-up" in printed
    assert "retnet 32x128: no room at all long" in printed
    assert max(map(len, printed.splitlines())) <= show.WIDE


def test_times_below_their_floor_are_told_below_the_tables(results, typed):
    assert "below their floor" not in typed("show", "--results", results)[1]
    quick = {"metric": "bytes_per_second", "unit": "bytes/s"}
    one = result(10, 0, [sample(10, 0, 1.0), sample(10, 0, 1230.0) | quick], batch_size=64, sequence_length=128)
    write(results / "one" / "cpu-made-up", one)
    told = typed("show", "--results", results)[1]
    assert "1 of 2 in decode, with a share of up to 1.23 (RetNet at batch 64, length 128)." in " ".join(told.split())
    assert "again with --fresh" in " ".join(told.split())
    assert max(map(len, told.splitlines())) <= show.WIDE
    assert "below their floor" not in typed("show", "one", "--results", results, "--only", "batch_size=16")[1]


def test_trials_are_told_by_their_rate_and_lengths_by_the_training_s_or_the_longest(results, typed):
    _, printed, _ = typed("show", results / "one", "--only", "measure=language")
    assert table(printed, "language") == [
        ["retnet", "0.01", "ok", "6.4"],
        ["retnet", "0.1", "ok", "12.8"],
        ["retnet", "10", "error", "-"],
    ]
    assert "retnet 10: diverged" in printed
    assert "decode" not in printed


def test_what_was_run_again_counts_once(results, typed):
    folder = results / "one" / "cpu-made-up"
    write(folder, result(8, 20.0, batch_size=2, sequence_length=128, configuration=f"{1:015x}c"))
    assert ["retnet", "2x128", "ok", "21", "-"] in table(typed("show", folder)[1], "decode")


@pytest.mark.parametrize("given", ["one", "one.yaml", "results/one", "results/one/cpu-made-up"])
def test_a_place_may_be_an_experiment_or_a_folder(results, typed, given, monkeypatch):
    monkeypatch.chdir(results.parent)
    (results.parent / "one.yaml").write_text("# Is it so?\n")
    code, printed, _ = typed("show", given)
    assert (code, "one, cpu-made-up" in printed, "two, cpu-made-up" in printed) == (0, True, False)


def test_what_is_not_there_is_told(results, refused, monkeypatch):
    monkeypatch.chdir(results.parent)
    (results.parent / "new.yaml").write_text("# Is it so?\n")
    (results.parent / "empty").mkdir()
    told = refused("show", "onne.yaml")
    assert told.startswith(
        "onne.yaml: there is no such folder or file; unknown experiment 'onne'; allowed are one, two"
    )
    assert "did you mean 'one'?" in told
    told = refused("show", "new.yaml")
    assert told.startswith("new.yaml: there are no results of this experiment in results, but of one, two; `python -m")
    assert refused("show", "empty").startswith("empty: there are no results in this folder; name a folder such as")
    csv = "results/one/cpu-made-up/points.csv"
    assert refused("show", csv).rstrip().endswith("name a folder such as results/one/cpu-made-up")
    assert "did you mean results?" in refused("show", "--results", "resluts")
    assert "the name of a folder is empty" in refused("show", " ")
    assert "unknown model 'retnt'" in refused("show", "--only", "model=retnt")
    assert "unknown filter 'colour'" in refused("show", "--only", "colour=red")
    told = refused("show", "--only", "batch_size=16", "--only", "label=aft")
    assert told.startswith("--only batch_size=16, label=aft: no")


def test_a_copy_of_results_is_shown_and_a_foreign_tree_is_not(results, typed, refused, monkeypatch):
    """Outside of --results: there a folder two levels above a table may be anything."""
    monkeypatch.chdir(results)
    commit(results.parent / "copy" / "tried" / "cpu-made-up", 1)
    assert "tried, cpu-made-up" in typed("show", "../copy")[1]
    monkeypatch.chdir(results / "one" / "cpu-made-up")
    told = refused("show", "../..")
    assert told.startswith("../..: there are no results in this folder; name a folder such as")
    assert "one, cpu-made-up" in typed("show", "../..", "--results", results)[1]


@pytest.mark.parametrize("broken", ["UTF-16", "a folder", "gone", "empty"])
def test_results_that_cannot_be_read_are_damaged_and_not_gone(results, refused, broken):
    """In a copy outside of --results, where a foreign tree would not count. The message is that of `report`."""
    copy = results.rename(results.parent / "copy")
    shutil.rmtree(copy / "two")
    path = copy / "one" / "cpu-made-up" / "points.csv"
    held = path.read_text()
    path.unlink()
    if broken == "UTF-16":
        path.write_text(held, encoding="utf-16")
    elif broken != "gone":
        path.mkdir() if broken == "a folder" else path.touch()
    told = refused("show", copy)
    assert told == refused("show", copy / "one") == refused("report", "--results", copy, "--out", results / "pages")
    assert told.startswith(str(path.parent))
    if broken == "UTF-16":
        assert told.startswith(f"{path}: byte 0 is not UTF-8 text; nothing was changed; restore the file")


def test_a_folder_is_named_only_where_results_are_in_it(results, refused, monkeypatch):
    monkeypatch.chdir(results.parent)
    (results.parent / "README.md").write_text("no experiment")
    assert refused("show", "README.md").startswith(
        "README.md: this is no experiment, whose name ends in .yaml; name a folder such as results/<experiment>"
    )


def test_filters_keep_rows_of_every_folder(results, typed):
    _, printed, _ = typed("show", "--results", results, "--only", "batch_size=16", "--only", "batch_size=2")
    assert [line[1] for line in table(printed, "decode")] == ["2x128", "2x128", "16x128"]
    assert "two, cpu-made-up" not in printed, "nothing of it is kept"
    assert "forms" not in printed, "they have no batch"
    assert "retnet ok 1e-15" in " ".join(typed("show", results / "one", "--only", "model=retnet")[1].split())
    failed = typed("show", "--results", results, "--only", "batch_size=32")[1]
    assert "status retnet 32x128 oom retnet 32x128: no room" in " ".join(failed.split())


def test_a_narrow_terminal_gets_a_few_lines_per_row(results, typed, monkeypatch):
    monkeypatch.setattr(show, "WIDE", 32)
    _, printed, _ = typed("show", results / "one", "--only", "batch_size=16")
    assert "- model retnet, batch x length 16x128, status ok," in " ".join(printed.split())
    assert "token_ms ms 7.25" in " ".join(printed.split())
    assert max(map(len, printed.splitlines())) <= 32


def test_damage_is_told_by_file_and_line_and_what_is_whole_is_shown(results, typed, refused):
    whole = typed("show", results / "two")[1]
    path = results / "one" / "cpu-made-up" / "points.csv"
    path.write_text(path.read_text().replace(",ok,", ",okay,"))
    complaint = f"{path}:2: column status: found 'okay'"
    code, printed, told = typed("show", "--results", results)
    assert (code, printed) == (2, whole)
    assert told.startswith(complaint)
    assert refused("show", "one", "--results", results).startswith(complaint)
    told = refused("show", "--results", results, "--only", "batch_size=16")
    assert complaint in told, "what the filter would keep may be there"
    assert "unknown batch_size '16'" in told


def test_committed_results_fit_and_nothing_heavy_is_loaded(committed):
    """By a process of its own: what it has loaded is what it needed."""
    script = "import json, sys\nsys.argv = ['harness', 'show', '--results', sys.argv[1]]\n"
    script += "try:\n    import harness.__main__\nfinally:\n"
    script += "    print(json.dumps([name in sys.modules for name in ('torch', 'matplotlib')]))"
    ran = subprocess.run([sys.executable, "-c", script, str(committed)], cwd=ROOT, capture_output=True, text=True)
    *lines, loaded = ran.stdout.splitlines()
    assert ran.returncode == 0, ran.stderr
    assert json.loads(loaded) == [False, False]
    assert max(map(len, lines)) <= show.WIDE
    named = [f"{folder.parent.name}, {folder.name}: " for folder in record.folders(committed)]
    assert len(named) > 9
    assert not [name for name in named if not any(line.startswith(name) for line in lines)]
