"""What a schema refuses is told by the house itself, whatever stands where: never in the words of a library."""

import copy
import re

import pytest
import yaml

from harness import document, experiment, hardware
from harness.errors import UserError
from harness.gate import accepted

EXPERIMENT = """
models: [retnet, {name: transformer, implementation: eager}]
budget: {parameters: 300k}
shape: {layers: 2, width: 48, heads: 3, vocabulary: 256, max_length: 999}
sweep: {batch_size: [1, 5], sequence_length: [16, 40], form: [parallel], dtype: [float32]}
measures: [{name: prefill, batch_size: [2]}, decode, language]
repeats: 3
precision: 0.1
seeds: [0, 4]
corpus: {train: owner/name, held_out: python-docs}
training: {tokens: 10k, sequence_length: 32, batch_size: 4, learning_rate: [1e-3], schedule: linear, final_rate: 0.2,
  warmup: 0.2, betas: [0.8, 0.9], weight_decay: 0.2, clip: 2.0, accumulate: 2, autocast: true}
limits: {seconds: 20, memory: 2GiB}
"""
MACHINE = """
title: made up
source: a dream
device: cuda
programs: true
called: [Dream]
cores: 4
memory: 12GB
workspace: 1GB
flops_per_second: {float32: 2e12}
bytes_per_second: 1e11
achieved: {flops: 0.5, bytes: 1}
launch_seconds: 1e-5
graph_launch_seconds: 1e-6
node_devices: 8
link: {bytes_per_second: 1e11, seconds: 1e-5}
network: {bytes_per_second: 1e10, seconds: 1e-4}
"""
ACCEPTED = """
accepted:
  - {model: retnet, measure: decode, metric: time, factor: 1.3, base: 3ec3559, until: 2999-01-01, reason: It is so.}
  - {point: decode retnet 3x17, metric: loss, change: [1, 2], until: 2999-01-01, reason: It is so.}
"""
READ = {
    "an experiment": (EXPERIMENT, experiment.load),
    "a machine": (MACHINE, hardware.read),
    "what is accepted": (ACCEPTED, accepted.check),
}
ODD = (None, True, 0, -1.5, "", "x", [], [5, "x", 5], {"a": 1})
FOREIGN = re.compile(r"Input|valid |should have|was given|allowed are none|keys are none")  # what a library would say
every_kind = pytest.mark.parametrize("kind", READ)


def places(held, at=()):
    """The key path of everything within."""
    parts = held.items() if isinstance(held, dict) else enumerate(held) if isinstance(held, list) else ()
    for key, value in parts:
        yield (*at, key)
        yield from places(value, (*at, key))


def changed(held, path, value):
    """The same with another value at a key path."""
    told = copy.deepcopy(held)
    holder = told
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return told


def refusal(folder, kind, held):
    """The lines that tell what is wrong, without the file's name; none where all is right."""
    path = folder / "asked.yaml"
    path.write_text("# Is it so?\n" + yaml.dump(held, Dumper=document.Dumper), encoding="utf-8")
    try:
        READ[kind][1](path)
    except UserError as error:
        return str(error).replace(f"{path}:", "").splitlines()
    return []


@every_kind
def test_the_whole_file_is_right(kind, tmp_path):
    assert refusal(tmp_path, kind, document.parse(READ[kind][0], "file")[0]) == []


@every_kind
def test_whatever_is_given_is_answered_in_the_house_s_words(kind, tmp_path):
    whole, _ = document.parse(READ[kind][0], "file")
    given = [(path, value) for path in places(whole) for value in ODD]
    told = {(path, repr(value)): refusal(tmp_path, kind, changed(whole, path, value)) for path, value in given}
    assert sum(bool(lines) for lines in told.values()) > len(told) / 2
    foreign = {at: lines for at, lines in told.items() if any(map(FOREIGN.search, lines))}
    assert not foreign
