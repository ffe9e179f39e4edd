"""`python -m harness report` beside the pages: what it leaves out is told, and no page is ever half of one."""

import pytest

import reports
from harness import drawing, record
from harness.errors import UserError
from reports import sections
from tests.folders import commit, contents
from tests.test_corners import corner_set


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """A function that draws one experiment into `pages`, and that folder."""
    monkeypatch.setattr(record, "load_all", lambda results, _: [corner_set().build()])
    monkeypatch.setattr(drawing.plugins, "check", lambda *kinds: None)
    return lambda: drawing.draw(tmp_path, tmp_path / "pages"), tmp_path / "pages"


def test_what_a_cut_left_out_is_told(drawn, folder, monkeypatch, capsys):
    draw, _ = drawn
    monkeypatch.setattr(reports, "build", lambda sets, out, *_: [])
    monkeypatch.setattr(record, "load_all", lambda results, _: [record.load(folder)])
    draw()
    assert capsys.readouterr().err == ""
    (folder / "points.csv").write_text("".join((folder / "points.csv").read_text().splitlines(True)[:-1]) + "2,0")
    draw()
    told = capsys.readouterr().err
    assert f"left out: {folder / 'points.csv'}:4: the last line was written by half" in told
    assert "the next run takes it out and keeps it beside" in told


def test_a_page_that_cannot_be_written_leaves_whole_pages(drawn, monkeypatch, capsys):
    draw, pages = drawn
    draw()
    before = contents(pages)
    (pages / "index.html").unlink()
    (pages / "index.html").mkdir()
    with pytest.raises(UserError, match=r"index\.html: cannot be written: Is a directory; no page has changed"):
        draw()
    (pages / "index.html").rmdir()
    assert contents(pages) == {name: text for name, text in before.items() if name != "index.html"}
    draw()
    assert contents(pages) == before


def test_no_two_names_share_a_page():
    names = ("my exp", "my-exp", "my  exp", "-my-exp", "my-exp-", "x", "&")
    assert len({sections.slug(name) for name in names}) == len(names)
    assert sections.slug("my-exp") == "my-exp", "a safe name is left alone"


def test_a_run_that_was_stopped_before_its_first_point_costs_nothing(tmp_path, capsys):
    commit(tmp_path / "results" / "tried" / "cpu-made-up")
    assert drawing.draw(tmp_path / "results", tmp_path / "pages") == 0
    assert capsys.readouterr().err == ""
    assert "There is nothing to draw yet" in (tmp_path / "pages" / "experiment-tried.html").read_text(encoding="utf-8")
