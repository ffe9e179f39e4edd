"""Intervals: the same numbers in, the same interval out, whatever the order of the numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

RESAMPLES = 2000
NOT_A_NUMBER = (float("nan"), float("nan"))

Statistic = Callable[..., Any]  # called as statistic(array, axis=-1)


def _resampled(values: Any, statistic: Statistic, stream: int) -> np.ndarray:
    ordered = np.sort(np.asarray(values, dtype=float))
    picks = np.random.default_rng(stream).integers(0, len(ordered), (RESAMPLES, len(ordered)))
    return np.asarray(statistic(ordered[picks], axis=-1))


def bootstrap(values: Any, statistic: Statistic = np.median) -> tuple[float, float]:
    """The 95% percentile bootstrap interval of a statistic; not a number for fewer than two values."""
    if len(values) < 2:
        return NOT_A_NUMBER
    low, high = np.percentile(_resampled(values, statistic, 0), [2.5, 97.5])
    return float(low), float(high)


def ratio(above: Any, below: Any, statistic: Statistic = np.median) -> tuple[float, float, float]:
    """statistic(above) / statistic(below) and its 95% bootstrap interval, the two resampled apart."""
    value = float(statistic(np.asarray(above, float)) / statistic(np.asarray(below, float)))
    if len(above) < 2 or len(below) < 2:
        return value, *NOT_A_NUMBER
    drawn = _resampled(above, statistic, 0) / _resampled(below, statistic, 1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return value, float(low), float(high)


def mean_of_few(values: Any) -> tuple[float, float, float]:
    """The mean and its 95% interval by Student's t: for a handful of seeds, where a bootstrap is too narrow."""
    told = np.asarray(values, dtype=float)
    mean = float(told.mean())
    if len(told) < 2:
        return mean, *NOT_A_NUMBER
    half = float(stats.t.ppf(0.975, len(told) - 1) * told.std(ddof=1) / np.sqrt(len(told)))
    return mean, mean - half, mean + half


def slope_of(places: dict[float, Any]) -> tuple[float, float, float]:
    """The slope of log median against log place and its 95% bootstrap interval, from the values at each place, each
    place resampled apart; no interval where a place has a single value."""
    x = np.log(np.asarray(list(places), float))
    value = slope(np.exp(x), [np.median(np.asarray(values, float)) for values in places.values()])
    if min(map(len, places.values())) < 2:
        return value, *NOT_A_NUMBER
    drawn = [np.log(_resampled(values, np.median, stream)) for stream, values in enumerate(places.values())]
    steps = x - x.mean()
    low, high = np.percentile(steps @ np.asarray(drawn) / (steps @ steps), [2.5, 97.5])
    return value, float(low), float(high)


def slope(x: Any, y: Any) -> float:
    """The least-squares slope of log y against log x: 0 is flat, 1 is proportional. Needs two different x."""
    return float(np.polyfit(np.log(np.asarray(x, float)), np.log(np.asarray(y, float)), 1)[0])
