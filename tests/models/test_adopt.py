"""Adopted checkpoints against Hugging Face's own models and tokenizers, and those that are refused."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForMaskedLM,
    BertForTokenClassification,
    BertModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForQuestionAnswering,
)

from pipeline.models import adopt, checkpoint, student
from pipeline.models.student import StudentModel
from pipeline.recipe import Classification, Task
from pipeline.stages import Adopt
from pipeline.stages.adopt import MAX_RELATIVE_ERROR, compared, comparison_windows
from pipeline.types import Silent, UsageError, VerificationFailed
from tests.checkpoints import ARCHITECTURES, LABELS, make

TEXT, PAIR = "Who built The Mill?", "The mill by the river was built in 1858. " * 60
WITH_TYPES = {"bert-qa-uncased", "bert-qa-cased-heads-of-7", "bert-classification", "bert-regression"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    at = tmp_path_factory.mktemp("architectures")
    return {name: make(name, at / name) for name in ARCHITECTURES}


@pytest.fixture
def folder(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A BERT classifier, the test's own to damage."""
    return Path(shutil.copytree(folders["bert-classification"], tmp_path / "model"))


def graph_of(folder: Path) -> StudentModel:
    described = adopt.describe(folder)
    model = checkpoint.load_model(folder, described.head, whole=True)
    return adopt.adopted(model, checkpoint.load_tokenizer(folder), described)


def theirs(folder: Path) -> PreTrainedModel:
    answers = adopt.describe(folder).head == "question-answering"
    kind = AutoModelForQuestionAnswering if answers else AutoModelForSequenceClassification
    model: PreTrainedModel = kind.from_pretrained(folder, dtype=torch.float32)
    model.train(mode=False)
    return model


def logits_of(model: PreTrainedModel, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    with torch.no_grad():
        result = model(**inputs)
    return (result.start_logits, result.end_logits) if "start_logits" in result else (result.logits,)


def inputs_of(folder: Path, length: int) -> dict[str, torch.Tensor]:
    """What the Hugging Face tokenizer gives the model for a pair, cut to so many tokens."""
    encoded = AutoTokenizer.from_pretrained(folder)(TEXT, PAIR, truncation=False, return_tensors="pt")
    end = encoded["input_ids"][:, -1:]
    cut = {name: tensor[:, :length].clone() for name, tensor in encoded.items()}
    if json.loads((folder / "config.json").read_text()).get("type_vocab_size") == 1:
        del cut["token_type_ids"]  # which it has no rows for
    if length > 1:
        cut["input_ids"][:, -1:] = end
    assert cut["input_ids"].shape[1] == length
    return cut


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_graph_is_the_hugging_face_model_at_every_length(name: str, folders: dict[str, Path]) -> None:
    graph, model = graph_of(folders[name]), theirs(folders[name])
    for length in (1, 2, 3, 40, 111, 511, 512):
        inputs = inputs_of(folders[name], length)
        with torch.no_grad():
            found = graph(inputs["input_ids"].int(), inputs["attention_mask"].int())
        for got, wanted in zip(found, logits_of(model, inputs), strict=True):
            torch.testing.assert_close(got, wanted, atol=2e-5 * float(wanted.abs().max()), rtol=0)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_padding_with_zeros_changes_nothing_whatever_the_padding_token(
    name: str, folders: dict[str, Path]
) -> None:
    graph, model = graph_of(folders[name]), theirs(folders[name])
    inputs = inputs_of(folders[name], 33)
    ids, mask = (torch.nn.functional.pad(inputs[n], (0, 30)).int() for n in ("input_ids", "attention_mask"))
    with torch.no_grad():
        found = graph(ids, mask)
    for got, wanted in zip(found, logits_of(model, inputs), strict=True):
        kept = got[:, :33] if got.shape[1] == 63 else got
        torch.testing.assert_close(kept, wanted, atol=2e-5 * float(wanted.abs().max()), rtol=0)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_only_those_that_tell_segments_apart_have_token_types(name: str, folders: dict[str, Path]) -> None:
    graph = graph_of(folders[name])
    assert (graph.config.separator is not None) == (name in WITH_TYPES)
    if graph.embeddings.second is None:
        return
    inputs = inputs_of(folders[name], 40)
    ids, mask = inputs["input_ids"].int(), inputs["attention_mask"].int()
    with torch.no_grad():
        found = graph(ids, mask)[0]
        graph.embeddings.second.offset.zero_()
        assert float((graph(ids, mask)[0] - found).abs().max()) > 1e-2 * float(found.abs().max())


def test_token_types_that_are_equal_or_that_no_tokenizer_gives_stay_out(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    types = weights["bert.embeddings.token_type_embeddings.weight"]
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["model_input_names"] = ["input_ids", "attention_mask"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    inputs = inputs_of(folder, 40)
    assert "token_type_ids" not in inputs
    graph = graph_of(folder)
    assert graph.config.separator is None
    with torch.no_grad():
        (found,) = graph(inputs["input_ids"].int(), inputs["attention_mask"].int())
    (wanted,) = logits_of(theirs(folder), inputs)
    torch.testing.assert_close(found, wanted, atol=2e-5 * float(wanted.abs().max()), rtol=0)

    types[1] = types[0]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    settings["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert "token_type_ids" in inputs_of(folder, 40)
    assert graph_of(folder).config.separator is None


def test_types_follow_the_tokenizers(folders: dict[str, Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folders["bert-qa-uncased"])
    for texts in ((TEXT,), (TEXT, PAIR), ("", PAIR), (TEXT, ""), ("",)):
        encoded = tokenizer(*texts)
        types = adopt.types_of(np.array(encoded["input_ids"]), tokenizer.sep_token_id)
        assert types.tolist() == encoded["token_type_ids"], texts


@pytest.mark.parametrize("name", ["bert-qa-cased-heads-of-7", "distilbert-classification"])
def test_the_stage_gives_a_student_with_the_checkpoints_tokenizer(
    name: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    asks = "qa" in name
    labels = ("LABEL_0", "LABEL_1")
    task = Task() if asks else Classification(kind="text-classification", labels=labels)
    stage = Adopt(folder=folders[name], task=task)
    metrics = stage.run(tmp_path, tmp_path, Silent())
    assert metrics["max_relative_error"] < MAX_RELATIVE_ERROR
    loaded, tokenizer = student.load(tmp_path), checkpoint.load_tokenizer(tmp_path)
    original = AutoTokenizer.from_pretrained(folders[name])
    for texts in ((TEXT, PAIR), ("The MILL, Öre's",)):
        assert tokenizer(*texts)["input_ids"] == original(*texts)["input_ids"]
    inputs = inputs_of(folders[name], 50)
    with torch.no_grad():
        found = loaded(inputs["input_ids"].int(), inputs["attention_mask"].int())
    for got, wanted in zip(found, logits_of(theirs(folders[name]), inputs), strict=True):
        torch.testing.assert_close(got, wanted, atol=2e-5 * float(wanted.abs().max()), rtol=0)


def test_a_graph_that_differs_is_noticed(folders: dict[str, Path]) -> None:
    folder = folders["bert-qa-uncased"]
    graph, model = graph_of(folder), checkpoint.load_model(folder)
    windows = list(comparison_windows(checkpoint.load_tokenizer(folder), graph.config, 2))
    assert {1, 2, 511, 512} <= {int(window["attention_mask"].sum()) for window in windows}
    assert compared(model, graph, windows, Silent())["max_relative_error"] < MAX_RELATIVE_ERROR
    assert graph.embeddings.second is not None
    with torch.no_grad():
        graph.embeddings.second.offset.mul_(1.02)
        assert compared(model, graph, windows, Silent())["max_relative_error"] > MAX_RELATIVE_ERROR
        graph.embeddings.second.offset.fill_(float("nan"))
    assert math.isnan(compared(model, graph, windows, Silent())["max_relative_error"])


def test_weights_that_are_no_numbers_are_not_exported(folder: Path, tmp_path: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["classifier.bias"][1] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    task = Classification(kind="text-classification", labels=tuple(LABELS.values()))
    with pytest.raises(VerificationFailed, match="differs from the Hugging Face model by nan of"):
        Adopt(folder=folder, task=task).run(tmp_path, tmp_path, Silent())


def test_names_of_labels_come_from_the_config(folders: dict[str, Path]) -> None:
    assert adopt.describe(folders["bert-classification"]).labels == ("no", "perhaps", "yes")
    assert adopt.describe(folders["bert-regression"]).labels == ()
    assert adopt.describe(folders["bert-qa-cased-heads-of-7"]).positions == 515


def changed(**entries: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **entries}))

    return change


def becomes(kind: type[PreTrainedModel]) -> Callable[[Path], None]:
    return lambda folder: kind.from_pretrained(folder).save_pretrained(folder)


def roberta(folder: Path) -> None:
    config = RobertaConfig(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    RobertaForQuestionAnswering(config).save_pretrained(folder)


SUPPORTED = r"supported are bert, distilbert \(question answering, classification, regression\)"
REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "roberta": (roberta, f"holds a model of family 'roberta'; {SUPPORTED}"),
    **{
        family: (changed(model_type=family), f"holds a model of family '{family}'; {SUPPORTED}")
        for family in ("albert", "electra", "mobilebert", "deberta-v2", "modernbert")
    },
    "encoder": (becomes(BertModel), "has no head for .*; teach it first: python -m pipeline.run --teacher"),
    "masked words": (becomes(BertForMaskedLM), "has no head for question answering, classification or regr"),
    "tokens": (becomes(BertForTokenClassification), "has no head for question answering, classification or"),
    "decoder": (changed(is_decoder=True), "is a decoder"),
    "relative": (
        changed(position_embedding_type="relative_key"),
        "has 'relative_key' position embeddings; only",
    ),
    "pruned": (changed(pruned_heads={"0": [1]}), "lacks attention heads"),
    "quantized": (changed(quantization_config={"load_in_8bit": True}), "holds quantized weights"),
    "activation": (changed(hidden_act="mish"), "has the activation 'mish'; supported are gelu, "),
    "several labels": (
        changed(problem_type="multi_label_classification"),
        "several labels or values; one label",
    ),
    "several values": (changed(problem_type="regression"), "several labels or values; one label, or one value"),
    "same labels": (changed(id2label={"0": "a", "1": "b", "2": "a"}), "has labels of the same name"),
    "heads": (
        changed(num_attention_heads=5),
        "json says 5 heads for a width of 32, which is no multiple",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_exported_is_refused_in_a_sentence(kind: str, folder: Path) -> None:
    change, sentence = REFUSED[kind]
    change(folder)
    with pytest.raises(UsageError, match=sentence) as refused:
        graph_of(folder)
    assert "\n" not in str(refused.value)


def test_a_head_that_is_not_whole_is_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if "pooler" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match=r"lacks bert.pooler.dense.bias and 1 more; fetch it again"):
        graph_of(folder)


def test_a_tokenizer_of_another_vocabulary_is_refused(folder: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["windmill"])
    tokenizer.save_pretrained(folder)
    stage = Adopt(folder=folder, task=Classification(kind="text-classification", labels=("a", "b", "c")))
    with pytest.raises(UsageError, match=r"its tokenizer has \d+ ids, its model only \d+"):
        stage.run(tmp_path, tmp_path, Silent())


def test_a_second_segment_that_begins_elsewhere_is_refused(folder: Path) -> None:
    table = json.loads((folder / "tokenizer.json").read_text())
    table["post_processor"]["pair"][1]["Sequence"]["type_id"] = 1
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(table)),
        sep_token="[SEP]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    with pytest.raises(UsageError, match="only a second segment that begins after the first separator"):
        adopt.separator(tokenizer)


def test_a_distilled_students_file_is_as_it_was(folders: dict[str, Path], tmp_path: Path) -> None:
    from pipeline.models import inherit

    model = inherit.from_teacher(checkpoint.load_model(folders["bert-qa-uncased"]))
    student.save(model, tmp_path)
    assert list(json.loads((tmp_path / student.CONFIG).read_text())) == [
        "vocabulary",
        "positions",
        "hidden",
        "head_size",
        "layers",
        "norm_eps",
        "activation",
        "head",
        "labels",
        "teacher_dimensions",
    ]
