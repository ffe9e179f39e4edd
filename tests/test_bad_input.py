"""A mistake in an experiment file is told by file, line, key, what was given, what is allowed and the nearest match."""

import dataclasses

import pytest

from harness import experiment
from harness.errors import UserError

GOOD = """# Does it load?
models:
  - retnet
  - {name: transformer, implementation: eager}
budget: {parameters: 300k}
shape:
  layers: 2
  width: 48
  heads: 3
sweep:
  batch_size: [1, 5]
  sequence_length: [16, 40]
measures:
  - decode
  - language
repeats: 3
seeds: [0, 4]
corpus: python-docs
training:
  tokens: 10k
  sequence_length: 32
  batch_size: 4
  learning_rate: [1e-3, 3e-3]
limits: {seconds: 20, memory: 2GiB}
"""

MODELS = "models:\n  - retnet\n  - {name: transformer, implementation: eager}"
SHAPE = "shape:\n  layers: 2\n  width: 48\n  heads: 3"


@dataclasses.dataclass(frozen=True)
class Bad:
    """One change to the good file, the line it is told at, and what the message must hold."""

    name: str
    old: str
    new: str
    line: int
    told: tuple[str, ...]

    def __str__(self) -> str:
        return self.name


CASES = (
    # Keys and names
    Bad("unknown key", "repeats: 3", "repeat: 3", 16, ("repeat:", "unknown key 'repeat'", "did you mean 'repeats'")),
    Bad("unknown inner key", "parameters: 300k", "parametres: 300k", 5, ("budget.parametres", "'parameters'?")),
    Bad("unknown model", "- retnet", "- retnt", 3, ("models[0]", "unknown model 'retnt'", "aft", "mean 'retnet'?")),
    Bad("unknown measure", "- decode", "- decoding", 14, ("measures[0]", "'decoding'", "memory", "mean 'decode'?")),
    Bad("unknown option", "implementation", "implemention", 4, ("models[1].implemention", "mean 'implementation'?")),
    Bad("option of another model", "implementation: eager", "gamma: none", 4, ("option of transformer 'gamma'",)),
    Bad("unknown choice", "eager", "eagre", 4, ("models[1].implementation", "'eagre'", "sdpa", "mean 'eager'?")),
    Bad("option of a wrong type", "implementation: eager", "kv_heads: two", 4, ("kv_heads", "'two'", "whole number")),
    Bad("unknown swept option", "sweep:", "sweep:\n  gama: [none]", 11, ("sweep.gama", "gamma", "mean 'gamma'?")),
    Bad("unknown swept choice", "sweep:", "sweep:\n  gamma: [none, singel]", 11,
        ("sweep.gamma[1]", "'singel'", "'single'?")),
    Bad("unknown form", "sweep:", "sweep:\n  form: [paralel]", 11, ("sweep.form", "'paralel'", "mean 'parallel'?")),
    Bad("unknown dtype", "repeats: 3", "dtype: float23", 16, ("dtype", "'float23'", "bfloat16", "mean 'float32'?")),
    Bad("unknown schedule", "  tokens: 10k", "  tokens: 10k\n  schedule: cosin", 21,
        ("schedule", "'cosin'", "mean 'cosine'?")),
    Bad("unknown factor of a measure", "- decode", "- {name: decode, batch: 2}", 14,
        ("measures[0].batch", "'batch_size'?")),
    # Types
    Bad("text for a size", "width: 48", "width: wide", 8, ("shape.width", "'wide' is not a number", "4M")),
    Bad("unknown unit", "300k", "300K", 5, ("budget.parameters", "'300K'", "unit 'K'", "did you mean '300k'?")),
    Bad("unknown unit of memory", "2GiB", "2Gb", 24, ("limits.memory", "'2Gb'", "8GiB", "did you mean '2GB'?")),
    Bad("fraction of a layer", "layers: 2", "layers: 2.5", 7, ("shape.layers", "2.5 is not whole")),
    Bad("list for a mapping", "budget: {parameters: 300k}", "budget: [300k]", 5,
        ("budget", "not a mapping", "parameters")),
    Bad("mapping for a list", MODELS, "models: {a: 1}", 2, ("models", "is not a list", "[a, b]")),
    Bad("nothing for a mapping", SHAPE, "shape:", 6,
        ("shape", "null is not a mapping")),
    Bad("text for a switch", "  tokens: 10k", "  tokens: 10k\n  autocast: yes", 21,
        ("autocast", "'yes'", "true or false")),
    Bad("number for a name", "corpus: python-docs", "corpus: 12", 18, ("corpus", "12 is not text")),
    Bad("half a pair", "corpus: python-docs", "corpus: {train: a.txt}", 18, ("corpus", "{train: NAME, held_out")),
    Bad("half a pair in JSON", "python-docs", '\'{"train": "a"}\'', 18, ("corpus", "allowed is a name, or {train")),
    Bad("model without a name", "{name: transformer, implementation: eager}", "{implementation: eager}", 4,
        ("models[1].name", "is missing")),
    Bad("not a number", "[1e-3, 3e-3]", ".nan", 23, ("learning_rate", "'.nan'", "not a number")),
    Bad("three betas", "  tokens: 10k", "  tokens: 10k\n  betas: [0.9, 0.95, 0.99]", 21,
        ("training.betas", "exactly 2")),
    # Sizes
    Bad("zero layers", "layers: 2", "layers: 0", 7, ("shape.layers", "0 is out of range", "1 to 512")),
    Bad("negative width", "width: 48", "width: -48", 8, ("shape.width", "-48 is out of range", "1 to 65,536")),
    Bad("absurd width", "width: 48", "width: 1M", 8, ("shape.width", "'1M' is out of range", "65,536")),
    Bad("absurd layers", "layers: 2", "layers: 513", 7, ("513", "1 to 512")),
    Bad("zero batch", "[1, 5]", "[1, 0]", 11, ("sweep.batch_size[1]", "0 is out of range", "65,536")),
    Bad("absurd batch", "[1, 5]", "[65537]", 11, ("65537", "1 to 65,536")),
    Bad("absurd length", "[16, 40]", "[16, 17M]", 12, ("sweep.sequence_length[1]", "'17M'", "16,777,216")),
    Bad("no budget", "300k", "0", 5, ("budget.parameters", "0 is out of range", "1,000")),
    Bad("no repeats", "repeats: 3", "repeats: 0", 16, ("repeats", "1 to 1,000")),
    Bad("negative seed", "[0, 4]", "[-1]", 17, ("seeds[0]", "-1", "0 to")),
    Bad("a number for seeds", "[0, 4]", "3", 17, ("seeds: 3 is not a list", "[3] for this one", "[0, 1, 2] for three")),
    Bad("a word for seeds", "[0, 4]", "all", 17, ("seeds: 'all' is not a list: name each, such as [0, 1, 2]",)),
    Bad("octal", "[1, 5]", "[010]", 11, ("sweep.batch_size[0]", "'010' begins with a 0", "write '10'")),
    Bad("percent", "repeats: 3", "precision: 200%", 16, ("precision: '200%'", "allowed is 0.0001 to 1, such as 0.02")),
    Bad("no rate", "[1e-3, 3e-3]", "0", 23, ("training.learning_rate", "0 is out of range", "above 0")),
    Bad("no time", "seconds: 20", "seconds: 0", 24, ("limits.seconds", "0 is out of range")),
    Bad("no memory", "2GiB", "1MiB", 24, ("limits.memory", "'1MiB' is out of range", "64MiB")),
    Bad("empty list of models", MODELS, "models: []", 2, ("models", "the list is empty")),
    Bad("empty list of lengths", "[16, 40]", "[]", 12, ("sweep.sequence_length", "the list is empty")),
    Bad("empty list of an option", "sweep:", "sweep:\n  gamma: []", 11, ("sweep.gamma", "the list is empty")),
    Bad("a value twice", "[16, 40]", "[16, 16]", 12, ("sweep.sequence_length", "16 is given twice")),
    Bad("a model twice", "- retnet", "- retnet\n  - {name: retnet, ffn: swiglu}", 4,
        ("models[1]", "the same as models[0]", ":3)")),
    Bad("a model's name twice", MODELS, "models: [retnet, retnet]", 2, ("models[1]", "the same as models[0]")),
    Bad("a measure twice", "- language", "- language\n  - language", 16,
        ("measures[2]", "the same as measures[1]")),
    Bad("a number for a model", MODELS, "models: [3]", 2, ("models[0]", "3 is no model", "retnet", "{name: aft}")),
    Bad("a number for a measure", "- decode", "- 3", 14,
        ("measures[0]", "3 is no measure", "prefill", "{name: decode}")),
    # Text
    Bad("unknown corpus", "corpus: python-docs", "corpus: python-doc", 18, ("corpus", "mean 'python-docs'?")),
    Bad("no such text", "corpus: python-docs", "corpus: ./nowhere.txt", 18, ("corpus", "no file or folder nowhere")),
    Bad("neither file nor folder", "corpus: python-docs", "corpus: /dev/null", 18,
        ("corpus", "/dev/null: this is neither a file nor a folder")),
    Bad("one of two texts", "corpus: python-docs", "corpus: {train: python-docs, held_out: ./nowhere.txt}", 18,
        ("corpus.held_out", "no file or folder nowhere.txt")),
    # What must hold together
    Bad("heads that do not divide", "heads: 3", "heads: 5", 9,
        ("shape.heads", "5 heads do not divide a width of 48", "2, 4")),
    Bad("no width", "  width: 48\n", "", 6, ("shape.width", "is missing")),
    Bad("width twice", "sweep:", "sweep:\n  width: [48]", 11, ("sweep.width", "under shape as well")),
    Bad("ffn width and budget", "  heads: 3", "  heads: 3\n  ffn_width: 7", 10,
        ("shape.ffn_width", "budget.parameters solves")),
    Bad("option fixed and swept", "sweep:", "sweep:\n  implementation: [sdpa]", 4,
        ("models[1].implementation", "not both")),
    Bad("gamma of other heads", "- retnet", "- {name: retnet, gamma: [0.5, 0.9]}", 3,
        ("models[0].gamma", "retnet", "give 3")),
    Bad("a rank of no use", "- retnet", "- {name: aft, variant: conv, rank: 5}", 3,
        ("models[0].rank", "rank is 5, but AFT-conv has no biases")),
    Bad("a window of no use", "- retnet", "- {name: aft, variant: simple, window: 16}", 3,
        ("models[0].window", "window is 16, but AFT-simple has none", "conv or local")),
    Bad("an option too large", "- retnet", "- {name: retnet, value_factor: 1e308}", 3,
        ("models[0].value_factor", "1e+308 is out of range", "to 1e+12")),
    Bad("swept gamma of other heads", "sweep:", "sweep:\n  gamma: [none, [0.5, 0.9]]", 11,
        ("sweep.gamma[1]", "retnet", "give 3")),
    Bad("no length", "  sequence_length: [16, 40]\n", "", 13, ("measures[0]", "decode needs a sequence_length")),
    Bad("nothing depends on it", "  - decode\n", "", 11, ("sweep.batch_size", "none of this experiment's measures")),
    Bad("max_length too short", "  heads: 3", "  heads: 3\n  max_length: 39", 10,
        ("shape.max_length", "39 is too short", "tokens")),
    Bad("no corpus", "corpus: python-docs\n", "", 15, ("measures[1]", "language reads text", "corpus: python-docs")),
    Bad("too few token kinds", "  heads: 3", "  heads: 3\n  vocabulary: 200", 10, ("shape.vocabulary", "200", "256")),
    Bad("two training budgets", "  tokens: 10k", "  tokens: 10k\n  seconds: 3", 19,
        ("training", "tokens, seconds", "exactly one")),
    Bad("no training budget", "  tokens: 10k\n", "", 19, ("training", "exactly one of tokens, flops, seconds")),
    Bad("less than a step", "10k", "100", 20, ("training.tokens", "100 is less than one step of 128")),
    Bad("uneven accumulation", "  tokens: 10k", "  tokens: 10k\n  accumulate: 3", 21,
        ("training.accumulate", "batch_size of 4")),
    Bad("trains past the limit", "tokens: 10k", "seconds: 20", 20, ("training.seconds", "limits.seconds", "20")),
    # The file itself
    Bad("no question", "# Does it load?\n", "", 1, ("must state the experiment's question", "# Does")),
    Bad("empty question", "# Does it load?", "#", 1, ("must state the experiment's question",)),
    Bad("duplicate key", "repeats: 3", "repeats: 3\nrepeats: 4", 17, ("repeats", "given twice", ":16")),
    Bad("duplicate inner key", "parameters: 300k", "parameters: 300k, parameters: 1M", 5,
        ("budget.parameters", "given twice")),
    Bad("a list as a key", "repeats: 3", "[1, 2]: 3", 16, ("a key must be a word",)),
    Bad("an alias to itself", "corpus: python-docs", "corpus: &a [*a]", 18, ("corpus", "alias")),
)  # fmt: skip


def written(folder, text):
    path = folder / "asked.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path, overrides=None):
    with pytest.raises(UserError) as caught:
        experiment.load(path, overrides)
    return str(caught.value)


def test_good_file_loads(tmp_path):
    asked = experiment.load(written(tmp_path, GOOD))
    assert (asked.name, asked.question) == ("asked", "Does it load?")


@pytest.mark.parametrize("bad", CASES, ids=str)
def test_told(bad, tmp_path):
    assert GOOD.count(bad.old) == 1, "the change must be of one place"
    path = written(tmp_path, GOOD.replace(bad.old, bad.new))
    message = refusal(path)
    lines = [line for line in message.splitlines() if line.startswith(f"{path}:{bad.line}:")]
    assert lines, f"line {bad.line} is not told in: {message}"
    assert any(all(part in line for part in bad.told) for line in lines), message
    assert len(message.splitlines()) <= 3, "one mistake takes a few lines"


@pytest.mark.parametrize(
    ("new", "line", "column"),
    [
        ("seeds: [0, 4", 18, 7),
        ("seeds: [0, 4]]", 17, 14),
        ("\tseeds: 0", 17, 1),
        ("seeds:\t[0]", 17, 7),
        ("seeds: @", 17, 8),
        ("seeds: !!x 1", 17, 8),
    ],
)
def test_not_yaml_is_told_by_line_and_column(new, line, column, tmp_path):
    path = written(tmp_path, GOOD.replace("seeds: [0, 4]", new))
    message = refusal(path)
    assert message.startswith(f"{path}:{line}:{column}: this is not valid YAML: ")
    assert "\n" not in message
    assert ("there is a tab here" in message and message.endswith("write spaces")) == ("\t" in new)


@pytest.mark.parametrize(("text", "held"), [("# A?\n", "nothing"), ("# A?\n- 3\n", "[3]"), ("# A?\nhm\n", "'hm'")])
def test_not_a_mapping(text, held, tmp_path):
    message = refusal(written(tmp_path, text))
    assert "an experiment is a mapping" in message
    assert message.endswith(f"the file holds {held}")


def test_all_problems_are_told_at_once(tmp_path):
    text = GOOD.replace("layers: 2", "layers: 0").replace("repeats: 3", "repeat: 3").replace("eager", "eagre")
    told = refusal(written(tmp_path, text)).splitlines()
    assert [line.split(":")[1] for line in told] == ["4", "7", "16"]


def test_a_flood_of_problems_is_cut(tmp_path):
    many = ", ".join(f"k{number}: 1" for number in range(40))
    told = refusal(written(tmp_path, GOOD.replace("parameters: 300k", many))).splitlines()
    assert len(told) == 13
    assert told[-1] == "... and 29 more problems"


def test_missing_file_names_the_nearest():
    message = refusal("experiments/latency_swep.yaml")
    assert message.startswith("experiments/latency_swep.yaml: there is no such file")
    assert message.endswith("did you mean experiments/latency_sweep.yaml?")


def test_folder_and_binary_files_are_refused(tmp_path):
    assert "this is a folder" in refusal(tmp_path)
    path = tmp_path / "picture.yaml"
    path.write_bytes(b"# Is it text?\n\xff\xfe")
    assert refusal(path) == f"{path}: this is not UTF-8 text (byte 14); save it as UTF-8"
