"""Rewrites keep a student's function, and leave alone what they do not know."""

from __future__ import annotations

import pytest
import torch

from exporters.rewrites import heads_apart, norms_as_products
from pipeline.types import Student
from tests.exporters.conftest import MAX_LENGTH


def captured(module: torch.nn.Module, *example: torch.Tensor) -> torch.fx.GraphModule:
    length = torch.export.Dim("length", min=2, max=MAX_LENGTH)
    shapes = tuple({1: length} for _ in example)
    found: torch.fx.GraphModule = torch.export.export(module, example, dynamic_shapes=shapes).module()
    return found


@pytest.mark.parametrize("length", [2, 17, MAX_LENGTH])
def test_a_rewritten_student_answers_the_same_at_every_length_and_mask(tiny: Student, length: int) -> None:
    window = torch.ones(1, MAX_LENGTH, dtype=torch.int32), torch.ones(1, MAX_LENGTH, dtype=torch.int32)
    graph = captured(tiny.module, *window)
    assert (heads_apart(graph), norms_as_products(graph)) == (2, 5)
    assert (heads_apart(graph), norms_as_products(graph)) == (0, 0)
    torch.manual_seed(1)
    ids, mask = torch.randint(0, 200, (1, length), dtype=torch.int32), torch.ones(1, length, dtype=torch.int32)
    mask[:, (length + 1) // 2 :] = 0
    with torch.no_grad():
        for mine, theirs in zip(graph(ids, mask), tiny.module(ids, mask), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=0)


def test_attention_of_another_form_and_a_norm_of_two_dimensions_stay() -> None:
    class Other(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = torch.nn.LayerNorm([4, 8])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(torch.softmax(x @ x.transpose(-1, -2), dim=-1) @ x)  # type: ignore[no-any-return]

    graph = torch.export.export(Other(), (torch.randn(1, 4, 8),)).module()
    assert (heads_apart(graph), norms_as_products(graph)) == (0, 0)


@pytest.mark.parametrize("affine", [False, True])
def test_a_norm_without_weights_is_rewritten_too(affine: bool) -> None:
    x = 3.0 + torch.randn(1, 9, 8, generator=torch.Generator().manual_seed(2))
    norm = torch.nn.LayerNorm(8, eps=1e-3, elementwise_affine=affine)
    graph = captured(norm, x)
    assert norms_as_products(graph) == 1
    with torch.no_grad():
        torch.testing.assert_close(graph(x), norm(x), atol=1e-5, rtol=0)
