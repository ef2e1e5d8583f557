"""The pre-training loop that DistilBERT's authors published, in our own words, to measure ours against.

Batches of so many sequences of like length; teacher and student score the whole vocabulary at every position;
the scores of attended positions are then picked out for the divergence, the hidden states for the cosine.
Float32, on a GPU its option of float16 with loss scaling; AdamW, betas 0.9 and 0.98; gradients clipped at 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel

from pipeline.losses import NOT_MASKED
from pipeline.models.student import StudentModel
from pipeline.recipe import Pretrain
from pipeline.speed.pace import Tick
from pipeline.training import Batch

CLIP = 5.0
BETAS = (0.9, 0.98)
EPSILON = 1e-6


def length_groups(lengths: Sequence[int], batch: int, seed: int) -> list[list[int]]:
    """Every sequence once, in batches of `batch` neighbours by length, the batches shuffled."""
    random = np.random.default_rng(seed)
    mixed = random.permutation(len(lengths))
    mixed = mixed[np.argsort(np.asarray(lengths)[mixed], kind="stable")]
    cut = [mixed[first : first + batch].tolist() for first in range(0, len(mixed), batch)]
    return [cut[i] for i in random.permutation(len(cut))]


def losses(model: StudentModel, teacher: PreTrainedModel, batch: Batch, options: Pretrain) -> torch.Tensor:
    """α_ce · KL + α_mlm · masked words + α_cos · cosine, over all attended positions but the second."""
    ids, mask, words = batch["input_ids"], batch["attention_mask"], batch["words"]
    states, scores = model(ids, mask, torch.ones_like(mask, dtype=torch.bool))
    vocabulary = scores.shape[-1]
    scores = scores.view(*ids.shape, vocabulary)
    with torch.no_grad():
        theirs = teacher(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    attended = mask.bool().unsqueeze(-1)
    picked, target = (
        torch.masked_select(logits, attended).view(-1, vocabulary) for logits in (scores, theirs.logits)
    )
    divergence = nn.KLDivLoss(reduction="batchmean")(
        F.log_softmax(picked / options.temperature, dim=-1), F.softmax(target / options.temperature, dim=-1)
    )
    total: torch.Tensor = options.soft * options.temperature**2 * divergence
    every_word = nn.CrossEntropyLoss(ignore_index=NOT_MASKED)(scores.view(-1, vocabulary), words.view(-1))
    total = total + options.mlm * every_word
    ours, its = (
        torch.masked_select(hidden, attended).view(-1, hidden.shape[-1])
        for hidden in (states, theirs.hidden_states[-1])
    )
    same = torch.ones(len(ours), device=ours.device)
    cosine: torch.Tensor = nn.CosineEmbeddingLoss()(ours, its, same)
    return total + options.cosine * cosine


def train(
    model: StudentModel,
    teacher: PreTrainedModel,
    batches: Iterator[Batch],
    options: Pretrain,
    *,
    steps: int,
    device: torch.device,
    heard: list[torch.Tensor],
    tick: Tick,
) -> None:
    """The loop, for `steps` optimizer steps of `options.accumulate` batches; losses are appended to `heard`."""
    model.to(device).train()
    teacher.to(device).eval()  # type: ignore[arg-type]
    optimizer = torch.optim.AdamW(
        model.parameters(), options.learning_rate, BETAS, EPSILON, options.weight_decay
    )
    warm = max(1, round(options.warmup * steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(step / warm, max(0.0, (steps - step) / max(1, steps - warm)))
    )
    half = device.type == "cuda"
    scaler = torch.amp.GradScaler(device.type, enabled=half)
    for _ in range(steps):
        for _ in range(options.accumulate):
            batch = {name: tensor.to(device) for name, tensor in next(batches).items()}
            with torch.autocast(device.type, torch.float16, enabled=half):
                loss = losses(model, teacher, batch, options)
            heard.append(loss.detach())
            scaler.scale(loss / options.accumulate).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        schedule.step()
        tick()
