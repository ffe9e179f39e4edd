"""Made-up measurements for every claim; tests/claim_verdicts.py has the verdict that each must give."""

from collections.abc import Callable
from typing import Any

from reports.rows import View
from tests.report_data import Builder

Made = Callable[[Builder], Any]


def made(*tables: Made) -> View:
    """Results as pages give them to claims."""
    builder = Builder()
    for table in tables:
        table(builder)
    return View(builder.build())


def speeds(
    measure: str, length: int = 2048, batch: int = 4, more: dict[str, Any] | None = None, **per_second: float
) -> Made:
    """One cell; of every model so many tokens per second."""

    def rows(made: Builder) -> None:
        for label, speed in per_second.items():
            made.speed(measure, label, length, batch, speed, **(more or {}))

    return rows


def bits(seeds: int = 3, **means: float) -> Made:
    """Trained models, named as in the options: `gamma_none` becomes 'retnet gamma=none'."""

    def rows(made: Builder) -> None:
        for name, mean in means.items():
            model, _, value = name.partition("__")
            option, _, value = value.partition("_is_")
            label = f"{model} {option}={value}" if option else model
            options = {f"option_{option}": value} if option else {}
            for seed in range(seeds):
                made.language(label, seed, 1e-3, mean + 0.01 * seed, **options)

    return rows


def noisy(metric: str, value: float) -> list[float]:
    """Bytes are counted once; times have repeats that differ a little."""
    return [value] if metric.endswith("bytes") else [value * (1 + 0.002 * repeat) for repeat in range(-2, 3)]


def over(measure: str, label: str, metric: str, by: str, values: dict[int, float], other: int = 2, **more: Any) -> Made:
    """`metric` at several lengths or batches."""

    def rows(made: Builder) -> None:
        fixed = "batch_size" if by == "sequence_length" else "sequence_length"
        for place, value in values.items():
            made.samples(made.point(measure, label, **{by: place, fixed: other, **more}), metric, noisy(metric, value))

    return rows


def lengths(per_second: dict[int, float], label: str = "retnet") -> Made:
    """Training at 4096 tokens per step, however long the sequences."""

    def rows(made: Builder) -> None:
        for length, speed in per_second.items():
            point = made.point("training", label, sequence_length=length, batch_size=4096 // length)
            made.samples(point, "tokens_per_second", noisy("tokens_per_second", speed))

    return rows


def forms(status: str, reason: str | None = None) -> Made:
    def rows(made: Builder) -> None:
        point = made.point("forms", "retnet", status, reason)
        for metric in ("output_difference", "state_difference", "gradient_difference") if status == "ok" else ():
            made.samples(point, metric, [1e-12])

    return rows


def corner(
    train: float, decode: float, quality: float, more: dict[str, Any] | None = None, trained: dict | None = None
) -> Made:
    """RetNet at these ratios to the Transformer, which is the best at each corner."""

    def rows(made: Builder) -> None:
        speeds("training", more=trained, retnet=1000 * train, transformer=1000)(made)
        speeds("decode", more=more, retnet=100 * decode, transformer=100)(made)
        bits(retnet=4.375 - 2 * quality, transformer=2.375)(made)

    return rows


def batches(**per_second: dict[int, float]) -> Made:
    """Decoding after one context, of every model at several batches so many tokens per second."""

    def rows(made: Builder) -> None:
        for label, speeds in per_second.items():
            for batch, speed in speeds.items():
                made.speed("decode", label, 2048, batch, speed)

    return rows


def costs(
    model: str,
    other: str,
    speed: float = 1.0,
    large: float = 1.0,
    state: float = 1.0,
    graph: dict[str, Any] | None = None,
) -> Made:
    """What a model costs beside another that takes 1: training, prompts and decoding at `speed`, at the larger batch at
    `large` of that, with so many times its `state`."""

    def rows(made: Builder) -> None:
        for label, quick, more, size in ((model, speed, large, state), (other, 1.0, 1.0, 1.0)):
            for batch, times in ((1, 1.0), (64, more)):
                made.speed("decode", label, 2048, batch, 1e3 * quick * times, **(graph or {}))
                memory = made.point("memory", label, sequence_length=2048, batch_size=batch)
                made.samples(memory, "state_bytes", [1000 * batch * size])
            made.speed("training", label, 2048, 2, 1e4 * quick, **(graph or {}))
            made.speed("prefill", label, 2048, 1, 1e5 * quick, **(graph or {}))

    return rows


def beside_launched(retnet: float, transformer: float) -> Made:
    """Decoding: of RetNet replayed, of the Transformer launched."""

    def rows(made: Builder) -> None:
        made.speed("decode", "retnet", 2048, 4, retnet, **REPLAYED)
        made.speed("decode", "transformer", 2048, 4, transformer, **LAUNCHED)

    return rows


def wkv(slow: float, fast: float, more: dict[str, Any] | None = None) -> Made:
    def rows(made: Builder) -> None:
        made.speed("training", "rwkv", 512, 2, slow, form="recurrent", **(more or {}))
        made.speed("training", "rwkv", 512, 2, fast, form="scan", **(more or {}))

    return rows


def later(change: float, shorter: bool = False) -> Made:
    """RetNet whose last positions, and whose longer sequences, have so much more or fewer bits per byte; trained at
    128, and where `shorter` evaluated at 64 too, with so much less or more."""

    def rows(made: Builder) -> None:
        for seed in range(3):
            point = made.language("retnet", seed, 1e-3, 2.0)
            made.rows["samples"] = [
                row for row in made.rows["samples"] if row["metric"] != "bits_per_byte" or row["point"] != point
            ]
            for length, bucket, times in (
                (128, 64, 1),
                (128, 128, 1 + change),
                (128, None, 1),
                (512, None, 1 + change),
                *([(64, None, 1 / (1 + change))] if shorter else []),
            ):
                value = (2 + 0.01 * seed) * times
                made.samples(point, "bits_per_byte", [value], length=length, bucket=bucket)

    return rows


def short_of_longest(change: float, short: int) -> Made:
    """The same, where so many of the three seeds were not scored at the longest length."""

    def rows(made: Builder) -> None:
        later(change)(made)
        gone = [row["point"] for row in made.rows["points"] if row["measure"] == "language"][:short]
        made.rows["samples"] = [row for row in made.rows["samples"] if row["length"] != 512 or row["point"] not in gone]

    return rows


def worse_at_twice_the_rate(made: Builder) -> None:
    """Two learning rates tried of all that is trained, the lower of which is the better."""
    trained = [row for row in made.rows["points"] if row["measure"] == "language" and row["seed"] == 0]
    for row in trained:
        row["role"] = "trial"
        made.language(row["label"], 0, 2 * row["learning_rate"], 9.0, role="trial")


def on(device: str) -> Made:
    def rows(made: Builder) -> None:
        speeds("training", retnet=10)(made)
        made.rows["environments"] = [made._environment() | {"device_name": device}]

    return rows


def accuracy(**shares: float) -> Made:
    def rows(made: Builder) -> None:
        for label, share in shares.items():
            made.samples(made.point("lm_eval", label), "accuracy", [share, share, share])

    return rows


def memory(measure: str, metric: str, more: dict[str, Any] | None = None, **held: float) -> Made:
    def rows(made: Builder) -> None:
        for label, value in held.items():
            point = made.point(measure, label, sequence_length=2048, batch_size=2, **(more or {}))
            made.samples(point, metric, [value])

    return rows


def recomputed(**held: tuple[float, float]) -> Made:
    """Training: of each model peak bytes without going through blocks again, and with it, which is slower."""

    def rows(made: Builder) -> None:
        for model, both in held.items():
            for again, value, speed in zip(("false", "true"), both, (100.0, 80.0), strict=True):
                where = {"sequence_length": 2048, "batch_size": 2, "option_recompute": again}
                point = made.point("training", f"{model} recompute={again}", **where)
                made.samples(point, "peak_bytes", [value])
                made.samples(point, "tokens_per_second", noisy("tokens_per_second", speed))

    return rows


LAUNCHED = {"device": "cuda", "graph": "false"}
REPLAYED = {"device": "cuda", "graph": "true"}
LATENCY = {"measure": "decode", "metric": "token_ms"}
FLAT, STEEP, FALLING = {256: 2.0, 1024: 2.01}, {256: 2.0, 1024: 4.0}, {256: 4.0, 1024: 2.0}
DIP = {256: 1.0, 1024: 0.2, 4096: 1.0}  # slope 0, and by no means flat
SHORT, LONG = {1: 2.0, 8: 2.54}, {1: 2.0, 4: 2.2, 16: 2.5, 64: 2.8, 256: 3.2}  # slopes 0.115, 0.083: 1.3, 1.6 times
BATCHES, MORE, WAVE = {1: 2.0, 8: 2.1}, {1: 2.0, 8: 9.0}, {1: 2.0, 4: 4.0, 16: 2.0}
STATE = {"measure": "memory", "metric": "state_bytes", "by": "sequence_length"}
GATED = {"retnet__gate_is_True": 2.0, "retnet__gate_is_False": 2.1}
DECAYS = {"retnet__gamma_is_torchscale": 2.0, "retnet__gamma_is_none": 2.1, "retnet__gamma_is_single": 2.05}
ONE = {1: 100.0, 8: 100.0, 64: 100.0}
HEADS = {"retnet__head_size_is_16": 2.1, "retnet__head_size_is_64": 2.0}


def swapped(means: dict[str, float]) -> dict[str, float]:
    return {name: 4 - value for name, value in means.items()}
