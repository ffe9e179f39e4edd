"""`python -m harness validate`: whether experiment files can be run, and what is odd about them wherever they are run.

What depends on a machine, its memory or what else computes there, is for `run` to say.
"""

import pathlib
import sys
from collections.abc import Iterable

from harness import experiment, foresight, plan
from harness.errors import UserError


def refused(files: Iterable[pathlib.Path]) -> int:
    """Prints what there is to say of each file, and returns how many of them cannot be run."""
    bad = 0
    for file in files:
        try:
            asked = experiment.load(file)
            points = plan.points(asked, "cpu")
            foresight.refuse_nothing(points, str(file))
        except UserError as error:
            bad += 1
            print(error, file=sys.stderr)
            continue
        print(f"{file}: ok, {len(points)} points")
        for told in foresight.anywhere(points, asked.corpus):
            print(f"{file}: {told}", file=sys.stderr)
    return bad
