"""A small results folder, written by the writer, for tests of what holds, breaks and mends one."""

import pathlib

from harness import csvfile, record
from harness.writer import Writer

ENVIRONMENT = {
    **{name: None for name in csvfile.columns("environments") if name != "schema"},
    **dict.fromkeys(("device_name", "cpu", "operating_system", "python", "torch", "blas"), "made up, for tests"),
    "environment": "e" * 16,
    "machine": "a" * 16,
    "cores": 3,
    "threads": 2,
    "memory_bytes": 2**34,
}
SETTINGS = "# Is it so?\nmodels: [retnet]\nshape: {width: 24, layers: 2, heads: 3}\nmeasures: [noop]\nseeds: [0]\n"
FILES = ("points", "samples", "curves", "environments")


def row(number, **changed):
    told = dict.fromkeys(csvfile.columns("points"))
    for name in ("schema", "samples", "curves"):
        told.pop(name)
    sizes = {"width": 24, "layers": 2, "heads": 3, "ffn_width": 20, "vocabulary": 256, "max_length": 37, "seed": 0}
    sizes |= {} if "measure" in changed else {"batch_size": 5, "sequence_length": 16}  # which decoding depends on
    texts = {"experiment": "tried", "measure": "decode", "model": "retnet", "label": "a, b", "dtype": "float32"}
    ids = {"point": f"{number:016x}", "configuration": f"{number:015x}c", "code": "0" * 16, "environment": "e" * 16}
    return told | sizes | texts | ids | {"status": "ok", "device": "cpu", "finished": "2026-01-02"} | changed


def sample(number, repeat, value=1.5):
    told = {"measure": "decode", "metric": "token_ms", "unit": "ms", "length": None, "bucket": None}
    return {"point": f"{number:016x}", **told, "repeat": repeat, "value": value}


def commit(folder, *numbers, options=None, samples=2, steps=2, environment="e" * 16):
    with Writer(folder) as held:
        for number in numbers:
            held.commit(
                row(number, environment=environment),
                options or {},
                [sample(number, repeat, number / 3) for repeat in range(samples)],
                [
                    {"point": f"{number:016x}", "step": s, "tokens": 7 * s, "seconds": 0.1, "loss": 1.0}
                    for s in range(steps)
                ],
                ENVIRONMENT | {"environment": environment},
            )
        return held.notes


def filled(folder: pathlib.Path) -> pathlib.Path:
    """Three points."""
    commit(folder, 1, 2, 3)
    (folder / record.SETTINGS).write_text(SETTINGS, encoding="utf-8")
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
