"""What people use today, on the same numbers: the rules of pytest-benchmark and of asv.

pytest-benchmark, `--benchmark-compare-fail=median:10%`: fails where the median of the new rounds is more than 10% above
the stored one (`PercentageRegressionCheck` in its utils.py). asv, `continuous` with its default `--factor 1.1`: a
benchmark is worse where its median is more than 1.1 times the other's and, where both have more than one sample, the
samples differ by a two-sided Mann-Whitney test with p below 0.002, exact up to 20 samples a side and normal above,
without a correction for ties (`_is_result_better` in commands/compare.py, `is_different` in statistics.py). With so few
samples that no order of them could reach that p, asv looks at 99% intervals, which are then infinite: never worse.

Both are given all samples of the first pairs, as many as the gate has before it asks for more, taken in turned order
and in several processes: more than either takes care of by itself.
"""

import math
import statistics
from collections.abc import Sequence

PERCENT = 10.0
FACTOR = 1.1
SIGNIFICANT = 0.002
EXACT_UP_TO = 20


def pytest_benchmark(base: Sequence[float], head: Sequence[float]) -> bool:
    """Whether the comparison fails."""
    return statistics.median(head) / statistics.median(base) * 100 - 100 > PERCENT


def asv(base: Sequence[float], head: Sequence[float]) -> bool:
    """Whether the benchmark counts as worse."""
    return differ(base, head) and statistics.median(base) < statistics.median(head) / FACTOR


def differ(one: Sequence[float], other: Sequence[float]) -> bool:
    """asv's test of whether two sets of samples differ."""
    from scipy import stats

    if 1 / math.comb(len(one) + len(other), len(one)) >= SIGNIFICANT:
        return False
    method = "exact" if max(len(one), len(other)) <= EXACT_UP_TO else "asymptotic"
    tested = stats.mannwhitneyu(one, other, alternative="two-sided", method=method, use_continuity=False)
    return float(tested.pvalue) < SIGNIFICANT
