"""How the scans of retention are cut, by the sizes of a head: pinned, so that nothing is tried out at run time.

Letters: K size of a query or key head, V size of a value head, C tokens of a chunk.

The rows of both tables were found on an H200 among what `python -m harness.tune_kernels` tries; it prints them anew
for another card.
"""

import dataclasses

import torch

from models._kernels import bucket


@dataclasses.dataclass(frozen=True)
class Tile:
    """Key and value sizes of one program's part of the state, halves that the former is kept in, warps, and how many
    chunks are on their way at once; and whether its warps have roles, as `_roles` says: then there are more than
    `warps`, which have the state."""

    keys: int
    values: int
    halves: int
    warps: int
    stages: int
    specialised: bool = False


@dataclasses.dataclass(frozen=True)
class Plan:
    """C, and the tile of each scan: outputs (keys of K, values of V), gradient of v (alike), of q and k (V and K).

    `inside`: a program computes the scores of its chunks itself, for (outputs and v, q and k), rather than read what
    one pass before it wrote: better where few programs would repeat each other's work, and only where `keys` is all.
    With roles it is `_paired` that does: of chunks of 64, tiles of 64 values and 4 warps.
    """

    C: int
    outputs: Tile
    of_v: Tile
    of_qk: Tile
    inside: tuple[bool, bool] = (False, False)

    @property
    def roles(self) -> bool:
        """Whether any of its programs has warps with roles."""
        return any(tile.specialised for tile in (self.outputs, self.of_v, self.of_qk))


EXACT = Tile(32, 32, 1, 4, 1)  # float32 with products in IEEE arithmetic, without tensor cores: right, not fast
LONG = Tile(256, 128, 2, 8, 3)
PAIRED, BROAD = Tile(128, 64, 1, 4, 4, True), Tile(256, 128, 2, 8, 2, True)

TABLE: dict[tuple[int, int], Plan] = {
    (64, 128): Plan(64, Tile(64, 64, 1, 4, 4), Tile(64, 64, 1, 4, 4), Tile(128, 64, 1, 4, 4), (True, True)),
    (128, 128): Plan(64, Tile(128, 64, 1, 4, 4), Tile(128, 64, 1, 4, 4), Tile(128, 64, 1, 4, 4), (True, True)),
    (128, 256): Plan(64, Tile(128, 64, 1, 4, 4), Tile(128, 64, 1, 4, 4), Tile(256, 64, 2, 4, 2)),
    (256, 512): Plan(32, LONG, LONG, LONG),
}

# Where warps can have roles and sequences are not packed.
SPECIALISED: dict[tuple[int, int], Plan] = {
    (128, 128): Plan(64, PAIRED, PAIRED, PAIRED, (True, True)),
    (128, 256): Plan(64, PAIRED, PAIRED, Tile(256, 64, 2, 4, 2, True), (True, False)),
    (256, 512): Plan(64, BROAD, BROAD, BROAD),
}


def plan(K: int, V: int, dtype: torch.dtype, specialised: bool = False) -> Plan:
    """The row of a table, or for sizes and dtypes that they lack, one that fits any card they were made for.

    `specialised`: where warps can have roles. Programs whose warps do are for bfloat16: see `_roles`.
    """
    if dtype == torch.float32:
        return Plan(16, EXACT, EXACT, EXACT)
    sizes = bucket(K), bucket(V)
    row = (specialised and dtype == torch.bfloat16 and SPECIALISED.get(sizes)) or TABLE.get(sizes)
    if row is not None:
        return row

    def tile(keys: int, values: int) -> Tile:
        if bucket(keys) >= 256:
            return dataclasses.replace(LONG, values=min(128, bucket(values)))
        return Tile(bucket(keys), min(64, bucket(values)), 1, 4, 3)

    return Plan(32 if max(K, V) > 128 else 64, tile(K, V), tile(K, V), tile(V, K))
