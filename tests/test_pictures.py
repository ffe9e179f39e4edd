"""The pictures of the pages: styles that are valid, and names that tell the lines apart."""

import re

import numpy as np
import pandas as pd
import pytest

from reports import corners, figures, packages, panels, sections, style, wording
from tests.report_data import Builder, gammas, triangle


def test_no_style_has_an_empty_property() -> None:
    one = triangle()
    found = corners.measure(one)
    assert found is not None
    drawn = [sections.figure(name, each, name) for each in (one, gammas()) for name in packages.names(figures)]
    drawn += sections.of_triangle(one, found, "triangle")
    told = [style for made in drawn if made is not None for style in re.findall(r' style="([^"]*)"', made.svg)]
    assert len(told) > 500
    assert any(re.search(r"stroke-dasharray:\d", style) for style in told), "other lines are dashed"
    empty = [part for style in told for part in style.split(";") if re.fullmatch(r"\s*[\w-]+\s*:\s*", part)]
    assert not empty


def test_a_default_that_is_nothing_is_no_part_of_a_name() -> None:
    named = {
        "transformer kv_heads=null": "Transformer",
        "retnet gamma=none head_size=null value_factor=1": "RetNet gamma=none value_factor=1",
        "retnet gamma=nullable": "RetNet gamma=nullable",
        "retnet gamma=null,1": "RetNet gamma=null,1",
    }
    assert {series: wording.title(series, series.split()[0]) for series in named} == named


def test_what_is_left_out_of_a_long_name_is_not_what_tells_a_number() -> None:
    clipped = {
        "RetNet gamma=none value_factor=1": "RetNet none value_factor=1",
        "RetNet gamma=paper value_factor=1 head_size=128": "RetNet paper value_factor=1 head_size=128",
        "RetNet value_factor=1 head_size=128": "RetNet value_factor=1 head_size=128",
        "RetNet state_dtype=bfloat16": "RetNet state_dtype=bfloat16",
        "Transformer implementation=eager cache=concatenated": "Transformer eager concatenated",
        "Transformer recompute=true implementation=eager": "Transformer recompute eager",
        "RetNet gamma=0.5,0.9,0.99,0.999": "RetNet gamma=0.5,0.9,0.99,0.999",
    }
    assert {text: wording.clipped(text) for text in clipped} == clipped
    assert wording.clipped("RetNet gamma=paper value_factor=1 head_size=128", 22) == "RetNet paper 1 128"
    assert wording.clipped("RetNet gamma=0.5,0.9,0.99,0.999", 22) == "RetNet 0.5,0.…99,0.999"


@pytest.mark.parametrize("other", ["transformer", "transformer window=null"])
def test_no_two_lines_of_a_picture_have_one_name(other: str) -> None:
    made = Builder()
    for length in (64, 256):
        for label in ("transformer kv_heads=null", other, "transformer kv_heads=1", "retnet gamma=null"):
            made.speed("decode", label, length, 2, 100.0)
    drawn = sections.figure("decode_context", made.build(), "key")
    assert drawn is not None
    names = re.findall(r">((?:Transformer|RetNet)[^<]*)</text>", drawn.svg)
    shown = other.replace("transformer", "Transformer")
    assert sorted(names) == sorted(["RetNet", shown, "Transformer kv_heads=1", "Transformer kv_heads=null"])


@pytest.mark.parametrize("crowded", [False, True])
def test_no_line_from_an_early_end_to_its_name_looks_like_data(crowded: bool) -> None:
    """The name stands beside the end where there is room; else what leads to it at the right is grey and dotted."""
    speeds = {"rwkv": 120.0, "retnet": 100.0, "transformer": 101.0 if crowded else 20.0}
    lengths = {"rwkv": (64, 256, 1024), "retnet": (64, 256, 1024), "transformer": (64,)}
    lines = [(name, length, speeds[name]) for name in speeds for length in lengths[name]]
    data = pd.DataFrame(lines, columns=["series", "length", "speed"]).assign(status="ok")
    data["model"] = data["series"]
    looks = style.looks(data)
    axes = panels.lines(data, looks, "length", "speed", ("length", "speed")).axes[0]
    axes.figure.canvas.draw()
    places = {text.get_text(): axes.transAxes.inverted().transform(text.get_window_extent())[0] for text in axes.texts}
    early = looks["transformer"].title
    assert set(places) == {look.title for look in looks.values()}
    assert {title for title, (left, _) in places.items() if left < 1} == (set() if crowded else {early})
    leaders = [line for line in axes.lines if line.get_transform() == axes.transAxes and len(line.get_xdata()) == 2]
    assert len(leaders) == 3
    colours = {look.colour for look in looks.values()}
    long = [line for line in leaders if np.ptp(line.get_xdata()) > 0.15]
    assert [line.get_color() in colours or line.get_linestyle() == "-" for line in long] == [False] * crowded
