"""Losses against closed forms and a float64 statement in numpy, sentence by sentence without padding."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pipeline import losses

LENGTHS = (7, 3, 5)
GOLD = (6, 0, 2)


def batch(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two sets of logits (3, 7) and their mask; what stands at padding is large and meaningless."""
    numbers = np.random.default_rng(seed)
    mask = np.array([[i < n for i in range(7)] for n in LENGTHS])
    one, two = (np.where(mask, numbers.normal(size=(3, 7)) * 3, 500.0) for _ in "12")
    return torch.tensor(one).float(), torch.tensor(two).float(), torch.tensor(mask).long()


def log_probabilities(row: np.ndarray) -> np.ndarray:
    return np.asarray(row - row.max() - math.log(np.exp(row - row.max()).sum()))


@pytest.mark.parametrize("seed", range(5))
def test_hard_is_cross_entropy_over_real_tokens(seed: int) -> None:
    logits, _, mask = batch(seed)
    rows = [logits[i, :n].double().numpy() for i, n in enumerate(LENGTHS)]
    wanted = -np.mean([log_probabilities(row)[gold] for row, gold in zip(rows, GOLD, strict=True)])
    assert losses.hard(logits, torch.tensor(GOLD), mask).item() == pytest.approx(wanted, rel=1e-6)


def test_hard_of_equal_logits_is_the_log_of_the_length() -> None:
    _, _, mask = batch(0)
    wanted = sum(math.log(n) for n in LENGTHS) / 3
    assert losses.hard(torch.full((3, 7), 2.5), torch.tensor(GOLD), mask).item() == pytest.approx(
        wanted, rel=1e-6
    )


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 8.0])
@pytest.mark.parametrize("seed", range(3))
def test_soft_is_t_squared_kl_from_the_teacher(seed: int, temperature: float) -> None:
    student, teacher, mask = batch(seed)
    divergences = []
    for i, n in enumerate(LENGTHS):
        p = log_probabilities(teacher[i, :n].double().numpy() / temperature)
        q = log_probabilities(student[i, :n].double().numpy() / temperature)
        divergences.append((np.exp(p) * (p - q)).sum())
    wanted = temperature**2 * np.mean(divergences)
    assert losses.soft(student, teacher, mask, temperature).item() == pytest.approx(wanted, rel=2e-6, abs=1e-6)


def test_soft_in_closed_form() -> None:
    # Softmax of (ln 3, 0) at T = 1 is (3/4, 1/4); the student is even: KL = ln 2 − H(3/4).
    teacher, student = torch.tensor([[math.log(3), 0.0]]), torch.zeros(1, 2)
    wanted = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    mask = torch.ones(1, 2)
    assert losses.soft(student, teacher, mask, 1.0).item() == pytest.approx(wanted, abs=1e-6)
    assert losses.soft(student, teacher * 2, mask, 2.0).item() == pytest.approx(4 * wanted, abs=1e-6)
    backwards = losses.soft(teacher, student, mask, 1.0).item()
    assert backwards == pytest.approx(0.5 * math.log(2 / 3) + 0.5 * math.log(2), abs=1e-6)


def test_soft_gradient_at_high_temperature_is_that_of_half_the_squared_difference() -> None:
    """Hinton et al. 2015, section 2.1: with T² the gradient tends to (student − teacher) / n, centred."""
    student, teacher = torch.tensor([[1.0, -2.0, 0.5]], requires_grad=True), torch.tensor([[0.0, 1.0, -1.5]])
    (gradient,) = torch.autograd.grad(losses.soft(student, teacher, torch.ones(1, 3), 1000.0), student)
    difference = (student - teacher).detach()
    torch.testing.assert_close(gradient, (difference - difference.mean()) / 3, atol=5e-3, rtol=0)


def test_teacher_and_student_alike() -> None:
    logits, _, mask = batch(1)
    shifted = logits + 3.0
    assert losses.soft(logits, logits, mask, 2.0).item() == 0.0
    assert losses.soft(shifted, logits, mask, 2.0).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_cosine_is_the_mean_over_real_tokens(seed: int) -> None:
    numbers = np.random.default_rng(seed)
    one, two = numbers.normal(size=(2, 3, 7, 4))
    mask = batch(0)[2]
    wanted = np.mean(
        [
            1 - one[i, t] @ two[i, t] / math.sqrt(one[i, t] @ one[i, t]) / math.sqrt(two[i, t] @ two[i, t])
            for i, n in enumerate(LENGTHS)
            for t in range(n)
        ]
    )
    found = losses.cosine(torch.tensor(one), torch.tensor(two), mask).item()
    assert found == pytest.approx(wanted, abs=1e-6)


def test_cosine_of_the_same_direction_opposite_and_orthogonal() -> None:
    states, mask = torch.randn(3, 7, 8, generator=torch.Generator().manual_seed(0)), batch(0)[2]
    assert losses.cosine(states, states, mask).item() == pytest.approx(0.0, abs=1e-6)
    assert losses.cosine(states * 5, states, mask).item() == pytest.approx(0.0, abs=1e-6)
    assert losses.cosine(-states, states, mask).item() == pytest.approx(2.0, abs=1e-6)
    turned = torch.stack((-states[..., 1::2], states[..., ::2]), dim=-1).flatten(-2)
    assert losses.cosine(turned, states, mask).item() == pytest.approx(1.0, abs=1e-6)


def test_padding_gives_no_loss_and_no_gradient() -> None:
    student, teacher, mask = batch(2)
    gold = torch.tensor(GOLD)
    states = torch.randn(2, 3, 7, 4, generator=torch.Generator().manual_seed(1))

    def run(at_padding: float) -> tuple[list[float], torch.Tensor]:
        given = student.masked_fill(mask == 0, at_padding).requires_grad_()
        kept = mask[..., None].float()
        one, two = states[0] * kept + (1 - kept) * at_padding, states[1]
        found = (
            losses.hard(given, gold, mask),
            losses.soft(given, teacher.masked_fill(mask == 0, -at_padding), mask, 2.0),
            losses.cosine(one, two, mask),
        )
        (gradient,) = torch.autograd.grad(found[0] + found[1], given)
        return [loss.item() for loss in found], gradient

    few, gradient = run(0.0)
    many, _ = run(300.0)
    assert few == many
    assert torch.equal(gradient[mask == 0], torch.zeros(int((mask == 0).sum())))
    assert bool((gradient[mask == 1] != 0).all())


def test_bfloat16_logits_are_added_up_in_float32() -> None:
    student, teacher, mask = batch(3)
    low = losses.soft(student.bfloat16(), teacher.bfloat16(), mask, 2.0)
    assert low.dtype == torch.float32
    assert low.item() == losses.soft(student.bfloat16().float(), teacher.bfloat16().float(), mask, 2.0).item()


def words(seed: int, tokens: int = 6, vocabulary: int = 11) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores of a student and a teacher, (tokens, vocabulary) each."""
    numbers = np.random.default_rng(seed)
    one, two = (torch.tensor(numbers.normal(size=(tokens, vocabulary)) * 3).float() for _ in "12")
    return one, two


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 8.0])
@pytest.mark.parametrize("seed", range(3))
def test_soft_words_is_t_squared_kl_a_token(seed: int, temperature: float) -> None:
    student, teacher = words(seed)
    divergences = []
    for mine, theirs in zip(student.double().numpy(), teacher.double().numpy(), strict=True):
        p, q = log_probabilities(theirs / temperature), log_probabilities(mine / temperature)
        divergences.append((np.exp(p) * (p - q)).sum())
    wanted = temperature**2 * np.mean(divergences)
    assert losses.soft_words(student, teacher, temperature).item() == pytest.approx(wanted, rel=1e-6, abs=1e-6)
    torch_own = torch.nn.KLDivLoss(reduction="batchmean")(
        torch.log_softmax(student / temperature, -1), torch.softmax(teacher / temperature, -1)
    )
    assert losses.soft_words(student, teacher, temperature).item() == pytest.approx(
        temperature**2 * torch_own.item(), rel=1e-5
    )


def test_t_squared_keeps_the_gradient_of_soft_words() -> None:
    """Hinton et al. 2015, section 2: gradients shrink as 1/T², so that T² holds their size at high T."""
    sizes = []
    for temperature in (20.0, 40.0, 80.0):
        student, teacher = words(1)
        student.requires_grad_(True)
        losses.soft_words(student, teacher, temperature).backward()
        assert student.grad is not None
        sizes.append(student.grad.norm().item())
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)
    assert sizes[1] == pytest.approx(sizes[2], rel=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_masked_words_is_cross_entropy_of_what_was_masked(seed: int) -> None:
    scores, _ = words(seed)
    gold = torch.tensor([3, -100, 0, 10, -100, 7])
    wanted = -np.mean(
        [log_probabilities(scores[i].double().numpy())[int(w)] for i, w in enumerate(gold) if w >= 0]
    )
    assert losses.masked_words(scores, gold).item() == pytest.approx(wanted, rel=1e-6)


def test_nothing_masked_costs_nothing() -> None:
    """Positions with no mask, and batches of padding: 0, and gradients of 0 rather than NaN."""
    scores, teacher = (t.requires_grad_(True) for t in words(0))
    losses.masked_words(scores, torch.full((6,), -100)).backward()
    assert scores.grad is not None
    assert (scores.grad == 0).all()
    empty = torch.zeros(0, 11, requires_grad=True)
    assert losses.soft_words(empty, teacher[:0].detach(), 2.0).item() == 0.0
    assert losses.masked_words(empty, torch.zeros(0, dtype=torch.long)).item() == 0.0
    states = torch.randn(2, 5, 4, requires_grad=True)
    none = torch.zeros(2, 5, dtype=torch.long)
    distance = losses.cosine(states, torch.randn(2, 5, 4), none)
    distance.backward()
    assert distance.item() == 0.0
    assert states.grad is not None
    assert (states.grad == 0).all()
