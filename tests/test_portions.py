"""What programs of a decode step hold: the rows of the table."""

import pytest

import models
from models._portions import DEFAULT, HELD, TABLE, Portion, Portions, portions
from tests.test_decoding import SHAPE


@pytest.mark.parametrize("row", TABLE.values(), ids=[f"{title} {width}" for title, width in TABLE])
def test_rows_fit_into_registers(row):
    for place, portion in vars(row).items():
        assert portion.most & (portion.most - 1) == 0, place
        assert 256 <= portion.most <= HELD, place


def test_each_architecture_has_a_row_at_each_width_that_one_has():
    """Or one would be measured with programs chosen for it, and its rival without."""
    kinds = [(models.load(name), given) for name in models.names() for given in models.load(name).tuned]
    titles = {kind(SHAPE, kind.Options(**given)).layers_title for kind, given in kinds}
    assert len(titles) == len(kinds)
    widths = {width for _, width in TABLE}
    assert {(title, width) for title in titles for width in widths} == set(TABLE)


def test_other_sizes_hold_what_registers_allow(monkeypatch):
    assert portions("RetNet", 40) is DEFAULT
    assert portions("none of these", 2048) is DEFAULT
    monkeypatch.setitem(TABLE, ("RetNet", 40), row := Portions(into=Portion(256)))
    assert portions("RetNet", 40) is row
