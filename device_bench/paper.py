"""What the DistilBERT paper claims (Sanh et al. 2019, arXiv:1910.01108), and what is known about it."""

from __future__ import annotations

MODEL, AGAINST = "DistilBERT", "BERT-base"
TIMES_FASTER = 1.71
"""Section 4.1: a question answering app on an iPhone 7 Plus, tokenization not counted, is 71 % faster."""
MEGABYTES = 207.0
"""Section 4.1: the whole model weighs so much."""
PHONE = "iPhone 7 Plus"
PARAMETERS, BERT_PARAMETERS = 66_000_000, 110_000_000
SHARE_KEPT = 0.97
"""Abstract: of BERT's language understanding; GLUE's macro-score, 77.0 of 79.5 (table 1)."""
F1, BERT_F1 = 85.8, 88.5
"""Table 2: SQuAD 1.1 dev; 86.9 with a second distillation."""
PASS_SECONDS, BERT_PASS_SECONDS = 410.0, 668.0
"""Table 3: a pass over STS-B's development set, CPU, batch 1, which section 3 calls 60 % faster."""
FLOAT32_MEGABYTES, FLOAT16_MEGABYTES = 265.5, 180.5
"""DistilBERT files in the history of the published sample app."""
BERT_FLOAT16_MEBIBYTES = 207.7
LAYERS, BERT_LAYERS = 6, 12

GOAL_MEGABYTES = 25.0
"""Not the paper's: what this project wants a phone's model to stay under."""


def less_time(times: float) -> float:
    """The other convention for a ratio of times, in percent: 2 × is 50 % less time."""
    return 100 * (1 - 1 / times)


def known() -> tuple[str, ...]:
    """A sentence for each thing that one should know before comparing."""
    ratio, percent = BERT_PASS_SECONDS / PASS_SECONDS, round(100 * (TIMES_FASTER - 1))
    whole = 1 / (1 - percent / 100)
    return (
        f"“{percent} % faster” is {TIMES_FASTER:.2f} × the speed, {less_time(TIMES_FASTER):.1f} % less time, "
        f"by the convention of the paper's own table 3: {BERT_PASS_SECONDS:.0f} s against {PASS_SECONDS:.0f} s "
        f"is {ratio:.2f} × and called 60 % faster.",
        f"{percent} % less time would be {whole:.1f} ×, which {LAYERS} layers instead of {BERT_LAYERS} cannot "
        f"give: at equal length and precision that is about {BERT_LAYERS / LAYERS:.0f} × at most.",
        f"No file of {MODEL} in the sample app's history weighs {MEGABYTES:.0f} MB: float32 is "
        f"{FLOAT32_MEGABYTES} MB, float16 {FLOAT16_MEGABYTES} MB; BERT in float16 is "
        f"{BERT_FLOAT16_MEBIBYTES} MiB.",
    )
