"""How the plans of scans are chosen among what was timed: by made-up times, which need no GPU."""

import dataclasses
import itertools
import math
import sys

import pytest
import torch

from harness import machine, tune_kernels
from models._kernels.plans import SPECIALISED, TABLE, Plan, Tile

PAIRS = list(itertools.product(tune_kernels.KEYS, tune_kernels.VALUES))
SCANS = list(itertools.product(sorted({*PAIRS, *(pair[::-1] for pair in PAIRS)}), (32, 64), (False, True)))
A, B, ROLES = Tile(64, 64, 1, 4, 2), Tile(64, 64, 1, 4, 3), Tile(64, 64, 1, 4, 4, True)


def held(C, inside, tile):
    """Bytes of shared memory. A stage holds q, k, v and, unless the program finds them itself, scores. With roles it
    also has what outputs are weighed by, unless scores are found inside; and beside the stages there are outputs, or
    what one group hands to the other, and barriers."""
    stage = tile.keys + tile.keys + tile.values + (0 if inside else C)
    if not tile.specialised:
        return tile.stages * 2 * C * stage
    rest = tune_kernels.HANDED if inside else 2 * C * tile.values
    return tile.stages * 2 * C * (stage + (0 if inside else tile.values)) + rest + tune_kernels.BARRIERS


@pytest.mark.parametrize(("sizes", "C", "inside"), SCANS)
def test_ways_fit_into_shared_memory_and_use_it(sizes, C, inside):
    keys, values = sizes
    ways = tune_kernels.ways(keys, values, C, inside, roles=True)
    assert bool(ways) != (inside and keys > 256), "a program that finds scores has all keys"
    assert len(set(ways)) == len(ways)
    for tile in ways:
        assert held(C, inside, tile) <= tune_kernels.SHARED, tile
        limit = 4 if tile.specialised else 5
        assert 2 <= tile.stages <= limit, "one chunk is on its way while another is worked on"
        assert (tile.keys, tile.halves) == (min(keys, 256), 2 if keys >= 256 else 1)
        assert tile.values <= values
        deeper = dataclasses.replace(tile, stages=tile.stages + 1)
        assert deeper in ways or deeper.stages > limit or held(C, inside, deeper) > tune_kernels.SHARED, deeper
    assert tune_kernels.ways(keys, values, C, inside) == [tile for tile in ways if not tile.specialised]


@pytest.mark.parametrize(
    ("scan", "plain", "with_roles"),
    [
        ((32, 32, 32, False), [(32, 4)], []),
        ((64, 64, 64, False), [(64, 4)], [(64, 4)]),
        ((64, 48, 64, False), [(64, 4)], []),  # roles need values that fill their tiles
        ((48, 64, 64, False), [(64, 4)], []),  # and keys that do
        ((128, 512, 64, False), [(64, 4), (128, 4), (128, 8)], [(64, 4), (128, 8)]),
        ((128, 512, 64, True), [(64, 4), (128, 4), (128, 8)], [(64, 4)]),
        ((128, 512, 32, True), [(64, 4), (128, 4), (128, 8)], []),
        ((256, 512, 64, True), [(64, 4), (128, 4), (128, 8)], []),
        ((512, 128, 64, False), [(64, 4), (128, 4), (128, 8)], [(64, 4), (128, 8)]),
        ((512, 128, 64, True), [], []),
    ],
    ids=str,
)
def test_ways_are_what_sizes_allow(scan, plain, with_roles):
    """By values of a tile and warps."""
    for specialised, wanted in ((False, plain), (True, with_roles)):
        ways = [tile for tile in tune_kernels.ways(*scan, roles=True) if tile.specialised == specialised]
        assert sorted({(tile.values, tile.warps) for tile in ways}) == wanted


@pytest.mark.parametrize("table", [TABLE, SPECIALISED], ids=["TABLE", "SPECIALISED"])
def test_pinned_tiles_are_among_the_ways(table):
    for (K, V), plan in table.items():
        of_outputs, of_qk = (K, V, plan.C, plan.inside[0], True), (V, K, plan.C, plan.inside[1], True)
        for scan, tile in ((of_outputs, plan.outputs), (of_outputs, plan.of_v), (of_qk, plan.of_qk)):
            assert tile in tune_kernels.ways(*scan), (K, V)


def timed(forwards, backwards, scores=0.0):
    return {"error": 1e-3, "forwards": forwards, "backwards": backwards, "scores": scores}


def test_the_best_plan_adds_up_what_its_scans_take():
    """Outputs: forwards and scores; of v: backwards, its scores being there; of q and k: all, values as keys."""
    tried = {
        (64, 128, 64, False, A): timed(3.0, 1.0, 2.0),
        (64, 128, 64, False, B): timed(1.0, 6.0, 5.0),
        (128, 64, 64, False, A): timed(1.0, 9.0, 1.0),
        (128, 64, 64, False, B): timed(4.0, 3.0, 3.0),
    }
    assert tune_kernels.best(64, 128, tried) == (5.0 + 1.0 + 10.0, Plan(64, A, A, B))
    assert tune_kernels.best(128, 64, tried) == (2.0 + 3.0 + 6.0, Plan(64, A, B, A))


@pytest.mark.parametrize(("around", "milliseconds"), [(False, 3.5), (True, 3.25)])
def test_scores_are_inside_where_that_is_quicker_scan_by_scan(around, milliseconds):
    """And all scans of a plan have chunks of one length, however quick one is at another."""
    tried = {
        (64, 128, 64, False, A): timed(1.0, 0.5, 0.5),
        (64, 128, 64, True, B): timed(0.75, 0.5),
        (128, 64, 64, False, A): timed(1.0, 0.75, 0.5),
        (128, 64, 64, True, B): timed(1.0, 1.0 if around else 1.5),
        (64, 128, 32, False, A): timed(0.25, 0.25, 0.25),
        (128, 64, 32, False, A): timed(4.0, 4.0, 4.0),
    }
    wanted = Plan(64, B, B, B if around else A, (True, around))
    assert tune_kernels.best(64, 128, tried) == (milliseconds, wanted)


def test_the_quickest_chunks_win():
    tried = {
        (*sizes, C, False, A): timed(milliseconds, milliseconds)
        for sizes in ((64, 128), (128, 64))
        for C, milliseconds in ((32, 1.0), (64, 2.0))
    }
    assert tune_kernels.best(64, 128, tried) == (4.0, Plan(32, A, A, A))


def test_scans_that_were_wrong_are_no_part_of_a_plan():
    wrong = {"error": math.inf, "why": "refused"}
    tried = {(64, 64, 64, False, A): wrong, (64, 64, 64, False, B): timed(1.0, 1.0)}
    assert tune_kernels.best(64, 64, tried) == (4.0, Plan(64, B, B, B))
    assert tune_kernels.best(64, 64, {**tried, (64, 64, 64, False, B): wrong}) is None
    assert tune_kernels.best(64, 128, tried) is None, "of other sizes"


def test_tiles_with_roles_are_chosen_for_the_table_of_those_alone():
    """Which has the best of both kinds: a plain one stays where it is quicker."""
    tried = {
        (64, 128, 64, False, A): timed(2.0, 2.0),
        (64, 128, 64, False, ROLES): timed(1.0, 3.0),
        (128, 64, 64, False, A): timed(2.0, 2.0),
        (128, 64, 64, False, ROLES): timed(1.0, 1.0),
    }
    assert tune_kernels.best(64, 128, tried) == (8.0, Plan(64, A, A, A))
    assert tune_kernels.best(64, 128, tried, roles=True) == (5.0, Plan(64, ROLES, A, ROLES))


@pytest.mark.parametrize("roles", [False, True])
def test_plans_are_printed_as_they_stand_in_the_tables(monkeypatch, capsys, roles):
    """Once each scan was tried, of these sizes and of keys as values."""
    asked = []

    def attempt(*job):
        asked.append(job)
        return timed(1.0, 2.0) if job[-1] != A else {"error": math.inf}

    monkeypatch.setattr(machine, "need_cuda", lambda what: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "made up")
    monkeypatch.setattr(tune_kernels, "specialised", lambda device: roles)
    monkeypatch.setattr(tune_kernels, "ways", lambda keys, values, C, inside, roles: [A, ROLES if roles else B])
    monkeypatch.setattr(tune_kernels, "attempt", attempt)
    monkeypatch.setattr(sys, "argv", ["tune_kernels", "64x64", "64x128"])
    tune_kernels.main()
    assert len(set(asked)) == len(asked) == 3 * 2 * 2 * 2, "sizes, chunks, scores inside or not, tiles"
    plain, _, specialised = capsys.readouterr().out.removeprefix("TABLE\n").partition("SPECIALISED\n")
    found = Plan(32, *[ROLES if roles else B] * 3)
    both = dict.fromkeys([(64, 64), (64, 128)], found)
    if roles:
        assert plain == "    # (64, 64): none was right\n    # (64, 128): none was right\n"
    assert eval(f"{{{specialised if roles else plain}}}", {"Plan": Plan, "Tile": Tile}) == both
    assert bool(specialised) == roles
