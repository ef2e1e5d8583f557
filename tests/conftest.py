"""What the tests share: tiny checkpoints made here, a small question file, nothing from the network."""

from __future__ import annotations

import json
import os
import string
from pathlib import Path
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"  # tiny models: one thread is faster, and sums in one order

import pytest
import torch
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForQuestionAnswering,
    BertModel,
    BertTokenizer,
    DistilBertConfig,
    DistilBertForQuestionAnswering,
    PreTrainedTokenizerBase,
)

WORDS = (
    "the of and in was who where when what is it by built tower river mill old bridge year light "
    "ing ed er es ly un re 19 20"
)
PASSAGES = (
    (
        "The old mill was built in 1858 by Agnès Rennie. It stands by the river Öre, near a bridge.",
        (
            ("When was the mill built?", "1858"),
            ("Who built the mill?", "Agnès Rennie"),
            ("Where is it?", "by the river Öre"),
        ),
    ),
    (
        "The tower (41 metres) is called 東京タワー 🗼 by the keepers; its lamp burned oil until 1903.",
        (
            ("What is the tower called?", "東京タワー"),
            ("When was the light changed?", "1903"),
        ),
    ),
    (
        "Radio came in 1925. The re-built bridge opened in 1931, and the ferry's last trip was free.",
        (
            ("When was the bridge opened?", "1931"),
            ("What came in 1925?", "Radio"),
            ("What was free?", "the ferry's last trip"),
        ),
    ),
)


def _vocabulary() -> list[str]:
    pieces = list(string.ascii_lowercase + string.digits + string.punctuation)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = WORDS.split()
    return list(dict.fromkeys([*special, *pieces, *(f"##{p}" for p in [*pieces, *words]), *words, "京"]))


def _save(model: Any, folder: Path) -> Path:
    """A checkpoint folder as Hugging Face writes it, tokenizer included."""
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(_vocabulary()) + "\n", encoding="utf-8")
    model.save_pretrained(folder)
    BertTokenizer(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    assert (folder / "tokenizer.json").is_file()
    return folder


def _bert_config() -> BertConfig:
    return BertConfig(
        vocab_size=len(_vocabulary()),
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        initializer_range=0.2,
    )


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT encoder without a question-answering head."""
    torch.manual_seed(1)
    return _save(BertModel(_bert_config()), tmp_path_factory.mktemp("checkpoints") / "bert")


@pytest.fixture(scope="session")
def bert_qa_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT with a question-answering head."""
    torch.manual_seed(2)
    return _save(BertForQuestionAnswering(_bert_config()), tmp_path_factory.mktemp("checkpoints") / "bert-qa")


@pytest.fixture(scope="session")
def distilbert_qa_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DistilBERT with a question-answering head."""
    torch.manual_seed(3)
    config = DistilBertConfig(
        vocab_size=len(_vocabulary()),
        dim=32,
        n_layers=4,
        n_heads=2,
        hidden_dim=64,
        max_position_embeddings=128,
        initializer_range=0.2,
    )
    model = DistilBertForQuestionAnswering(config)
    return _save(model, tmp_path_factory.mktemp("checkpoints") / "distilbert-qa")


@pytest.fixture(scope="session")
def tokenizer(encoder_folder: Path) -> PreTrainedTokenizerBase:
    """The tiny checkpoints' tokenizer, as transformers loads it."""
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(encoder_folder)
    assert loaded.is_fast
    return loaded


def _document() -> dict[str, Any]:
    paragraphs = []
    for p, (passage, pairs) in enumerate(PASSAGES):
        entries = [
            {
                "id": f"q{p}{q}",
                "question": question,
                "answers": [{"text": text, "answer_start": passage.index(text)}],
            }
            for q, (question, text) in enumerate(pairs)
        ]
        paragraphs.append({"context": passage, "qas": entries})
    return {"version": "1.1", "data": [{"title": "Mill", "paragraphs": paragraphs}]}


@pytest.fixture
def squad_document() -> dict[str, Any]:
    """A SQuAD v1.1 document, the test's own to change: 3 passages, 8 questions, accents, CJK, an emoji."""
    return _document()


@pytest.fixture(scope="session")
def question_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same document on disk, for all tests to read."""
    path = tmp_path_factory.mktemp("questions") / "questions.json"
    path.write_text(json.dumps(_document()), encoding="utf-8")
    return path
