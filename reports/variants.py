"""Which variant of each model was measured: the options that its rows were run with, as points.csv has them."""

import pandas as pd

from reports import wording

PREFIX = "option."


def columns(points: pd.DataFrame) -> list[str]:
    """The columns of options in which some row has a value, by name."""
    return sorted(str(name) for name in points if str(name).startswith(PREFIX) and points[name].notna().any())


def as_run(points: pd.DataFrame) -> pd.Series:
    """Of every row all its options: 'ffn=swiglu, variant=conv, window=32'."""
    told = points[columns(points)].astype(object)
    lines = told.to_dict("records")
    pairs = [", ".join(_pair(str(name), [value]) for name, value in line.items() if pd.notna(value)) for line in lines]
    return pd.Series(pairs, index=points.index, dtype=object)


def told(points: pd.DataFrame) -> str:
    """A sentence on what each entry was run with, and one on what tells no two models apart; empty without options."""
    shared = [name for name in columns(points) if _shared(points, name)]
    parts = []
    for label, group in points.groupby("label", sort=True):
        pairs = [_pair(name, group[name]) for name in columns(group) if name not in shared]
        if pairs:
            parts.append(f"{wording.title(str(label), group['model'].iloc[0])} {', '.join(pairs)}")
    alike = ", ".join(_pair(name, points[name]) for name in shared)
    sentences = [f"Options as run: {'; '.join(parts)}." if parts else ""]
    sentences += [f"The same in every model that has {'it' if len(shared) == 1 else 'them'}: {alike}." if alike else ""]
    return " ".join(filter(None, sentences))


def _shared(points: pd.DataFrame, name: str) -> bool:
    """Whether several models have this option, all of one value."""
    given = points[points[name].notna()]
    return given["model"].nunique() > 1 and given[name].nunique() == 1


def _pair(name: str, values: pd.Series | list) -> str:
    given = sorted({str(value) for value in values if pd.notna(value)})
    return f"{name.removeprefix(PREFIX)}={wording.listed(given, 'or')}"
