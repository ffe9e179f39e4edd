"""Result tables made by hand, in the shape of harness/tables.py: for the tests of the pages, and to look at them.

`Builder` collects rows; `triangle()` is a whole experiment with all measures and failures of every kind.
"""

import dataclasses
import hashlib
import math
from collections import Counter
from typing import Any

import pandas as pd

from harness.tables import TABLES, VERSION

MODELS = ("aft", "linear_attention", "retnet", "rwkv", "transformer")
SPEED = {"aft": 0.6, "linear_attention": 1.0, "retnet": 0.9, "rwkv": 0.7, "transformer": 1.05}
BITS = {"aft": 2.61, "linear_attention": 2.45, "retnet": 2.22, "rwkv": 2.25, "transformer": 2.28}
ENTROPY = 4.375


@dataclasses.dataclass(frozen=True)
class ResultSet:
    """The attributes that pages read."""

    experiment: str
    question: str
    device: str
    points: pd.DataFrame
    samples: pd.DataFrame
    curves: pd.DataFrame
    environments: pd.DataFrame
    settings: dict[str, Any]
    notes: tuple[str, ...] = ()
    planned: pd.DataFrame | None = None
    training_bytes: dict[str, int] = dataclasses.field(default_factory=dict)


def hexed(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


class Builder:
    """Rows of one experiment on one device."""

    def __init__(self, experiment: str = "triangle", device: str = "cpu-made-up", question: str = "Is it made up?"):
        self.experiment, self.device, self.question = experiment, device, question
        self.environment = hexed("environment", device)
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}

    def point(self, measure: str, label: str, status: str = "ok", reason: str | None = None, **factors: Any) -> str:
        """Adds a row of points.csv and returns its id. `option_x=1` becomes the column option.x."""
        options = {f"option.{k[7:]}": v for k, v in factors.items() if k.startswith("option_")}
        factors = {k: v for k, v in factors.items() if not k.startswith("option_")}
        name = hexed(
            self.experiment, self.device, measure, label, sorted(factors.items()), sorted(options.items()), status
        )
        configuration = hexed(measure, label, sorted(factors.items()), sorted(options.items()))
        row = {
            "schema": VERSION, "point": name, "configuration": configuration, "code": hexed("code"),
            "environment": self.environment, "experiment": self.experiment, "measure": measure, "status": status,
            "reason": reason, "model": label.split()[0], "label": label, "form": None, "batch_size": None,
            "sequence_length": None, "dtype": "float32", "device": "cpu", "seed": 0, "width": 96, "layers": 3,
            "heads": 4, "ffn_width": 250, "vocabulary": 256, "max_length": 2048, "parameters": 401_000,
            "parameters_target": 400_000, "parameters_mismatch": 0.0025, "flops_per_token": 8e5, "state_bytes": None,
            "training_tokens": None, "training_flops": None, "training_sequence_length": None,
            "training_batch_size": None, "learning_rate": None, "role": None, "corpus": None, "corpus_sha256": None,
            "limit_seconds": 120.0, "limit_bytes": 2**33, "seconds": 1.5, "finished": "2026-01-02T03:04:05Z",
        }  # fmt: skip
        self.rows["points"].append(row | factors | options)
        return name

    def samples(self, point: str, metric: str, values: Any, unit: str = "", **where: Any) -> None:
        measure = next(row["measure"] for row in self.rows["points"] if row["point"] == point)
        for repeat, value in enumerate(values):
            told = {"schema": VERSION, "point": point, "measure": measure, "metric": metric, "unit": unit or metric}
            self.rows["samples"].append(
                told | {"repeat": repeat, "length": None, "bucket": None, "value": value} | where
            )

    def speed(
        self, measure: str, label: str, length: int, batch: int, per_second: float, repeats: int = 5, **more: Any
    ) -> str:
        """A point of `training`, `prefill` or `decode` with a few per cent of made-up noise."""
        point = self.point(measure, label, sequence_length=length, batch_size=batch, **more)
        speeds = [per_second * (1 + 0.02 * math.sin(3 * repeat + length)) for repeat in range(repeats)]
        self.samples(point, "tokens_per_second", speeds, "tokens/s")
        if measure == "decode":
            self.samples(point, "bytes_per_second", [1.6e6 * speed / batch for speed in speeds], "bytes/s")
            self.samples(point, "token_ms", [1e3 * batch / speed for speed in speeds], "ms")
        if measure == "prefill":
            self.samples(point, "prefill_ms", [1e3 * batch * length / speed for speed in speeds], "ms")
            self.samples(point, "flops_per_second", [8e5 * speed for speed in speeds], "FLOP/s")
        if measure == "training":
            self.samples(point, "flops_per_second", [2.4e6 * speed for speed in speeds], "FLOP/s")
            self.samples(point, "peak_bytes", [length * batch * 4e4], "bytes")
        return point

    def language(self, label: str, seed: int, rate: float, bits: float, role: str = "chosen", **more: Any) -> str:
        """A trained model: bits per byte at three lengths and four positions, a curve of twelve rows."""
        trained = {"training_tokens": 500_000, "training_flops": 3e11, "training_sequence_length": 128}
        trained |= {"training_batch_size": 8, "corpus": "python-docs", "corpus_sha256": "ab" * 32}
        point = self.point("language", label, seed=seed, learning_rate=rate, role=role, **{**trained, **more})
        for times in (1, 2, 4):
            self.samples(point, "bits_per_byte", [bits * times**0.01], "bits/byte", length=128 * times)
        for bucket in (32, 64, 128):
            self.samples(
                point, "bits_per_byte", [bits * (bucket / 128) ** -0.05], "bits/byte", length=128, bucket=bucket
            )
        self.samples(point, "tuning_bits_per_byte", [bits + 0.01], "bits/byte")
        self.samples(point, "order0_entropy", [ENTROPY], "bits/byte")
        for step in range(1, 13):
            loss = math.log(2) * (bits + 3 / step + 0.02 * math.sin(7 * step + seed))
            told = {
                "schema": VERSION,
                "point": point,
                "step": 10 * step,
                "tokens": 41_666 * step,
                "seconds": 1.1 * step,
            }
            self.rows["curves"].append(told | {"loss": loss})
        return point

    def _environment(self) -> dict[str, Any]:
        return {
            "schema": VERSION, "environment": self.environment, "machine": hexed("machine"),
            "device_name": self.device, "cpu": "Made-up CPU", "cores": 2, "threads": 2, "memory_bytes": 2**34,
            "device_memory_bytes": None, "operating_system": "Linux 6.1", "python": "3.11.9", "torch": "2.13.0",
            "blas": "OpenBLAS", "cuda": None, "driver": None, "triton": None, "governor": None, "clock_mhz": None,
            "power_limit_watts": None, "peak_flops": 1.5e11,
            "peak_flops_bfloat16": 6e11, "peak_bytes_per_second": 2e10, "commit": "0123abc",
            "dirty": "false",
        }  # fmt: skip

    def build(self, settings: dict[str, Any] | None = None) -> ResultSet:
        """The tables, held to the schema as reading them from files would."""
        self.rows["environments"] = self.rows["environments"] or [self._environment()]
        counted = {name: Counter(told["point"] for told in self.rows[name]) for name in ("samples", "curves")}
        for row in self.rows["points"]:
            for table, counts in counted.items():
                row[table] = counts[row["point"]]
        tables = {name: _held(name, rows) for name, rows in self.rows.items()}
        return ResultSet(self.experiment, self.question, self.device, settings=settings or {}, **tables)


HELD: dict[tuple[str, str], pd.DataFrame] = {}  # by name and rows: tests make the same ones, and validating takes time


def _held(name: str, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """A table of these rows, held to its schema once."""
    if (key := (name, repr(rows))) not in HELD:
        columns = [column for column in TABLES[name].columns if not column.startswith("^")]
        found = pd.DataFrame(rows)
        table = found.reindex(columns=[*columns, *sorted(set(found) - set(columns))])
        HELD[key] = TABLES[name].validate(table.astype({"reason": object}) if name == "points" else table)
    return HELD[key].copy()


def triangle(
    experiment: str = "triangle", device: str = "cpu-made-up", models: Any = MODELS, seeds: int = 3
) -> ResultSet:
    """All measures for all models: the Transformer runs out of memory at the longest context, AFT times out there, RWKV
    failed one trial, AFT's memory is not applicable at one batch."""
    made = Builder(experiment, device, "Which models train fast, decode cheaply and predict well?")
    for label in models:
        speed = SPEED[label]
        form = "chunkwise" if label in ("retnet", "linear_attention") else "parallel"
        forms = made.point("forms", label)
        for metric, value in (("output_difference", 3e-15), ("state_difference", 0.0), ("gradient_difference", 8e-14)):
            made.samples(forms, metric, [value * speed])
        for length in (128, 512, 2048):
            falls = (128 / length) ** (0.5 if label in ("transformer", "aft") else 0.02)
            made.speed("training", label, length, 8, 52_000 * speed * falls, form=form)
            if length == 512:
                made.speed("training", label, length, 2, 40_000 * speed * falls, form=form)
            made.speed("prefill", label, length, 8, 150_000 * speed * falls, form=form)
        for context in (256, 1024, 4096):
            for batch in (1, 4, 16):
                _decode(made, label, context, batch, speed)
        for rate, worse in ((3e-4, 0.2), (1e-3, 0.0), (3e-3, 0.08 if label != "aft" else -0.05)):
            if label == "rwkv" and rate == 3e-3:
                made.point(
                    "language", label, "error", "loss is not finite at step 40", learning_rate=rate, role="trial"
                )
            else:
                made.language(label, 0, rate, BITS[label] + worse, role="trial")
        for seed in range(1, seeds):
            made.language(label, seed, 3e-3 if label == "aft" else 1e-3, BITS[label] + 0.011 * seed)
    return predicted(made.build())


def predicted(result_set: ResultSet) -> ResultSet:
    """The same with predictions of every point's seconds and peak bytes, a little off."""
    points = result_set.points
    spread = 1 + 0.3 * pd.Series(range(len(points)), index=points.index).map(math.sin)
    told = points.assign(predicted_seconds=spread * points["seconds"], predicted_bytes=4e8 * spread)
    return dataclasses.replace(result_set, points=told)


def _decode(made: Builder, label: str, context: int, batch: int, speed: float) -> None:
    state = 2 * 3 * 96 * 4 * batch * (context if label == "transformer" else 48)
    slower = (context / 256) ** 0.4 if label == "transformer" else 1.0
    cell = {"batch_size": batch, "sequence_length": context}
    if label == "transformer" and (context, batch) == (4096, 16):
        for measure in ("decode", "memory"):
            made.point(measure, label, "oom", "9.1 GiB are over the limit of 8 GiB", **cell)
        return
    if label == "aft" and context == 4096:
        made.point("decode", label, "timeout", "killed after 120 s", **cell)
    else:
        made.speed("decode", label, context, batch, 700 * speed * batch**0.7 / slower, state_bytes=state)
    if label == "aft" and batch == 16:
        made.point("memory", label, "not_applicable", "AFT-full keeps no state", **cell)
        return
    memory = made.point("memory", label, **cell)
    made.samples(memory, "state_bytes", [state])
    made.samples(memory, "weights_bytes", [1_604_000])
    made.samples(memory, "peak_resident_bytes", [4e8 + 2 * state])


def gammas(device: str = "cpu-made-up") -> ResultSet:
    """RetNet under six decays, three seeds each, named by the option."""
    made = Builder("gamma_sweep", device, "How much does the choice of γ matter?")
    bits = {
        "paper": 2.22,
        "torchscale": 2.225,
        "none": 2.41,
        "single": 2.29,
        "[0.9, 0.95, 0.99, 0.999]": 2.27,
        "learned": 2.21,
    }
    for gamma, value in bits.items():
        label = f"retnet gamma={gamma}"
        for seed in range(3):
            role = "trial" if seed == 0 else "chosen"
            made.language(label, seed, 1e-3, value + 0.009 * seed, role, option_gamma=gamma, option_gate="True")
    return made.build()
