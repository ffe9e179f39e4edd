"""The pages: the same bytes from the same tables, nothing but the tables in them, and readable without a picture."""

import html.parser
import io
import os
import pathlib
import pickle
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator

import pandas as pd
import pytest

import models
import reports
from reports import figures, packages, sections, wording
from tests.known_data import known
from tests.paper_data import fig6, operations, table4
from tests.report_data import Builder, ResultSet, gammas, triangle
from tests.tree import ROOT

NASTY = "retnet gamma=<b>\"&'x</b>"
VOID = {"meta", "link", "br", "img", "input", "hr", "col"}


def single() -> ResultSet:
    """One model, one repeat, one seed: nothing has an interval."""
    made = Builder("single", "cpu-made-up")
    for length in (64, 256):
        made.speed("training", "retnet", length, 2, 1000.0, repeats=1)
        made.speed("decode", "retnet", length, 2, 100.0, repeats=1, state_bytes=4096)
    made.language("retnet", 5, 1e-3, 2.5, role="trial")
    return made.build()


def nasty() -> ResultSet:
    """Names and reasons full of what HTML and SVG treat specially."""
    made = Builder("na<sty>&", "cpu-<i>made</i>", 'Is "a < b" & so on?')
    for length in (64, 256):
        made.speed("training", NASTY, length, 2, 1000.0)
        made.point("training", "gone<model>", "error", "<script>alert(1)</script> & more", sequence_length=length)
    return made.build()


def sets() -> list[ResultSet]:
    here = [triangle(), triangle(device="nvidia-made-up", models=("retnet", "transformer", "rwkv")), gammas()]
    return [*here, single(), nasty(), Builder("empty").build(), known(), fig6(), table4(), operations()]


SCRIPT = """
import pathlib, pickle, sys, types
import reports
assert not {"pandas", "matplotlib", "torch"} & set(sys.modules), "importing reports must be quick"
kept = pickle.load(open(sys.argv[1], "rb"))
reports.build([types.SimpleNamespace(**one) for one in kept], pathlib.Path(sys.argv[2]))
found = [name for name in sys.modules if name.split(".")[0] in ("torch", "harness")]
assert not found, found
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple["subprocess.Popen[bytes]", pathlib.Path]]:
    """Another process that draws the same meanwhile, in other surroundings, and where it draws to."""
    folder = tmp_path_factory.mktemp("elsewhere")
    kept, out = folder / "sets.pickle", folder / "pages"
    kept.write_bytes(pickle.dumps([vars(one) for one in reversed(sets())]))
    changed = {"PYTHONHASHSEED": "77", "PYTHONPATH": str(ROOT), "TZ": "UTC-7", "LC_ALL": "C"}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(kept), str(out)], env=os.environ | changed)
    yield process, out
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, elsewhere: object) -> dict[str, str]:
    out = tmp_path_factory.mktemp("reports")
    written = reports.build(sets(), out)
    assert sorted(written) == sorted(out.iterdir())
    return {path.name: path.read_text(encoding="utf-8") for path in written}


class Balanced(html.parser.HTMLParser):
    """Collects ids, tags and tables, and refuses a tag that is closed out of turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.told: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.told.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.told.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def parsed(page: str) -> Balanced:
    parser = Balanced()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


def htmls(pages: dict[str, str]) -> dict[str, str]:
    return {name: page for name, page in pages.items() if name.endswith(".html")}


def test_there_is_a_page_for_everything(pages: dict[str, str]) -> None:
    made_up = {"triangle", "gamma_sweep", "single", sections.slug("na<sty>&"), "empty", "known"}
    experiments = made_up | {"paper_fig6", "paper_t4", "operation"}
    expected = {f"experiment-{name}.html" for name in experiments}
    assert set(pages) == expected | {"index.html", "triangle.html", "claims.html", "triangle.svg"}
    for name in expected:
        assert f'href="{name}' in pages["index.html"]
    assert pages["experiment-triangle.html"].count("<h2>On ") == 2
    assert "There is nothing to draw yet" in pages["experiment-empty.html"]
    assert "Is it made up?" in pages["index.html"]


def test_pages_are_valid_and_self_contained(pages: dict[str, str]) -> None:
    for name, page in htmls(pages).items():
        assert len(page) < 1_500_000, name
        told = parsed(page)
        assert len(told.ids) == len(set(told.ids)), name
        tags = {tag for tag, _ in told.told}
        assert not tags & {"script", "link", "img", "iframe", "object", "image"}, name
        assert "@import" not in page
        assert not re.search(r"url\((?!#)", page)
        for _, attributes in told.told:
            target = attributes.get("href") or ""
            assert "src" not in attributes
            assert not re.match(r"\w+:(?!text/csv)|//", target), target
            if target.startswith("#"):
                assert target[1:] in told.ids, target
            elif target and not target.startswith("data:"):
                assert target.split("#")[0] in pages, target


def test_every_picture_says_what_it_shows(pages: dict[str, str]) -> None:
    drawn = [svg for page in pages.values() for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    assert len(drawn) > 40
    for svg in drawn:
        title, text = (re.search(rf"<{tag} id=\"[^\"]+\">([^<]+)</{tag}>", svg) for tag in ("title", "desc"))
        assert title is not None
        assert text is not None
        assert len(text[1]) > 12
        named = re.search(r'aria-labelledby="([^"]+)"', svg)
        assert named is not None
        assert all(f'id="{name}"' in svg for name in named[1].split())
    page = pages["experiment-triangle.html"]
    assert "RetNet 1.614 ms at context 256 and 1.606 ms at context 4,096 (x1.00 per doubling)" in page or (
        "retnet 1.614 ms at context 256" in page and "retnet" not in models.names()
    )


def test_failures_are_drawn_and_told(pages: dict[str, str]) -> None:
    page = pages["experiment-triangle.html"]
    name = wording.title("transformer", "transformer")
    svg = next(part for part in re.findall(r"<svg.*?</svg>", page, re.DOTALL) if "stay flat as the context" in part)
    assert f">{name}: out of memory</text>" in svg
    assert "out of memory at 4,096" in svg
    assert "9.1 GiB are over the limit of 8 GiB" in page


def test_html_in_names_and_reasons_stays_text(pages: dict[str, str]) -> None:
    page = pages[f"experiment-{sections.slug('na<sty>&')}.html"]
    assert "<script" not in page
    assert "<b>" not in page
    assert "<i>made" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page
    assert "gamma=&lt;b&gt;" in page


def test_tables_show_what_their_files_hold(pages: dict[str, str]) -> None:
    known = {point for one in sets() for point in one.points["point"]}
    checked = 0
    for page in htmls(pages).values():
        for shown in re.findall(r"<table>.*?</table>", page, re.DOTALL):
            link = re.search(r'href="data:text/csv;charset=utf-8,([^"]+)"', shown)
            if link is None:
                continue
            told = pd.read_csv(io.StringIO(urllib.parse.unquote(link[1])), dtype=object, keep_default_na=False)
            lines = parsed(shown).tables[0]
            assert lines[0] == [name.replace("_", " ") for name in told.columns]
            assert len(lines) == len(told) + 1
            for line, wanted in zip(lines[1:], told.to_numpy().tolist(), strict=True):
                assert all(same(*cells) for cells in zip(line, wanted, strict=True)), (line, wanted)
            if "point" in told:
                checked += 1
                assert {point for line in told["point"] for point in line.split()} <= known
                assert (told["point"] != "").all()
    assert checked > 40


def same(shown: str, kept: str) -> bool:
    """Whether a shown cell is the kept one, to the digits that are shown."""
    try:
        return float(shown.replace(",", "")) == pytest.approx(float(kept), rel=6e-4)
    except ValueError:
        return shown == {"True": "yes", "False": "no"}.get(kept, kept)


def test_pages_are_the_same_in_every_process(
    elsewhere: tuple["subprocess.Popen[bytes]", pathlib.Path], pages: dict[str, str]
) -> None:
    process, out = elsewhere
    assert process.wait(timeout=120) == 0
    assert {path.name: path.read_text(encoding="utf-8") for path in out.iterdir()} == pages


def test_every_figure_is_drawn_somewhere_and_asks_a_question() -> None:
    made = sets()
    for name in packages.names(figures):
        plan = figures.load(name)
        assert plan.title.endswith("?"), name
        assert any(plan.data(one) is not None for one in made), f"no made-up result set has rows for {name}"


def test_a_figure_is_added_by_a_file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lonely.py").write_text((figures.FOLDER / "prefill.py").read_text().replace("How long", "Why so long"))
    monkeypatch.setattr(figures, "FOLDER", tmp_path)
    monkeypatch.setattr(figures, "__path__", [str(tmp_path)])
    assert packages.names(figures) == ["lonely"]
    drawn = sections.figure("lonely", triangle(), "key")
    assert drawn is not None
    assert drawn.title.startswith("Why so long")
