"""Where a result set's rows come from, how its timing went, and what a reader must know before comparing any of it."""

from typing import Any

import pandas as pd

from reports import budget, busy, floors, launches, machines, plurals, rows, sections, sizes, unrun, wording

GAUGES = {"clock_mhz": ("clock", "MHz"), "power_watts": ("power", "W"), "temperature_celsius": ("temperature", "°C")}
ENDS = ("precision", "seconds", "samples", "deadline")


def table(result_set: Any) -> sections.Table:
    """A column per environment that a current row names, with its peaks where a share of the floor rests on them."""
    points = rows.current(result_set.points)
    told = _rested(result_set, environments(result_set, points))
    seen = points.groupby("environment")
    extra = {
        "rows": seen.size(),
        "finished": seen["finished"].max(),
        "corpus": seen["corpus"].agg(_distinct),
        "corpus_sha256": seen["corpus_sha256"].agg(_distinct),
    }
    told = told.assign(**{name: told["environment"].map(column) for name, column in extra.items()})
    told = told.set_index("environment").dropna(axis=1, how="all").T.rename_axis(None, axis=1)
    told = told.rename_axis("environment").reset_index()
    return sections.table(told, "Provenance", f"{result_set.experiment}-provenance")


def peaks(result_set: Any) -> str:
    """Of how many environments the table leaves peaks out, and why; empty where of none."""
    told = environments(result_set, rows.current(result_set.points))
    measured, kept = (each[_peaks(each)].notna().any(axis=1) for each in (told, _rested(result_set, told)))
    left = int((measured & ~kept).sum())
    return (
        f"The peaks of {plurals.counted(left, 'environment')} are not shown, for no share of the floor rests on them: "
        "such points may have run several at once, or beside something else, and their peaks with them."
        if left
        else ""
    )


def _rested(result_set: Any, told: pd.DataFrame) -> pd.DataFrame:
    """Without peaks that no share of the floor rests on."""
    kept = told["environment"].isin(floors.environments(result_set))
    return told.assign(**{name: told[name].where(kept) for name in _peaks(told)})


def _peaks(told: pd.DataFrame) -> list[str]:
    return [str(name) for name in told if str(name).startswith(tuple(peak for _, peak in rows.FLOOR))]


def _distinct(values: pd.Series) -> str:
    return " ".join(sorted(set(values.dropna().astype(str))))


def environments(result_set: Any, points: pd.DataFrame) -> pd.DataFrame:
    """The rows of environments.csv that these points name."""
    told = rows.environments(result_set)
    return told[told["environment"].isin(points["environment"])]


def device_name(result_set: Any) -> str:
    """What the device calls itself, or the folder's name."""
    names = sorted(set(environments(result_set, result_set.points)["device_name"].dropna()))
    return wording.listed(names) if names else str(result_set.device)


def dirty(told: pd.DataFrame) -> bool:
    """Whether sources that differ from their commit made rows of these environments."""
    return bool(rows.changed(told).any())


def counts(result_set: Any) -> str:
    """How many points there are, by status, and how many were planned and have no row."""
    told = rows.current(result_set.points)["status"].value_counts()
    parts = [f"{told[status]} {rows.STATUS_TEXT[status]}" for status in rows.SEVERITY if status in told]
    whole = wording.listed(parts) if parts else "no point yet"
    return "; ".join(part for part in (whole, unrun.counted(result_set)) if part)


def cautions(result_set: Any, shown: pd.DataFrame | None = None) -> list[str]:
    """What is left out of comparisons, what in them ranks nothing, is of different machines, or cannot be.

    Of machines: those of the rows behind a table, where it is all that is `shown`, as on the triangle page.
    """
    points = rows.current(result_set.points)
    launched = launches.told(result_set, points[points["status"] == "ok"])
    apart = machines.compared(result_set) if shown is None else machines.behind(result_set, shown)
    told = [sizes.left_out(result_set), budget.one(result_set).caution, launched, apart]
    told += [busy.caution(points), floors.caution(result_set)]
    return [each for each in told if each]


def timing(result_set: Any) -> str:
    """How the timed points ended, whether a device slowed down, what its gauges read, and who else computed.

    Empty where none was kept.
    """
    points = rows.current(result_set.points)
    timed = points[points["timing_ended"].notna()]
    if timed.empty:
        return ""
    ended = timed["timing_ended"].value_counts()
    parts = [f"{ended[end]} by {end}" for end in ENDS if end in ended]
    told = (
        f"Sampling of {plurals.counted(len(timed), 'timed point')} ended: {wording.listed(parts)}. {_throttled(timed)}"
    )
    for name, (noun, unit) in GAUGES.items():
        read = timed[name].dropna()
        if len(read):
            both = dict.fromkeys(wording.number(end) for end in (read.min(), read.max()))
            told += f" {noun.capitalize()} after the last sample: {' to '.join(both)} {unit}."
    return told + _others(timed["others_share"].dropna())


def _others(read: pd.Series) -> str:
    """Who else computed; empty where no row has it: it is a later column."""
    if read.empty:
        return ""
    many = int((read > busy.SHARE).sum())
    median, most = f"{read.median():.1%}", f"{read.max():.1%}"
    used = most if median == most else f"{median} at the median, {most} at most"
    told = f" Of the processors' time others used {used}"
    return f"{told}; of {plurals.counted(many, 'point')} more than {busy.SHARE:.0%}." if many else f"{told}."


def _throttled(timed: pd.DataFrame) -> str:
    """`no` is a reading, an empty cell is none."""
    read = timed["throttled"].dropna().astype(str)
    slowed = read[read != "no"]
    if read.empty:
        return "Whether the device was throttled was not read."
    unread = f"; of {len(timed) - len(read)} it was not read" if len(read) < len(timed) else ""
    if slowed.empty:
        return f"None was throttled{unread}."
    return f"Throttled: {len(slowed)} ({wording.listed(sorted(set(slowed)))}){unread}."
