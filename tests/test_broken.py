"""A figure or a claim that cannot be used costs no page: its place says so, the terminal does, and the exit code."""

import sys

import pytest

import reports
from harness import cli, drawing, record
from reports import claims, figures, sections
from tests.report_data import Builder, triangle

FIGURE = """
from reports.figures import prefill

class Figure(prefill.Figure):
    title, place = "Why so <long>?", 31

    def {method}
        raise ValueError("no <b>row</b>\\nat all")
"""
METHODS = ("data(self, result_set):", "draw(self, data, style):", "text(self, data):", "beside(self, result_set):")
LINE = "reports/figures/toy.py:8: raised ValueError: no <b>row</b> at all"
SHOWN = "reports/figures/toy.py:8: raised ValueError: no &lt;b&gt;row&lt;/b&gt; at all"
CLAIM = """
class Claim:
    place, statement, published, rule = 1, "It is so.", "By nobody.", "None."

    def judge(self, result_set):
        return 1 / (result_set.experiment != "bad")
"""


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A function that puts a file `toy.py` into a room, which then lists it beside one or two of its own."""

    def write(of, text, *beside):
        folder = tmp_path / of.__name__
        folder.mkdir()
        (folder / "toy.py").write_text(text, encoding="utf-8")
        for name in beside:
            (folder / f"{name}.py").write_text((of.FOLDER / f"{name}.py").read_text(encoding="utf-8"), encoding="utf-8")
        monkeypatch.setattr(of, "FOLDER", folder)
        monkeypatch.setattr(of, "__path__", [str(folder), *of.__path__])
        monkeypatch.delitem(sys.modules, f"{of.__name__}.toy", raising=False)

    yield write
    for of in (figures, claims):
        sys.modules.pop(f"{of.__name__}.toy", None)


@pytest.fixture
def report(tmp_path, monkeypatch, capsys):
    """A function that runs the command on some result sets: exit code, what it said of errors, and the pages."""
    monkeypatch.setattr(sys, "argv", ["harness", "report", "--out", str(tmp_path / "pages")])

    def run(*sets):
        monkeypatch.setattr(record, "load_all", lambda results, _: list(sets))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        pages = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "pages").iterdir()}
        return ended.value.code, capsys.readouterr().err, pages

    return run


def small(experiment="triangle"):
    made = Builder(experiment)
    for length in (64, 256):
        made.speed("prefill", "retnet", length, 2, 100.0)
    return made.build()


@pytest.mark.parametrize("method", METHODS)
def test_pages_are_made_without_a_figure_that_raises(room, report, method):
    room(figures, FIGURE.format(method=method), "prefill", "status")
    code, told, pages = report(small())
    assert code == 1
    assert told.splitlines() == [LINE]
    page = pages["experiment-triangle.html"]
    assert f"This figure failed: <code>{SHOWN}</code>" in page
    titles = [figures.load("prefill").title, "Why so &lt;long&gt;?", figures.load("status").title]
    places = [page.index(f">{title}</h3>") for title in titles]
    assert places == sorted(places), "in its place"
    assert page.count("<svg") == 2
    assert '<a href="#figure-cpu-made-up-toy">Why so &lt;long&gt;?</a>' in page


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("class Figure(", r"reports/figures/toy.py: cannot be loaded: SyntaxError: "),
        ("import nothing_of_the_kind", "reports/figures/toy.py: cannot be loaded: ModuleNotFoundError: "),
        ("class Figure:\n    title = 'Why?'", "reports/figures/toy.py: class Figure does not state place, note, "),
    ],
    ids=("half a line", "a missing library", "a bare figure"),
)
def test_pages_are_made_without_a_figure_that_is_not_whole(room, report, text, told):
    room(figures, text, "prefill", "status")
    code, said, pages = report(small())
    assert code == 1
    assert len(said.splitlines()) == 1
    assert said.startswith(told)
    page = pages["experiment-triangle.html"]
    assert page.count("<svg") == 2
    assert page.index(">reports/figures/toy.py</h3>") > page.index(f">{figures.load('status').title}</h3>")
    assert f"This figure failed: <code>{told}" in page


def test_a_table_without_its_columns_costs_its_figure_alone(room, report):
    bare = (
        FIGURE.partition("    def")[0]
        + "    def data(self, result_set):\n        return pandas.DataFrame({'x': [1]})\n"
    )
    room(figures, f"import pandas{bare}")
    code, said, pages = report(small())
    assert code == 1
    assert said.startswith(
        "reports/figures/toy.py: raised Incomplete: the table of data() lacks series, model, point; "
    )
    assert "CONTRIBUTING.md says which columns" in said
    assert said.rstrip().endswith(")")
    assert pages["experiment-triangle.html"].count("<svg") == 0


def test_pages_are_made_without_a_claim_that_raises_and_it_has_no_verdict(room, report):
    room(claims, CLAIM, "zero_shot")
    room(figures, FIGURE.format(method="other(self):"))
    code, said, pages = report(small("bad"), small("fine"))
    assert code == 1
    assert said.splitlines() == ["reports/claims/toy.py:6: raised ZeroDivisionError: division by zero"]
    page = pages["claims.html"]
    assert '<td><span class="verdict failed">failed</span></td>' in page
    assert "This claim failed: <code>reports/claims/toy.py:6: raised ZeroDivisionError: division by zero</code>" in page
    assert '<li><span class="verdict failed">failed</span> 1</li>' in page
    assert claims.load("zero_shot").statement in page


def test_pages_are_made_without_a_claim_that_is_not_whole(room, report):
    room(claims, "class Claim: place = 3", "zero_shot")
    code, said, pages = report(small())
    assert code == 1
    assert said.startswith("reports/claims/toy.py: class Claim does not state statement, published, rule, judge;")
    assert "This claim failed: <code>reports/claims/toy.py: class Claim does not state" in pages["claims.html"]
    assert ">reports/claims/toy.py</h2>" in pages["claims.html"]


def test_a_figure_that_fails_for_one_experiment_is_drawn_for_another(room, report):
    text = FIGURE.format(method="data(self, result_set):")
    text = text.replace(
        "        raise",
        "        if result_set.experiment == 'fine':\n            return super().data(result_set)\n        raise",
    )
    room(figures, text)
    code, said, pages = report(small("bad"), small("fine"), small("worse"))
    assert code == 1
    assert said.splitlines() == [LINE.replace("toy.py:8", "toy.py:10")], "one line a file"
    counts = {name: page.count("This figure failed") for name, page in pages.items() if name.startswith("experiment")}
    assert counts == {"experiment-bad.html": 1, "experiment-fine.html": 0, "experiment-worse.html": 1}
    assert "<svg" in pages["experiment-fine.html"]


def test_without_a_failure_the_exit_code_is_zero(room, report):
    room(figures, FIGURE.format(method="other(self):"))
    code, said, pages = report(small())
    assert (code, said) == (0, "")
    assert "failed" not in pages["experiment-triangle.html"].partition("</style>")[2].partition("<h2>Prov")[0]


def test_who_draws_without_asking_for_that_is_told_loudly(room, tmp_path):
    room(figures, FIGURE.format(method="draw(self, data, style):"))
    with pytest.raises(ValueError, match="at all"):
        sections.figure("toy", small(), "key")
    with pytest.raises(ValueError, match="at all"):
        reports.build([triangle()], tmp_path / "pages")
    assert not (tmp_path / "pages").exists()


def test_what_is_there_needs_no_leaving_out():
    assert drawing.unusable() == {}
