"""Made-up measurements for every claim, and the verdict that each must give."""

from collections.abc import Callable
from typing import Any

from reports.claims import CONTRADICTED, MIXED, SUPPORTED, UNTESTABLE
from tests.report_data import Builder

Made = Callable[[Builder], Any]


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


def corner(train: float, decode: float, quality: float, more: dict[str, Any] | None = None) -> Made:
    """RetNet at these ratios to the Transformer, which is the best at each corner."""

    def rows(made: Builder) -> None:
        speeds("training", retnet=1000 * train, transformer=1000)(made)
        speeds("decode", more=more, retnet=100 * decode, transformer=100)(made)
        bits(retnet=4.375 - 2 * quality, transformer=2.375)(made)

    return rows


def wkv(slow: float, fast: float) -> Made:
    def rows(made: Builder) -> None:
        made.speed("training", "rwkv", 512, 2, slow, form="recurrent")
        made.speed("training", "rwkv", 512, 2, fast, form="scan")

    return rows


def later(change: float) -> Made:
    """RetNet whose last positions, and whose longer sequences, have so much more or fewer bits per byte."""

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
            ):
                value = (2 + 0.01 * seed) * times
                made.samples(point, "bits_per_byte", [value], length=length, bucket=bucket)

    return rows


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


def memory(measure: str, metric: str, **held: float) -> Made:
    def rows(made: Builder) -> None:
        for label, value in held.items():
            made.samples(made.point(measure, label, sequence_length=2048, batch_size=2), metric, [value])

    return rows


LAUNCHED = {"device": "cuda", "graph": "false"}
REPLAYED = {"device": "cuda", "graph": "true"}
LATENCY = {"measure": "decode", "metric": "token_ms"}
FLAT, STEEP, FALLING = {256: 2.0, 1024: 2.01}, {256: 2.0, 1024: 4.0}, {256: 4.0, 1024: 2.0}
DIP = {256: 1.0, 1024: 0.2, 4096: 1.0}  # slope 0, and by no means flat
BATCHES, MORE, WAVE = {1: 2.0, 8: 2.1}, {1: 2.0, 8: 9.0}, {1: 2.0, 4: 4.0, 16: 2.0}
STATE = {"measure": "memory", "metric": "state_bytes", "by": "sequence_length"}
GATED = {"retnet__gate_is_True": 2.0, "retnet__gate_is_False": 2.1}
DECAYS = {"retnet__gamma_is_torchscale": 2.0, "retnet__gamma_is_none": 2.1, "retnet__gamma_is_single": 2.05}
HEADS = {"retnet__head_size_is_16": 2.1, "retnet__head_size_is_64": 2.0}


def swapped(means: dict[str, float]) -> dict[str, float]:
    return {name: 4 - value for name, value in means.items()}


CASES: list[tuple[str, Made, str]] = [
    ("forms_agree", forms("ok"), SUPPORTED),
    ("forms_agree", forms("error", "FormsDisagree: output 1e-2 (chunkwise)"), CONTRADICTED),
    ("forms_agree", forms("oom", "no room"), MIXED),
    ("triangle_whole", corner(0.9, 0.85, 0.95), SUPPORTED),
    ("triangle_whole", corner(0.9, 0.3, 0.95), CONTRADICTED),
    ("triangle_whole", corner(0.9, 0.6, 0.95), MIXED),
    ("triangle_whole", corner(0.9, 0.3, 0.95, LAUNCHED), UNTESTABLE),
    ("triangle_whole", corner(0.3, 0.9, 0.95, LAUNCHED), CONTRADICTED),
    ("latency_context", over(**LATENCY, label="retnet", by="sequence_length", values=FLAT), SUPPORTED),
    ("latency_context", over(**LATENCY, label="retnet", by="sequence_length", values=STEEP), CONTRADICTED),
    ("latency_context", over(**LATENCY, label="retnet", by="sequence_length", values=FALLING), CONTRADICTED),
    ("latency_context", over(**LATENCY, label="retnet", by="sequence_length", values=DIP), MIXED),
    ("latency_context", over(**LATENCY, **LAUNCHED, label="retnet", by="sequence_length", values=FLAT), UNTESTABLE),
    ("latency_batch", over(**LATENCY, label="retnet", by="batch_size", values=WAVE), MIXED),
    ("latency_batch", over(**LATENCY, **LAUNCHED, label="retnet", by="batch_size", values=MORE), UNTESTABLE),
    ("latency_batch", over(**LATENCY, label="retnet", by="batch_size", values=BATCHES), SUPPORTED),
    ("latency_batch", over(**LATENCY, label="retnet", by="batch_size", values=MORE), CONTRADICTED),
    ("cache_grows", over(**STATE, label="transformer", values={256: 100, 1024: 400}), SUPPORTED),
    ("cache_grows", over(**STATE, label="transformer", values={256: 100, 1024: 100}), CONTRADICTED),
    ("constant_state", over(**STATE, label="retnet", values={256: 100, 1024: 100}), SUPPORTED),
    ("constant_state", over(**STATE, label="retnet", values={256: 100, 1024: 101}), CONTRADICTED),
    (
        "linear_training",
        over("training", "retnet", "tokens_per_second", "sequence_length", {64: 90, 512: 88}),
        SUPPORTED,
    ),
    (
        "linear_training",
        over("training", "retnet", "tokens_per_second", "sequence_length", {64: 90, 512: 9}),
        CONTRADICTED,
    ),
    ("linear_training", lengths({256: 80, 1024: 82, 4096: 81}), SUPPORTED),
    ("linear_training", lengths({256: 80, 1024: 40, 4096: 20}), CONTRADICTED),
    ("linear_training", lengths({256: 80, 1024: 30, 4096: 80}), MIXED),
    ("training_throughput", speeds("training", retnet=120, transformer=100), SUPPORTED),
    ("training_throughput", speeds("training", retnet=80, transformer=100), CONTRADICTED),
    ("training_throughput", speeds("training", retnet=106, transformer=100), MIXED),
    ("training_throughput", speeds("training", retnet=94, transformer=100), MIXED),
    ("training_memory", memory("training", "peak_bytes", retnet=90, transformer=100), SUPPORTED),
    ("training_memory", memory("training", "peak_bytes", retnet=110, transformer=100), CONTRADICTED),
    ("training_memory", memory("training", "peak_bytes", retnet=103, transformer=100), MIXED),
    ("inference_memory", memory("memory", "state_bytes", retnet=99, transformer=100), SUPPORTED),
    ("inference_memory", memory("memory", "state_bytes", retnet=101, transformer=100), CONTRADICTED),
    ("inference_throughput", speeds("decode", retnet=120, transformer=100), SUPPORTED),
    ("inference_throughput", speeds("decode", retnet=80, transformer=100), CONTRADICTED),
    ("inference_throughput", speeds("decode", retnet=106, transformer=100), MIXED),
    ("inference_throughput", speeds("decode", more=LAUNCHED, retnet=120, transformer=100), UNTESTABLE),
    ("inference_throughput", speeds("decode", more=REPLAYED, retnet=120, transformer=100), SUPPORTED),
    ("inference_latency", speeds("decode", retnet=106, transformer=100), MIXED),
    ("inference_latency", speeds("decode", more={"device": "cuda"}, retnet=120, transformer=100), UNTESTABLE),
    ("inference_latency", speeds("decode", retnet=120, transformer=100), SUPPORTED),
    ("inference_latency", speeds("decode", retnet=80, transformer=100), CONTRADICTED),
    ("rwkv_parallel", wkv(100, 500), SUPPORTED),
    ("rwkv_parallel", wkv(100, 106), MIXED),
    ("rwkv_parallel", wkv(100, 50), CONTRADICTED),
    ("retnet_transformer", bits(retnet=2.0, transformer=2.0), SUPPORTED),
    ("retnet_transformer", bits(retnet=2.2, transformer=2.0), CONTRADICTED),
    ("retnet_linear", bits(retnet=2.0, linear_attention=2.1), SUPPORTED),
    ("retnet_linear", bits(retnet=2.1, linear_attention=2.0), CONTRADICTED),
    ("retnet_linear", bits(2, retnet=2.0, linear_attention=2.1), UNTESTABLE),
    ("linear_transformer", bits(transformer=2.0, linear_attention=2.1), SUPPORTED),
    ("linear_transformer", bits(transformer=2.1, linear_attention=2.0), CONTRADICTED),
    ("retnet_rwkv", bits(retnet=2.0, rwkv=2.1), SUPPORTED),
    ("retnet_rwkv", bits(retnet=2.1, rwkv=2.0), CONTRADICTED),
    ("retnet_rwkv", bits(retnet=2.0, rwkv=2.0), MIXED),
    ("multi_scale_decay", bits(**DECAYS), SUPPORTED),
    ("multi_scale_decay", bits(**swapped(DECAYS)), CONTRADICTED),
    ("multi_scale_decay", bits(**{**DECAYS, "retnet__gamma_is_single": 1.9}), MIXED),
    ("gate_and_norm", bits(**GATED), SUPPORTED),
    ("gate_and_norm", bits(**swapped(GATED)), CONTRADICTED),
    ("head_size", bits(**HEADS), SUPPORTED),
    ("head_size", bits(**swapped(HEADS)), CONTRADICTED),
    ("context_helps", later(-0.1), SUPPORTED),
    ("context_helps", later(0.1), CONTRADICTED),
    ("extrapolation", later(-0.1), SUPPORTED),
    ("extrapolation", later(0.1), CONTRADICTED),
    ("hardware", on("AMD Instinct MI250X"), SUPPORTED),
    ("zero_shot", accuracy(retnet=0.6, transformer=0.5), SUPPORTED),
    ("zero_shot", accuracy(retnet=0.4, transformer=0.5), CONTRADICTED),
]
