"""The axes of the figures and what stands above them: what has no logarithm has a plain one."""

import pandas as pd
import pytest

from reports import figures, panels, style, wording
from tests.report_data import Builder


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("smallest", [0.0, 100.0])
def test_a_value_of_zero_has_no_place_on_a_log_axis(smallest) -> None:
    data = pd.DataFrame({"series": "retnet", "model": "retnet", "length": [64, 256], "bytes": [smallest, 5e6]})
    data = data.assign(status="ok")
    made = panels.lines(data, style.looks(data), "length", "bytes", ("length", "bytes"), form=wording.size)
    made.canvas.draw()
    assert made.axes[0].get_yscale() == ("log" if smallest else "linear")


@pytest.mark.parametrize(("measure", "figure"), [("training", "training_length"), ("operation", "operation")])
@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ({256: 8, 512: 4, 1024: 2, 2048: 1}, "batch 8, 4, 2, 1 (2,048 tokens each)"),
        ({256: 8, 512: 4, 2048: 1, 4096: 1}, "batch 8, 4, 1, 1 (2,048 tokens each, the last 4,096)"),
        ({256: 8, 512: 1, 4096: 1}, "batch 8, 1, 1"),
        ({256: 8, 512: 8, 4096: 8}, "batch 8"),
    ],
)
def test_a_panel_whose_batch_shrinks_as_lengths_grow_tells_every_one(measure, figure, cells, told) -> None:
    made = Builder()
    for length, batch in cells.items():
        for label in ("rwkv", "retnet"):
            point = made.point(measure, label, sequence_length=length, batch_size=batch)
            made.samples(point, figures.load(figure).metric, [1000.0, 1100.0])
    data = figures.load(figure).data(made.build())
    assert data is not None
    drawn = figures.load(figure).draw(data, style.looks(data))
    assert [axes.get_title("left") for axes in drawn.axes] == [told]
