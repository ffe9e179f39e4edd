"""What was accepted: a strict file whose entries hold for what they name, while they say so, and only with a reason."""

import datetime

import pytest

import models
from harness import measures
from harness.errors import UserError
from harness.gate import accepted, trees
from harness.gate.cases import paired
from harness.gate.exact import changes
from tests.gating import lines, row
from tests.tree import ROOT

SURVEY = lines(row("retnet"), row("retnet", "prefill"), row("aft"), parameters=998016)
ROWS = paired(SURVEY, SURVEY).rows
TOMORROW = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)).date().isoformat()
GOOD = {
    "model": "retnet",
    "metric": "time",
    "factor": "1.3",
    "until": TOMORROW,
    "reason": "The state is float32 now.",
}


def loaded(folder, *entries, base="b" * 40):
    """The file with these entries, each a mapping of texts."""
    written = ["# Why these are let pass.", "accepted:"]
    for entry in entries:
        told = [f"{key}: {value}" for key, value in entry.items()]
        written += ["  - " + told[0], *("    " + line for line in told[1:])]
    path = folder / accepted.NAME
    path.write_text("\n".join(written) + "\n", encoding="utf-8")
    return accepted.load(path, folder, base, ROWS)


def refused(folder, *entries):
    with pytest.raises(UserError) as told:
        loaded(folder, *entries)
    return str(told.value).replace(f"{folder / accepted.NAME}", "FILE")


def without(*names, **changed):
    return {key: value for key, value in GOOD.items() if key not in names} | changed


def test_no_file_and_an_empty_one_accept_nothing(tmp_path):
    assert accepted.load(tmp_path / "none.yaml", tmp_path, "b", ROWS) == accepted.Accepted()
    path = tmp_path / "empty.yaml"
    for text in ("", "# nothing yet\naccepted: []\n", "accepted:\n"):
        path.write_text(text, encoding="utf-8")
        assert accepted.load(path, tmp_path, "b", ROWS).entries == ()


def test_an_accepted_slowdown_covers_the_model_the_measure_or_the_point(tmp_path):
    keys = [(row("retnet"), "decode retnet 3x17"), (row("retnet", "prefill"), "prefill retnet 3x17"), (row("aft"), "x")]

    def covered(entry):
        held = loaded(tmp_path, entry)
        return [held.slowdown(key, each) is not None for each, key in keys]

    assert covered(GOOD) == [True, True, False]
    assert covered(GOOD | {"measure": "prefill"}) == [False, True, False]
    assert covered(without("model", point="decode retnet 3x17")) == [True, False, False]
    widest = loaded(tmp_path, GOOD, GOOD | {"factor": "1.5"}).slowdown("decode retnet 3x17", row("retnet"))
    assert widest.factor == 1.5


def test_an_accepted_change_is_exactly_the_one_that_came(tmp_path):
    head = lines(row("retnet"), row("retnet", "prefill"), row("aft"), parameters=1001216)
    head[-1]["exact"]["parameters"] = 998016
    (change,) = changes(paired(SURVEY, head).exact)
    entry = without("factor", metric="parameters", change="[998016, 1001216]")
    assert loaded(tmp_path, entry).change(change).reason == "The state is float32 now."
    for other in (
        entry | {"change": "[998016, 1001217]"},
        entry | {"change": "[998016.0, 1001216.0]"},
        entry | {"metric": "live_parameters"},
        entry | {"measure": "decode"},  # the prefill point changed as well
        entry | {"model": "aft"},
    ):
        assert loaded(tmp_path, other).change(change) is None


@pytest.mark.parametrize("given", ["''", "' '", "", "null", "[]"])
def test_a_reason_is_demanded(given, tmp_path):
    told = refused(tmp_path, GOOD | {"reason": given})
    assert told.startswith("FILE:7: accepted[0].reason: ")
    assert "reason: it is missing; say why this is accepted" in refused(tmp_path, without("reason"))


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (without("model"), "accepted[0].point: name either a point or a model"),
        (GOOD | {"point": "decode aft 3x17"}, "accepted[0].point: name either a point or a model"),
        (GOOD | {"model": "retnt"}, "FILE:3: accepted[0].model: neither side has the model 'retnt'; did you mean"),
        (GOOD | {"measure": "decod"}, "neither side has the measure 'decod'; did you mean 'decode'?"),
        (without("model", point="decode retnet 4x17"), "did you mean 'decode retnet 3x17'?"),
        (without("model", point="decode retnet 3x17", measure="decode"), "a point has its measure; remove one of them"),
        (GOOD | {"metric": "tme"}, "unknown metric 'tme'; allowed are time, parameters"),
        (GOOD | {"factor": "0.9"}, "factor: 0.9 is not allowed; time takes a factor above 1, at most 10"),
        (without("factor"), "factor: null is not allowed; time takes a factor above 1"),
        (GOOD | {"change": "3"}, "change: 3 is not a list; write it as [from, to]"),
        (without("metric"), "metric: it is missing; add it to accepted[0]"),
        (GOOD | {"base": "''"}, "base: it is empty; give a value, or remove it"),
        (GOOD | {"change": "[1, 2]"}, "change: time does not take it; remove it"),
        (GOOD | {"metric": "loss"}, "loss takes a change: [from, to], as the gate prints it"),
        (without("until"), "say how long this holds: give base, the last commit before the change, or until, a day"),
        (GOOD | {"until": "soon"}, "until: 'soon' is no day; write it as 2027-06-30"),
        (GOOD | {"base": "HEAD~1"}, "base: 'HEAD~1' is no hash, and what it names may move; write the hash"),
        (GOOD | {"base": "1234567"}, "base: 1234567 is not text; put it in quotes"),
        (GOOD | {"untl": TOMORROW}, "untl: unknown key 'untl'; allowed are point, model"),
        (GOOD | {"factor": "'1.3'"}, "factor: '1.3' is not a number; write it as 1.2"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(entry, told, tmp_path):
    found = refused(tmp_path, entry)
    assert told in found
    assert all(line.startswith("FILE:") for line in found.splitlines())


def test_every_problem_is_told_at_once(tmp_path):
    assert len(refused(tmp_path, without("reason"), GOOD | {"factor": "7000"}, without("model")).splitlines()) == 3


@pytest.mark.parametrize("text", ["[]", "acceptd: []", "accepted: 3", "accepted: {}", "3"])
def test_a_file_of_another_kind_is_refused(text, tmp_path):
    path = tmp_path / accepted.NAME
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="allowed is one key, `accepted:`, with a list"):
        accepted.load(path, tmp_path, "b", ROWS)


def test_what_is_no_text_file_is_told(tmp_path):
    path = tmp_path / accepted.NAME
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"this is not UTF-8 text \(byte 0\); save it as UTF-8"):
        accepted.load(path, tmp_path, "b", ROWS)
    with pytest.raises(UserError, match="this is a folder; name one YAML file"):
        accepted.load(tmp_path, tmp_path, "b", ROWS)


def test_an_entry_ends_with_its_day(tmp_path):
    held = loaded(tmp_path, GOOD | {"until": "2024-02-29"})
    assert held.entries == ()
    (note,) = held.notes
    assert note.endswith(f"{accepted.NAME}:3: does not hold here: 2024-02-29 has passed")


@pytest.mark.parametrize(
    ("answer", "holds", "told"),
    [(True, True, ""), (False, False, "the change is part of it"), (None, False, "this repository has no commit 3ec")],
)
def test_an_entry_holds_for_the_base_it_names_and_older_ones(answer, holds, told, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(trees, "holds_for", lambda *given: asked.append(given) or answer)
    held = loaded(tmp_path, without("until", base="3ec3559"), base="b" * 40)
    assert asked == [(tmp_path, "b" * 40, "3ec3559")]
    assert bool(held.entries) is holds
    assert told in "".join(held.notes)


def test_an_entry_with_both_ends_needs_both(tmp_path, monkeypatch):
    monkeypatch.setattr(trees, "holds_for", lambda *_: True)
    assert loaded(tmp_path, GOOD | {"base": "3ec3559"}).entries
    assert not loaded(tmp_path, GOOD | {"base": "3ec3559", "until": "2024-02-29"}).entries


def test_the_file_of_this_project_is_right():
    measured = [row(model, measure) for model in models.names() for measure in measures.names()]
    held = accepted.load(ROOT / accepted.NAME, ROOT, "HEAD", [("", each) for each in measured])
    assert all(entry.reason for _, entry in held.entries)
