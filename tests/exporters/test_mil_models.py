"""Whole encoders as coremltools converts them, in float32 so that nothing but the graph can differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, DistilBertConfig, PretrainedConfig
from transformers import models as families

from exporters import mil
from exporters.base import INPUTS, quiet

pytest.importorskip("coremltools")
with quiet():
    import coremltools as ct

LONGEST = 32
BERT = BertConfig(
    vocab_size=40,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=48,
    max_position_embeddings=LONGEST,
)
DISTILBERT = DistilBertConfig(
    vocab_size=40, dim=32, n_layers=2, n_heads=4, hidden_dim=48, max_position_embeddings=LONGEST
)


class _Asked(torch.nn.Module):
    """A Hugging Face model with the additive mask that every target takes."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        bias = (1.0 - attention_mask.to(torch.float32))[:, None, None, :] * -1e4
        result = self.model(input_ids=input_ids, attention_mask=bias, return_dict=True)
        return (result.logits,) if "logits" in result else (result.start_logits, result.end_logits)


@pytest.mark.parametrize(
    ("family", "config", "head", "attention", "target"),
    [
        ("Bert", BERT, "QuestionAnswering", "eager", "iOS16"),
        ("Bert", BERT, "QuestionAnswering", "sdpa", "iOS18"),
        ("Bert", BERT, "SequenceClassification", "sdpa", "iOS17"),
        ("DistilBert", DISTILBERT, "QuestionAnswering", "sdpa", "iOS17"),
        ("DistilBert", DISTILBERT, "SequenceClassification", "eager", "iOS18"),
        ("DistilBert", DISTILBERT, "SequenceClassification", "sdpa", "iOS16"),
    ],
)
def test_a_converted_encoder_agrees_with_torch_at_any_length(
    family: str, config: PretrainedConfig, head: str, attention: str, target: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    maker = getattr(getattr(families, family.lower()), f"{family}For{head}")
    model = _Asked(maker._from_config(config, attn_implementation=attention)).eval()
    example = torch.ones(1, LONGEST, dtype=torch.int32)
    shape = ct.Shape((1, ct.RangeDim(1, LONGEST, default=LONGEST)))
    with quiet(), torch.no_grad():
        ct.convert(
            torch.jit.trace(model, (example, example), strict=False, check_trace=False),
            convert_to="mlprogram",
            minimum_deployment_target=getattr(ct.target, target),
            compute_precision=ct.precision.FLOAT32,
            inputs=[ct.TensorType(name, shape=shape, dtype=np.int32) for name in INPUTS],
            skip_model_load=True,
        ).save(str(tmp_path / "model.mlpackage"))
    program = mil.Program(tmp_path / "model.mlpackage")
    for length in (LONGEST, 5, 17):
        ids = np.random.default_rng(length).integers(0, 40, (1, length)).astype(np.int32)
        mask = (np.arange(length) < max(1, length - 3))[None].astype(np.int32)
        got = program(dict(zip(INPUTS, (ids, mask), strict=True)))
        with torch.no_grad():
            expected = model(torch.from_numpy(ids), torch.from_numpy(mask))
        for name, wanted in zip(program.outputs, expected, strict=True):
            np.testing.assert_allclose(got[name], wanted.numpy(), atol=1e-5)
