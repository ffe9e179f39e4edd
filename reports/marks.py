"""The parts of documents that `make readme` writes, each between two comments that bear its name."""

import dataclasses
import pathlib

ROOT = pathlib.Path(__file__).parent.parent


@dataclasses.dataclass(frozen=True)
class Part:
    """One such part of one document. Its methods raise ValueError where a mark is missing."""

    path: pathlib.Path
    name: str

    @property
    def begin(self) -> str:
        return f"<!-- {self.name}:begin, written by `make readme` -->\n"

    @property
    def end(self) -> str:
        return f"<!-- {self.name}:end -->\n"

    def read(self) -> str:
        """What stands between the marks."""
        return self._cut()[1]

    def write(self, inside: str) -> None:
        """Puts `inside` between the marks, in place of what stands there."""
        before, _, after = self._cut()
        self.path.write_text(before + self.begin + inside + self.end + after, encoding="utf-8")

    def _cut(self) -> tuple[str, str, str]:
        """What stands before, between and after the marks."""
        before, first, rest = self.path.read_text(encoding="utf-8").partition(self.begin)
        inside, last, after = rest.partition(self.end)
        if not (first and last):
            raise ValueError(f"{self.path} has no {self.begin if not first else self.end!r}")
        return before, inside, after
