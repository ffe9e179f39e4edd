"""Which pages there are and what stands on each; the layout is in reports/templates/."""

import functools
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import jinja2
import pandas as pd

from reports import (
    Lost,
    answers,
    broken,
    claims,
    corners,
    figures,
    overview,
    packages,
    provenance,
    rows,
    sections,
    unfinished,
    variants,
)

TEMPLATES = pathlib.Path(__file__).parent / "templates"
SUMMARIES = ("index.html", "claims.html", "triangle.html")  # which take all experiments together
PICTURE = "triangle.svg"


def write(
    result_sets: list[Any], out: pathlib.Path, account: broken.Account | None = None, lost: Lost | None = None
) -> list[pathlib.Path]:
    """Draws every page, writes them all beside the old ones, then changes them: every page there is is a whole one.

    What is on the account already is not tried; what raises is added to it, or raised where there is none. Where an
    experiment is lost, nothing of it is drawn, the pages in `kept` stay, and new ones say what they lack.
    """
    lost = lost or {}
    whole = (one for one in result_sets if one.experiment not in lost)
    told = sorted(map(rows.View, whole), key=lambda one: (one.experiment, one.device))
    unusable, left = dict(account or {}), kept(lost, out)
    links = {one.experiment: page(one.experiment) for one in told}
    links |= {name: page(name) for name in lost if page(name) in left}
    site = {"experiments": dict(sorted(links.items())), "lacking": []}
    pages = _experiments(told, site, unusable, account)
    site = site | {"lacking": [_without(name, why) for name, why in lost.items()]}
    ledger = _ledger(told, unusable, account)
    left_out = _left(told)
    pages |= {**_triangle(told, left_out, site), **_claims(ledger, site)}
    pages["index.html"] = _index(told, ledger, left_out, site)
    pages = {name: text for name, text in pages.items() if name not in left and not (lost and name == PICTURE)}
    out.mkdir(parents=True, exist_ok=True)
    beside = {name: out / f".{name}.new" for name in pages}
    try:
        for name, text in pages.items():
            beside[name].write_text(text, encoding="utf-8", newline="\n")
        for name in pages:
            os.replace(beside[name], out / name)
    finally:
        for path in beside.values():
            path.unlink(missing_ok=True)
    return [out / name for name in sorted(pages)]


def kept(lost: Lost, out: pathlib.Path) -> list[str]:
    """The names of the pages in the folder `out` that stay as they are where these experiments are lost: their own, and
    those that take all experiments together."""
    names = [*map(page, lost), *SUMMARIES, PICTURE] if lost else []
    return [name for name in names if (out / name).exists()]


def _without(experiment: str, why: Iterable[str]) -> str:
    told = "; ".join(line for text in why for line in text.splitlines())
    return f"This is without the experiment {experiment}, whose results are damaged: {told}"


@functools.cache
def _templates() -> jinja2.Environment:
    """Each is compiled once, for all pages."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    return jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )


def _render(template: str, site: Mapping[str, Any], **values: Any) -> str:
    return _templates().get_template(f"{template}.html.j2").render(**site, **values) + "\n"


def page(experiment: str) -> str:
    """The file name of an experiment's page."""
    return f"experiment-{sections.slug(experiment)}.html"


def _device(one: Any, shown: pd.DataFrame | None = None) -> dict[str, Any]:
    """What every section about one device says; `shown` is the table behind one that shows nothing else."""
    return {
        "key": sections.slug(f"{one.experiment}-{one.device}"),
        "experiment": one.experiment,
        "page": page(one.experiment),
        "question": one.question,
        "slug": one.device,
        "name": provenance.device_name(one),
        "counts": provenance.counts(one),
        "provenance": provenance.table(one),
        "peaks": provenance.peaks(one),
        "timing": provenance.timing(one),
        "cautions": provenance.cautions(one, shown),
        "notes": one.notes,
        "schema": ", ".join(sorted({str(value) for value in one.points["schema"]})),
    }


def _experiments(
    told: list[Any], site: Mapping[str, Any], unusable: broken.Account, account: broken.Account | None
) -> dict[str, str]:
    pages = {}
    left = broken.of(figures, unusable)
    names = packages.names(figures, left.values())
    for experiment in sorted({one.experiment for one in told}):
        sets = [one for one in told if one.experiment == experiment]
        devices = []
        for one in sets:
            key = sections.slug(one.device)
            whole = _corners(one, f"{key}-triangle")
            drawn = {name: _drawn(name, one, f"{key}-{name}", account) for name in names}
            lost = [sections.failed(file, unusable[file], f"{key}-{name}") for file, name in left.items()]
            whole["figures"] = [*whole["figures"], *(made for made in drawn.values() if made is not None), *lost]
            missing = [figures.load(name).title for name, made in drawn.items() if made is None]
            devices.append(_device(one) | whole | {"got": sections.got(one), "missing": missing})
        pages[page(experiment)] = _render(
            "experiment", site, title=experiment, question=sets[0].question, devices=devices, here=experiment
        )
    return pages


def _drawn(name: str, one: Any, key: str, account: broken.Account | None) -> sections.Section | None:
    """The section of a figure, or why there is none; None where this result set has no rows for it."""
    made = broken.tried(figures, name, lambda: sections.figure(name, one, key), account)
    return sections.failed(figures.load(name).title, made.text, key) if isinstance(made, broken.Failed) else made


def _triangle(told: list[Any], left: list[dict[str, Any]], site: Mapping[str, Any]) -> dict[str, str]:
    """The triangle page, and the picture of its first triangle as a file of its own."""
    complete, chosen = _complete(told)
    shown = [_cornered(one) for one in chosen]
    others = sorted({one.experiment for one in complete} - {one.experiment for one in chosen})
    title = "The impossible triangle"
    pages = {"triangle.html": _render("triangle", site, title=title, shown=shown, others=others, page=page, left=left)}
    if chosen:
        about = f"Experiment {chosen[0].experiment} on {provenance.device_name(chosen[0])}."
        pages[PICTURE] = sections.picture(chosen[0], about)
    return pages


def _complete(told: list[Any]) -> tuple[list[Any], list[Any]]:
    """The result sets that have all three corners, and those of them that the triangle page shows."""
    complete = [one for one in told if corners.measure(one) is not None]
    chosen = [one for name in corners.EXPERIMENTS for one in complete if one.experiment == name]
    return complete, chosen or complete


def _left(told: list[Any]) -> list[dict[str, Any]]:
    """What is to have all three corners and has not, as both pages that show them tell it."""
    return [line | {"page": page(line["experiment"])} for line in unfinished.left(told)]


def _cornered(one: Any) -> dict[str, Any]:
    """The section about one device that has all three corners, and them alone."""
    found = corners.measure(one)
    assert found is not None
    options = variants.told(rows.behind(one.points, found.table))
    return (
        _device(one, found.table)
        | {"options": options}
        | _corners(one, sections.slug(f"{one.experiment}-{one.device}"))
    )


def _corners(one: Any, key: str) -> dict[str, Any]:
    """The triangle's sections and what it was measured at; neither where a measure is missing."""
    found = corners.measure(one)
    if found is None:
        return {"where": None, "alone": False, "figures": []}
    more = {name: [found.caution([name]), found.edges if name == "quality" else ""] for name in found.where}
    where = {name: ". ".join([at.whole, *filter(None, more[name])]) for name, at in found.where.items()}
    return {"where": where, "alone": bool(found.alone), "figures": sections.of_triangle(one, found, key)}


def _ledger(told: list[Any], unusable: broken.Account, account: broken.Account | None) -> list[dict[str, Any]]:
    """Every claim with its verdict and what each result set says of it."""
    left = broken.of(claims, unusable)
    ledger = []
    for name in packages.names(claims, left.values()):
        found = [_finding(name, one, account) for one in told]
        findings = [finding for finding in found if finding is not None]
        verdicts = [str(finding["verdict"]) for finding in findings]
        verdict = claims.FAILED if claims.FAILED in verdicts else claims.together(verdicts)
        entry = {"key": sections.slug(name), "claim": claims.load(name), "verdict": verdict, "findings": findings}
        ledger.append(entry | {"name": name, "failed": ""})
    for file, name in left.items():
        entry = {"key": sections.slug(name), "claim": {"statement": file}, "verdict": claims.FAILED}
        ledger.append(entry | {"name": name, "failed": unusable[file]})
    return ledger


def _claims(ledger: list[dict[str, Any]], site: Mapping[str, Any]) -> dict[str, str]:
    counted = pd.Series([entry["verdict"] for entry in ledger]).value_counts()
    shown = [*claims.VERDICTS, *([claims.FAILED] if claims.FAILED in counted else [])]
    totals = [(verdict, int(counted.get(verdict, 0))) for verdict in shown]
    return {"claims.html": _render("claims", site, title="The claims", ledger=ledger, totals=totals)}


def _finding(name: str, one: Any, account: broken.Account | None) -> dict[str, Any] | None:
    """What a claim finds in one result set, or why it failed; None where that has nothing to say."""
    where = {"experiment": one.experiment, "page": page(one.experiment), "device": provenance.device_name(one)}
    made = broken.tried(claims, name, lambda: _judged(name, one), account)
    if isinstance(made, broken.Failed):
        return where | {"verdict": claims.FAILED, "text": made.text, "table": None}
    return None if made is None else where | made


def _judged(name: str, one: Any) -> dict[str, Any] | None:
    found = claims.judged(claims.load(name), one)
    if found is None:
        return None
    table = sections.table(found.table, f"Rows behind it: {one.experiment}", f"{name}-{one.experiment}")
    return {"verdict": found.verdict, "text": found.text, "table": table, "found": (one, found)}


def _index(told: list[Any], ledger: list[dict[str, Any]], left: list[dict[str, Any]], site: Mapping[str, Any]) -> str:
    whole = [entry for entry in ledger if entry["verdict"] != claims.FAILED]
    asked = answers.of({entry["name"]: [found["found"] for found in entry["findings"]] for entry in whole})
    experiments: dict[str, list[Any]] = {}
    for one in told:
        experiments.setdefault(one.experiment, []).append(_device(one))
    best = [{"device": _device(each["set"]), "lines": each["lines"]} for each in overview.best(_complete(told)[1])]
    told_of = {
        "lead": overview.question(told),
        "answers": asked,
        "margins": answers.MARGINS,
        "best": best,
        "left": left,
    }
    return _render("index", site, title="Results", listed=experiments, **told_of)
