"""Rewrites of a captured student (aten operations) that keep its function and suit a phone's kernels.

Each takes the graph of `torch.export.export(...).module()`, changes what has the pattern's shape, leaves
all else alone and returns how often it changed something.

Legend: B batch, S sequence, H heads, D head size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def heads_apart(module: torch.fx.GraphModule) -> int:
    """Attention one head at a time, so that a head's scores (S, S) stay in a core's cache.

    softmax(q kᵀ + bias) v over (B, H, S, D) becomes H times the same over columns of the projections
    (B, S, H · D), put side by side again. The bias, (1, 1, 1, S), rides in the product: q gets a column of
    ones and kᵀ the bias as a row, which saves a pass over the scores.
    """
    import torch

    aten = torch.ops.aten
    found = 0
    for softmax in module.graph.find_nodes(op="call_function", target=aten.softmax.int):
        pattern = _attention(softmax)
        if pattern is None:
            continue
        q, k, v, heads, bias, scale, merged = pattern
        with module.graph.inserting_before(merged):
            call = _Calls(module.graph)
            row = call(aten.reshape.default, bias, [1, 1, -1])
            ones = call(aten.add.Scalar, call(aten.mul.Scalar, call(aten.permute.default, row, [0, 2, 1]), 0.0), 1.0)
            if scale is not None:
                q = call(aten.mul.Tensor, q, scale)
            width = merged.meta["val"].shape[-1] // heads
            mixed = []
            for head in range(heads):
                part = (2, head * width, (head + 1) * width)
                q_BSD, k_BSD, v_BSD = (call(aten.slice.Tensor, t, *part) for t in (q, k, v))
                q_BSD = call(aten.cat.default, [q_BSD, ones], 2)
                k_BDS = call(aten.cat.default, [call(aten.permute.default, k_BSD, [0, 2, 1]), row], 1)
                scores = call(aten.bmm.default, q_BSD, k_BDS)
                weights = call(aten.softmax.int, scores, -1)
                mixed.append(call(aten.bmm.default, weights, v_BSD))
            joined = call(aten.cat.default, mixed, 2) if heads > 1 else mixed[0]
            joined.meta = dict(merged.meta)
        merged.replace_all_uses_with(joined)
        found += 1
    _tidy(module)
    return found


class _Calls:
    def __init__(self, graph: torch.fx.Graph) -> None:
        self.graph = graph

    def __call__(self, target: Any, *arguments: Any) -> torch.fx.Node:
        import torch

        node = self.graph.call_function(target, arguments)
        values = torch.fx.node.map_arg(arguments, lambda n: n.meta["val"])
        node.meta["val"] = target(*values)
        return node


def _tidy(module: torch.fx.GraphModule) -> None:
    module.graph.eliminate_dead_code()
    module.graph.lint()
    module.recompile()


def _only(node: torch.fx.Node, *targets: Any) -> torch.fx.Node | None:
    """The single user of a node when it is one of these calls."""
    users = list(node.users)
    return users[0] if len(users) == 1 and users[0].target in targets else None


def _attention(softmax: torch.fx.Node) -> tuple[Any, ...] | None:
    import torch

    aten = torch.ops.aten
    biased = softmax.args[0]
    if biased.target != aten.add.Tensor:
        return None
    product, bias = biased.args[:2]
    if product.target != aten.matmul.default or len(bias.meta["val"].shape) != 4 or tuple(bias.meta["val"].shape[:3]) != (1, 1, 1):
        return None
    q, turned = product.args
    scale = None
    if q.target == aten.mul.Tensor and isinstance(q.args[1], float):
        q, scale = q.args
    if turned.target != aten.transpose.int or {a % 4 for a in turned.args[1:]} != {2, 3}:
        return None
    after = softmax
    dropped = _only(after, aten.dropout.default)
    after = dropped or after
    mix = _only(after, aten.matmul.default)
    if mix is None or mix.args[0] is not after:
        return None
    back = _only(mix, aten.transpose.int)
    merged = back and _only(back, aten.reshape.default)
    if not merged or {a % 4 for a in back.args[1:]} != {1, 2} or len(merged.meta["val"].shape) != 3:
        return None
    sources = [_projection(t) for t in (q, turned.args[0], mix.args[1])]
    if None in sources:
        return None
    heads = mix.meta["val"].shape[1]
    return (*sources, heads, bias, scale, merged)


def _projection(split: torch.fx.Node) -> torch.fx.Node | None:
    """(B, S, H · D), of which a node is the heads apart, (B, H, S, D)."""
    import torch

    aten = torch.ops.aten
    if split.target != aten.transpose.int or {a % 4 for a in split.args[1:]} != {1, 2}:
        return None
    view = split.args[0]
    if view.target != aten.view.default or len(view.args[0].meta["val"].shape) != 3:
        return None
    return view.args[0]
