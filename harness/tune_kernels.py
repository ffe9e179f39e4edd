"""Finds the plans of `plans.TABLE` on the card that it runs on, and prints them as they stand there. On a card that
can run programs whose warps have roles, it finds those of `plans.SPECIALISED` too: the best of both kinds.

    python -m harness.tune_kernels                 every size of head
    python -m harness.tune_kernels 256x512 64x64   these

Every way to cut a scan runs in a process of its own, so that one which the compiler gets wrong takes no other with it.
It must agree with float64 to `LIMIT` where its outputs were poisoned before; then it is timed, alone on the card.
"""

import concurrent.futures
import dataclasses
import fcntl
import itertools
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from typing import Any

import torch
from torch import Tensor

from harness import ending, machine
from harness.child import ROOT
from harness.errors import UserError, shown
from models import _retention
from models._kernels import bucket, specialised
from models._kernels.plans import Plan, Tile

KEYS, VALUES = (32, 64, 128, 256), (32, 64, 128, 256, 512)
WIDTH, TOKENS, BATCH = 2048, 8192, 4  # of what is timed
CHECKED = 777  # tokens of what is checked: no chunk divides them
LIMIT = 1e-2  # relative error of outputs and states in bfloat16
SHARED = 227 * 1024  # bytes of shared memory that a program may take
HANDED = 49152  # of which programs with two groups, of scores inside, take what one hands to the other and writes
BARRIERS = 512
SECONDS = 120  # that one process may take


def ways(keys: int, values: int, C: int, inside: bool, roles: bool = False) -> list[Tile]:
    """The tiles worth trying of a scan over keys and values of these sizes; with `roles` also specialised ones."""
    found = []
    whole, halves = min(bucket(keys), 256), 2 if bucket(keys) >= 256 else 1
    for wide, warps in ((32, 4), (64, 4), (128, 4), (128, 8)):
        if wide > bucket(values) or (wide == 32 and values > 32) or (inside and bucket(keys) > whole):
            continue
        stage = 2 * C * (2 * whole + wide + (0 if inside else C))
        most = min(5, SHARED // stage)
        found += [Tile(whole, wide, halves, warps, stages) for stages in range(max(2, most - 2), most + 1)]
    for wide, warps in ((64, 4), (128, 8)):
        pair = C == 64 and wide == 64 and keys == whole < 256
        if not roles or keys % whole or values % wide or (inside and not pair):
            continue
        # Inside, a stage makes room for what a learned gamma weighs by; elsewhere every stage must have it.
        stage = 2 * C * (2 * whole + (wide if inside else 2 * wide + C))
        most = min(4, (SHARED - BARRIERS - (HANDED if inside else 2 * C * wide)) // stage)
        found += [Tile(whole, wide, halves, warps, stages, True) for stages in range(2, most + 1)]
    return found


def measured(keys: int, values: int, C: int, inside: bool, tile: Tile) -> dict[str, float]:
    """The scan's largest relative error and, where that is right, its milliseconds forwards and backwards in time."""
    from triton.testing import do_bench_cudagraph

    from models._kernels import scans

    plan = Plan(C, tile, tile, tile, (inside, inside))

    def inputs(batch: int, heads: int, length: int) -> list[Tensor]:
        shapes = [(batch, length, heads, size) for size in (keys, keys, values)]
        return [torch.randn(shape, device="cuda", dtype=torch.bfloat16).transpose(1, 2) for shape in shapes]

    def scanned(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, start: Tensor | None, backwards: bool) -> Any:
        T = q.shape[2]
        job = scans.Job(log_decay.float() * math.log2(math.e), None, plan, len(q), T, T, T)
        P = None if inside else scans.scores(job, *((k, q) if backwards else (q, k)))
        return lambda: scans.scan(job, q, k, v, P, start, tile, backwards, keep=start is not None), job

    empty, scans.empty = scans.empty, lambda *given: empty(*given).fill_(torch.nan)  # poisoned
    log_decay = torch.tensor([0.4, 0.97, 1 - 2.0**-10], device="cuda", dtype=torch.float64).log()
    q, k, v = inputs(2, 3, CHECKED)
    start = torch.randn(2, 3, keys, values, device="cuda")
    error: float = 0.0
    for backwards in (False, True):
        got = scanned(q, k, v, log_decay, start, backwards)[0]()
        # Backwards, the state is read one step less faded, and what is added to it has faded one step more.
        step = log_decay.exp()[:, None, None] if backwards else 1.0
        queries, keys_, values_ = (x.double().flip(2) if backwards else x.double() for x in (q, k, v))
        o, end = _retention.chunkwise(queries, keys_, values_, log_decay, start.double() / step, True)
        assert end is not None
        for a, b in zip(got, (o.flip(2) if backwards else o, end * step), strict=True):
            error = max(error, float(((a.double() - b).norm() / b.norm()).nan_to_num(torch.inf)))
    found = {"error": error}
    if error > LIMIT:
        return found
    scans.empty = empty
    heads = max(1, WIDTH // min(keys, values))
    log_decay = torch.linspace(math.log(1 / 32), math.log(1 / 512), heads, device="cuda").exp().neg().log1p()
    q, k, v = inputs(BATCH, heads, TOKENS)
    with open(pathlib.Path(tempfile.gettempdir()) / "tune.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # alone on the card
        for name, backwards in (("forwards", False), ("backwards", True)):
            work, job = scanned(q, k, v, log_decay, None, backwards)
            found[name] = do_bench_cudagraph(work, rep=15, return_mode="median")
        found["scores"] = 0.0 if inside else do_bench_cudagraph(lambda: scans.scores(job, q, k), rep=15)
    return found


def attempt(keys: int, values: int, C: int, inside: bool, tile: Tile) -> dict[str, Any]:
    """`measured` in a process of its own; an error of infinity where it did not end well."""
    asked = json.dumps([keys, values, C, inside, dataclasses.astuple(tile)])
    command = [sys.executable, "-m", "harness.tune_kernels", "--one", asked]
    try:
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=True)
        return json.loads(run.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError) as error:
        return {"error": math.inf, "why": (getattr(error, "stderr", "") or str(error)).strip()[-200:]}


def best(
    K: int, V: int, tried: dict[tuple[Any, ...], dict[str, Any]], roles: bool = False
) -> tuple[float, Plan] | None:
    """The quickest plan of the scans that were right, and its milliseconds forward and backward."""
    found = []
    for C, within, around in itertools.product((32, 64), (False, True), (False, True)):

        def quickest(keys: int, values: int, inside: bool, *names: str, C: int = C) -> tuple[float, Tile] | None:
            times = [
                (sum(result[name] for name in names), tile)
                for (*job, tile), result in tried.items()
                if job == [keys, values, C, inside] and "forwards" in result and roles >= tile.specialised
            ]
            return min(times, key=lambda each: each[0], default=None)

        o = quickest(K, V, within, "forwards", "scores")
        dv = quickest(K, V, within, "backwards")
        dqk = quickest(V, K, around, "forwards", "backwards", "scores")
        if o and dv and dqk:
            found.append((o[0] + dv[0] + dqk[0], Plan(C, o[1], dv[1], dqk[1], (within, around))))
    return min(found, key=lambda each: each[0], default=None)


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        keys, values, C, inside, tile = json.loads(sys.argv[2])
        print(json.dumps(measured(keys, values, C, inside, Tile(*tile))))
        return
    for size in sys.argv[1:]:
        if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", size):
            raise UserError(f"unknown size {shown(size)}; write keys and values as 256x512")
    machine.need_cuda("plans")
    sizes = [(int(K), int(V)) for K, V in (size.split("x") for size in sys.argv[1:])]
    sizes = sizes or list(itertools.product(KEYS, VALUES))
    scans = sorted({pair for K, V in sizes for pair in ((K, V), (V, K))})
    roles = specialised(torch.device("cuda"))
    jobs = [
        (keys, values, C, inside, tile)
        for (keys, values), C, inside in itertools.product(scans, (32, 64), (False, True))
        for tile in ways(keys, values, C, inside, roles)
    ]
    print(f"# {torch.cuda.get_device_name()}: {len(jobs)} scans", file=sys.stderr)
    tried = {}
    with concurrent.futures.ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 2)) as pool:
        for job, result in zip(jobs, pool.map(lambda job: attempt(*job), jobs), strict=True):
            tried[job] = result
            print("#", *job, result, file=sys.stderr, flush=True)
    for name, chosen in (("TABLE", False), ("SPECIALISED", True))[: 1 + roles]:
        print(name)
        for K, V in sizes:
            found = best(K, V, tried, chosen)
            print(f"    ({K}, {V}): {found[1]},  # {found[0]:.3f} ms" if found else f"    # ({K}, {V}): none was right")


if __name__ == "__main__":
    ending.run(main)
