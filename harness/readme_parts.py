"""The parts of README.md that results make: `make readme` writes them, `python -m harness.readme_parts`."""

import pathlib
from collections.abc import Callable

from harness import accuracy_table, ending, record
from harness.child import ROOT
from reports import answers, readme
from reports.marks import Part

PARTS: dict[Part, Callable[[pathlib.Path], str]] = {
    answers.PART: lambda results: answers.markdown(record.load_all(results)),
    readme.PART: lambda results: readme.numbers(record.load_all(results)),
    accuracy_table.PART: accuracy_table.markdown,
}


def write(results: pathlib.Path) -> None:
    """Writes every part from a folder of results. Raises UserError, before it writes any, where one is damaged."""
    for part, text in [(part, make(results)) for part, make in PARTS.items()]:
        part.write(text)


def main() -> None:
    """Writes them from the results of the project."""
    write(ROOT / "results")


if __name__ == "__main__":
    ending.run(ending.alone("harness.readme_parts", "writes the parts of README.md that results make", main))
