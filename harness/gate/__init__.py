"""The throughput regression gate: is the code of one revision slower than that of another, on this machine, now?

`decision` holds the rule and is pure, `rules` what may be asked of it; `compare` gathers the pairs; `survey` and
`visitor` run inside each tree, on that tree's own code; `trees` checks revisions out; `control` is the work that no
revision changes; `exact` compares what needs no clock; `accepted` reads what was accepted, with its reasons; `report`
tells. `trial` measures how often the gate itself is wrong.
"""
