"""At which length and batch the corners stand, and what is said of the others."""

import pytest

from reports import corners
from tests.test_corners import corner_set
from tests.tree import ROOT


def test_corners_stand_at_the_longest_length_and_largest_batch_that_most_ran() -> None:
    made = corner_set()
    made.speed("training", "retnet", 128, 2, 7.0)
    made.speed("training", "rwkv", 64, 8, 20.0)
    made.speed("training", "retnet", 64, 8, 30.0)
    made.point("training", "rwkv", "oom", "no room", sequence_length=128, batch_size=2)
    found = corners.measure(made.build())
    assert found is not None
    assert "length 64, batch 8" in found.where["training"].whole
    assert found.where["training"].whole.endswith("2 of 2 models ran; passed over: length 128, batch 2 (1 ran)")
    assert list(found.table["training_ratio"]) == pytest.approx([1, 2 / 3])


def test_what_the_corners_would_be_at_the_shortest_length_is_told() -> None:
    """Of a label's fastest form, and with the batch of the corner where that was run."""
    made = corner_set()
    for label, speed in (("retnet", 8.0), ("rwkv", 10.0)):
        made.speed("training", label, 16, 2, speed)
        made.speed("training", label, 16, 8, 7.0)
        made.speed("training", label, 24, 2, 3.0)
    made.speed("training", "retnet", 16, 2, 9.0, form="other")
    found = corners.measure(made.build())
    assert found is not None
    assert found.where["training"].whole.endswith(
        "; at length 16, batch 2 this corner would be RWKV-4 1.00 and RetNet 0.90"
    )
    assert "would be" not in found.where["decode"].whole


def test_what_another_number_format_gives_at_a_shorter_length_is_no_such_corner() -> None:
    made = corner_set()
    for label in ("retnet", "rwkv"):
        made.speed("training", label, 16, 2, 7.0, dtype="bfloat16")
    found = corners.measure(made.build())
    assert found is not None
    assert "would be" not in found.where["training"].whole


def test_every_larger_cell_that_was_passed_over_is_told() -> None:
    made = corner_set()
    for label in ("retnet", "rwkv"):
        made.point("training", label, "oom", "no room", sequence_length=64, batch_size=32)
        made.point("training", label, "oom", "no room", sequence_length=32, batch_size=64)
    made.speed("training", "retnet", 128, 1, 7.0, dtype="bfloat16")
    made.speed("training", "retnet", 64, 1, 7.0)
    found = corners.measure(made.build())
    assert found is not None
    over = "passed over: length 64, batch 32 (none ran) and length 128, batch 1, bfloat16 (1 ran)"
    assert (
        found.where["training"].whole
        == f"length 64, batch 2, float32 weights and optimiser, where 2 of 2 models ran; {over}"
    )


def test_text_and_code_agree_that_most_is_what_counts() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    page = readme[readme.index("## Reading the page") : readme.index("## Your own experiments")]
    told = [" ".join(text.split()) for text in (corners.__doc__ or "", page)]
    for text in told:
        assert "length that most ran" in text
        assert "largest batch that most ran" in text
        assert "all ran" not in text
        assert "all models ran" not in text
