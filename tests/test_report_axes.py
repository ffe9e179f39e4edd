"""The axes of the figures: what has no logarithm has a plain one."""

import pandas as pd
import pytest

from reports import panels, style, wording


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("smallest", [0.0, 100.0])
def test_a_value_of_zero_has_no_place_on_a_log_axis(smallest) -> None:
    data = pd.DataFrame({"series": "retnet", "model": "retnet", "length": [64, 256], "bytes": [smallest, 5e6]})
    data = data.assign(status="ok")
    made = panels.lines(data, style.looks(data), "length", "bytes", ("length", "bytes"), form=wording.size)
    made.canvas.draw()
    assert made.axes[0].get_yscale() == ("log" if smallest else "linear")
