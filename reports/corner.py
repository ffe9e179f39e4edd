"""The three corners of the triangle: what each is called and told in, and how it is told what one was measured at.

Everything that lists the corners reads this list.
"""

import dataclasses

from reports import wording


@dataclasses.dataclass(frozen=True)
class Corner:
    """One corner: its name in columns and code, and everything else that stands for it somewhere."""

    name: str
    measure: str  # that its rows are of
    value: str  # the column of what is measured
    unit: str  # of a value in a sentence
    title: str  # of its axis in the triangle
    axis: str  # of its axis beside another corner
    best: str  # what the best one does
    absent: str  # why one has no value where its measure has rows that finished

    @property
    def is_speed(self) -> bool:
        """Whether it is of times in a cell of length and batch; quality is of a training."""
        return self.measure == self.name


ALL = (
    Corner(
        name="training",
        measure="training",
        value="training_tokens_per_second",
        unit="training tokens/s",
        title="Training speed",
        axis="training, tokens per second",
        best="Trains fastest",
        absent="not measured at this size",
    ),
    Corner(
        name="decode",
        measure="decode",
        value="decode_tokens_per_second",
        unit="decode tokens/s",
        title="Decode speed",
        axis="decoding, tokens per second",
        best="Decodes fastest",
        absent="not measured at this size",
    ),
    Corner(
        name="quality",
        measure="language",
        value="bits_per_byte",
        unit="bits per byte",
        title="Quality",
        axis="bits per byte (up is better)",
        best="Predicts best",
        absent="not trained under this budget",
    ),
)
BY_NAME = {one.name: one for one in ALL}
VALUES = {one.name: one.value for one in ALL}


@dataclasses.dataclass(frozen=True)
class Where:
    """What a corner was measured at, which larger cells were passed over for that, and what it would be at the shortest
    length, where there is one to compare: where lengths differ, they decide who is how far behind."""

    at: str
    passed: str = ""
    shortest: str = ""
    ranking: tuple[str, ...] = ()  # ratios at the shortest length, the best first

    @property
    def whole(self) -> str:
        """All of it."""
        told = self.at + (f"; passed over: {self.passed}" if self.passed else "")
        ratios = wording.listed([*self.ranking])
        return told + (f"; at {self.shortest} this corner would be {ratios}" if self.shortest else "")

    @property
    def brief(self) -> str:
        """In a line: without what was passed over."""
        return self.at + (f"; at {self.shortest}: {', '.join(self.ranking)}" if self.shortest else "")
