"""Every rule has its seed in every format it applies to, and a sentence that says what to do."""

from __future__ import annotations

import pytest

from exporters.linting.checks import REQUIRED, RULES
from tests.exporters.linting import test_coreml, test_executorch, test_onnx, test_tflite

SEEDS = {
    "coreml": set(test_coreml.SEEDS) | {"left-float"},
    "executorch": set(test_executorch.SEEDS) | {"left-float"},
    "tflite": set(test_tflite.SEEDS) | {"left-float"},
    "onnx": set(test_onnx.SEEDS),
}
"""left-float's seed is our own program with matrices in float, in three of them."""


@pytest.mark.parametrize("target", SEEDS)
def test_every_rule_has_a_seed(target: str) -> None:
    assert SEEDS[target] == {name for name, rule in RULES.items() if target in rule.formats}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_says_what_to_do(name: str) -> None:
    rule = RULES[name]
    assert rule.name == name
    assert len(rule.advice.split()) >= 5
    assert not rule.advice.endswith(".")
    assert set(rule.formats) <= set(SEEDS)


def test_required_metadata_is_said_for_every_format() -> None:
    assert set(REQUIRED) == set(SEEDS)
