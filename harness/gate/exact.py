"""What needs no clock: any difference in parameters, FLOPs, state bytes or the loss at a fixed seed is a change."""

import dataclasses
from typing import Any

from harness.gate.cases import Exact

METRICS = ("parameters", "live_parameters", "flops_per_token", "state_bytes", "live_state_bytes", "loss", "failure")


@dataclasses.dataclass(frozen=True)
class Change:
    """One metric of one model that went from one value to another at some points."""

    label: str
    metric: str
    base: Any
    head: Any
    points: tuple[Exact, ...]


def changes(found: list[Exact]) -> list[Change]:
    """Every difference, the points that share it together. A metric that one side does not know is not compared.

    Values are compared as they are written, so that a loss that is not a number equals itself and 1 is not 1.0.
    """
    together: dict[tuple[str, ...], list[tuple[Exact, Any, Any]]] = {}
    for each in found:
        for metric in METRICS:
            base, head = each.base.get(metric), each.head.get(metric)
            one_sided = (metric in each.base) != (metric in each.head)
            if repr(base) != repr(head) and (not one_sided or metric == "failure"):
                together.setdefault((each.row["label"], metric, repr(base), repr(head)), []).append((each, base, head))
    return [
        Change(label, metric, *held[0][1:], tuple(each for each, _, _ in held))
        for (label, metric, _, _), held in together.items()
    ]
