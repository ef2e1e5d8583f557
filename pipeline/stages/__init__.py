"""The stages in the order of a run; one file each."""

from pipeline.stages.adopt import Adopt
from pipeline.stages.agree import Agree
from pipeline.stages.baseline import Baseline, precision_of
from pipeline.stages.bench import Bench, BenchTorch
from pipeline.stages.bundle import MakeBundle
from pipeline.stages.distil import Distil
from pipeline.stages.evaluate import Evaluate
from pipeline.stages.export import Export
from pipeline.stages.lint import Lint, refuse_errors
from pipeline.stages.pretrain import Pretrain
from pipeline.stages.prune import Prune
from pipeline.stages.quantize import Quantize
from pipeline.stages.reference import Reference, references_of
from pipeline.stages.teach import Teach
from pipeline.stages.verify import Verify

TRAINED = (Teach, Pretrain, Distil)
"""Those that several processes work on together."""

__all__ = [
    "TRAINED",
    "Adopt",
    "Agree",
    "Baseline",
    "Bench",
    "BenchTorch",
    "Distil",
    "Evaluate",
    "Export",
    "Lint",
    "MakeBundle",
    "Pretrain",
    "Prune",
    "Quantize",
    "Reference",
    "Teach",
    "Verify",
    "precision_of",
    "references_of",
    "refuse_errors",
]
