"""What a gate found, for people: a table and a verdict, and the same as Markdown for the page of a job on GitHub.

Everything here is made of `report.data`, which is also what is written as JSON.
"""

import json
import math
import os
import pathlib
import sys
from typing import Any

from rich.console import Console

from harness import terminal
from harness.errors import UserError, first, listed
from harness.gate import decision
from harness.quantity import tell_seconds
from reports import plurals

COLUMNS = ("point", "verdict", "base ms", "head ms", "head / base", "95% interval", "pairs", "")
MARKS = {
    decision.SLOWER: "bold red",
    decision.BROKEN: "bold red",
    decision.UNDECIDED: "yellow",
    decision.FASTER: "green",
}


def console(to_stderr: bool = False) -> Console:
    """Where the gate is told: standard error where standard output is for the JSON."""
    made = terminal.console()
    made.stderr = to_stderr
    return made


def headline(told: dict[str, Any]) -> str:
    """One line: the verdict and what it rests on."""
    counts: dict[str, int] = {}
    for point in told["points"]:
        counts[point["verdict"]] = counts.get(point["verdict"], 0) + 1
    parts = [f"{count} {verdict}" for verdict, count in counts.items()]
    red = sum(each["accepted"] is None for each in told["exact"])
    parts += [plurals.counted(red, "exact change")] if red else []
    parts += ["the control drifted"] if told["control"]["drifted"] else []
    return f"{told['verdict'].upper()}: {', '.join(parts) or 'no point could be compared'}"


def rows(told: dict[str, Any]) -> list[tuple[str, ...]]:
    """The table of `COLUMNS`, what matters most first."""
    order = [*MARKS, decision.STEADY, decision.SAME_CODE]
    points = sorted(told["points"], key=lambda each: order.index(each["verdict"]) if each["verdict"] in order else 0)
    lines: list[tuple[str, ...]] = [
        (
            point["point"],
            point["verdict"],
            _ms(point["base_ms"]),
            _ms(point["head_ms"]),
            _ratio(point["ratio"]),
            _interval(point),
            str(point["pairs"] or ""),
            point["reason"],
        )
        for point in points
    ]
    control = told["control"]
    if control["ratio"] is not None:
        moved = "drifted" if control["drifted"] else "steady"
        count = str(len(control["pairs"]))
        lines.append(("(control)", moved, "", "", _ratio(control["ratio"]), _interval(control), count, ""))
    return lines


def asides(told: dict[str, Any]) -> list[str]:
    """A line for everything beside the table: exact changes, points that only one side has, notes."""
    lines = []
    for each in told["exact"]:
        held = f"accepted: {each['accepted']}" if each["accepted"] is not None else "NOT ACCEPTED"
        where = listed(first(each["points"], 3, "point"))
        lines.append(f"{each['label']}: {each['metric']} was {each['base']!r}, is {each['head']!r} ({where}); {held}")
    kinds: dict[tuple[str, str], list[str]] = {}
    for each in told["not_compared"]:
        kinds.setdefault((each["kind"].replace("_", " "), each["reason"]), []).append(each["point"])
    for (kind, reason), keys in kinds.items():
        named = f"{len(keys)} points such as {keys[0]}" if kind == "untimed" and len(keys) > 1 else ", ".join(keys)
        lines.append(f"{kind}: {named}: {reason}")
    return lines + told["notes"]


def tell(told: dict[str, Any], console: Console) -> None:
    """The table, what stands beside it, and the verdict last."""
    console.print(_title(told), style="bold", soft_wrap=True)
    made = terminal.table("", *COLUMNS)
    for cells in rows(told):
        made.add_row(*cells, style=MARKS.get(cells[1]))
    console.print(made)
    for line in asides(told):
        console.print(line, soft_wrap=True)
    style = {decision.PASS: "bold green", decision.REGRESSION: "bold red"}.get(told["verdict"], "bold yellow")
    console.print(headline(told), style=style, soft_wrap=True)


def markdown(told: dict[str, Any]) -> str:
    """The same for GitHub's step summary."""
    lines = [f"## Throughput: {headline(told)}", "", _title(told), "", f"| {' | '.join(COLUMNS)} |"]
    lines += ["|" + " :-- | :-- |" + " --: |" * 5 + " :-- |"]
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |" for cells in rows(told)]
    return "\n".join([*lines, "", *(f"- {line}" for line in asides(told))]) + "\n"


def refuse_folder(path: pathlib.Path) -> None:
    """Raises UserError where the JSON could not be written, before anything is measured for it."""
    if path.is_dir():
        raise UserError(f"--json {path}: this is a folder; name a file in it, such as {path / 'gate.json'}")


def write(told: dict[str, Any], path: pathlib.Path | None) -> None:
    """To a JSON file, and to the page of the job where it runs on GitHub: told on standard error where that fails.

    Raises UserError where the JSON cannot be written, which was asked for; by then the verdict is told.
    """
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with open(summary, "a", encoding="utf-8") as file:
                file.write(markdown(told))
        except OSError as error:  # the page is a courtesy; the exit code must stay that of the verdict
            fix = "the verdict stands without it"
            print(f"GITHUB_STEP_SUMMARY {summary}: cannot be written: {error.strerror}; {fix}", file=sys.stderr)
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(told), encoding="utf-8")
    except OSError as error:
        fix = "the verdict above stands; name a file that you may write"
        raise UserError(f"--json {path}: cannot be written: {error.strerror}; {fix}") from None


def text(told: dict[str, Any]) -> str:
    return json.dumps(told, indent=1) + "\n"


def _title(told: dict[str, Any]) -> str:
    sides = [f"{told[s]['asked']} ({told[s]['commit'][:10]}{', changed' * told[s]['dirty']})" for s in ("base", "head")]
    settings = f"limit {told['limit']:.0%}, {plurals.counted(told['threads'], 'thread')}"
    return f"{told['experiment']}: {sides[0]} against {sides[1]}; {settings}, {tell_seconds(told['seconds'])}"


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _ratio(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.3f}"


def _interval(told: dict[str, Any]) -> str:
    return "" if told["low"] is None else f"{told['low']:.3f} to {told['high']:.3f}"
