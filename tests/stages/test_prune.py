"""prune: what is cut had no say any more, what is weighed is a derivative, what is kept is unchanged."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from pipeline.models.student import Layer, LayerShape, StudentModel
from pipeline.recipe import Prune as Settings
from pipeline.recipe import Questions, Task
from pipeline.stages import prune
from pipeline.stages.prune import Prune
from pipeline.tasks.dataset import QuestionSet
from pipeline.tasks.methods import QuestionAnswering
from pipeline.types import Artifact, Silent
from tests.stages.conftest import Chain, random_student

SHAPES = (LayerShape(heads=4, neurons=64), LayerShape(heads=3, neurons=48))
HEAD = 8


@pytest.fixture
def model() -> StudentModel:
    return random_student(SHAPES)


def window(seed: int, length: int = 30) -> dict[str, torch.Tensor]:
    """Two rows of ids, the second padded, with gold positions."""
    random = torch.Generator().manual_seed(seed)
    mask = torch.ones(2, length, dtype=torch.long)
    mask[1, length - 9 :] = 0
    return {
        "input_ids": torch.randint(0, 200, (2, length), generator=random),
        "attention_mask": mask,
        "start_positions": torch.randint(0, length - 9, (2,), generator=random),
        "end_positions": torch.randint(0, length - 9, (2,), generator=random),
    }


def layer(model: StudentModel, index: int) -> Layer:
    found = model.layers[index]
    assert isinstance(found, Layer)
    return found


def silence_head(model: StudentModel, index: int, head: int) -> None:
    """Takes away all that a head can say: its values."""
    value = layer(model, index).attention.value
    rows = slice(head * HEAD, (head + 1) * HEAD)
    value.weight.data[rows], value.bias.data[rows] = 0.0, 0.0


def silence_neuron(model: StudentModel, index: int, neuron: int) -> None:
    layer(model, index).feed_forward.outer.weight.data[:, neuron] = 0.0


def logits(model: StudentModel) -> torch.Tensor:
    batch = window(0)
    with torch.no_grad():
        both = torch.stack(model(batch["input_ids"], batch["attention_mask"]))
    return both[:, batch["attention_mask"] == 1]


@pytest.mark.parametrize("seed", range(3))
def test_cutting_is_silencing_the_least_important(model: StudentModel, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    heads = [torch.rand(shape.heads, generator=random) for shape in SHAPES]
    neurons = [torch.rand(shape.neurons, generator=random) for shape in SHAPES]
    smaller = prune.cut(model, heads, neurons, 0.5, 0.5)
    assert [(s.heads, s.neurons) for s in smaller.config.layers] == [(2, 32), (2, 32)]
    masked = copy.deepcopy(model)
    for index, shape in enumerate(SHAPES):
        by_rank = sorted(range(shape.heads), key=lambda h: float(heads[index][h]))
        for head in by_rank[: shape.heads - smaller.config.layers[index].heads]:
            silence_head(masked, index, head)
        by_rank = sorted(range(shape.neurons), key=lambda n: float(neurons[index][n]))
        for neuron in by_rank[: shape.neurons - smaller.config.layers[index].neurons]:
            silence_neuron(masked, index, neuron)
    torch.testing.assert_close(logits(smaller), logits(masked), atol=1e-5, rtol=0)
    assert (logits(masked) - logits(model)).abs().max() > 0.05, "and what was cut had a say"


def test_kept_units_keep_their_order_and_their_weights(model: StudentModel) -> None:
    heads = [torch.tensor([3.0, 1.0, 9.0, 2.0]), torch.tensor([1.0, 5.0, 4.0])]
    neurons = [torch.arange(64.0), torch.arange(48.0).flip(0)]
    smaller = prune.cut(model, heads, neurons, 0.5, 0.25)
    query = layer(model, 0).attention.query.weight
    assert torch.equal(layer(smaller, 0).attention.query.weight, torch.cat([query[:8], query[16:24]]))
    assert torch.equal(layer(smaller, 1).attention.query.bias, layer(model, 1).attention.query.bias[8:])
    assert torch.equal(
        layer(smaller, 0).feed_forward.inner.weight, layer(model, 0).feed_forward.inner.weight[-16:]
    )
    assert torch.equal(
        layer(smaller, 1).feed_forward.outer.weight, layer(model, 1).feed_forward.outer.weight[:, :16]
    )


def test_ties_keep_the_first(model: StudentModel) -> None:
    same = [torch.ones(shape.heads) for shape in SHAPES], [torch.ones(shape.neurons) for shape in SHAPES]
    smaller = prune.cut(model, *same, 0.3, 0.25)
    assert torch.equal(layer(smaller, 0).attention.key.weight, layer(model, 0).attention.key.weight[:8])


def test_keeping_all_changes_nothing(model: StudentModel) -> None:
    importance = prune.magnitude_importance(model)
    same = prune.cut(model, *importance, 1.0, 1.0).state_dict()
    before = model.state_dict()
    assert list(same) == list(before)
    assert all(torch.equal(same[name], tensor) for name, tensor in before.items())


def test_cutting_leaves_the_model_alone(model: StudentModel) -> None:
    before = copy.deepcopy(model.state_dict())
    prune.cut(model, *prune.magnitude_importance(model), 0.5, 0.5)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("total", "share", "kept"),
    [
        (3072, 1.0, 3072),
        (3072, 0.92, 2832),  # 2826.24 is 176.64 steps of 16
        (1536, 0.92, 1408),  # 1413.12 is 88.32 steps
        (64, 0.5, 32),
        (64, 0.01, 16),
        (64, 0.99, 64),
        (100, 1.0, 100),
        (100, 0.99, 96),
        (10, 0.5, 10),
    ],
)
def test_neurons_are_kept_in_steps_of_sixteen(total: int, share: float, kept: int) -> None:
    assert prune.neurons_kept(total, share) == kept


def test_magnitude_is_what_a_unit_writes_times_what_it_reads(model: StudentModel) -> None:
    heads, neurons = prune.magnitude_importance(model)
    for index, shape in enumerate(SHAPES):
        attention, feed = layer(model, index).attention, layer(model, index).feed_forward
        for head in range(shape.heads):
            part = slice(head * HEAD, (head + 1) * HEAD)
            value = sum(float(x) ** 2 for x in attention.value.weight[part].flatten()) ** 0.5
            output = sum(float(x) ** 2 for x in attention.output.weight[:, part].flatten()) ** 0.5
            assert heads[index][head].item() == pytest.approx(value * output, rel=1e-4)
        for neuron in (0, shape.neurons - 1):
            inner = sum(float(x) ** 2 for x in feed.inner.weight[neuron]) ** 0.5
            outer = sum(float(x) ** 2 for x in feed.outer.weight[:, neuron]) ** 0.5
            assert neurons[index][neuron].item() == pytest.approx(inner * outer, rel=1e-4)


def loss_in_double(model: StudentModel, batch: dict[str, torch.Tensor]) -> float:
    with torch.no_grad():
        padding = (1 - batch["attention_mask"]) * -1e4
        start, end = model(batch["input_ids"], batch["attention_mask"])
        both = F.cross_entropy(start + padding, batch["start_positions"]) + F.cross_entropy(
            end + padding, batch["end_positions"]
        )
    return float(both)


def slope(model: StudentModel, batch: dict[str, torch.Tensor], weight: torch.Tensor, columns: slice) -> float:
    """Finite difference of the loss in a gate on what these columns of an output projection read."""
    kept, step, values = weight.data[:, columns].clone(), 1e-5, []
    for gate in (1 + step, 1 - step):
        weight.data[:, columns] = kept * gate
        values.append(loss_in_double(model, batch))
    weight.data[:, columns] = kept
    return (values[0] - values[1]) / (2 * step)


def test_taylor_importance_is_the_size_of_the_losss_slope(model: StudentModel) -> None:
    batches = [window(1), window(2)]
    heads, neurons = prune.taylor_importance(model, batches, QuestionAnswering(Task()), Silent())
    exact = copy.deepcopy(model).double()
    for index, shape in enumerate(SHAPES):
        output = layer(exact, index).attention.output.weight
        outer = layer(exact, index).feed_forward.outer.weight
        for head in range(shape.heads):
            part = slice(head * HEAD, (head + 1) * HEAD)
            wanted = sum(abs(slope(exact, batch, output, part)) for batch in batches)
            assert heads[index][head].item() == pytest.approx(wanted, rel=1e-3, abs=1e-5)
        for neuron in range(0, shape.neurons, 13):
            wanted = sum(abs(slope(exact, batch, outer, slice(neuron, neuron + 1))) for batch in batches)
            assert neurons[index][neuron].item() == pytest.approx(wanted, rel=1e-3, abs=1e-5)
    assert all(not module._forward_pre_hooks for module in model.modules()), "the gates are gone"
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("importance", ["magnitude", "taylor"])
def test_the_stage_cuts_every_layer(importance: str, chain: Chain, question_file: Path, tmp_path: Path) -> None:
    distilled: Artifact = chain.made["distil"]
    options = Settings.model_validate({"keep_heads": 0.5, "keep_neurons": 0.5, "importance": importance})
    stage = Prune(
        distilled=distilled,
        questions=QuestionSet(Questions(source=str(question_file))),
        task=Task(max_length=96, stride=16),
        options=options,
    )
    metrics = stage.run(tmp_path, tmp_path, Silent())
    before, after = (load_file(str(folder / "model.safetensors")) for folder in (distilled.path, tmp_path))
    for index in (0, 1):
        assert before[f"layers.{index}.attention.value.weight"].shape == (32, 32)
        assert after[f"layers.{index}.attention.value.weight"].shape == (16, 32)
        assert after[f"layers.{index}.feed_forward.outer.weight"].shape == (32, 32)
    left, whole = (sum(tensor.numel() for tensor in weights.values()) for weights in (after, before))
    assert metrics["parameters"] == left
    assert metrics["removed_share"] == pytest.approx(1 - left / whole)
    assert ("questions" in stage.parents()) == (importance == "taylor"), "magnitude needs no data"
