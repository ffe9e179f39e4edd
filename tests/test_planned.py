"""What an experiment plans is kept beside its results, and the pages tell which planned points have no row."""

import dataclasses

import pandas as pd
import pytest

from harness import corpus, ending, experiment, plan, planned, predict, record
from harness.errors import UserError
from harness.point import Training
from harness.quantity import tell_bytes
from reports import figures, pages, provenance, rows, unrun
from tests.commands import SMALL
from tests.fakes import point
from tests.folders import commit
from tests.planning import TEXT
from tests.report_data import Builder
from tests.tree import ROOT


def trial(rate, **changed):
    return point(training=Training(sequence_length=64, batch_size=2, learning_rate=rate), role="trial", **changed)


# Kept by a run ---------------------------------------------------------------------------------------------------


def test_a_run_of_some_points_keeps_the_plan_of_all(sweep):
    whole = [trial(rate, label=label, width=width) for rate in (1e-3, 2e-3) for label, width in (("a", 24), ("b", 48))]
    whole.append(point(sequence_length=9))
    results, _ = sweep(*whole[:1], whole=whole, seeds=(0, 5, 7))
    told = results.planned
    assert list(told) == list(planned.TYPES)
    assert len(told) == len(whole) + 2 * 2, "and further seeds of two entries"
    trials, chosen = told[told["role"] == "trial"], told[told["role"] == "chosen"]
    assert list(trials["learning_rate"]) == [1e-3, 1e-3, 2e-3, 2e-3]
    assert sorted(zip(chosen["label"], chosen["seed"], strict=True)) == [("a", 5), ("a", 7), ("b", 5), ("b", 7)]
    assert chosen["learning_rate"].isna().all()
    again, _ = sweep(*whole[:1], whole=whole, seeds=(0, 5, 7))
    pd.testing.assert_frame_equal(again.planned, told)
    more, _ = sweep(point(sequence_length=17))
    assert list(more.planned["sequence_length"])[-1] == 17
    assert len(more.planned) == len(told) + 1, "what several runs plan adds up"


def test_a_plan_that_cannot_be_read_is_refused(folder):
    assert record.load(folder).planned.empty
    header, row = ",".join(planned.TYPES), "decode,a,,2,,,,,,,,,"
    damage = {
        "measure,label\ndecode,retnet\n": "1: column 'form' is missing, column 'batch_size' is missing",
        "": "1: column 'measure' is missing",
        header.replace("measure,label", "label,measure") + "\n": "1: the columns stand in another order than measure,",
        f"{header}\n{row}\n{row.replace('2', 'two')}\n": "3: column batch_size: found 'two', expected a whole number",
        f"{header}\n{row},\n": "2: 14 cells, but the header names 13",  # pandas takes the first for an index
        f"{header}\n{row}\n{row[:-4]}": "3: the last line has no end, so the file was cut off",
        f'{header}\n"{row}\n': "2: this is no line of CSV",
    }
    fix = f"remove it and write it anew with `python -m harness.planned {folder}`"
    for text, told in damage.items():
        (folder / planned.FILE).write_text(text)
        for use in (lambda: record.load(folder), lambda: planned.merged(folder / planned.FILE, [])):
            with pytest.raises(UserError) as refused:
                use()
            assert f"{folder / planned.FILE}:{told}" in str(refused.value)
            assert str(refused.value).endswith(fix)
    (folder / planned.FILE).write_text(f"{header}\r\n{row}\r\n\r\n")
    assert list(record.load(folder).planned["batch_size"]) == [2], "line ends of another system and blank ones"
    more = planned.merged(folder / planned.FILE, planned.rows((0,), [point(batch_size=5)]))
    (folder / planned.FILE).write_text(more)
    assert list(record.load(folder).planned["batch_size"]) == [2, 5], "added behind them"


def test_the_plan_of_kept_settings_can_be_written_later(folder):
    (folder / record.SETTINGS).write_text(SMALL, encoding="utf-8")
    before = record.load(folder)
    asked = experiment.load(folder / record.SETTINGS)
    planned.keep(folder, asked)
    after = record.load(folder)
    assert len(after.planned) == len(plan.points(asked, "cpu")) == 4
    assert after.points.equals(before.points)
    with pytest.raises(UserError, match="there are no results in it"):
        planned.keep(folder.with_name("another"), asked)
    assert not folder.with_name("another").exists()


def test_what_is_no_results_folder_is_refused_and_not_made(tmp_path, monkeypatch, capsys):
    asked, typo, empty = tmp_path / "asked.yaml", tmp_path / "typo", tmp_path / "empty"
    asked.write_text(SMALL, encoding="utf-8")
    commit(empty)
    for words, told in {
        (): "usage: python -m harness.planned FOLDER [EXPERIMENT.yaml]",
        ("--help",): "usage: ",
        (typo, asked, asked): "usage: ",
        (typo,): f"{typo}: there are no results in it; name a folder such as results/",
        (typo, asked): f"{typo}: there are no results in it; name a folder such as results/",
        (empty, asked): f"{empty}: its tables hold no row yet; `python -m harness run` keeps a plan",
    }.items():
        monkeypatch.setattr("sys.argv", ["planned", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            ending.run(planned.main)
        said = capsys.readouterr().err
        assert (ended.value.code, said.count("\n")) == (2, 1)
        assert said.startswith(told)
    assert not typo.exists()


def test_the_readme_of_the_results_names_the_file_and_its_columns():
    text = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    assert f"`{planned.FILE}`" in text
    assert all(f"`{name}`" in text for name in planned.TYPES)


def test_committed_folders_hold_the_plan_of_their_settings(committed, whole):
    read = {(one.experiment, one.device): one for one in whole}
    found = sorted(path.parent for path in committed.glob(f"*/*/{record.SETTINGS}"))
    assert found
    for place in found:
        asked, results = experiment.load(place / record.SETTINGS), read[place.parent.name, place.name]
        told = planned.rows(asked.seeds, plan.points(asked, results.points["device"].iloc[-1]))
        kept = (place / planned.FILE).read_text(encoding="utf-8")
        here = place.relative_to(committed.parent)
        assert planned.merged(place / planned.FILE, told) == kept, f"run `python -m harness.planned {here}`"
        assert len(results.planned) >= len(rows.current(results.points)), here


# Told before a run -----------------------------------------------------------------------------------------------


def test_validate_and_a_dry_run_count_what_the_pages_do(typed, tmp_path, monkeypatch):
    """Also what follows from trials: the pages tell of each that was not run."""
    monkeypatch.setattr(corpus, "training_bytes", lambda name: 10**9)
    asked, text = tmp_path / "asked.yaml", TEXT.replace("sweep: {", "sweep: {gamma: [none, single], ")
    asked.write_text(text, encoding="utf-8")
    loaded = experiment.load(asked)
    one = result_set(lambda each: False, plan.points(loaded, "cpu"), loaded.seeds)
    assert unrun.counted(one) == "54 of 54 planned points have no row"
    counted = "54 planned points, among them 8 further seeds at the rates that trials choose and 2 not applicable; "
    code, printed, told = typed("validate", asked, "--results", tmp_path)
    assert (code, told) == (0, "")
    needed = tell_bytes(max(map(predict.memory_bytes, plan.points(loaded, "cpu"))))
    assert (
        printed == f"{asked}: ok, {counted}the largest is predicted to need {needed} (`run --dry-run` tells of each)\n"
    )
    code, printed, _ = typed("run", asked, "--dry-run", "--device", "cpu")
    assert (code, f"\n{counted}roughly " in printed) == (0, True)
    more = typed("validate", ROOT / "experiments/triangle_gpu.yaml", "--results", tmp_path)[1]
    assert "ok, 90 planned points, among them 10 further seeds at the rates that trials choose; 5 more on cuda" in more


def test_validate_tells_what_results_were_not_planned_with(typed, tmp_path):
    asked, place = tmp_path / "asked.yaml", tmp_path / "results" / "asked" / "cpu-made-up"
    asked.write_text(SMALL, encoding="utf-8")
    (tmp_path / "results").mkdir()
    assert typed("validate", asked, "--results", tmp_path / "results")[2] == ""
    commit(place, 1)
    planned.keep(place, experiment.load(asked))
    assert typed("validate", asked, "--results", tmp_path / "results")[2] == ""
    asked.write_text(SMALL.replace("aft,", "aft, rwkv,"), encoding="utf-8")
    code, _, told = typed("validate", asked, "--results", tmp_path / "results")
    plans = f"it plans 2 points more than the results in {place} were run with; the pages count them from the next run"
    assert (code, told) == (0, f"{asked}: {plans} there on\n")
    asked.write_text(SMALL.replace("aft, ", ""), encoding="utf-8")
    assert typed("validate", asked, "--results", tmp_path / "results")[2] == "", "what was planned once stays planned"
    (place / planned.FILE).write_text("damaged")
    code, _, told = typed("validate", asked, "--results", tmp_path / "results")
    assert (code, f"{place / planned.FILE}:1: " in told) == (0, True), "that the file can be run stands"


# Told by the pages -----------------------------------------------------------------------------------------------


def result_set(there, wanted, seeds=(0,)):
    """Rows of the points that `there` keeps, and the plan of all."""
    made = Builder()
    for each in filter(there, wanted):
        given = {name: getattr(each, name, None) for name in planned.TYPES if name not in ("measure", "label")}
        rate = each.training.learning_rate if each.training else None
        made.point(each.measure, each.label, model=each.model, **given | {"learning_rate": rate})
    told = pd.DataFrame(planned.rows(seeds, wanted)).astype(planned.TYPES)
    return dataclasses.replace(made.build(), planned=told)


CELLS = [(batch, length) for batch in (1, 8) for length in (16, 2048)]
DECODE = [
    point(measure="decode", label=label, batch_size=batch, sequence_length=length)
    for batch, length in CELLS
    for label in ("aft", "retnet", "rwkv")
]
MEMORY = [dataclasses.replace(each, measure="memory") for each in DECODE]


def test_planned_points_without_a_row_are_counted_and_told():
    one = result_set(
        lambda each: each.measure == "decode" and (each.batch_size, each.label) not in ((8, "aft"), (8, "rwkv")),
        [*DECODE, *MEMORY],
    )
    counted = "16 of 24 planned points have no row"
    told = f"{counted}: decode of aft and rwkv at 8×16 and 8×2,048; all of memory of all models."
    assert unrun.told(one) == unrun.told(rows.View(one)) == told
    assert provenance.counts(one) == f"8 ok; {counted}"
    assert figures.load("status").beside(one) == told


def test_where_all_was_run_or_no_plan_was_kept_there_is_no_word():
    assert unrun.told(result_set(lambda each: True, DECODE)) == ""
    one = dataclasses.replace(result_set(lambda each: False, DECODE), planned=None)
    assert unrun.told(one) == unrun.counted(one) == ""


def test_a_row_counts_whatever_became_of_it():
    made = Builder()
    made.point("decode", "aft", "oom", "no room", batch_size=1, sequence_length=16, width=24, layers=2, heads=3)
    for row in made.rows["points"]:
        row["parameters_target"] = None
    plan_of = pd.DataFrame(planned.rows((0,), DECODE[:1])).astype(planned.TYPES)
    assert unrun.told(dataclasses.replace(made.build(), planned=plan_of)) == ""


def test_further_seeds_count_whatever_rate_they_were_trained_with():
    sizes = (("aft", 24), ("rwkv", 48))
    trials = [trial(rate, measure="language", label=name, width=w) for rate in (1e-3, 3e-3) for name, w in sizes]
    seeds = [dataclasses.replace(trials[0], seed=seed, role="chosen") for seed in (5, 7)]
    one = result_set(lambda each: each in trials, trials, seeds=(0, 5, 7))
    assert unrun.told(one) == "4 of 8 planned points have no row: language of all models at seed 5 and seed 7."
    made = result_set(lambda each: True, [*trials, *seeds[:1]], seeds=(0,))
    told = unrun.told(dataclasses.replace(made, planned=one.planned))
    assert told.endswith("language of aft at seed 7; language of rwkv at seed 5 and seed 7.")
    failed = one.points["status"].where(one.points["label"] != "rwkv", "error")
    one = dataclasses.replace(one, points=one.points.assign(status=failed))
    assert unrun.told(one).startswith("2 of 6 planned points"), "an entry all of whose trials failed has no others"


def test_many_sizes_are_named_in_part():
    many = [point(measure="decode", label="aft", sequence_length=length) for length in range(16, 28)]
    told = unrun.told(result_set(lambda each: each.sequence_length == 16, many))
    assert told.startswith("11 of 12 planned points have no row: decode of aft at length 17, length 18, ")
    assert told.endswith("length 24 and 3 more.")


def test_the_page_shows_it(tmp_path):
    pages.write([result_set(lambda each: each.label == "aft", DECODE)], tmp_path)
    for name in ("experiment-triangle.html", "index.html"):
        assert "8 of 12 planned points have no row" in (tmp_path / name).read_text(encoding="utf-8")
