"""Times points of one tree on that tree's own code, each in a fresh process. Runs inside that tree.

    python -P visitor.py      with the tree on PYTHONPATH; JSON lines on standard input and output

It says {"protocol": 1} once torch is loaded in the server that processes are forked from, and then answers each

    {"point": ..., "metric": "step_ms"}      what `survey.py` of the same tree told
    {"status": "ok", "reason": "", "samples": [12.3, 12.1, ...]}

A point runs as in a sweep: under its limits, by the tree's own stopwatch, and what it breaks is that point alone. A
visitor serves one round of pairs: one that stayed would give all its points the same layout of memory, and so a
difference between two trees that no pair averages out. As in `survey.py`, the lines may not change without PROTOCOL.
"""

import json
import os
import sys
from typing import Any

PROTOCOL = 1


def main() -> None:
    from harness import worker

    out = open(os.dup(1), "w", buffering=1, encoding="utf-8")  # noqa: SIM115
    os.dup2(2, 1)  # what the tree's code prints is no reply
    worker.start(range, (1,), None, None)  # nothing at all, in the first process that the server gives
    out.write(json.dumps({"protocol": PROTOCOL}) + "\n")
    for line in sys.stdin:
        out.write(json.dumps(measured(json.loads(line))) + "\n")


def measured(asked: dict[str, Any]) -> dict[str, Any]:
    """What came of one point: its samples in the order in which they were taken."""
    from harness import measures, worker
    from harness.point import Point

    point = Point(**asked["point"])
    outcome = worker.run(point, measures.load(point.measure))
    samples = [sample.value for sample in outcome.samples if sample.metric == asked["metric"]]
    return {"status": outcome.status, "reason": outcome.reason, "samples": samples}


if __name__ == "__main__":
    main()
