"""A mistake in a --set flag is told by the flag, as one in a file is told by its line."""

import pytest

from tests.test_bad_input import GOOD, refusal, written


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("repeat=4", ("repeat", "unknown key 'repeat'", "did you mean 'repeats'?")),
        ("budget.parameters=0", ("budget.parameters", "0 is out of range")),
        ("models.1.implementation=fast", ("models[1].implementation", "'fast'", "sdpa")),
        ("models[7]=aft", ("models is a list", "'7' is no position", "0 to 1")),
        ("models[²]=aft", ("models is a list", "'²' is no position", "0 to 1")),
        ("corpus='~nobody_x/y'", ("corpus: ~nobody_x/y: there is no user of this name here; write the folder out",)),
        ("corpus={train: ~nobody_x/y, held_out: .}", ("corpus.train: ~nobody_x/y: there is no user of this name",)),
        ("models.0.gamma=none", ("models[0] is 'retnet'", "set models[0] as a whole")),
        ("repeats", ("key=value", "budget.parameters=10M")),
        ("seeds=[1", ("not valid YAML",)),
        ("seeds=3", ("seeds", "write [3] for this one seed")),
        ("models.1=retnet", ("models[1]", "the same as models[0]")),
        ("models=!!bool maybe", ("models", "'maybe' cannot be read as bool", "no tag such as !!bool")),
        ("limits={seconds: 1, seconds: 2}", ("limits.seconds", "given twice")),
        ("training={sequence_length: 8, batch_size: 2, learning_rate: 1}", ("training", "exactly one")),
        ("name=other", ("unknown key 'name'",)),
    ],
)
def test_override_is_told_by_its_flag(override, told, tmp_path):
    message = refusal(written(tmp_path, GOOD), [override])
    assert f"--set {override}: " in message
    assert all(part in message for part in told), message


@pytest.mark.parametrize("name", ["ret\nnet", "m" * 5000])
@pytest.mark.parametrize(
    "words",
    [
        ("predict", "NAME"),
        ("predict", "retnet", "--parameters", "125M", "--machine", "NAME"),
        ("predict", "retnet", "--parameters", "125M", "--set", "NAME"),
        ("run", "experiments/smoke.yaml", "--dry-run", "--set", "models=['NAME']"),
        ("run", "experiments/smoke.yaml", "--dry-run", "--set", "NAME=1"),
        ("run", "experiments/smoke.yaml", "--dry-run", "--only", "model=NAME"),
        ("validate", "NAME.yaml"),
        ("show", "NAME"),
    ],
    ids=" ".join,
)
def test_a_name_that_is_long_or_breaks_the_line_is_shortened(words, name, typed):
    code, _, told = typed(*(word.replace("NAME", name) for word in words))
    assert code == 2
    assert len(told.splitlines()) == 1
    assert len(told) < 700


def test_what_a_flag_repeats_is_told_by_line_and_flag(tmp_path):
    path = written(tmp_path, GOOD.replace("{name: transformer, implementation: eager}", "aft"))
    told = "models[1]: this is the same as models[0] (--set models.0=aft); remove one of them"
    assert refusal(path, ["models.0=aft"]) == f"{path}:4: {told}"


FIX = "set rotation to none"
ODD = f"heads of size 3 (width 48 / heads 16) are odd and cannot be rotated in pairs; make them even, or {FIX}"
GIVEN = f"head_size is 3; rotation turns pairs: make it even, or {FIX}"


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["shape.heads=16"], f"--set shape.heads=16: shape.heads: retnet, transformer, linear_attention: {ODD}"),
        (
            ["shape={layers: 2, width: 48}", "sweep.heads=[16]"],
            f"--set sweep.heads=[16]: sweep.heads: retnet, transformer, linear_attention: {ODD}",
        ),
        (
            ["models=[{name: retnet, head_size: 3}]"],
            f"--set models=[{{name: retnet, head_size: 3}}]: models[0].head_size: retnet: {GIVEN}",
        ),
    ],
)
def test_heads_that_do_not_suit_several_models_are_one_mistake(overrides, told, tmp_path):
    assert refusal(written(tmp_path, GOOD), ["models=[retnet, transformer, linear_attention]", *overrides]) == told
