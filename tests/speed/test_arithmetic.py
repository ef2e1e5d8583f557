"""FLOPs by formula against torch's own count and by hand; the matmul rate."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline.speed import arithmetic, models
from pipeline.speed.arithmetic import Shape, flops_per_token, forward_flops


def counted(run: object) -> int:
    assert callable(run)
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


@pytest.mark.parametrize("length", [8, 64])
def test_the_formula_is_what_torch_counts(length: int) -> None:
    pair = models.pair("tiny")
    ids, mask = torch.ones(1, length, dtype=torch.long), torch.ones(1, length, dtype=torch.long)
    for words in (False, True):
        teacher = pair.teacher(words=words, attention="eager")
        student = pair.student(teacher, train_word_embeddings=True)
        extra = [mask.bool()] if words else []

        def forward(
            student: torch.nn.Module = student, extra: list[torch.Tensor] = extra
        ) -> list[torch.Tensor]:
            return [out for out in student(ids, mask, *extra) if out is not None]

        def both(forward: object = forward) -> None:
            assert callable(forward)
            sum(out.sum() for out in forward()).backward()

        shape = pair.shape(student=True, words=words)
        assert counted(forward) == forward_flops(shape, length)
        assert counted(both) == arithmetic.TRAINING * forward_flops(shape, length)
        wanted = forward_flops(pair.shape(student=False, words=words), length)
        assert counted(lambda teacher=teacher: teacher(ids, mask)) == wanted


def test_flops_by_hand() -> None:
    shape = Shape(layers=2, hidden=4, neurons=8, vocabulary=10)
    layer = 2 * 3 * (4 * 16 + 2 * 32) + 4 * 9 * 4
    assert forward_flops(shape, 3) == 2 * layer + 3 * 2 * (16 + 40)
    assert forward_flops(shape, 3, scored=1) == 2 * layer + 2 * (16 + 40)
    student, teacher = Shape(layers=1, hidden=4, neurons=8), Shape(layers=2, hidden=4, neurons=8)
    assert flops_per_token(teacher, student, [3]) == (3 + 2) * layer / 3
    assert flops_per_token(None, student, [3, 3]) == layer


def test_bert_base_is_as_large_as_is_known() -> None:
    """A forward pass is about 2 · 85 M parameters of linears a token, attention aside (BERT-base's encoder)."""
    shape = models.pair("bert-base").shape(student=False, words=False)
    linears = forward_flops(shape, 1) - 12 * 4 * 768 - 2 * 768 * 2
    assert linears == 2 * 84_934_656


def test_the_matmul_rate_is_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "SIZE", 64)
    monkeypatch.setattr(arithmetic, "PEAK_SECONDS", 0.02)
    assert arithmetic.matmul_rate(torch.float32, torch.device("cpu")) > 1e6
