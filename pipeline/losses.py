"""Training losses. Logits and masks of 0 and 1 are (batch, seq), hidden states (batch, seq, hidden).

Losses over the vocabulary take the scores of the tokens they cover, (tokens, vocabulary), already selected.
A loss that covers no token is 0, with a gradient of 0.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

EXCLUDED = -1e4
NOT_MASKED = -100


def over_tokens(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Logits in float32 with padding pushed out of the softmax. (batch, seq) → (batch, seq)."""
    return logits.float() + (1.0 - mask.float()) * EXCLUDED


def hard(logits: torch.Tensor, gold: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Cross-entropy with the gold position (batch,), mean over the batch, in nats."""
    return F.cross_entropy(over_tokens(logits, mask), gold)


def soft(student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor, temperature: float) -> torch.Tensor:
    """T² · KL(teacher ‖ student) at temperature T (Hinton et al. 2015, section 2), mean over the batch.

    The factor T² keeps the gradient's size independent of T.
    """
    student_log = F.log_softmax(over_tokens(student, mask) / temperature, dim=-1)
    teacher_log = F.log_softmax(over_tokens(teacher, mask) / temperature, dim=-1)
    divergence = F.kl_div(student_log, teacher_log, log_target=True, reduction="none")
    return temperature**2 * (divergence * mask).sum(dim=-1).mean()


def cosine(student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """1 − cos of student's and teacher's state, mean over real tokens (Sanh et al. 2019, section 2)."""
    distance = 1.0 - F.cosine_similarity(student.float(), teacher.float(), dim=-1)
    return (distance * mask).sum() / mask.sum().clamp(min=1)


def soft_words(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """T² · KL(teacher ‖ student) over the vocabulary at temperature T, mean over the tokens, in nats.

    The L_ce of Sanh et al. 2019, section 2; T² as in Hinton et al. 2015, section 2.
    """
    student_log = F.log_softmax(student.float() / temperature, dim=-1)
    teacher_log = F.log_softmax(teacher.float() / temperature, dim=-1)
    divergence = F.kl_div(student_log, teacher_log, log_target=True, reduction="sum")
    return temperature**2 * divergence / max(len(student), 1)


def masked_words(scores: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    """Cross-entropy with the words (tokens,) that were masked, mean over the tokens, in nats.

    The L_mlm of Sanh et al. 2019; a word of −100 stands for a token that was not masked.
    """
    total = F.cross_entropy(scores.float(), words, ignore_index=NOT_MASKED, reduction="sum")
    return total / (words != NOT_MASKED).sum().clamp(min=1)
