"""XNNPACK's partitioner, with slices of a program whose length is open.

The stock partitioner leaves a slice outside the delegate as soon as any dimension is open, although
XNNPACK itself takes a size of 0 for "all of this dimension", and the runtime hands sizes on as they are.
"""

from __future__ import annotations

import functools
from typing import Any


def partitioner() -> Any:
    """XnnpackPartitioner that also takes slices of a closed dimension beside an open one."""
    from executorch.backends.xnnpack.operators.node_visitor import register_node_visitor
    from executorch.backends.xnnpack.partition.config import ALL_PARTITIONER_CONFIGS
    from executorch.backends.xnnpack.partition.config.generic_node_configs import SliceCopyConfig
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    config, visitor = _slices()
    register_node_visitor(visitor)
    return XnnpackPartitioner(
        configs=[config if stock is SliceCopyConfig else stock for stock in ALL_PARTITIONER_CONFIGS]
    )


@functools.cache
def _slices() -> tuple[Any, Any]:
    from executorch.backends.xnnpack.operators import node_visitor
    from executorch.backends.xnnpack.partition.config.generic_node_configs import SliceCopyConfig

    stock: Any = node_visitor._node_visitor_dict["aten.slice_copy.Tensor"]

    class Slices(SliceCopyConfig):  # type: ignore[misc]
        def check_constraints(self, node: Any, ep: Any) -> bool:
            if not _is_open(node):
                return bool(super().check_constraints(node, ep))
            step = node.args[4] if len(node.args) > 4 else 1
            return bool(self.check_common_constraints(node, ep)) and step == 1 and _is_closed_along(node)

    class Visitor(stock):  # type: ignore[misc]
        def define_node(self, node: Any, xnn_graph: Any, vals_to_ids: Any, debug_handle: int) -> None:
            super().define_node(node, xnn_graph, vals_to_ids, debug_handle)
            if _is_open(node):
                made, along = xnn_graph.xnodes[-1].xnode_union, _along(node)
                made.sizes = [size if dim == along else 0 for dim, size in enumerate(made.sizes)]

    return Slices, Visitor


def _along(node: Any) -> int:
    return int(node.args[1]) % len(node.meta["val"].shape)


def _is_open(node: Any) -> bool:
    return not all(isinstance(size, int) for size in node.args[0].meta["val"].shape)


def _is_closed_along(node: Any) -> bool:
    before, after = (n.meta["val"].shape[_along(node)] for n in (node.args[0], node))
    return isinstance(before, int) and isinstance(after, int) and after > 0
