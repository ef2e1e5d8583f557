"""Slices of any length inside the XNNPACK delegate."""

from __future__ import annotations

from typing import Any


def dynamic_slices() -> Any:
    import torch
    from executorch.backends.xnnpack.operators.node_visitor import register_node_visitor
    from executorch.backends.xnnpack.operators import node_visitor
    SliceCopyVisitor = node_visitor._node_visitor_dict["aten.slice_copy.Tensor"]
    from executorch.backends.xnnpack.partition.config import generic_node_configs as G

    class AnyLengthSlices(SliceCopyVisitor):
        target = "aten.slice_copy.Tensor"

        def define_node(self, node, xnn_graph, vals_to_ids, debug_handle):
            super().define_node(node, xnn_graph, vals_to_ids, debug_handle)
            made = xnn_graph.xnodes[-1].xnode_union
            dim = node.args[1] % len(made.sizes)
            made.sizes = [size if d == dim else 0 for d, size in enumerate(made.sizes)]

    register_node_visitor(AnyLengthSlices)

    class SliceConfig(G.SliceCopyConfig):
        def check_constraints(self, node, ep):
            if not self.check_common_constraints(node, ep):
                return False
            if len(node.args) > 4 and node.args[4] != 1:
                return False
            a, b = node.args[0].meta["val"].shape, node.meta["val"].shape
            dim = node.args[1] % len(a)
            return isinstance(a[dim], int) and isinstance(b[dim], int) and b[dim] > 0

    return SliceConfig
