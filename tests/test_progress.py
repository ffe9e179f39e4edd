"""What is told while points run."""

import io

import pytest
from rich.console import Console

from harness import predict, progress, worker
from tests.fakes import point

LINES = [f"line {number}" for number in range(1, 26)]


@pytest.mark.parametrize(
    ("status", "printed", "told"),
    [
        ("ok", LINES, ["... 5 lines before these", *LINES[5:]]),
        ("ok", LINES[:21], ["... 1 line before these", *LINES[1:21]]),
        ("ok", LINES[:20], LINES[:20]),
        ("error", LINES, LINES),
        ("timeout", LINES, LINES),
    ],
)
def test_what_a_point_prints_is_cut_where_it_went_well(monkeypatch, status, printed, told):
    """A failure is told whole: what explains it may stand first."""
    monkeypatch.setattr(predict, "seconds", lambda point: 1.0)
    console = Console(file=io.StringIO(), width=200)
    bar = progress.Bar(console, [point(), point(seed=1)])
    for asked in (point(), point(seed=1)):
        bar.end(asked, worker.Outcome(status, "", 0.1, output="\n".join(printed)))
    first, *rest, last = console.file.getvalue().splitlines()
    assert (first.split()[0], last.split()[0]) == ("[1/2]", "[2/2]")
    assert rest == told


def test_what_was_printed_before_what_is_kept_is_counted_too(sweep):
    """Of a point that prints without an end, its process's parent keeps the end alone."""
    _, told = sweep(point(measure="floods"))
    lines = told.splitlines()
    assert lines[1:22] == ["... 2980 lines before these", *(f"line {number}" for number in range(2981, 3001))]
