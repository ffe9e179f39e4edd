"""Times that other programs took part in: on a processor they are not the models'."""

import pandas as pd

from reports import plurals, wording

SHARE = 0.1  # of the processors, that others may use unnoticed; `doctor` goes by it as well


def caution(points: pd.DataFrame) -> str:
    """How many of these rows were timed on a processor that others used as well, and what to do; empty where none was.

    On a GPU others take the host's time, of which replayed graphs need next to none.
    """
    timed = points[(points["device"] == "cpu") & points["timing_ended"].notna() & points["others_share"].notna()]
    busy = timed[timed["others_share"] > SHARE].sort_values("others_share")
    if busy.empty:
        return ""
    worst = busy.iloc[-1]
    name = wording.title(str(worst["label"]), str(worst["model"]))
    of = f"{len(busy)} of {plurals.counted(len(timed), 'point')}"
    most = f"{worst['others_share']:.0%} at most ({str(worst['measure']).replace('_', ' ')} of {name})"
    return (
        f"Others used more than {SHARE:.0%} of the processors while {of} {'was' if len(busy) == 1 else 'were'} timed, "
        f"{most}: these times are not the models' alone. Run them again with --fresh on a machine at rest."
    )
