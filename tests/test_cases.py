"""What the cases of Triton programs share: memory that spoils what is read of it before it is written."""

import ast

import pytest
import torch

from tests.cases import interpreted_only, off, poisoned
from tests.tree import ROOT, name, tree

FILES = sorted(set((ROOT / "tests").glob("*_kernels.py")) - set((ROOT / "tests").glob("test_*.py")))
ASKED = {
    "empty": lambda kind: torch.empty(2, 3, dtype=kind),
    "empty, one size": lambda kind: torch.empty((4,), dtype=kind, device="cpu"),
    "empty_like": lambda kind: torch.empty_like(torch.zeros(3, dtype=kind)),
    "empty_strided": lambda kind: torch.empty_strided((2, 3), (1, 2), dtype=kind),
    "new_empty": lambda kind: torch.zeros(3, dtype=kind).new_empty(5),
}


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_what_is_asked_for_is_no_number(asked):
    with poisoned():
        for kind in (torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.complex64):
            assert asked(kind).isnan().all(), kind
        for kind in (torch.int64, torch.int32):
            assert (asked(kind) == -1).all(), kind


def test_what_has_values_keeps_them_and_the_end_is_the_beginning():
    before = torch.empty, torch.empty_like, torch.empty_strided, torch.Tensor.new_empty

    @poisoned()
    def inside():
        assert torch.empty is not before[0]
        layer = torch.nn.Linear(3, 4)
        return layer(torch.ones(2, 3)), torch.empty(3, requires_grad=True)

    out, leaf = inside()
    assert out.isfinite().all()
    assert leaf.isnan().all()
    assert before == (torch.empty, torch.empty_like, torch.empty_strided, torch.Tensor.new_empty)


def test_a_number_that_is_none_is_off_by_all():
    assert off(torch.tensor([1.0, torch.nan]), torch.ones(2)) == torch.inf
    assert off(torch.ones(2), torch.ones(2)) == 0


@pytest.mark.parametrize("path", FILES, ids=name)
def test_every_case_begins_with_poisoned_memory(path):
    told = [each for each in tree(path).body if isinstance(each, ast.FunctionDef) and each.name.endswith("errors")]
    assert told
    assert [each.name for each in told if "poisoned()" not in map(ast.unparse, each.decorator_list)] == []


def test_without_the_interpreter_nothing_runs(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    interpreted_only()
    monkeypatch.delenv("TRITON_INTERPRET")
    with pytest.raises(SystemExit, match="set TRITON_INTERPRET=1"):
        interpreted_only()
