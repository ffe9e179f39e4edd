"""Made-up models that were trained alike but for one option, and evaluated beyond their training length."""

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
