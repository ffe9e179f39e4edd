"""Values that nobody can have measured, and rows that do not go together: damage like any other, in a run a failure."""

import csv

import pytest

from harness import csvfile, measures, record, values
from harness.child import BadValue, measured
from harness.errors import UserError
from harness.measures import Metric, Progress, Sample
from harness.writer import Writer
from tests.fakes import point

FIX = "nothing was changed; restore the file (as `git restore` does), move its folder away, or `run` with --out"


def changed(folder, name, line, **cells):
    """Writes other cells into one line of a table; gives the table's path."""
    path = folder / f"{name}.csv"
    header, *rows = csv.reader(path.read_text(encoding="utf-8").splitlines())
    row = dict(zip(header, rows[line - 2], strict=True)) | cells
    rows[line - 2] = list(row.values())
    lines = [csvfile.line(header, dict(zip(header, each, strict=True))) for each in rows]
    path.write_text("".join(f"{each}\n" for each in [",".join(header), *lines]), encoding="utf-8")
    return path


def refusal(folder):
    told = []
    for use in (record.load, Writer):
        with pytest.raises(UserError) as refused:
            use(folder)
        told.append(str(refused.value))
    assert told[0] == told[1]
    assert told[0].endswith(FIX)
    return told[0].removesuffix(FIX).rstrip("; \n")


@pytest.mark.parametrize(
    ("unit", "value", "told"),
    [
        *((unit, "-0.5", "above 0") for unit in ("ms", "s", "ns", "tokens/s", "bytes/s")),
        *((unit, "0", "above 0") for unit in ("ms", "s", "ns", "tokens/s", "bytes/s")),
        *((unit, "1e-31", "at least 1e-30") for unit in ("ms", "bytes/s")),
        *((unit, "-5", "at least 0") for unit in ("bytes", "bits/byte", "sequences", "FLOP/s", "J/token", "W")),
    ],
)
def test_a_value_that_its_unit_does_not_allow_is_refused(folder, unit, value, told):
    path = changed(folder, "samples", 3, unit=unit, metric="made_up", value=value)
    wanted = f"{path}:3: column value: found {float(value)!r}, expected {told}, for its unit is {unit}"
    assert refusal(folder) == wanted


@pytest.mark.parametrize(("unit", "value"), [("bytes", "0"), ("FLOP/s", "0"), ("1", "-3.5"), ("of a plug-in", "-3.5")])
def test_a_value_that_its_unit_allows_is_read(folder, unit, value):
    changed(folder, "samples", 3, unit=unit, metric="made_up", value=value)
    assert record.load(folder).samples["value"][1] == float(value)


def test_every_time_and_rate_of_the_measures_here_is_above_0_and_no_size_below():
    shipped = ("decode", "energy", "language", "largest_batch", "memory", "operation", "prefill", "training")
    units = {metric.unit for name in shipped for metric in measures.load(name).metrics.values()}
    assert len(units) > 8
    assert all(values.expected(unit, -1.0) for unit in units)
    assert all(values.expected(unit, 1.0) is None for unit in units)


@pytest.mark.parametrize("value", ["1e30", "-1e30", "1e308"])
@pytest.mark.parametrize(("name", "column"), [("samples", "value"), ("curves", "loss"), ("points", "seconds")])
def test_a_number_that_is_absurdly_large_is_refused(folder, name, column, value):
    """What is computed from it would be infinite."""
    path = changed(folder, name, 3, **{column: value})
    assert refusal(folder) == f"{path}:3: column {column}: found {value!r}, expected a number below 1e+30"


@pytest.mark.parametrize(
    ("name", "column", "cell", "told"),
    [
        ("points", "finished", "yesterday", "'yesterday', expected a time such as 2026-01-02T03:04:05+00:00"),
        ("points", "finished", "2026-13-01", "'2026-13-01', expected a time such as 2026-01-02T03:04:05+00:00"),
        ("points", "role", "x", "'x', expected one of trial, chosen"),
        ("points", "attempts", "0", "0, expected at least 1"),
        ("points", "batch_size", "", "nothing, expected a value, for decode depends on it"),
        ("points", "sequence_length", "", "nothing, expected a value, for decode depends on it"),
        ("curves", "loss", "-0.5", "-0.5, expected at least 0"),
        ("samples", "measure", "memory", "'memory', expected decode, which its point is of"),
        ("samples", "unit", "s", "'s', expected ms, for its metric is token_ms"),
    ],
)
def test_a_cell_that_no_run_writes_is_refused(folder, name, column, cell, told):
    path = changed(folder, name, 3, **{column: cell})
    assert refusal(folder) == f"{path}:3: column {column}: found {told}"


@pytest.mark.parametrize("size", ["batch_size", "sequence_length"])
def test_what_did_not_finish_or_is_of_a_measure_that_is_gone_may_lack_a_size(folder, size):
    changed(folder, "points", 2, **{size: "", "status": "error", "reason": "made up"})
    changed(folder, "points", 3, **{size: "", "measure": "gone"})
    for line in (4, 5):
        changed(folder, "samples", line, measure="gone")
    assert list(record.load(folder).points[size].isna()) == [True, True, False]


def test_metrics_that_are_not_known_and_measures_that_are_broken_are_read(folder, monkeypatch):
    """A plug-in may have given them, and its file may be gone or half written."""
    changed(folder, "samples", 3, metric="invented", unit="a unit of its own")
    assert record.load(folder).samples["metric"][1] == "invented"
    changed(folder, "samples", 3, metric="token_ms", unit="s")
    monkeypatch.setattr(measures, "load", lambda name: {}[name])
    assert record.load(folder).samples["unit"][1] == "s"


class Odd:
    metrics = {"token_ms": Metric("ms", "lower", "a time"), "held": Metric("bytes", "lower", "a size")}

    def __init__(self, *rows):
        self.rows = rows

    def run(self, point, bench):
        yield from self.rows


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (Sample("token_ms", 0.0), "token_ms is 0.0, expected above 0, for its unit is ms"),
        (Sample("held", -1), "held is -1, expected at least 0, for its unit is bytes"),
        (Sample("held", 1e31), "held is 1e+31, expected a number below 1e+30"),
        (Progress(3, 7, 0.1, -0.5), "the loss at step 3 is -0.5, expected at least 0, for its unit is nats/token"),
    ],
)
def test_a_measure_that_gives_what_no_table_takes_fails_its_point_alone(row, told):
    """The writer would end the whole run."""
    with pytest.raises(BadValue) as failed:
        list(measured(point(), Odd(row)))
    assert (str(failed.value), failed.value.kind) == (told, "")
    assert list(measured(point(), Odd(Sample("held", 0))))
