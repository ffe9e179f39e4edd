"""What programs of a decode step hold: the rows of the table, and how they are chosen among what was timed."""

import itertools
import sys
import types

import pytest
import torch

import models
from harness import machine, tune_steps
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


# Rows are chosen by made-up times, which need no GPU -----------------------------------------------------------------


@pytest.fixture
def chosen(monkeypatch, capsys):
    """What is chosen of a model that asks for the places `asked`, by a stopwatch that gives `cost(row)`; and what is
    told of the times, a line for each place of each round."""

    def choose(cost, *asked):
        def stepper(model, row):
            for place in asked:
                getattr(row, place)
            return lambda: cost(row)

        monkeypatch.setattr(tune_steps, "built", lambda name, given: types.SimpleNamespace(layers_title="Made up"))
        monkeypatch.setattr(tune_steps, "stepper", stepper)
        title, row = tune_steps.best("made_up", {})
        assert title == "Made up"
        return row, capsys.readouterr().err.splitlines()

    return choose


@pytest.mark.parametrize(
    ("share", "taken"), [(0.5, True), (tune_steps.LESS - 1e-6, True), (tune_steps.LESS, False), (1.0, False)]
)
def test_a_portion_must_be_quicker_by_more_than_two_graphs_of_one_step_differ(chosen, share, taken):
    small = Portions(up=Portion(8192))
    row, _ = chosen(lambda row: share if row == small else 1.0, "up")
    assert row == (small if taken else DEFAULT)


def test_the_quickest_portion_is_taken_place_by_place(chosen):
    """Only of those that the model asks for."""
    times = {4096: 0.8, 8192: 0.7, 16384: 0.9, 32768: 1.0}

    def cost(row):
        return times[row.into.most] + (0.0 if row.out.once else 0.1) + times[row.state.most] + times[row.down.most]

    row, told = chosen(cost, "into", "out", "state")
    assert row == Portions(into=Portion(8192), out=Portion(once=True))
    assert {line.split()[3] for line in told} == {"into", "out", "state"}


def test_places_are_gone_through_until_a_round_changes_nothing(chosen):
    """What pays in one place only once another has changed is found in the next round."""
    small = Portion(4096)
    cost = {(False, False): 1.0, (True, False): 1.0, (False, True): 0.9, (True, True): 0.8}
    row, told = chosen(lambda row: cost[row.into == small, row.down == small], "into", "down")
    assert row == Portions(into=small, down=small)
    assert len(told) == 3 * 2, "one round for each change, and one without"


def test_no_more_rounds_than_that(chosen):
    clock = itertools.count(1)
    _, told = chosen(lambda row: 1 / next(clock) ** 9, "into")
    assert len(told) == tune_steps.ROUNDS


def test_what_a_place_could_hold():
    row = Portions(into=Portion(8192, once=True))
    assert tune_steps.others(row, "into") == [
        *(Portion(most, once=True) for most in (4096, 8192, 16384, 32768)),
        Portion(8192),
    ]
    assert tune_steps.others(row, "state") == [Portion(4096), Portion(8192), Portion(8192, once=True)]


def test_candidates_are_timed_in_turns_and_told_by_their_medians():
    turns, one, two = [], DEFAULT, Portions(up=Portion(4096))
    times = {one: itertools.cycle([1.0, 1.0, 9.0]), two: itertools.cycle([2.0, 3.0, 4.0, 3.0])}
    once = {row: lambda row=row: turns.append(row) or next(times[row]) for row in times}
    assert tune_steps.medians(once) == {one: 1.0, two: 3.0}
    assert turns == [one, two] * tune_steps.TURNS


def test_portions_are_printed_as_they_stand_in_the_table(monkeypatch, capsys):
    pinned = {key: row for key, row in TABLE.items() if key[1] == tune_steps.WIDTH}
    waiting = iter(pinned.items())

    def best(name, given):
        (title, _), row = next(waiting)
        return title, row

    monkeypatch.setattr(machine, "need_cuda", lambda what: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "made up")
    monkeypatch.setattr(tune_steps, "best", best)
    monkeypatch.setattr(sys, "argv", ["tune_steps"])
    tune_steps.main()
    assert eval(f"{{{capsys.readouterr().out}}}", {"Portions": Portions, "Portion": Portion}) == pinned
