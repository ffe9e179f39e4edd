"""The claims: one file each, found by listing this folder, each holding one class named `Claim`.

A claim judges each result set by a rule that stands in its file and on the page. What others published is quoted
beside it; no verdict is written down anywhere. Files whose name starts with an underscore are shared.
"""

import dataclasses
import importlib
import pathlib
from collections.abc import Iterable
from typing import Any, ClassVar, Protocol

import pandas as pd

from reports import machines

FOLDER = pathlib.Path(__file__).parent
SUPPORTED, CONTRADICTED, MIXED, UNTESTABLE = "supported", "contradicted", "mixed", "not testable here"
VERDICTS = (SUPPORTED, CONTRADICTED, MIXED, UNTESTABLE)
FAILED = "failed"  # in place of a verdict, where the rule itself raises


@dataclasses.dataclass(frozen=True)
class Finding:
    """What one result set says of one claim: the verdict, the measured numbers in words, and the rows behind them."""

    verdict: str
    text: str
    table: pd.DataFrame  # with `point`
    short: str = ""  # the numbers alone, for a reader in a hurry


class Claim(Protocol):
    """What a file in this folder holds."""

    place: ClassVar[int]  # claims stand on the page in this order
    statement: ClassVar[str]
    published: ClassVar[str]  # who says so, with the numbers as published
    rule: ClassVar[str]  # when it counts as supported, contradicted or mixed
    # and where it answers a question of `_questions` the `question`, which needs a `short` in its findings

    def judge(self, result_set: Any) -> Finding | None:
        """The finding; None where the result set has nothing to say."""


def load(name: str) -> Claim:
    """One claim."""
    return importlib.import_module(f"reports.claims.{name}").Claim()


def judged(claim: Claim, result_set: Any) -> Finding | None:
    """What the claim finds, with the machines of the rows behind it where these are several."""
    found = claim.judge(result_set)
    apart = "" if found is None else machines.behind(result_set, found.table)
    return dataclasses.replace(found, text=f"{found.text} {apart}") if found is not None and apart else found


def together(verdicts: Iterable[str]) -> str:
    """One verdict from several: theirs where all that could test it agree, mixed where they do not."""
    told = {verdict for verdict in verdicts if verdict != UNTESTABLE}
    return told.pop() if len(told) == 1 else MIXED if told else UNTESTABLE
