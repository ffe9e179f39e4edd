"""The pictures of the pages: styles that are valid."""

import re

from reports import corners, figures, packages, sections
from tests.report_data import gammas, triangle


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
