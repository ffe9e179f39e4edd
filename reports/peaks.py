"""The rates that floors rest on: of each device the best that any run of a result set measured.

A power cap or a neighbour lowers what one run measures and nothing raises it, so over the best peak a share of the
floor can only be too small; and shares of one device can be compared only over one peak.
"""

from typing import Any

import pandas as pd


def best(environments: pd.DataFrame) -> pd.DataFrame:
    """By environment its peaks, each the best that one of the same device measured."""
    told = environments.set_index("environment")
    return told.groupby("device_name", dropna=False)[measured(told)].transform("max")


def measured(environments: pd.DataFrame) -> list[str]:
    """The columns of peaks."""
    return [str(name) for name in environments if str(name).startswith("peak_")]


def column(table: pd.DataFrame, peak: str, dtype: Any) -> str:
    """That of a number format where there is any of one, else the one of all."""
    own = any(str(name).startswith(f"{peak}_") for name in table)
    return f"{peak}_{dtype}" if own and dtype != "float32" else peak


def holders(environments: pd.DataFrame, used: pd.DataFrame, peak: str) -> set[str]:
    """The environments whose own peak is the one that `used`, lines of environment and dtype, rest on."""
    held: Any = best(environments)
    told = environments.set_index("environment")
    found = set()
    for where, dtype in used.drop_duplicates().itertuples(index=False):
        name = column(held, peak, dtype)
        if name in held and pd.notna(held.at[where, name]):
            alike = (held[name] == held.at[where, name]) & (told[name] == held[name])
            found |= set(alike.index[alike.fillna(False)])
    return found
