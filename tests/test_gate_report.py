"""The gate's verdict from what was found, and how it is told: the table, the JSON, the step summary."""

import json
import pathlib

import pytest
from rich.console import Console

from harness.errors import UserError
from harness.gate import cases, decision, report, telling
from harness.gate.accepted import Entry
from harness.gate.cases import Pair
from harness.gate.decision import conclude
from harness.gate.exact import changes
from harness.gate.rules import Rules
from harness.gate.trees import Tree
from tests.gating import lines, row

REASON = "It is worth it."


def pairs(ratio, count=5):
    return [Pair((2.0, 2.0), (2.0 * ratio, 2.0 * ratio), i % 2 == 0) for i in range(count)]


def found(ratios=None, control=1.0, slowdowns=None, accept=(), base=None, head=None, **changed):
    """What a gate over some points found, whose pairs all have the given ratio."""
    ratios = ratios if ratios is not None else {"retnet": 1.0}
    survey = lines(*(row(model) for model in ratios))
    both = cases.paired(base or survey, head or survey)
    for case in both.cases:
        case.first = pairs(ratios[case.head["model"]])
        case.again = pairs(ratios[case.head["model"]]) if ratios[case.head["model"]] > 1.1 else []
    tree = Tree(pathlib.Path("there"), "HEAD~1", "1234567890abcdef")
    told = {
        "experiment": "ci_throughput.yaml",
        "trees": (tree, Tree(pathlib.Path("here"), "the working tree", "fedcba0987654321", dirty=True)),
        "rules": Rules(),
        "settings": {"device": "cpu", "threads": 1},
        "seconds": 63.2,
        "cases": both.cases,
        "measured": True,
        "alone": both.alone,
        "control": pairs(control),
        "changes": [(each, accept[0] if accept else None) for each in changes(both.exact)],
        "slowdowns": slowdowns or {},
        "notes": both.notes,
    }
    return report.data(report.Found(**told | changed))


def entry(**told):
    return Entry.model_validate({"reason": REASON, **told})


# The verdict -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdicts", "changed", "moved", "verdict"),
    [
        (["steady", "faster"], False, False, "pass"),
        (["same code"], False, False, "pass"),
        (["steady", "slower", "undecided"], False, False, "regression"),
        (["steady", "undecided"], False, False, "inconclusive"),
        (["slower"], False, True, "inconclusive"),
        (["steady"], False, True, "inconclusive"),
        (["steady"], True, False, "regression"),
        (["undecided"], True, True, "regression"),
        ([], True, False, "regression"),
        (["steady", "broken"], False, True, "regression"),
        ([], False, False, "nothing measured"),
        (["not compared"], False, False, "nothing measured"),
    ],
)
def test_the_verdict_of_the_whole(verdicts, changed, moved, verdict):
    assert conclude(verdicts, changed, moved) == verdict


def test_every_verdict_has_an_exit_code_of_its_own():
    assert decision.EXIT_CODES == {"pass": 0, "regression": 1, "nothing measured": 3, "inconclusive": 4}


@pytest.mark.parametrize(
    ("told", "code"),
    [
        (found({"retnet": 1.0, "aft": 0.8}), 0),
        (found({"retnet": 1.0, "aft": 1.25}), 1),
        (found({"aft": 1.25}, control=1.2), 4),
        (found({"aft": 1.25}, control=1.01), 1),
        (found({}), 3),
        (found(head=lines(row(), parameters=101)), 1),
        (found(head=lines(row(), parameters=101), control=1.2), 1),
        (found(head=lines(row(), parameters=101), accept=[entry(metric="parameters", change=[100, 101])]), 0),
    ],
)
def test_exit_codes_of_what_was_found(told, code):
    assert told["exit_code"] == code
    again = json.loads(telling.text(told))
    assert telling.text(again) == telling.text(told)


def test_an_accepted_slowdown_passes_up_to_its_factor_and_is_told_with_its_reason():
    key = "decode retnet 3x17"
    held = found({"retnet": 1.25}, slowdowns={key: entry(metric="time", factor=1.3)})
    (point,) = held["points"]
    assert (held["exit_code"], point["verdict"]) == (0, "steady")
    assert point["reason"] == f"accepted up to 1.3 times: {REASON}"
    assert found({"retnet": 1.25}, slowdowns={key: entry(metric="time", factor=1.2)})["exit_code"] == 1
    assert found({"retnet": 1.0}, slowdowns={key: entry(metric="time", factor=1.2)})["points"][0]["reason"] == ""


def test_a_loss_that_is_no_number_is_still_json():
    told = found(base=lines(row(), loss=2.0), head=lines(row(), loss=float("nan")))
    assert json.loads(telling.text(told), parse_constant=pytest.fail)["exact"][0]["head"] == "nan"


def test_a_point_without_enough_pairs_is_undecided_and_says_why():
    survey = lines(row())
    told = found(cases=cases.paired(survey, survey).cases)
    assert (told["exit_code"], told["points"][0]["reason"]) == (4, "there was no time for it")
    both = cases.paired(survey, survey).cases
    both[0].first = pairs(1.3)
    told = found(cases=both)
    assert (told["exit_code"], told["points"][0]["reason"]) == (4, "looked slower, and there was no time to confirm it")


def test_points_of_the_same_code_pass_unmeasured():
    survey = lines(row(), row("aft"))
    told = found(cases=cases.paired(survey, survey).cases, measured=False, control=1.0)
    assert told["exit_code"] == 0
    assert {point["verdict"] for point in told["points"]} == {"same code"}


def test_what_breaks_in_the_head_is_red_and_what_the_base_cannot_run_is_told():
    survey = lines(row(), row("aft"))
    both = cases.paired(survey, survey).cases
    both[0].failures["head"] = ["oom: out of memory"] * 2
    both[1].failures["base"] = ["ValueError: no"] * 2
    told = found(cases=both)
    assert [point["verdict"] for point in told["points"]] == ["broken", "not compared"]
    assert told["points"][1]["reason"] == "fails in the base: ValueError: no"
    assert told["exit_code"] == 1


# Telling ---------------------------------------------------------------------------------------------------------


def printed(told):
    console = Console(record=True, width=200, file=open("/dev/null", "w"))  # noqa: SIM115
    telling.tell(told, console)
    return console.export_text()


def busy():
    """A gate with one of everything."""
    base = lines(row("retnet"), row("aft"), row("rwkv"), row("rwkv", "forms", metric=None))
    head = lines(row("retnet"), row("aft"), row("transformer"), row("rwkv", "forms", metric=None), loss=2.5)
    base[-4]["exact"]["loss"] = 2.25
    return found({"retnet": 1.25, "aft": 1.0}, base=base, head=head, notes=["accepted_slowdowns.yaml:3: nothing"])


def test_everything_that_was_found_is_told():
    told = printed(busy())
    for part in (
        "HEAD~1 (1234567890) against the working tree (fedcba0987, changed); limit 10%, 1 thread, 1 min 03 s",
        "decode retnet 3x17",
        "slower",
        "1.250",
        "1.250 to 1.250",
        "(control)",
        "retnet: loss was 2.25, is 2.5 (decode retnet 3x17); NOT ACCEPTED",
        "new: decode transformer 3x17",
        "gone: decode rwkv 3x17",
        "untimed: forms rwkv 3x17",
        "accepted_slowdowns.yaml:3: nothing",
        "REGRESSION: 1 slower, 1 steady, 1 exact change",
    ):
        assert part in told, part
    assert told.index("decode retnet 3x17") < told.index("decode aft 3x17"), "what matters most comes first"
    assert told.strip().splitlines()[-1].startswith("REGRESSION")


def test_the_step_summary_is_appended_where_there_is_one(tmp_path, monkeypatch):
    summary = tmp_path / "summary.md"
    summary.write_text("before\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    telling.write(busy(), tmp_path / "new/gate.json")
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("before\n## Throughput: REGRESSION: 1 slower")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert len(table) == 2 + 3, "two points and the control"
    assert json.loads((tmp_path / "new/gate.json").read_text(encoding="utf-8"))["exit_code"] == 1
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    telling.write(busy(), None)
    assert summary.read_text(encoding="utf-8") == text


def test_a_step_summary_that_cannot_be_written_does_not_change_the_verdict(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    telling.write(busy(), tmp_path / "gate.json")
    told = f"GITHUB_STEP_SUMMARY {tmp_path}: cannot be written: Is a directory; the verdict stands without it"
    assert capsys.readouterr().err.strip() == told
    assert json.loads((tmp_path / "gate.json").read_text(encoding="utf-8"))["exit_code"] == 1


def test_a_folder_is_no_json_file_before_and_after_measuring(tmp_path, monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    with pytest.raises(UserError, match=f"--json {tmp_path}: this is a folder; name a file in it"):
        telling.refuse_folder(tmp_path)
    telling.refuse_folder(tmp_path / "gate.json")
    with pytest.raises(UserError, match=f"--json {tmp_path}: cannot be written: Is a directory; the verdict above st"):
        telling.write(busy(), tmp_path)
