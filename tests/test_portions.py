"""What programs of a decode step hold: the rows of the table."""

import pytest

import models
from models._kernels import portions
from models._kernels.portions import DEFAULT, HELD, TABLE
from models._kernels.portions import portions as found


@pytest.mark.parametrize("row", TABLE.values(), ids=[f"{title} {width}" for title, width in TABLE])
def test_rows_fit_into_registers(row):
    for place, size in vars(row).items():
        assert size & (size - 1) == 0, place
        assert 256 <= size <= HELD, place


def test_each_architecture_has_a_row_at_each_width_that_one_has():
    """Or one would be measured with programs chosen for it, and its rival without."""
    titles = {models.load(name).title for name in models.names()}
    widths = {width for _, width in TABLE}
    assert {(title, width) for title in titles for width in widths} == set(TABLE)


def test_other_sizes_hold_what_registers_allow(monkeypatch):
    assert found("RetNet", 40) is DEFAULT
    assert found("none of these", 2048) is DEFAULT
    monkeypatch.setitem(portions.TABLE, ("RetNet", 40), row := portions.Portions(into=256))
    assert found("RetNet", 40) is row
