"""The Triton program of a projection and a step: by Triton's interpreter, and as compiled where there is a GPU."""

import dataclasses

import pytest
import torch

from tests import programs, read_step_kernels
from tests.cases import off
from tests.programs import COMPILED, on_a_gpu

SHORT = [torch.bfloat16, torch.float16]
WIDEST = {"D": 2048, "K": 256, "V": 432}  # as in a model of 1.3B parameters


@pytest.fixture(scope="module")
def interpreted():
    """What `tests.read_step_kernels` found, in a process that had the interpreter from the start."""
    return programs.told_by("tests.read_step_kernels", 120)


@pytest.mark.parametrize("case", read_step_kernels.CASES)
def test_an_interpreted_program_is_as_the_two(interpreted, case):
    assert interpreted[case].keys() == {"total", "y", "o", "state", "left"}
    assert {name: error for name, error in interpreted[case].items() if not error <= 1e-6} == {}


@pytest.mark.parametrize(
    ("sizes", "outputs"),
    [((2048, 256, 432), 16), ((2048, 128, 432), 16), ((512, 128, 216), 8), ((768, 96, 96), 32), ((64, 32, 54), 0),
     ((2560, 256, 432), 0), ((1024, 4096, 4096), 0)],
    ids=str,
)  # fmt: skip
def test_a_program_has_outputs_of_one_head_alone(sizes, outputs):
    read_step = pytest.importorskip("models._kernels.read_step", reason="Triton is for Linux", exc_type=ImportError)
    assert read_step.outputs(*sizes) == outputs


# On a GPU --------------------------------------------------------------------------------------------------------


@on_a_gpu
@pytest.mark.parametrize("dtype", SHORT, ids=str)
@pytest.mark.parametrize("heads", [3, 8])
@pytest.mark.parametrize("sizes", [(512, 128, 216), (2048, 256, 432), (768, 96, 96), (2048, 64, 512)], ids=str)
@pytest.mark.parametrize("case", read_step_kernels.CASES)
def test_the_compiled_program_is_as_the_two(case, sizes, heads, dtype):
    """Over many steps, as who waits for whom differs from one to the next."""
    case = dataclasses.replace(read_step_kernels.CASES[case], D=sizes[0], K=sizes[1], V=sizes[2], H=heads)
    found = read_step_kernels.errors(case, "cuda", dtype, steps=100)
    assert found.pop("y") <= COMPILED[dtype]
    assert found.pop("state") <= (1e-5 if case.held == torch.float32 else 1e-3)  # rounded to another neighbour
    assert {name: error for name, error in found.items() if not error <= 1e-5} == {}, "the same sums, in another order"


@on_a_gpu
@pytest.mark.parametrize("heads", [3, 8])
def test_programs_that_cannot_all_run_at_once_wait_for_those_of_the_graph_before(heads):
    """Steps one after the other in a graph, each begun while the one before still runs, with other programs between."""
    from models._kernels import processors, read_step, skinny

    case = read_step_kernels.Case(H=heads, **WIDEST)
    layers = [read_step_kernels.Layer(case, "cuda", torch.bfloat16) for _ in range(2)]
    outputs = heads * 2 * (case.K + case.V) // read_step.outputs(case.D, case.K, case.V)
    assert (outputs > 3 * processors(torch.device("cuda"))) == (heads == 8)
    start, _ = layers[0].inputs()
    back = layers[0].random(case.D, heads * case.V) * case.D**-0.5

    def steps(layer, together):
        x = start
        for _ in range(40):
            if together:
                _, y, o = layer.together(x, None)
            else:
                _, y = layer.read(x, None)
                o = layer.step(y)
            x, _ = skinny.write(x, o.flatten(1), back, y[:, -heads * case.V :], heads, 1e-6)
        return x

    def replayed(layer, together):
        steps(layer, together)
        graph, state = torch.cuda.CUDAGraph(), layer.states[0 if together else 1]
        with torch.cuda.graph(graph):
            x = steps(layer, together)
        state.zero_()
        for _ in range(5):
            graph.replay()
        return x, state

    (x, state), (wanted, right) = replayed(layers[0], True), replayed(layers[1], False)
    assert off(x, wanted) < 2e-2, "forty roundings to bfloat16"
    assert off(state, right) < 2e-2
    assert layers[0].counts.abs().sum() == 0
