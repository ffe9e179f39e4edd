"""The paper's Figure 6 and Table 4 as made-up rows, in the shape of their experiments."""

from collections.abc import Callable
from typing import Any

from reports.claims import CONTRADICTED, MIXED, SUPPORTED
from tests.report_data import Builder, ResultSet

Made = Callable[[Builder], Any]
GOOD, NAIVE = (
    "transformer implementation=sdpa cache=preallocated",
    "transformer implementation=eager cache=concatenated",
)
OPTIONS: dict[str, dict[str, Any]] = {
    "retnet": {"option_head_size": 256},
    GOOD: {"option_implementation": "sdpa", "option_cache": "preallocated"},
    NAIVE: {"option_implementation": "eager", "option_cache": "concatenated"},
}
SIZE = {"parameters": 6_700_000_000, "parameters_target": 6_700_000_000, "width": 4096, "layers": 32, "heads": 32}
CUDA = {"device": "cuda", "dtype": "bfloat16"} | SIZE
WEIGHTS, STEP_BYTES = 13.4e9, 13.1e9
CACHE, STATE = 524_288, 268_435_456  # bytes: of a token, and of a sequence
BANDWIDTH = 4.3e12
RATES = {"peak_flops": 5e13, "peak_flops_bfloat16": 7e14, "peak_bytes_per_second": BANDWIDTH}


def shares(good: float = 0.7, naive: float = 0.3, retnet: float = 0.8) -> dict[str, float]:
    """Of the bandwidth, that each reaches."""
    return {GOOD: good, NAIVE: naive, "retnet": retnet}


def fig6(reached: dict[str, float] | None = None, naive_graph: str = "false") -> ResultSet:
    made = Builder("paper_fig6", "nvidia-made-up", "How far apart are they?")
    decoding(reached or shares(), naive_graph=naive_graph)(made)
    made.rows["environments"] = [made._environment() | RATES]
    return made.build()


def operations() -> ResultSet:
    """Retention flat over the length, attention in proportion to it."""
    made = Builder("operation", "nvidia-made-up", "Is it flat?")
    for label, slope in (("retnet", 0.0), (GOOD, 0.01)):
        for batch, length in ((4, 2048), (1, 8192)):
            factors = {"batch_size": batch, "sequence_length": length} | CUDA | OPTIONS[label]
            point = made.point("operation", label, **factors)
            made.samples(point, "token_ns", [15 + slope * length + 0.1 * repeat for repeat in range(5)], "ns")
    return made.build()


def decoding(reached: dict[str, float], cache: int = CACHE, naive_graph: str = "true") -> Made:
    """Bound by bandwidth; the naive Transformer runs out of memory at batch 8 beyond 8192 tokens."""

    def rows(made: Builder) -> None:
        for label, share in reached.items():
            for length in (2048, 8192, 32768):
                graph = naive_graph if label == NAIVE else "true"
                _decoding(made, label, length, STATE if label == "retnet" else cache * length, share, graph)

    return rows


def _decoding(made: Builder, label: str, length: int, each: int, share: float, graph: str) -> None:
    for batch in (1, 8):
        cell = {"sequence_length": length, "batch_size": batch}
        if label == NAIVE and batch * length > 8 * 8192:
            for measure in ("decode", "memory"):
                made.point(measure, label, "oom", "no room", **cell, **CUDA, **OPTIONS[label])
            continue
        decoded(made, label, each, batch, share, "decode", cell | {"graph": graph})
        point = made.point("memory", label, **cell, **CUDA, **OPTIONS[label])
        for metric, value in (("state_bytes", each * batch), ("weights_bytes", WEIGHTS)):
            made.samples(point, metric, [value], "bytes")
    most = int((138e9 - WEIGHTS) / each / (2 if label == NAIVE else 1))
    point = decoded(made, label, each, most, share, "largest_batch", {"sequence_length": length, "graph": graph})
    made.samples(point, "largest_batch", [most], "sequences")
    made.samples(point, "peak_bytes", [WEIGHTS + most * each], "bytes")


def decoded(
    made: Builder, label: str, each: float, batch: int, share: float, measure: str, cell: dict[str, Any]
) -> str:
    moved = STEP_BYTES + each * batch * (2 if label == "retnet" else 1)
    point = made.point(measure, label, **cell, **CUDA, **OPTIONS[label])
    times = [moved / BANDWIDTH / share * (1 + 0.001 * repeat) for repeat in range(5)]
    made.samples(point, "token_ms", [1e3 * seconds for seconds in times], "ms")
    made.samples(point, "tokens_per_second", [batch / seconds for seconds in times], "tokens/s")
    made.samples(point, "bytes_per_second", [moved / seconds for seconds in times], "bytes/s")
    made.samples(point, "flops_per_second", [batch * 1.3e10 / seconds for seconds in times], "FLOP/s")
    return point


def table4(eager: float = 9e3) -> ResultSet:
    made = Builder("paper_t4", "nvidia-made-up", "What do they need to train?")
    trained(eager)(made)
    made.rows["environments"] = [made._environment() | RATES]
    return made.build()


def trained(eager: float, parameters: int = 1_340_000_000) -> Made:
    """Tokens per second without recomputing; with it a quarter less. Eager attention does not fit without."""

    def rows(made: Builder) -> None:
        size = {"parameters": parameters, "parameters_target": parameters, "width": 2048, "layers": 24, "heads": 16}
        _trained(made, "retnet", None, 5.9e4, 40e9, size)
        _trained(made, "transformer", "sdpa", 4.7e4, 44e9, size)
        _trained(made, "transformer", "eager", eager, None, size)

    return rows


def _trained(
    made: Builder, model: str, implementation: str | None, speed: float, peak: float | None, size: dict[str, int]
) -> None:
    cell = {"sequence_length": 8192, "batch_size": 2, "form": "chunkwise" if model == "retnet" else "parallel"}
    for again in ("true", "false"):
        label = f"{model} recompute={again}" + (f" implementation={implementation}" if implementation else "")
        more = {"device": "cuda", "dtype": "bfloat16", "option_recompute": again, **size, **cell}
        more |= {"option_implementation": implementation}
        if peak is None and again == "false":
            made.point("training", label, "oom", "no room", **more)
            continue
        point = made.point("training", label, **more)
        mine = speed if again == "false" or peak is None else 0.75 * speed
        speeds = [mine * (1 + 0.001 * repeat) for repeat in range(5)]
        made.samples(point, "tokens_per_second", speeds, "tokens/s")
        made.samples(point, "flops_per_second", [9e9 * each for each in speeds], "FLOP/s")
        made.samples(point, "peak_bytes", [20e9 if again == "true" else peak], "bytes")


NEAR, FAR = shares(good=0.1, naive=0.1), shares()
CASES: list[tuple[str, Made, str]] = [
    ("factor_memory", decoding(FAR, 2 * CACHE), SUPPORTED),
    ("factor_memory", decoding(FAR), MIXED),  # 3.07 times at batch 8, and 3.4 from batch 10 on
    ("factor_memory", decoding(FAR, CACHE // 2), MIXED),  # from batch 27 on, of the 29 that fit
    ("factor_memory", decoding(FAR, CACHE // 12), CONTRADICTED),  # at no batch at all
    ("factor_throughput", decoding(NEAR), SUPPORTED),
    ("factor_throughput", decoding(FAR), CONTRADICTED),
    ("factor_throughput", decoding(shares(naive=0.2)), MIXED),
    ("factor_throughput", decoding(shares(naive=0.2), naive_graph="false"), MIXED),
    ("factor_throughput", decoding(FAR, naive_graph="false"), CONTRADICTED),  # missed in spite of launches
    ("factor_largest_batch", decoding(FAR, naive_graph="false"), SUPPORTED),
    ("factor_latency", decoding(NEAR), SUPPORTED),
    ("factor_latency", decoding(FAR), CONTRADICTED),
    ("factor_largest_batch", decoding(FAR), SUPPORTED),
    ("factor_largest_batch", decoding(FAR, CACHE // 8), CONTRADICTED),
    ("factor_eager_training", trained(6e3), SUPPORTED),
    ("factor_eager_training", trained(9e3), CONTRADICTED),
    ("factor_eager_training", trained(6.8e3), SUPPORTED),  # 6.5 times
    ("factor_eager_training", trained(6.8e3, 2_680_000_000), CONTRADICTED),
    ("factor_eager_training", trained(6.8e3, 6_700_000_000), SUPPORTED),
]
