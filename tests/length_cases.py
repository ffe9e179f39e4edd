"""Made-up models at several lengths, alike but for one option."""

from tests.claim_cases import Made
from tests.report_data import Builder


def by_gamma(seeds: int = 3, **changes: float) -> Made:
    """RetNet of each schedule of decays, with so many more bits per byte at four times its training length."""

    def rows(made: Builder) -> None:
        for gamma, change in changes.items():
            for seed in range(seeds):
                point = made.language(f"retnet gamma={gamma}", seed, 1e-3, 2.0, option_gamma=gamma)
                kept = [
                    row for row in made.rows["samples"] if (row["point"], row["metric"]) != (point, "bits_per_byte")
                ]
                made.rows["samples"] = kept
                for length, times in ((128, 1.0), (512, 1 + change)):
                    made.samples(point, "bits_per_byte", [(2 + 0.01 * seed) * times], "bits/byte", length=length)

    return rows


def sharing(retnet: dict[int, float]) -> Made:
    """Decoding: RetNet's tokens per second by context, beside a Transformer of one key head at 100, and one of a key
    head for each head that is made up to be faster."""

    def rows(made: Builder) -> None:
        for length, speed in retnet.items():
            made.speed("decode", "retnet", length, 4, speed)
            for label, kv_heads, other in (("kv_heads=1", "1", 100.0), ("kv_heads=null", "null", 200.0)):
                made.speed("decode", f"transformer {label}", length, 4, other, option_kv_heads=kv_heads)

    return rows
