"""Rewrites of a captured student, in aten operations, that keep its function and suit a phone's kernels.

Each takes `torch.export.export(...).module()`, changes what has the shape it looks for, leaves all else
alone, and returns how often it found it.

Legend: S sequence, H heads, D head size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def heads_apart(
    module: torch.fx.GraphModule,
    *,
    bias_in_product: bool = True,
    join: Callable[[Sequence[torch.fx.Node]], torch.fx.Node] | None = None,
) -> int:
    """Attention one head at a time, so that a head's scores (S, S) stay in a core's cache.

    softmax(q kᵀ + bias) v over (1, H, S, D) becomes the same over D columns of the projections
    (1, S, H · D) for each head, put side by side again (by `join`, where a converter wants it done in its
    own way): no head is moved to a dimension of its own. The bias (1, 1, 1, S) rides in the product, as a
    row under kᵀ that meets a column of ones beside q; or it is added to the scores, and then kᵀ is made
    once for all heads.
    """
    import torch

    aten = torch.ops.aten
    found = [_attention(softmax) for softmax in _calls(module, aten.softmax.int)]
    rows: dict[torch.fx.Node, tuple[torch.fx.Node, torch.fx.Node]] = {}
    for attention in filter(None, found):
        with module.graph.inserting_before(attention.merged):
            if attention.bias not in rows:
                row = _call(aten.squeeze.dim, attention.bias, 1)
                rows[attention.bias] = (
                    row,
                    _call(aten.ones_like.default, _call(aten.permute.default, row, [0, 2, 1])),
                )
            row, ones = rows[attention.bias]
            _write_heads(attention, row, ones if bias_in_product else None, join or _side_by_side)
    _tidy(module)
    return sum(attention is not None for attention in found)


def norms_as_products(module: torch.fx.GraphModule) -> int:
    """Layer norms over the last dimension: means as products with a row of 1/n, the rest element by element.

    Delegates without a layer norm take these operations, and so need not hand the states back for each.
    """
    import torch

    aten = torch.ops.aten
    found = [node for node in _calls(module, aten.layer_norm.default) if len(node.args[1]) == 1]  # type: ignore[arg-type]
    for norm in found:
        arguments: tuple[Any, ...] = norm.args
        x, (width,), *others = arguments
        weight, bias, eps = (*others, *(None, None, 1e-5)[len(others) :])[:3]
        name = f"_mean_of_{width}"
        if not hasattr(module, name):
            module.register_buffer(name, torch.full((1, width), 1.0 / width))
        with module.graph.inserting_before(norm):
            mean = module.graph.get_attr(name)
            mean.meta["val"] = norm.meta["val"].fake_mode.from_tensor(getattr(module, name))
            centred = _call(aten.sub.Tensor, x, _call(aten.linear.default, x, mean))
            variance = _call(aten.linear.default, _call(aten.mul.Tensor, centred, centred), mean)
            scale = _call(aten.rsqrt.default, _call(aten.add.Tensor, variance, eps))
            result = _call(aten.mul.Tensor, centred, scale)
            if weight is not None:
                result = _call(aten.mul.Tensor, result, weight)
            if bias is not None:
                result = _call(aten.add.Tensor, result, bias)
        norm.replace_all_uses_with(result)
    _tidy(module)
    return len(found)


def _tidy(module: torch.fx.GraphModule) -> None:
    module.graph.eliminate_dead_code()
    module.graph.lint()
    module.recompile()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attention:
    """One layer's attention: projections (1, S, H · D), bias (1, 1, 1, S), result (1, S, H · D)."""

    query: torch.fx.Node
    key: torch.fx.Node
    value: torch.fx.Node
    heads: int
    scale: float
    bias: torch.fx.Node
    merged: torch.fx.Node


def _write_heads(
    found: _Attention,
    row: torch.fx.Node,
    ones: torch.fx.Node | None,
    join: Callable[[Sequence[torch.fx.Node]], torch.fx.Node],
) -> None:
    """row: (1, 1, S); ones: (1, S, 1), or None where the row is added to the scores."""
    import torch

    aten = torch.ops.aten
    query = found.query if found.scale == 1.0 else _call(aten.mul.Tensor, found.query, found.scale)
    size = found.merged.meta["val"].shape[2] // found.heads
    turned = None if ones else _call(aten.permute.default, found.key, [0, 2, 1])
    mixed = []
    for head in range(found.heads):
        span = head * size, (head + 1) * size
        q, v = (_call(aten.slice.Tensor, t, 2, *span) for t in (query, found.value))
        if turned is None:
            k = _call(aten.permute.default, _call(aten.slice.Tensor, found.key, 2, *span), [0, 2, 1])
            wide, deep = _call(aten.cat.default, [q, ones], 2), _call(aten.cat.default, [k, row], 1)
            scores = _call(aten.bmm.default, wide, deep)
        else:
            product = _call(aten.bmm.default, q, _call(aten.slice.Tensor, turned, 1, *span))
            scores = _call(aten.add.Tensor, product, row)
        mixed.append(_call(aten.bmm.default, _call(aten.softmax.int, scores, -1), v))
    found.merged.replace_all_uses_with(join(mixed) if found.heads > 1 else mixed[0])


def _side_by_side(heads: Sequence[torch.fx.Node]) -> torch.fx.Node:
    import torch

    return _call(torch.ops.aten.cat.default, list(heads), 2)


def _attention(softmax: torch.fx.Node) -> _Attention | None:
    """What a softmax is part of, where that is attention over one window with a bias for each key."""
    import torch

    aten = torch.ops.aten
    added = _is(softmax.args[0], aten.add.Tensor)
    product = added and _is(added.args[0], aten.matmul.default)
    turned = product and _swaps(product.args[1], 2, 3)
    weights = _user(softmax, aten.dropout.default) or softmax
    mix = _user(weights, aten.matmul.default)
    back = mix and _swaps(_user(mix, aten.transpose.int), 1, 2)
    merged = back and (_user(back, aten.reshape.default) or _user(back, aten.view.default))
    if not (added and product and turned and mix and back and merged) or mix.args[0] is not weights:
        return None
    bias: Any = added.args[1]
    query, scale = product.args[0], 1.0
    scaled = _is(query, aten.mul.Tensor)
    if scaled and isinstance(scaled.args[1], float):
        query, scale = scaled.args[0], scaled.args[1]
    sources = tuple(_projection(node) for node in (query, turned.args[0], mix.args[1]))
    same = len({source.meta["val"].shape[2] for source in sources if source is not None}) == 1
    if None in sources or not same or _shape(bias)[:3] != (1, 1, 1) or len(_shape(merged)) != 3:
        return None
    q, k, v = sources
    heads = int(_shape(mix)[1])
    assert q is not None
    assert k is not None
    assert v is not None
    return _Attention(query=q, key=k, value=v, heads=heads, scale=scale, bias=bias, merged=merged)


def _projection(split: Any) -> torch.fx.Node | None:
    """(1, S, H · D), of which this node is the heads apart, (1, H, S, D)."""
    import torch

    swapped = _swaps(split, 1, 2)
    view = swapped and _is(swapped.args[0], torch.ops.aten.view.default)
    source: Any = view and view.args[0]
    return source if source is not None and _shape(source)[:1] == (1,) and len(_shape(source)) == 3 else None


def _calls(module: torch.fx.GraphModule, target: Any) -> list[torch.fx.Node]:
    return list(module.graph.find_nodes(op="call_function", target=target))


def _is(node: Any, target: Any) -> torch.fx.Node | None:
    return node if getattr(node, "target", None) == target else None


def _user(node: torch.fx.Node, target: Any) -> torch.fx.Node | None:
    """The only user of a node, where it is this call."""
    return _is(next(iter(node.users)), target) if len(node.users) == 1 else None


def _swaps(node: Any, first: int, second: int) -> torch.fx.Node | None:
    """A transpose of four dimensions that swaps these two."""
    import torch

    swap = _is(node, torch.ops.aten.transpose.int)
    return swap if swap and {int(str(d)) % 4 for d in swap.args[1:]} == {first, second} else None


def _shape(node: torch.fx.Node) -> tuple[Any, ...]:
    return tuple(node.meta["val"].shape)


def _call(target: Any, *arguments: Any) -> torch.fx.Node:
    """A new call at the graph's point of insertion, with its value in shapes, as quantizers ask for it."""
    import torch

    nodes: list[torch.fx.Node] = []

    def value(node: torch.fx.Node) -> Any:
        nodes.append(node)
        return node.meta["val"]

    values: Any = torch.fx.node.map_arg(arguments, value)
    made: torch.fx.Node = nodes[0].graph.call_function(target, arguments)
    made.meta["val"] = target(*values)
    return made
