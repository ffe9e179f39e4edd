"""How many times less memory decoding takes, against two Transformers, and from which batch on."""

import dataclasses
from typing import Any

import pandas as pd

from reports import wording
from reports.claims import CONTRADICTED, MIXED, SUPPORTED, Finding, _evidence, _factors, _questions, together

FACTOR = 3.4
DRAWN = 8  # the largest batch in the paper's Figure 6
PEAKS = ("peak_allocated_bytes", "peak_resident_bytes")  # the first that rows have


@dataclasses.dataclass(frozen=True)
class Held:
    """What one model holds: bytes of its weights, and of the state of each sequence; how many fit; the peak by batch;
    the line of the finding's table."""

    weights: float
    each: float
    most: int
    peaks: dict[int, float]
    line: dict[str, Any]


class Claim:
    place = 45
    question = _questions.FACTORS
    statement = (
        f"At 6.7 billion parameters and 8k tokens RetNet needs {FACTOR} times less memory than a Transformer to decode."
    )
    published = (
        "RetNet paper (arXiv 2307.08621), Figures 1 and 6a: 3.4 times less at 6.7B with 8k tokens; batch not stated."
    )
    rule = (
        "Bytes of weights and of the state or cache, each Transformer's over RetNet's, of models of "
        f"{_factors.PARAMETERS:,} parameters or more at a length of {_factors.LENGTH:,}. Weights have one size and "
        "states are in proportion to the batch, so the ratio is known for every batch from those of a measured one; it "
        f"is counted up to the largest that fits. Reached where it is the factor or more at a batch of {DRAWN}, the "
        "largest in the paper's Figure 6, or fewer; reached in part where only at a larger one that fits both models; "
        "missed where at none. Supported where it is reached against both Transformers, contradicted where missed "
        "against both, mixed otherwise. Bytes are counted, so there is no interval and no margin; from which batch on "
        f"the ratio is within the {_evidence.MARGIN:.0%} that speeds are allowed is told beside, and so are measured "
        "peaks, which hold what reading the prompt takes too: they decide nothing."
    )

    def judge(self, result_set: Any) -> Finding | None:
        retnet = _held(result_set, lambda told: told[told["model"] == "retnet"])
        rivals = {
            name: _held(result_set, lambda told, own=options: _factors.of(told, own))
            for name, options in _factors.DECODED.items()
        }
        if retnet is None or None in rivals.values():
            return None
        found = [_against(name, rival, retnet) for name, rival in rivals.items() if rival is not None]
        table = pd.DataFrame([retnet.line, *(rival.line for rival in rivals.values() if rival is not None)])
        text, short = " ".join(told for _, told, _ in found), "; ".join(told for _, _, told in found)
        return Finding(together(verdict for verdict, _, _ in found), text, table, short)


def _held(result_set: Any, of: Any) -> Held | None:
    """None where the weights or the state were not measured."""
    weights, states = (_factors.long(result_set, "memory", name) for name in ("weights_bytes", "state_bytes"))
    weights, states = of(weights), of(states)
    if weights.empty or states.empty:
        return None
    largest = states[states["batch_size"] == states["batch_size"].max()]
    batch, state = int(largest["batch_size"].iloc[0]), largest["value"].median()
    fits = of(_factors.long(result_set, "largest_batch", "largest_batch"))
    most = batch if fits.empty else max(batch, int(fits["value"].median()))
    told = (of(_factors.long(result_set, "memory", name)) for name in PEAKS)
    peaks = next((each for each in told if len(each)), states.iloc[:0])
    used = pd.concat([part[["point"]] for part in (states, fits)])["point"]
    line = {
        "series": largest["label"].iloc[0], "batch_size": batch, "sequence_length": _factors.LENGTH,
        "weights_bytes": weights["value"].median(), "state_bytes": state, "largest_batch": most,
        "point": " ".join(sorted(set(used))),
    }  # fmt: skip
    by_batch = {int(at): part.median() for at, part in peaks.groupby("batch_size")["value"]}
    return Held(line["weights_bytes"], state / batch, most, by_batch, line)


def _against(name: str, rival: Held, retnet: Held) -> tuple[str, str, str]:
    """The verdict, the text and the numbers alone."""
    most = min(rival.most, retnet.most)
    ratios = {batch: _ratio(rival, retnet, batch) for batch in range(1, most + 1)}
    reached, near = (_first(ratios, bound) for bound in (FACTOR, FACTOR * (1 - _evidence.MARGIN)))
    verdict = CONTRADICTED if reached is None else SUPPORTED if reached <= DRAWN else MIXED
    at = min(DRAWN, most)
    from_on = f"{FACTOR} from batch {reached} on" if reached else f"{FACTOR} at none"
    text = f"Against {name}: {ratios[at]:.4g} times less at batch {at}; the claimed {from_on}, of the {most} that fit"
    text += "" if near is None else f" (within {_evidence.MARGIN:.0%} of it from batch {near} on)"
    peaks = [batch for batch in rival.peaks if batch in retnet.peaks]
    told = [f"{rival.peaks[batch] / retnet.peaks[batch]:.3g} times less at batch {batch}" for batch in peaks]
    text += f". Measured peaks, the prompt's included: {wording.listed(told)}." if told else "."
    return verdict, text, f"{ratios[at]:.3g} times against {name} at batch {at}, {from_on}"


def _ratio(rival: Held, retnet: Held, batch: int) -> float:
    return (rival.weights + batch * rival.each) / (retnet.weights + batch * retnet.each)


def _first(ratios: dict[int, float], bound: float) -> int | None:
    return next((batch for batch, ratio in ratios.items() if ratio >= bound), None)
