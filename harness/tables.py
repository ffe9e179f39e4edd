"""The four tables of a results folder, as one versioned pandera schema: checked on write and on read. No torch.

`python -m harness.tables` writes them into results/README.md anew.
"""

import datetime
import re
from typing import Any

import pandera.pandas as pa

from harness import ending, timing
from harness.child import ROOT
from harness.point import DEVICES
from harness.schema import DTYPES

VERSION = 2  # of these tables; a file written under another one is refused by name

STATUSES = ("ok", "oom", "timeout", "error", "skipped", "not_applicable")
ROLES = ("trial", "chosen")
ENDED = f"why sampling ended, the worst of several timings: {', '.join(timing.ENDED)}"
TIME = "iso_time"  # name of a check
HEX = r"^[0-9a-f]{16}$"


def _is_time(text: str) -> bool:
    try:
        return bool(datetime.datetime.fromisoformat(text))
    except ValueError:
        return False


def _column(kind: Any, *checks: Any, text: str, unit: str | None = None, empty: bool = False) -> pa.Column:
    return pa.Column(
        kind, list(checks), nullable=empty, coerce=True, description=text, metadata={"unit": unit} if unit else None
    )


def _id(text: str) -> pa.Column:
    return _column(str, pa.Check.str_matches(HEX), text=text)


def _count(text: str, unit: str | None = None, empty: bool = True) -> pa.Column:
    return _column("Int64", pa.Check.ge(0), text=text, unit=unit, empty=empty)


def _size(text: str, unit: str | None = None, empty: bool = False) -> pa.Column:
    return _column("Int64", pa.Check.ge(1), text=text, unit=unit, empty=empty)


def _name(names: tuple[str, ...], text: str) -> pa.Column:
    return _column(str, pa.Check.isin(names), text=text)


def _text(text: str, empty: bool = False) -> pa.Column:
    return _column(str, text=text, empty=empty)


def _rate(text: str, unit: str | None = None) -> pa.Column:
    return _column("float64", pa.Check.gt(0), text=text, unit=unit, empty=True)


def _number(text: str, unit: str | None = None, empty: bool = True, least: float | None = 0) -> pa.Column:
    checks = [] if least is None else [pa.Check.ge(least)]
    return _column("float64", *checks, text=text, unit=unit, empty=empty)


def _version() -> pa.Column:
    return _column("int64", pa.Check.eq(VERSION), text=f"version of this table; {VERSION} now")


def _table(name: str, columns: dict[str, pa.Column], unique: list[str] | None = None) -> pa.DataFrameSchema:
    told = {"schema": _version(), **columns}
    return pa.DataFrameSchema(told, name=name, strict=True, unique=unique, unique_column_names=True)


TABLES: dict[str, pa.DataFrameSchema] = {
    "points": _table(
        "points",
        {
            "point": _id("hash of configuration, code, machine, and how often these were run before"),
            "configuration": _id("hash of the resolved configuration alone"),
            "code": _id("hash of the sources that compute it"),
            "environment": _id("the row of environments.csv"),
            "experiment": _text("name of the experiment file, without ending"),
            "measure": _text("file in harness/measures/"),
            "status": _column(str, pa.Check.isin(STATUSES), text="ok, oom, timeout, error, skipped or not_applicable"),
            "reason": _text("why the status is not ok", empty=True),
            "model": _text("file in models/"),
            "label": _text("the model with the options that tell it from the experiment's other entries"),
            "form": _text("how the sequence mixer is computed", empty=True),
            "batch_size": _size("sequences at a time", empty=True),
            "sequence_length": _size("length of the sequences; for decode, of the context", "tokens", empty=True),
            "dtype": _name(DTYPES, "number format of weights and activations"),
            "device": _name(DEVICES, "cpu, cuda or mps"),
            "seed": _count("of weights, inputs and data order", empty=False),
            "width": _size("of the residual stream"),
            "layers": _size("depth"),
            "heads": _size("of the mixer"),
            "ffn_width": _count("of the feed-forward, solved for from the parameter budget", empty=False),
            "vocabulary": _size("token kinds"),
            "max_length": _count("longest sequence that per-position parameters cover", "tokens", empty=False),
            "parameters": _count("of the model as built"),
            "parameters_target": _count("the parameter budget"),
            "parameters_mismatch": _number("parameters / parameters_target - 1", least=-1),
            "flops_per_token": _number(
                "of one forward pass in this form at this length, masked ones included", "FLOP/token"
            ),
            "state_bytes": _count("of the decode state at this batch and context", "bytes"),
            "training_tokens": _count("that the optimiser saw", "tokens"),
            "training_flops": _number("forward and backward, as many as are needed", "FLOP"),
            "training_sequence_length": _size("of the training sequences", "tokens", empty=True),
            "training_batch_size": _size("sequences per optimiser step", empty=True),
            "learning_rate": _rate("at the peak of the schedule"),
            "schedule": _text("of the learning rate: cosine, linear or constant; older files lack it", empty=True),
            "final_rate": _number("share of the peak that the schedule ends at; older files lack it"),
            "warmup": _number("share of the budget over which the rate rises; older files lack it"),
            "betas": _text("of AdamW; older files lack it", empty=True),
            "weight_decay": _number("of AdamW, on the weights of linear maps; older files lack it"),
            "clip": _number("that the norm of the whole gradient is cut to; older files lack it"),
            "accumulate": _count("forward and backward passes per optimiser step; older files lack it"),
            "autocast": _text("whether the forward pass ran under bfloat16 autocast; older files lack it", empty=True),
            "role": _column(
                str,
                pa.Check.isin(ROLES),
                text="trial: tunes the learning rate; chosen: trained with the best one",
                empty=True,
            ),
            "corpus": _text("what was read", empty=True),
            "corpus_sha256": _text("of the text that was read", empty=True),
            "limit_seconds": _number("after which it was to be stopped", "s"),
            "limit_bytes": _count("of memory that it was to be stopped at", "bytes"),
            "samples": _count("rows of samples.csv that belong to it", empty=False),
            "curves": _count("rows of curves.csv that belong to it", empty=False),
            "seconds": _number("that the point took, from the start of its process to its end", "s"),
            "attempts": _size(
                "how often it was started; more than once only after a failure of the system", empty=True
            ),
            "predicted_seconds": _number("that the cost model expected the point to take", "s"),
            "predicted_bytes": _number("that the cost model expected at the peak", "bytes"),
            "timing_ended": _column(str, pa.Check.isin(timing.ENDED), text=ENDED, empty=True),
            "calls_per_sample": _count("calls within one sample of the last timing"),
            "warm_calls": _count("calls thrown away before the first sample of the last timing"),
            "graph": _text("true where every timing replayed a CUDA graph; false on CUDA otherwise", empty=True),
            "clock_mhz": _number("right after the last sample of the last timing", "MHz"),
            "power_watts": _number("right after the last sample of the last timing", "W"),
            "temperature_celsius": _number("right after the last sample of the last timing", "°C", least=None),
            "throttled": _text(
                "what slowed the device down, as seen before and after each timing; no where nothing", empty=True
            ),
            "others_share": _number(
                "of the processors' time that others used, the most of any timing; older files lack it"
            ),
            "finished": _column(str, pa.Check(_is_time, name=TIME, element_wise=True), text="UTC, ISO 8601"),
            r"^option\..+$": pa.Column(
                str, nullable=True, regex=True, required=False, coerce=True, description="an option of the model"
            ),
        },
        unique=["point"],
    ),
    "samples": _table(
        "samples",
        {
            "point": _id("the row of points.csv"),
            "measure": _text("file in harness/measures/"),
            "metric": _text("what was measured"),
            "unit": _text("of the value"),
            "repeat": _count("0 for the first", empty=False),
            "length": _count("of the evaluated sequences, where it is not the point's own", "tokens"),
            "bucket": _count("largest position of the bucket that the value was taken over", "tokens"),
            "value": _number("the measured value", empty=False, least=None),
        },
    ),
    "curves": _table(
        "curves",
        {
            "point": _id("the row of points.csv"),
            "step": _count("optimiser steps done", empty=False),
            "tokens": _count("tokens seen", "tokens", empty=False),
            "seconds": _number("of training, evaluation and checkpoints left out", "s", empty=False),
            "loss": _number("mean of the batches since the row before", "nats/token", empty=False),
        },
        unique=["point", "step"],
    ),
    "environments": _table(
        "environments",
        {
            "environment": _id("hash of this row and its time"),
            "machine": _id("hash of hardware, versions and a random name of the machine; part of every point's id"),
            "device_name": _text("what the device calls itself"),
            "cpu": _text("what the processor calls itself"),
            "cores": _count("that this process may use", empty=False),
            "threads": _count("that torch uses", empty=False),
            "memory_bytes": _count("of the machine", "bytes", empty=False),
            "device_memory_bytes": _count("of the accelerator", "bytes"),
            "operating_system": _text("name and version"),
            "python": _text("version"),
            "torch": _text("version"),
            "blas": _text("what torch multiplies matrices with"),
            "cuda": _text("version that torch was built for", empty=True),
            "driver": _text("version of the accelerator's driver", empty=True),
            "triton": _text("version", empty=True),
            "governor": _text("of the processor's clock", empty=True),
            "clock_mhz": _number("of the device, when read", "MHz"),
            "power_limit_watts": _number("of the device", "W"),
            "peak_flops": _rate("measured: a float32 matrix product", "FLOP/s"),
            "peak_flops_bfloat16": _rate("the same in bfloat16", "FLOP/s"),
            "peak_flops_float16": _rate("the same in float16", "FLOP/s"),
            "peak_bytes_per_second": _rate("measured: a copy, bytes read and written", "bytes/s"),
            "commit": _text("of the harness", empty=True),
            "dirty": _text("true where models, harness or experiments differed from that commit", empty=True),
        },
        unique=["environment"],
    ),
}

TRAINED = ("schedule", "final_rate", "warmup", "betas", "weight_decay", "clip", "accumulate", "autocast")
LATER = {"points": (*TRAINED, "others_share")}  # columns that files of this version may lack, which are empty then

README = ROOT / "results" / "README.md"


def described(text: str) -> str:
    """The README of the results with the table under each heading such as `### points.csv` as the schema has it."""
    for name, schema in TABLES.items():
        lines = ["| column | type | unit | empty | meaning |", "|---|---|---|---|---|"]
        lines += [_described(column) for column in schema.columns.values()]
        before, heading, after = text.partition(f"### {name}.csv\n\n")
        after = re.sub(r"\A(\|.*\n)*", "", after)
        text = before + heading + "".join(f"{line}\n" for line in lines) + after
    return text


def _described(column: pa.Column) -> str:
    name = "option.*" if column.regex else column.name
    kind = {"int64": "whole", "Int64": "whole", "float64": "number"}.get(str(column.dtype), "text")
    unit = (column.metadata or {}).get("unit", "")
    return f"| `{name}` | {kind} | {unit} | {'yes' if column.nullable else ''} | {column.description} |"


def main() -> None:
    README.write_text(described(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    ending.run(ending.alone("harness.tables", "writes the tables of columns in results/README.md", main))
