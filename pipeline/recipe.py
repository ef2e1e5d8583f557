"""The whole configuration of a run: frozen records, validated when they are built, read from TOML.

Nothing else determines a result: no environment variable, no global, no flag without a recipe entry.
"""

from __future__ import annotations

import difflib
import tomllib
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from pipeline.types import RecipeError

RECIPES = Path(__file__).parent / "recipes"

Fraction = Annotated[float, Field(gt=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Record(BaseModel):
    """Frozen; unknown keys are refused, and numbers that are not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Task(Record):
    """How passages become windows and logits become answers (all lengths in tokens)."""

    kind: Literal["question-answering"] = "question-answering"
    max_length: Annotated[int, Field(ge=16, le=512)] = 384
    stride: Count = 128
    n_best: Count = 20
    max_answer_length: Count = 30

    @model_validator(mode="after")
    def _stride_leaves_room(self) -> Task:
        if self.stride >= self.max_length - 8:
            raise ValueError(f"stride must be below max_length - 8 = {self.max_length - 8}, got {self.stride}")
        return self


class Classification(Record):
    """A text, or a pair of texts, gets one of some labels; what is longer than `max_length` tokens is cut."""

    kind: Literal["text-classification"]
    max_length: Annotated[int, Field(ge=8, le=512)] = 128
    labels: Annotated[tuple[str, ...], Field(min_length=2)]
    """Their names; a label's place is its number, in data that gives numbers too."""
    metrics: Annotated[tuple[Literal["accuracy", "f1", "matthews"], ...], Field(min_length=1)] = ("accuracy",)
    """The first is what tolerances are about. f1 and matthews need two labels; f1 is that of the second."""

    @model_validator(mode="after")
    def _labels_differ(self) -> Classification:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels must differ, got {list(self.labels)}")
        two = [metric for metric in self.metrics if metric != "accuracy"]
        if two and len(self.labels) != 2:
            raise ValueError(f"metric {two[0]} needs two labels, got {len(self.labels)}; use accuracy")
        return self


class Regression(Record):
    """A text, or a pair of texts, gets a number."""

    kind: Literal["regression"]
    max_length: Annotated[int, Field(ge=8, le=512)] = 128
    metrics: Annotated[tuple[Literal["pearson", "spearman"], ...], Field(min_length=1)] = (
        "pearson",
        "spearman",
    )
    """The first is what tolerances are about."""
    agree_within: Annotated[float, Field(gt=0)] = 0.25
    """Two models agree on a text when their numbers differ by no more, in the data's own unit."""


KINDS = ("question-answering", "text-classification", "regression")


def _kind_of(value: Any) -> Any:
    """A table's kind; one without it is of the default."""
    return value.get("kind", KINDS[0]) if isinstance(value, dict) else getattr(value, "kind", KINDS[0])


AnyTask = Annotated[
    Annotated[Task, Tag(KINDS[0])]
    | Annotated[Classification, Tag(KINDS[1])]
    | Annotated[Regression, Tag(KINDS[2])],
    Discriminator(_kind_of),
]


class Questions(Record):
    """A set of examples.

    For question answering a shipped set's name (passages, practice), a SQuAD JSON path, or a hub id; for texts
    glue/NAME or imdb from the hub, a folder with train.tsv and dev.tsv as GLUE publishes them, a .tsv or
    .jsonl path, or a hub id.
    """

    source: str
    split: str = "train"
    fingerprint: Sha256 | None = None
    """Identity of its examples (their content, in order): known, a result is found without the data."""
    limit: Count | None = None
    """Keep the first so many; all when absent."""


class Data(Record):
    """What is trained on, what accuracy is measured on (never the same), and what statistics come from."""

    train: Questions
    eval: Questions
    calibration: Questions

    @model_validator(mode="after")
    def _eval_is_held_out(self) -> Data:
        for used in (self.train, self.calibration):
            if (used.source, used.split) == (self.eval.source, self.eval.split):
                raise ValueError(
                    f"eval must be held out, but {used.source!r} is trained on or calibrated with as well"
                )
        return self


class Checkpoint(Record):
    """A model: a shipped name, a local folder or a hub id; `sha256` is that of its model.safetensors."""

    source: str
    revision: str | None = None
    sha256: Sha256 | None = None
    weights: Literal["checkpoint", "random"] = "checkpoint"
    """random: only its config and tokenizer are used."""


class Training(Record):
    """One run of transformers' Trainer. Batches are cut by tokens after grouping by length."""

    epochs: Annotated[float, Field(gt=0)] = 2.0
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 2e-4
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.06
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.01
    tokens_per_batch: Annotated[int, Field(ge=64)] = 6144
    accumulate: Count = 1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    train_word_embeddings: bool = True
    storage: Literal["float32", "float16", "int8"] = "float32"
    """Grid the result's matrices are rounded to before anything is measured or passed on."""


class Teach(Training):
    """Fine-tuning an encoder on the task. A teacher that already has the task's head is left as it is."""


class StudentShape(Record):
    """Where the student starts: teacher layers, a narrower slice of them, random weights, or a checkpoint."""

    source: str | None = None
    revision: str | None = None
    sha256: Sha256 | None = None
    layers: Literal["alternate"] | tuple[Annotated[int, Field(ge=0)], ...] = "alternate"
    hidden: Count | None = None
    """Width of the hidden states, the most important of the teacher's; the teacher's own when absent."""
    initial: Literal["teacher", "random"] = "teacher"
    """random: only the shape is the teacher's, as in the paper's ablation."""

    @model_validator(mode="after")
    def _layers_ascend(self) -> StudentShape:
        if self.layers != "alternate" and (not self.layers or list(self.layers) != sorted(set(self.layers))):
            raise ValueError(
                f"layers must be 'alternate' or teacher layers in ascending order, got {list(self.layers)}"
            )
        return self


class Corpus(Record):
    """Text without labels: a folder of .txt, .jsonl and .gz files, one such file, or a hub data set."""

    source: str
    subset: str | None = None
    """Of a hub data set that has several."""
    split: str = "train"
    field: str = "text"
    """Where a JSON line or a hub row holds its text."""
    fingerprint: Sha256 | None = None
    """Identity of its documents (`corpus.fingerprint`): known, a result is found without the text."""
    limit: Count | None = None
    """Keep the first so many documents; all when absent."""


Positions = Literal["tokens", "masked"]
"""What a loss covers: every token but padding, or only those that were masked."""


class Pretrain(Training):
    """Task-agnostic distillation (Sanh et al. 2019, section 2), before the student has a task.

    Loss = soft · T² · KL(teacher ‖ student) over the vocabulary + mlm · cross-entropy of the masked words
    + cosine · (1 − cos of last states). The defaults are those of the paper's published training command.
    """

    corpus: Corpus
    length: Annotated[int, Field(ge=8, le=512)] = 512
    """Tokens in a sequence, [CLS] and [SEP] included."""
    layout: Literal["packed", "grouped"] = "packed"
    """packed: documents run on through full sequences; grouped: one to a sequence, batched by length."""
    epochs: Annotated[float, Field(gt=0)] = 3.0
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 5e-4
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    mask: Annotated[float, Field(ge=0, lt=1)] = 0.15
    """Share of tokens masked, anew whenever a sequence is seen: 80 % [MASK], 10 % random, 10 % kept."""
    temperature: Annotated[float, Field(gt=0)] = 2.0
    soft: Weight = 5.0
    mlm: Weight = 2.0
    cosine: Weight = 1.0
    soft_positions: Positions = "tokens"
    cosine_positions: Positions = "tokens"

    @model_validator(mode="after")
    def _learns_something(self) -> Pretrain:
        if self.soft + self.mlm + self.cosine == 0:
            raise ValueError("soft, mlm and cosine are all 0; give at least one loss a weight")
        masked = self.mlm or "masked" in (self.soft_positions * bool(self.soft), self.cosine_positions)
        if masked and self.mask == 0:
            raise ValueError("mask is 0, but a loss covers masked tokens; mask some, or change that loss")
        return self


class Distil(Training):
    """Loss = soft · T² · KL(teacher ‖ student) + hard · cross-entropy + cosine · (1 − cos of last states)."""

    temperature: Annotated[float, Field(gt=0)] = 2.0
    soft: Weight = 5.0
    hard: Weight = 2.0
    cosine: Weight = 1.0

    @model_validator(mode="after")
    def _learns_something(self) -> Distil:
        if self.soft + self.hard + self.cosine == 0:
            raise ValueError("soft, hard and cosine are all 0; give at least one loss a weight")
        return self


class Prune(Record):
    """Share of heads and feed-forward neurons kept in every layer; 1.0 leaves them alone."""

    keep_heads: Fraction = 1.0
    keep_neurons: Fraction = 1.0
    importance: Literal["magnitude", "taylor"] = "magnitude"


class Quantize(Record):
    """int8 for linears (per output channel, dynamic activations) and embeddings (per row)."""

    linears: Literal["int8", "float32"] = "int8"
    embeddings: Literal["int8", "float32"] = "int8"
    keep_float: tuple[str, ...] = ()
    """Module paths left in float32."""


class CoreML(Record):
    """What is chosen of a Core ML package; see `pipeline.types.CoreMLChoices`."""

    layout: Literal["plain", "ane"] = "plain"
    lengths: Literal["range", "enumerated"] = "range"
    activations: Literal["float16", "int8"] = "float16"


class Export(Record):
    """How the student becomes a program."""

    lengths: tuple[Annotated[int, Field(ge=1, le=512)], ...] = ()
    """Sequence lengths of programs whose shapes are fixed; task.max_length alone when absent."""
    coreml: CoreML = CoreML()

    @model_validator(mode="after")
    def _lengths_ascend(self) -> Export:
        if list(self.lengths) != sorted(set(self.lengths)):
            raise ValueError(f"lengths must ascend, got {list(self.lengths)}")
        return self


class Verify(Record):
    """The tolerance that turns measurements into a verdict."""

    questions: Count = 500
    """Questions, or texts, on which a fast runtime is compared; the first of the evaluation set."""
    emulated_questions: Count = 60
    """The same where the program is evaluated op by op (Core ML away from a Mac)."""
    min_sqnr_db: float = 15.0
    min_span_agreement: Fraction = 0.95
    """Share of questions with the same span; of texts with the same label, or a number within the tolerance."""
    min_float_agreement: Fraction = 0.95
    """The same share, against torch before quantization."""
    min_quantized_agreement: Fraction = 0.98
    """The same share, against torch quantized as the runtime computes."""
    min_tensor_agreement: Fraction = 0.9
    """Stands for all three shares where a runtime gives a linear's whole input one scale (ONNX Runtime): its
    steps are coarser, and more answers move."""
    max_f1_drop: Annotated[float, Field(ge=0)] = 1.0
    """Points of F1, or of another task's first metric."""
    golden_cases: Count = 12


class Bench(Record):
    """Paired timing on this machine."""

    baseline: Literal["bert-base", "bert-tiny"] = "bert-base"
    """What programs are timed against. bert-tiny proves the machinery in seconds; its ratios mean nothing."""
    length: Annotated[int, Field(ge=16, le=512)] = 384
    threads: Count = 1
    warmup: Count = 5
    runs: Count = 20


class Launch(Record):
    """How training is carried out on the machines at hand. It determines no result, and no key covers it."""

    gradient_checkpointing: bool = False
    """Computes activations again in the backward pass: less memory, about a third more time."""
    fsdp: bool = False
    """Shards weights, gradients and optimizer over the launched processes (FSDP), in place of copies (DDP)."""
    save_steps: Count = 200
    """Steps from one checkpoint to the next."""
    save_minutes: Annotated[float, Field(gt=0)] | None = None
    """A checkpoint at least so often as well, whatever the steps; looked at whenever a loss is logged."""
    report_to: Literal["none", "tensorboard", "wandb"] = "none"
    logs: str = "runs/logs"
    """Where TensorBoard's event files go, a folder a stage result."""
    teacher_outputs: Literal["auto", "recompute", "once"] = "auto"
    """Whether the teacher answers anew for every batch of task distillation, or once for all epochs; auto
    measures which is cheaper."""


class Recipe(Record):
    """Everything that determines a run, and how it is launched."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    description: str
    seed: Annotated[int, Field(ge=0)] = 0
    task: AnyTask = Task()
    data: Data
    teacher: Checkpoint
    teach: Teach = Teach()
    student: StudentShape = StudentShape()
    pretrain: Pretrain | None = None
    distil: Distil = Distil()
    prune: Prune = Prune()
    quantize: Quantize = Quantize()
    export: Export = Export()
    verify: Verify = Verify()
    bench: Bench = Bench()
    launch: Launch = Launch()

    @model_validator(mode="after")
    def _lengths_reach_the_longest(self) -> Recipe:
        if self.export.lengths and self.export.lengths[-1] != self.task.max_length:
            raise ValueError(
                f"export.lengths must end with task.max_length, {self.task.max_length}, "
                f"got {list(self.export.lengths)}"
            )
        return self

    @model_validator(mode="after")
    def _bench_at_the_programs_length(self) -> Recipe:
        if self.bench.length != self.task.max_length:
            raise ValueError(
                f"bench.length must be task.max_length, {self.task.max_length}: "
                "a program of fixed length runs at no other"
            )
        return self


def shipped_names() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def load(name_or_path: str) -> Recipe:
    """A shipped recipe by name, or any by its TOML path.

    Raises RecipeError, naming the key and the nearest valid one, when it cannot be used.
    """
    path = RECIPES / f"{name_or_path}.toml"
    if name_or_path not in shipped_names():
        path = Path(name_or_path)
        if path.suffix != ".toml" or not path.is_file():
            hint = _nearest(name_or_path, shipped_names())
            raise RecipeError(
                f"unknown recipe {name_or_path!r}{hint}; shipped are {', '.join(shipped_names())}, "
                "or give the path of a .toml file"
            )
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid TOML: {error}") from None
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}") from None
    return build(table, str(path))


def build(table: dict[str, Any], where: str) -> Recipe:
    """Validates a parsed recipe; `where` names it in messages."""
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        raise RecipeError(f"{where}: {_sentence(error)}") from None


def _sentence(error: ValidationError) -> str:
    errors = error.errors()
    first, at = errors[0], _key_parts(errors[0]["loc"])
    key = ".".join(at)
    if first["type"] == "extra_forbidden":
        return f"unknown key {key}{_nearest(at[-1], _fields_at(at[:-1], first['loc']))}"
    if first["type"] == "union_tag_invalid":
        kind = str(first["ctx"]["tag"])
        return f"{key}.kind: input should be {', '.join(KINDS)}, got {kind!r}{_nearest(kind, list(KINDS))}"
    if first["type"] == "missing":
        return f"key {key} is missing"
    got = first.get("input")
    shown = f", got {got!r}" if not isinstance(got, dict) else ""
    choices = [_lowered(e["msg"]) for e in errors if _key_parts(e["loc"]) == at]
    return f"{key}: {' or '.join(dict.fromkeys(choices))}{shown}"


def _key_parts(location: tuple[int | str, ...]) -> list[str]:
    """The keys down to a value; pydantic's names for the choices of a union are left out."""
    return [str(p) for p in takewhile(lambda part: "[" not in str(part), location) if p not in KINDS]


def _lowered(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def _fields_at(path: list[str], location: tuple[int | str, ...]) -> list[str]:
    record: Any = Recipe
    for part in path:
        found = record.model_fields[part].annotation
        kinds = [get_args(kind) or (kind,) for kind in get_args(found)]
        records = [(kind, tag) for kind, *tag in kinds if hasattr(kind, "model_fields")]
        chosen = [kind for kind, tag in records if tag and tag[0].tag in location]
        record = (chosen or [kind for kind, _ in records] or [found])[0]
    return list(record.model_fields)


def _nearest(name: str, valid: list[str]) -> str:
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
