"""What one inference multiplies: its matrix products by formula, from the shapes of its layers alone."""

from __future__ import annotations

from pipeline.bundles import MultiplyAdds
from pipeline.models.linears import Linears, LinearsConfig
from pipeline.models.student import StudentConfig, StudentModel


def multiply_adds(model: StudentModel | Linears) -> MultiplyAdds:
    """Of a model that answers questions or classifies, pruned or not."""
    return of_linears(model.config) if isinstance(model, Linears) else of_student(model.config)


def of_student(config: StudentConfig) -> MultiplyAdds:
    """E hidden size, H · D heads of a layer, N its neurons: 4 · E · H · D + 2 · E · N a token for its linears,
    2 · H · D a pair of tokens for q kᵀ and for the mix of values. A head that reads every token is one of
    those linears; one that reads the first token is multiplied once a window.
    """
    hidden, size = config.hidden, config.head_size
    linears = sum(4 * hidden * at.heads * size + 2 * hidden * at.neurons for at in config.layers)
    once = 0
    if config.head == "question-answering":
        linears += 2 * hidden
    elif config.head == "text-classification":
        once = hidden * config.labels + (hidden * hidden if config.pooler else 0)
    else:
        raise ValueError(f"a student with the head {config.head} is no program")
    pairs = sum(2 * at.heads * size for at in config.layers)
    return MultiplyAdds(per_token=linears, per_pair=pairs, per_window=once)


def of_linears(config: LinearsConfig) -> MultiplyAdds:
    """One for each weight."""
    stack = 2 * config.pairs * config.hidden * config.neurons
    return MultiplyAdds(per_token=stack + 2 * config.hidden, per_pair=0)
