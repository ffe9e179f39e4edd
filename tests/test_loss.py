"""The loss of a training step, chunk by chunk, against torch's cross-entropy of all logits at once."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import models
from models import _loss
from models._lm import LanguageModel
from tests import contract, tiny
from tests.cases import off
from tests.programs import on_a_gpu

EXACT = {torch.float64: 1e-14, torch.float32: 2e-6}
CHUNKS = 1 << 15  # bytes of logits of a chunk in these tests: a few of them, the last one shorter
D, V = 24, 61


@pytest.fixture
def chunked(monkeypatch):
    """Chunks so small that a few hundred tokens are several."""
    monkeypatch.setattr(_loss, "CHUNK_BYTES", CHUNKS)


def given(dtype=torch.float64, shape=(3, 211), vocabulary=V, device="cpu"):
    """Hidden states, a weight, and targets at both ends of the vocabulary."""
    made = torch.Generator().manual_seed(shape[-1])
    hidden, weight = (torch.randn(*size, D, generator=made) for size in (shape, (vocabulary,)))
    targets = torch.randint(0, vocabulary, shape, generator=made)
    targets[0, 0], targets[-1, -1] = 0, vocabulary - 1
    given = hidden, weight * D**-0.5  # logits of about one: of large ones a short type would lose much
    return *(x.to(device, dtype).requires_grad_() for x in given), targets.to(device)


def whole(hidden, weight, targets):
    return F.cross_entropy((hidden @ weight.T).flatten(0, -2), targets.flatten())


def with_gradients(loss, hidden, weight, targets, scale=3.0):
    """The loss, and the gradients of `scale` times it."""
    found = loss(hidden, weight, targets)
    return [found, *torch.autograd.grad(scale * found, (hidden, weight))]


def differences(got, right):
    return [off(a, b) for a, b in zip(got, right, strict=True)]


@pytest.mark.parametrize("dtype", EXACT, ids=str)
@pytest.mark.parametrize("shape", [(3, 211), (1, 129), (640, 1), (2, 320)], ids=str)
def test_the_loss_and_its_gradients_are_those_of_all_logits(chunked, dtype, shape):
    x = given(dtype, shape)
    assert _loss.chunk(x[2].numel(), V, dtype) < x[2].numel()
    got, right = with_gradients(_loss.cross_entropy, *x), with_gradients(whole, *x)
    assert max(differences(got, right)) < EXACT[dtype]
    assert [each.dtype for each in got] == [dtype] * 3
    assert [each.shape for each in got] == [each.shape for each in right]


def test_another_target_or_a_lost_token_would_be_seen(chunked):
    hidden, weight, targets = given()
    right, others = with_gradients(whole, hidden, weight, targets), targets.clone()
    others[1, 5] = (others[1, 5] + 1) % V
    assert min(differences(with_gradients(_loss.cross_entropy, hidden, weight, others), right)) > 1e-6
    fewer = with_gradients(_loss.cross_entropy, hidden[:, :-1], weight, targets[:, :-1])
    assert min(differences([fewer[0], fewer[2]], [right[0], right[2]])) > 1e-6


def test_one_chunk_is_torch_s_own_bit_for_bit():
    x = given(torch.float32)
    assert all(map(torch.equal, with_gradients(_loss.cross_entropy, *x), with_gradients(whole, *x)))


def test_gradients_are_made_for_what_wants_them(chunked, monkeypatch):
    hidden, weight, targets = given()
    right = with_gradients(whole, hidden, weight, targets)
    (dweight,) = torch.autograd.grad(_loss.cross_entropy(hidden.detach(), weight, targets), weight)
    (dhidden,) = torch.autograd.grad(_loss.cross_entropy(hidden, weight.detach(), targets), hidden)
    assert max(differences([3 * dhidden, 3 * dweight], right[1:])) < 1e-14
    monkeypatch.setattr(_loss, "_add_product", lambda *_: pytest.fail("a gradient that nobody wants"))
    with torch.no_grad():
        assert off(_loss.cross_entropy(hidden, weight, targets), right[0]) < 1e-14
    assert not _loss.cross_entropy(hidden.detach(), weight.detach(), targets).requires_grad
    with pytest.raises(pytest.fail.Exception, match="nobody wants"):
        _loss.cross_entropy(hidden, weight, targets)


def test_going_back_twice_gives_the_same_again(chunked):
    hidden, weight, targets = given()
    loss = _loss.cross_entropy(hidden, weight, targets)
    first, again = (torch.autograd.grad(loss, (hidden, weight), retain_graph=True) for _ in range(2))
    assert all(map(torch.equal, first, again))
    with pytest.raises(RuntimeError, match="does not require grad"):
        torch.autograd.grad(loss, hidden, create_graph=True)[0].sum().backward()


@pytest.mark.parametrize("lowered", [False, True], ids=["bfloat16", "autocast"])
def test_short_types_have_a_loss_in_float32_and_gradients_of_the_parameters_types(chunked, lowered):
    dtype = torch.float32 if lowered else torch.bfloat16
    hidden, weight, targets = given(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=lowered):
        got = with_gradients(_loss.cross_entropy, hidden, weight, targets)
    exact = [x.detach().double().requires_grad_() for x in (hidden, weight)]
    found = differences(got, with_gradients(whole, *exact, targets))
    assert 1e-5 < max(found[:1]) < 1e-3, "logits are rounded to bfloat16"
    assert max(found[1:]) < 1e-2
    assert [each.dtype for each in got] == [torch.float32, dtype, dtype]


def test_many_chunks_lose_nothing_in_a_short_type(monkeypatch):
    """The weight's gradient is one sum however it is cut; in bfloat16 twenty would have rounded it twenty times."""
    hidden, weight, targets = given(torch.bfloat16, (20, 128))
    (few,) = torch.autograd.grad(_loss.cross_entropy(hidden, weight, targets), weight)
    monkeypatch.setattr(_loss, "CHUNK_BYTES", 1)
    assert _loss.chunk(2560, V, torch.bfloat16) == 128
    (many,) = torch.autograd.grad(_loss.cross_entropy(hidden, weight, targets), weight)
    exact = [x.detach().double().requires_grad_() for x in (hidden, weight)]
    (right,) = torch.autograd.grad(whole(*exact, targets), exact[1])
    assert off(many, right) <= 1.2 * off(few, right)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=on_a_gpu)])
def test_what_a_gradient_is_multiplied_by_is_not_rounded_to_its_type(device):
    x, scale = torch.arange(1.0, 200.0, device=device).bfloat16(), torch.tensor(1 / 3, device=device)
    assert torch.equal(_loss._scaled(x, scale, torch.bfloat16), (x.double() / 3).bfloat16())
    assert not torch.equal(x * scale.bfloat16(), (x.double() / 3).bfloat16())


@pytest.mark.parametrize("tokens", [1, 127, 129, 4096, 4097, 16_384, 65_537])
@pytest.mark.parametrize("vocabulary", [2, 256, 32_000, 1 << 20])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
def test_chunks_are_of_tiles_and_keep_to_their_size(tokens, vocabulary, dtype):
    size = _loss.chunk(tokens, vocabulary, dtype)
    assert 1 <= size <= tokens or size == _loss.TILE
    assert size == tokens or size % _loss.TILE == 0
    assert size * vocabulary * dtype.itemsize <= _loss.CHUNK_BYTES or size <= _loss.TILE


def test_a_batch_of_16k_tokens_and_32k_kinds_is_four_chunks():
    assert _loss.chunk(16_384, 32_000, torch.bfloat16) == 4096


# Of a model ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", models.names())
def test_a_model_s_loss_is_that_of_its_logits(chunked, name):
    kind = models.load(name)
    torch.manual_seed(3)
    model, drawn = kind(contract.SHAPE, kind.Options()).double(), contract.tokens(30, 26)
    tokens, targets = drawn[:, :-1], drawn[:, 1:]
    for form in kind.available_forms(model.options):
        assert type(model.head) is nn.Linear, "else the test is of nothing"
        model.zero_grad()
        loss = model.loss(tokens, targets, form)
        loss.backward()
        got = [parameter.grad for parameter in model.parameters()]
        right = F.cross_entropy(model(tokens, form).flatten(0, 1), targets.flatten())
        gradients = torch.autograd.grad(right, list(model.parameters()))
        assert off(loss, right) < 1e-13
        assert all(torch.allclose(a, b, rtol=1e-9, atol=1e-15) for a, b in zip(got, gradients, strict=True))


class Louder(tiny.Model):
    """A model with a forward pass of its own."""

    def forward(self, tokens, form=None, padding=None):
        return 2 * LanguageModel.forward(self, tokens, form, padding)


def test_a_forward_pass_or_a_head_of_its_own_is_what_is_trained(chunked):
    drawn = contract.tokens(4, 9, vocabulary=256)
    tokens, targets = drawn[:, :-1], drawn[:, 1:]
    for kind, biased in ((tiny.Model, False), (Louder, False), (tiny.Model, True)):
        torch.manual_seed(1)
        model = kind(tiny.SHAPE)
        nn.init.normal_(model.head.weight)
        if biased:
            model.head = nn.Linear(tiny.SHAPE.width, tiny.SHAPE.vocabulary)
        right = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())
        assert model.loss(tokens, targets).item() == pytest.approx(right.item(), rel=1e-6)


# On a GPU --------------------------------------------------------------------------------------------------------


@on_a_gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("lowered", [False, True], ids=["short", "autocast"])
@pytest.mark.parametrize(("tokens", "vocabulary"), [(9000, 32_000), (3000, 32_000), (700, 256)])
def test_on_a_gpu_it_is_right_and_repeats_bit_for_bit(dtype, lowered, tokens, vocabulary):
    x = given(torch.float32 if lowered else dtype, (1, tokens), vocabulary, "cuda")
    with torch.autocast("cuda", dtype, enabled=lowered):
        first, again = (with_gradients(_loss.cross_entropy, *x) for _ in range(2))
    assert all(map(torch.equal, first, again))
    assert [each.dtype for each in first] == [torch.float32, x[0].dtype, x[0].dtype]
    exact = [each.detach().double().requires_grad_() for each in x[:2]]
    found = differences(first, with_gradients(whole, *exact, x[2]))
    bound = 1e-2 if dtype == torch.bfloat16 else 2e-3
    assert found[0] < bound / 10
    assert max(found[1:]) < bound


@on_a_gpu
def test_on_a_gpu_the_logits_never_are_all_there():
    hidden, weight, targets = given(torch.bfloat16, (4, 8192), 32_000, "cuda")
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    _loss.cross_entropy(hidden, weight, targets).backward()
    assert torch.cuda.max_memory_allocated() - before < 1.5 * _loss.CHUNK_BYTES < 32_768 * 32_000 * 2 / 4
