"""RetNet and Transformer in prediction."""

from typing import Any

from reports.claims import Finding, _evidence

LOSS = 0.01
MODELS = ("retnet", "transformer")


class Claim:
    place = 50
    statement = "RetNet predicts as well as a Transformer of the same size."
    published = (
        "RetNet paper (arXiv 2307.08621): Figure 5 places RetNet ahead from about 2B parameters; Table 3, 6.7B "
        "zero-shot mean 69.51 against 66.07%. Others find the reverse: GLA paper (arXiv 2312.06635), perplexity "
        "32.33 against 28.39 at 340M; xLSTM paper (arXiv 2405.04517), 16.23 against 14.25."
    )
    rule = (
        f"Bits per byte under one budget, seed by seed, at least {_evidence.SEEDS} seeds: supported where the whole "
        f"95% interval of the change is below +{LOSS:.0%}, contradicted where above, mixed where it holds it."
    )

    def judge(self, result_set: Any) -> Finding | None:
        return _evidence.prediction(result_set, MODELS, bound=LOSS)
