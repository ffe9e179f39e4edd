"""What is said before anything runs: points none of which can run, memory that will not do, text read too often."""

import dataclasses
import json
import types

import psutil
import pytest

from harness import budget, corpus, doctor, foresight, planned, predict, python_docs, quantity, record, texts
from harness.errors import Problem, UserError, refuse
from harness.point import Training
from harness.writer import Writer
from tests.commands import SMALL
from tests.fakes import point
from tests.planning import of, points
from tests.tree import ROOT


def trained(**budgets):
    return point(training=Training(32, 4, 1e-3, **budgets), corpus="mine", role="trial")


@pytest.mark.parametrize(
    ("share", "told"), [(3.0, None), (25.0, None), (61.0, "keeps 61% of this machine's cores busy")]
)
def test_what_else_computes_is_told(share, told, monkeypatch):
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: share)
    found = foresight.of_load()
    assert found is None if told is None else told in found


def test_where_no_point_can_run_the_reasons_are_told():
    with pytest.raises(UserError) as refused:
        foresight.refuse_nothing(points("budget.parameters=1k", "shape.width=96"), "asked.yaml")
    first, *reasons = str(refused.value).splitlines()
    assert first == "asked.yaml: none of its 30 points can be run:"
    assert len(reasons) == 3
    assert all("no feed-forward width gives 1k parameters within 1%" in reason for reason in reasons)


def test_where_the_forms_alone_can_run_nothing_would_be_measured():
    found = [point(measure="forms"), point(not_applicable="no such form")]
    with pytest.raises(UserError, match="its one point cannot be run:\n  transformer: no such form"):
        foresight.refuse_nothing(found, "asked.yaml")
    foresight.refuse_nothing(found[:1], "asked.yaml")
    foresight.refuse_nothing([*found, point()], "asked.yaml")
    foresight.refuse_nothing(points(), "asked.yaml")


def test_many_reasons_are_cut():
    found = [point(not_applicable=f"reason {number}") for number in range(20)]
    with pytest.raises(UserError) as refused:
        foresight.refuse_nothing(found, "asked.yaml")
    assert len(str(refused.value).splitlines()) == 2 + foresight.MOST_REASONS
    assert str(refused.value).endswith("\n  ... and 14 more reasons")


def test_text_that_is_read_more_than_four_times_is_warned_of():
    assert foresight.of_passes([point(), trained(seconds=9.0)], 100) is None
    assert foresight.of_passes([trained(tokens=400)], 100) is None
    told = foresight.of_passes([trained(tokens=400), trained(tokens=1234)], 100)
    assert told is not None
    for words in ("1,234 training tokens are 12.3 passes over 100 bytes", "larger corpus", "400 tokens at most"):
        assert words in told
    flops = budget.flops_of(trained(tokens=1), 1)
    assert foresight.trained_tokens(trained(flops=10 * flops)) == pytest.approx(10)


def test_models_that_are_nearly_all_feed_forward_or_without_are_told(typed):
    narrow = points("shape={layers: 3, width: 8, heads: 1}", "budget.parameters=1M")
    (told,) = (line for line in foresight.warnings(narrow, None, None) if "feed-forward" in line)
    for one in narrow:
        assert f"{one.label} {one.ffn_width / 8:,.3g} times" in told
    assert told.endswith("give fewer parameters, or more depth or width")
    for times, odd in ((32, False), (33, True), (0.5, False), (0.25, True)):
        told = foresight.of_shapes((p.label, dataclasses.replace(p.shape, ffn_width=int(8 * times))) for p in narrow)
        assert (told is not None) == odd
    assert told is not None
    assert told.endswith("give more parameters, or less depth or width")
    assert foresight.warnings(points(), None, None) == []
    sizes = ("predict", "retnet", "--layers", "3", "--width", "64")
    assert "feed-forward widths are far" in typed(*sizes, "--parameters", "1B")[2]
    assert typed(*sizes, "--parameters", "4.3M")[2] == ""


def test_more_memory_than_there_is_is_warned_of(monkeypatch):
    found = of(points(), "decode")
    assert foresight.of_memory(found) is None
    needed = sorted(map(predict.memory_bytes, found))
    for there, many in ((needed[-1] - 1, "1 point is"), (needed[0] - 1, f"{len(found)} points are")):
        monkeypatch.setattr(psutil, "virtual_memory", lambda there=there: types.SimpleNamespace(total=there))
        told = foresight.of_memory(found)
        assert told is not None
        assert told.startswith(f"warning: {many} predicted to need more than this machine's ")
        assert "(decode of " in told
    assert foresight.of_memory(of(points(device="cuda"), "decode")) is None, "the memory of another device"


@pytest.mark.parametrize(
    ("limit", "advice"),
    [
        (None, "sweep smaller sizes, or set limits.memory to have them stopped in time"),
        (3 * 2**20, "limits.memory stops what passes 3 MiB; for numbers of them sweep smaller sizes"),
        (2**22, "sweep smaller sizes, or lower limits.memory from 4 MiB to less than there is, to have them stopped"),
        (2**31, "sweep smaller sizes, or lower limits.memory from 2 GiB to less than there is, to have them stopped"),
    ],
)
def test_a_limit_of_memory_that_is_set_is_not_advised_again(limit, advice, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: types.SimpleNamespace(total=2**22))
    told = foresight.of_memory(dataclasses.replace(each, limit_bytes=limit) for each in of(points(), "decode"))
    assert told is not None
    assert f"): {advice}" in told


def test_more_memory_than_the_experiment_allows_is_warned_of(monkeypatch):
    """Of any device; what this machine has no room for is told once."""
    found = of(points(), "decode")
    for device in ("cpu", "cuda"):
        there = [dataclasses.replace(each, device=device) for each in found]
        needed = sorted(map(predict.memory_bytes, there))
        limited = [dataclasses.replace(each, limit_bytes=int(needed[0]) - 1) for each in there]
        most = quantity.tell_bytes(needed[-1])
        (told,) = foresight.warnings(limited, None, None)
        assert told.startswith(f"warning: {len(found)} points are predicted to need more than the ")
        assert f" of limits.memory, up to {most} (decode of " in told
        assert told.endswith("): it stops what passes it; for numbers of them raise it, or sweep smaller sizes")
    for limit in (None, int(needed[-1]) + 1):
        assert foresight.of_limits(dataclasses.replace(each, limit_bytes=limit) for each in there) is None
    monkeypatch.setattr(psutil, "virtual_memory", lambda: types.SimpleNamespace(total=1))
    both = [dataclasses.replace(each, limit_bytes=2) for each in found]
    (told,) = foresight.warnings(both, None, None)
    assert "more than this machine's 1 bytes" in told


def test_one_is_told_as_one():
    """Of what else is counted, a few."""
    one = of(points(), "decode")[:1]
    assert planned.counted([0], one) == "1 planned point"
    assert planned.counted([0], one * 2) == "2 planned points"
    noise = doctor.judged(doctor.Noise([0.01]))
    assert "95% of 1 pair within" in noise.found
    assert doctor.load(0.05, 1).found == "5% of 1 core busy"
    told = [Problem(f"a.yaml:{line}", "", f"wrong {line}") for line in range(4)]
    for most, last in ((2, "... and 2 more problems"), (3, "... and 1 more problem")):
        with pytest.raises(UserError) as caught:
            refuse(told, most)
        assert str(caught.value).splitlines()[-1] == last


def test_a_folder_keeps_how_much_there_is_to_train_on(tmp_path):
    for sha256, size in (("a" * 64, 5), ("b" * 64, 7), ("a" * 64, 5)):
        with Writer(tmp_path) as writer:
            writer.training_bytes(sha256, size)
    assert record.load(tmp_path).training_bytes == {"a" * 64: 5, "b" * 64: 7}
    assert json.loads((tmp_path / record.TEXTS).read_text()) == {"a" * 64: 5, "b" * 64: 7}
    wrong = ("{", "[" * 9999, "[]", '{"a": [1]}', '{"a": 1e999}', '{"a": 0}', '{"a": "7"}', '{"a": true}')
    for text, told in zip(wrong, (*["this is no JSON"] * 2, *["found .*, expected the bytes"] * 6), strict=True):
        (tmp_path / record.TEXTS).write_text(text)
        with pytest.raises(UserError, match=f"{tmp_path / record.TEXTS}: {told}.*; restore it .*, or remove it"):
            record.load(tmp_path)
    assert record.TEXTS in (ROOT / "results" / "README.md").read_text(encoding="utf-8")


def test_a_corpus_that_is_too_small_is_told_by_line(tmp_path, refused):
    small = tmp_path / "small.yaml"
    training = "training: {tokens: 1k, sequence_length: 32, batch_size: 4, learning_rate: 1e-3}\n"
    (tmp_path / "train.txt").write_text("a\n=====\nb", encoding="utf-8")
    (tmp_path / "rest.txt").write_text("c", encoding="utf-8")
    both = f"corpus: {{train: {tmp_path}/train.txt, held_out: {tmp_path}/rest.txt}}\n"
    small.write_text(SMALL.replace("[noop]", "[language]") + training + both, encoding="utf-8")
    told = refused("run", str(small), "--out", str(tmp_path / "r"))
    assert told.startswith(
        f"{small}:6: corpus: {tmp_path}/train.txt: 2 documents; at least 3 different ones are needed"
    )
    assert "write a line of ===== between documents" in told


TRAINED = SMALL.replace("[noop]", "[language]") + (
    "training: {tokens: 1k, sequence_length: 32, batch_size: 4, learning_rate: 1e-3}\n"
)


@pytest.mark.parametrize(
    ("held", "told"),
    [
        (b"hi", "text.txt: 1 document; at least 3 different ones are needed, "),
        (b"a line\0\n" * 9, "text.txt: holds NUL bytes, so it is no plain text; save it as UTF-8"),
    ],
    ids=["short", "NUL"],
)
def test_a_text_here_that_a_run_refuses_is_refused_by_every_check(tmp_path, monkeypatch, refused, held, told):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_bytes(held)
    path = tmp_path / "asked.yaml"
    path.write_text(f"{TRAINED}corpus: {tmp_path}/text.txt\n", encoding="utf-8")
    commands = (("run", "--out", tmp_path / "r"), ("run", "--dry-run"), ("validate",))
    (said,) = {refused(*words, path) for words in commands}
    assert said.startswith(f"{path}:6: corpus: {tmp_path}/{told}")


def test_a_check_reads_text_here_and_fetches_or_builds_none(tmp_path, monkeypatch, typed):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for fetched in ((python_docs, "documents"), (texts, "hub")):
        monkeypatch.setattr(*fetched, lambda *_: pytest.fail("it was fetched"))
    (tmp_path / "text.txt").write_text("a\n=====\nb\n=====\nlonger than the others", encoding="utf-8")
    path, ours = tmp_path / "asked.yaml", f"{tmp_path}/text.txt"
    for corpus_, passes in (("python-docs", ""), ("owner/name", ""), (f"{{train: {ours}, held_out: python-docs}}", ""),
                            (ours, "1,000 training tokens are 43.5 passes over 23 bytes of text")):  # fmt: skip
        path.write_text(f"{TRAINED}corpus: {corpus_}\n", encoding="utf-8")
        for words in (("validate",), ("run", "--dry-run", "--device", "cpu")):
            code, _, told = typed(*words, path)
            assert (code, "passes over" in told, passes in told) == (0, bool(passes), True), told


def test_validate_warns_of_what_no_machine_changes(tmp_path, typed, monkeypatch):
    """The file is valid for all that. Memory, and what else computes, are for `run` to say on the machine it is on."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: types.SimpleNamespace(total=1))
    monkeypatch.setattr(foresight, "of_load", lambda: pytest.fail("it looked at the machine"))
    monkeypatch.setattr(corpus, "training_bytes", lambda name: 99)
    odd, usual = tmp_path / "odd.yaml", tmp_path / "usual.yaml"
    training = "training: {tokens: 1k, sequence_length: 32, batch_size: 4, learning_rate: 1e-3}\ncorpus: python-docs\n"
    odd.write_text(SMALL.replace("[noop]", "[language]") + training + "budget: {parameters: 5M}\n", encoding="utf-8")
    usual.write_text(SMALL + "budget: {parameters: 80k}\n", encoding="utf-8")
    code, printed, told = typed("validate", odd, usual)
    assert (code, len(printed.splitlines())) == (0, 2)
    assert all(f"{file}: ok, 4 planned points; " in printed for file in (odd, usual))
    widths, passes = told.splitlines()
    assert widths.startswith(f"{odd}: warning: feed-forward widths are far from the usual 2 to 4 times")
    assert passes.startswith(f"{odd}: warning: 1,000 training tokens are 10.1 passes over 99 bytes")


def test_an_experiment_none_of_whose_points_can_run_is_refused(tmp_path, refused):
    small = tmp_path / "small.yaml"
    small.write_text(SMALL + "budget: {parameters: 1k}\n", encoding="utf-8")
    for command in (("validate",), ("run", "--dry-run"), ("run", "--out", str(tmp_path / "r"))):
        told = refused(*command, str(small))
        assert told.startswith(f"{small}: none of its 2 points can be run:\n  aft: no feed-forward width gives 1k")
    assert not (tmp_path / "r").exists()
