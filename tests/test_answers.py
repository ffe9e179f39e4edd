"""The answers to what a reader asks first: gathered from the claims that name the question, and from nowhere else."""

import html
import pathlib
import re
from typing import Any

import pytest

import reports
from reports import answers, claims, packages
from reports.claims import CONTRADICTED, MIXED, SUPPORTED, UNTESTABLE, _evidence, _questions
from tests import claim_cases
from tests.claim_cases import bits, costs, made
from tests.report_data import Builder, ResultSet

pytestmark = pytest.mark.usefixtures("launches_show")

ASKED = {value for value in vars(_questions).values() if isinstance(value, _questions.Question)}


def told(*sets: ResultSet) -> dict[str, answers.Told]:
    return {each.name: each for answer in answers.of(answers.judge(sets)) for each in answer.told}


def named(experiment: str, *tables: claim_cases.Made, parameters: int = 1_000_000) -> ResultSet:
    builder = Builder(experiment)
    for table in tables:
        table(builder)
    for row in builder.rows["points"]:
        row["parameters"] = parameters
    return builder.build()


def test_every_question_has_claims_and_every_claim_a_question_that_there_is() -> None:
    named = {getattr(claims.load(name), "question", None) for name in packages.names(claims)} - {None}
    assert named == ASKED
    assert all(one.text.endswith("?") and one.meaning.endswith(".") for one in ASKED)


def test_a_verdict_is_that_of_the_claim_over_all_result_sets() -> None:
    good, bad = bits(retnet=2.0, linear_attention=2.1), bits(retnet=2.1, linear_attention=2.0)
    for sets, verdict in (
        ([named("a", good)], SUPPORTED),
        ([named("a", bad)], CONTRADICTED),
        ([named("a", good), named("b", bad)], MIXED),
    ):
        assert told(*sets)["retnet_linear"].verdict == verdict
    assert told(named("a", bits(2, retnet=2.0, linear_attention=2.1))) == {}, UNTESTABLE


def test_of_each_verdict_and_measure_the_largest_models_are_quoted() -> None:
    small = named("small", bits(retnet=2.0, linear_attention=2.2), parameters=10)
    large = named("large", bits(retnet=2.0, linear_attention=2.1), parameters=20)
    means = r"2\.01 against 2\.11"
    after = "bits per byte after 488 steps"
    assert re.fullmatch(rf"large: -4\.7\d% {after}, {means}", told(small, large)["retnet_linear"].numbers)
    other = named("other", bits(retnet=2.1, linear_attention=2.0), parameters=5)
    both = told(small, large, other)["retnet_linear"].numbers
    turned = r"2\.11 against 2\.01"
    assert re.fullmatch(
        rf"large, supported: -4\.7\d% {after}, {means}; other, contradicted: \+4\.\d+% {after}, {turned}", both
    )

    decoding = named("decoding", claim_cases.batches(rwkv=claim_cases.ONE, retnet=claim_cases.ONE), parameters=20)
    whole = named("whole", costs("rwkv", "retnet", state=0.1), parameters=10)
    again = named("again", costs("rwkv", "retnet", 1.05, state=0.1), parameters=5)
    numbers = told(decoding, whole, again)["retnet_rwkv_speed"].numbers
    assert numbers.startswith("decoding: decoding 1 times over batches 1 to 64; whole: training 1 times, ")
    assert "again" not in numbers


def test_of_each_kind_of_device_one_is_quoted() -> None:
    def on(experiment: str, device: str, linear: float, parameters: int) -> ResultSet:
        one = named(experiment, bits(retnet=2.0, linear_attention=linear), parameters=parameters)
        one.points["device"] = device
        return one

    large, small = on("large", "cuda", 2.2, 20), on("small", "cpu", 2.1, 10)
    numbers = told(large, small, on("least", "cpu", 2.3, 5))["retnet_linear"].numbers
    assert re.fullmatch(r"large \(cuda\): [^;]*-9.*; small \(cpu\): [^;]*-4.*", numbers)
    assert "(cuda)" not in told(large)["retnet_linear"].numbers


def test_what_no_row_decides_is_named_beside_what_some_decide() -> None:
    found = told(named("a", bits(retnet=2.0, linear_attention=2.1)))
    assert (found["gate_and_norm"].verdict, found["gate_and_norm"].numbers) == (UNTESTABLE, answers.UNDECIDED)
    assert "rwkv_parallel" not in found, "of its question nothing is decided"


def test_the_margins_are_those_that_rules_judge_by() -> None:
    assert f"within {_evidence.MARGIN:.0%};" in answers.MARGINS
    assert "no margin" in answers.MARGINS
    assert "no margin" in claims.load("factor_memory").rule


def test_the_readme_and_the_index_tell_the_same(tmp_path: pathlib.Path) -> None:
    sets = [named("a", bits(retnet=2.0, linear_attention=2.1, rwkv=1.9), costs("retnet", "linear_attention"))]
    text = answers.markdown(sets)
    asked = re.findall(r"^- \*(.*?)\* (.*)$", text, flags=re.M)
    some = [_questions.LINEAR, _questions.RWKV, _questions.FLAT]
    assert asked == [(one.text, one.meaning) for one in some], "no row tells of the paper's factors"
    assert text.startswith(f"{answers.MARGINS}\n\n- *")
    first = "  - RetNet predicts better than linear attention at an equal budget: **supported** (a: -"
    assert f"{_questions.LINEAR.meaning}\n{first}" in text
    assert "\n  - RetNet predicts better than RWKV at an equal budget: **contradicted** (a: +" in text
    reports.build(sets, tmp_path)
    index = html.unescape((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert answers.MARGINS in index
    assert all(f"<h3>{one.text}</h3>\n<p>{one.meaning}</p>" in index for one in some)
    for each in told(*sets).values():
        kind = each.verdict.replace(" ", "-")
        link = f'<a href="claims.html#{each.name}">{each.statement}</a> <span class="verdict {kind}">'
        assert f"{link}{each.verdict}</span> {each.numbers}." in index
        assert f'id="{each.name}"' in (tmp_path / "claims.html").read_text(encoding="utf-8")
    assert index.index("In short") < index.index("Which one for what?") < index.index("Experiments</h2>")


def test_where_nothing_is_decided_nothing_is_told(tmp_path: pathlib.Path) -> None:
    assert answers.markdown([]) == answers.markdown([made(bits(2, retnet=2.0, rwkv=2.1))]) == answers.NOTHING
    reports.build([made()], tmp_path)
    assert "In short" not in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_the_readme_has_the_answers_of_the_committed_results(whole: list[Any]) -> None:
    wanted = answers.markdown(whole)
    assert answers.PART.read() == wanted, "run `make readme` and commit README.md with the results"
    assert all(f"- *{one.text}* {one.meaning}\n" in wanted for one in ASKED)
