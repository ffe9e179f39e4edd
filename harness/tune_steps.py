"""Finds the rows of `models._portions.TABLE` on the card that it runs on, and prints them as they stand there.

    python -m harness.tune_steps                  every architecture
    python -m harness.tune_steps retnet rwkv      these

A whole decode step of one sequence is timed, as the measure `decode` times it: captured as a graph. What each place of
a layer holds and whether caches let go of it first are changed by themselves, all candidates beside what is best so
far, in turns, until a round changes nothing, or after `ROUNDS` of them.
"""

import dataclasses
import statistics
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import torch

import models
from harness import ending, graphs, machine, sizes
from harness.decoding import Decoder
from harness.errors import UserError, unknown
from models._lm import LanguageModel
from models._portions import DEFAULT, TABLE, Portion, Portions

WIDTH = 2048
ASKED = sizes.Asked(parameters=1_300_000_000, layers=24, width=WIDTH, heads=8, vocabulary=256, max_length=8300)
WEIGHTS, NUMBERS = (4096, 8192, 16384, 32768), (4096, 8192)  # that are tried, of a map and of a state
PROMPT, STEPS, TURNS, ROUNDS = 4096, 16, 8, 4  # tokens before, and timed; a cache of so many is part of a layer
LESS = 0.997  # of the best time so far, which a change must stay below: two graphs of one step differ by 0.2%


class Noted(Portions):
    """Notes in `asked` the places that a model asks for."""

    asked: ClassVar[set[str]] = set()

    def __getattribute__(self, name: str) -> Any:
        Noted.asked.add(name)
        return super().__getattribute__(name)


def built(name: str, given: dict[str, Any]) -> LanguageModel:
    """The model at 1.3B with these options, on the GPU in bfloat16."""
    kind = models.load(name)
    options = kind.Options(**given)
    torch.set_default_device("cuda")
    torch.set_default_dtype(torch.bfloat16)
    try:
        return kind(sizes.shape(ASKED, name, options), options).eval()
    finally:
        torch.set_default_device("cpu")
        torch.set_default_dtype(torch.float32)


def stepper(model: LanguageModel, row: Portions) -> Callable[[], float]:
    """What tells the milliseconds of a step whose programs hold this much. Leaves the row in `TABLE`."""
    TABLE[model.layers_title, WIDTH] = row
    _, state = model.prefill(torch.zeros(1, PROMPT, dtype=torch.int64, device="cuda"), capacity=PROMPT + STEPS + 8)
    token = torch.zeros(1, dtype=torch.int64, device="cuda")
    decoder = Decoder(model, token, state, lambda step: graphs.replayed(step) or step)

    def once() -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        decoder.again()
        start.record()
        for _ in range(STEPS):
            decoder.step()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / STEPS

    for _ in range(TURNS):
        once()
    return once


def medians(steppers: dict[Portions, Callable[[], float]]) -> dict[Portions, float]:
    """Of each, timed in turns."""
    times: dict[Portions, list[float]] = {row: [] for row in steppers}
    for _ in range(TURNS):
        for row, once in steppers.items():
            times[row].append(once())
    return {row: statistics.median(each) for row, each in times.items()}


def others(row: Portions, place: str) -> list[Portion]:
    """What else a place could hold: so many numbers, or the same ones let go of sooner or later."""
    now: Portion = getattr(row, place)
    tried = NUMBERS if place == "state" else WEIGHTS
    return [*(now._replace(most=most) for most in tried), now._replace(once=not now.once)]


def told(portion: Portion) -> str:
    """As it stands in `TABLE`."""
    return f"Portion({portion.most}{', once=True' if portion.once else ''})"


@torch.inference_mode()
def best(name: str, given: dict[str, Any]) -> tuple[str, Portions]:
    """The `layers_title` of a model with these options, and its row; prints all times on stderr."""
    model, row = built(name, given), DEFAULT
    Noted.asked.clear()
    stepper(model, Noted())
    places = [field.name for field in dataclasses.fields(Portions) if field.name in Noted.asked]
    for _ in range(ROUNDS):
        before = row
        for place in places:
            rows = dict.fromkeys([row, *(dataclasses.replace(row, **{place: each}) for each in others(row, place))])
            found = medians({each: stepper(model, each) for each in rows})
            quickest = min(found, key=lambda each: found[each])
            row = quickest if found[quickest] < LESS * found[row] else row
            times = ", ".join(f"{told(getattr(each, place))}: {time:.4f}" for each, time in found.items())
            print(f"# {model.layers_title} {place} {times} ms", file=sys.stderr, flush=True)
        if row == before:
            break
    return model.layers_title, row


def main() -> None:
    for name in sys.argv[1:]:
        if name not in models.names():
            raise UserError(unknown("model", name, models.names()))
    machine.need_cuda("portions")
    print(f"# {torch.cuda.get_device_name()}", file=sys.stderr)
    for name in sys.argv[1:] or models.names():
        for given in models.load(name).tuned:
            title, row = best(name, given)
            parts = (f"{place}={told(each)}" for place, each in vars(row).items() if each != getattr(DEFAULT, place))
            print(f'    ("{title}", {WIDTH}): Portions({", ".join(parts)}),', flush=True)


if __name__ == "__main__":
    ending.run(main)
