"""An upper bound on the memory that an ONNX model takes, computed from its graph: see decision 0024.

A model without a bound is served too, in an isolated process.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ...schemas.payloads.model_memory import Memory
from .onnx_shapes import ShapeInference
from .onnx_size import NotProved, Size, Sizes, product, sizes_of

_MAX_NODES = 20_000
_MAX_ATTRIBUTE = 2**31  # onnx sums attributes, and must not overflow
_ALIGNMENT = 256  # bytes that alignment may add to each tensor
_ARENA_FACTOR = 2  # ONNX Runtime's arena grows in powers of two
_WEIGHTS, _REST = 3, 8  # bytes in memory for a byte of weights, and for a byte of the rest of the file
_OUT = 40  # bytes of JSON and of copies for each number in an output
_TEXT, _ENTRY = 32, 200  # bytes for a string besides its characters, and for an entry of a map
_CHANNELS = 16  # ONNX Runtime may pad the channels of a convolution to this number

# Bytes for an element, by ONNX type. Half precision takes 6: processors compute it as float32, and both copies exist.
_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 6, 11: 8, 12: 4, 13: 8, 16: 6}
_STRING = 8

# Operators that allocate only their outputs, whose sizes follow from input sizes and constants, and at most as much scratch
# space as their inputs and outputs together. A model with another operator has no bound, and runs in an isolated process.
_ELEMENTWISE = (
    "Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu "
    "Clip Cos Cosh Div Dropout Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN "
    "LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Shrink Sigmoid "
    "Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Tan Tanh ThresholdedRelu Where Xor"
)
_WITHIN_ROWS = (
    "ArgMax ArgMin BatchNormalization CumSum GroupNormalization Hardmax InstanceNormalization LRN LayerNormalization LogSoftmax "
    "LpNormalization RMSNormalization ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd "
    "ReduceSum ReduceSumSquare Softmax TopK Trilu"
)
_MOVING = (
    "Concat Constant ConstantOfShape DepthToSpace Expand Flatten Gather GatherElements GatherND Pad Range Reshape "
    "ScatterElements ScatterND Shape Size Slice SpaceToDepth Split Squeeze Tile Transpose Unsqueeze"
)
_PRODUCTS = "Gemm MatMul MatMulInteger QLinearMatMul DequantizeLinear QuantizeLinear DynamicQuantizeLinear"
_CONVOLUTIONS = {
    "Conv": 1,
    "ConvTranspose": 1,
    "QLinearConv": 3,
    "ConvInteger": 1,
}  # index of the weights among the inputs
_POOLS = "AveragePool GlobalAveragePool GlobalMaxPool LpPool MaxPool"
_CORE = frozenset(" ".join((_ELEMENTWISE, _WITHIN_ROWS, _MOVING, _PRODUCTS, _POOLS)).split()) | _CONVOLUTIONS.keys()
_TREES = "TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor"
_LINEAR = "LinearClassifier LinearRegressor SVMClassifier SVMRegressor"
_FEATURES = "ArrayFeatureExtractor Binarizer Imputer LabelEncoder Normalizer OneHotEncoder Scaler ZipMap"
_LEARNED = frozenset(" ".join((_TREES, _LINEAR, _FEATURES)).split())
_LEARNED_SCRATCH = 4  # times inputs and outputs: scores and flags for each thread
# These pass on elements of their input, each at most once.
_SELECTING = frozenset(
    ["Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Split", "Slice", "Dropout"]
)
# Their output strings are attributes of the node.
_OWN_TEXTS = frozenset(["LabelEncoder", "LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier", "Constant"])


def memory_bound(path: Path) -> Memory:
    """Return the memory bound of an ONNX file. Time and memory are proportional to its size; the native parser may crash."""
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
        return _Proof(model, path.stat().st_size).memory()
    except NotProved as why:
        return Memory(why=str(why))


def _too_large(attribute: Any) -> bool:
    return any(abs(number) >= _MAX_ATTRIBUTE for number in (attribute.i, *attribute.ints))


class _Proof:
    def __init__(self, model: Any, size: int) -> None:
        self._graph = model.graph
        opsets = {"" if each.domain == "ai.onnx" else each.domain: each.version for each in model.opset_import}
        self._shapes = ShapeInference(opsets, model.ir_version)
        self._longest: dict[str, int | None] = {}  # string in a tensor, in bytes; None: from the request
        self._fixed = self._row = self._texts = 0
        self._scratch = Memory()  # of the node that needs most
        self._file = size

    def memory(self) -> Memory:
        """Return the bound. Raises NotProved."""
        graph = self._graph
        if len(graph.node) > _MAX_NODES or graph.sparse_initializer:
            raise NotProved(f"it has sparse weights, or more than {_MAX_NODES} nodes")
        weights = 0
        for tensor in graph.initializer:
            self._shapes.add_constant(tensor.name, tensor)
            self._longest[tensor.name] = max(map(len, tensor.string_data), default=0)
            weights += self._bytes(tensor.name, tensor.data_type, tuple(map(Size, tensor.dims))).times
        filled = {tensor.name for tensor in graph.initializer}
        for given in graph.input:
            if given.name not in filled:
                self._shapes.add_input(given.name, given.type)
                self._longest[given.name] = None
                self._count(given.name)
        for node in graph.node:
            try:
                self._add(node)
            except NotProved as why:
                name = f"{node.op_type[:40]} {node.name[:80]}".strip()
                raise NotProved(f"{name}: {why}") from None
        for output in graph.output:
            self._answer(output.name)
        fixed = self._fixed + self._scratch.fixed
        return Memory(
            weights=_WEIGHTS * weights + _REST * max(0, self._file - weights),
            fixed=_ARENA_FACTOR * fixed,
            row=_ARENA_FACTOR * (self._row + self._scratch.row),
            texts=2 * self._texts,
        )

    def _add(self, node: Any) -> None:
        listed = _CORE if node.domain in ("", "ai.onnx") else _LEARNED if node.domain == "ai.onnx.ml" else ()
        if node.op_type not in listed:
            raise NotProved("its memory is not known")
        if any(each.HasField("g") or each.graphs for each in node.attribute):
            raise NotProved("it has subgraphs")
        if listed is _CORE and node.op_type != "Constant" and any(map(_too_large, node.attribute)):
            raise NotProved("a number among its attributes is too large")
        if node.op_type == "ZipMap" and node.domain:
            self._zip(node)
            return
        self._shapes.add_node(node)
        for name in filter(None, node.output):
            self._longest[name] = self._longest_of(node, name)
            self._count(name)
        self._scratch_of(node)

    def _zip(self, node: Any) -> None:
        """Count the maps of a ZipMap, one for each row. Its output must be an output of the graph."""
        given, name = node.input[0], node.output[0]
        if any(name in each.input for each in self._graph.node) or given not in self._shapes.types:
            raise NotProved("another operator uses its maps")
        longest = max((len(text) for each in node.attribute for text in each.strings), default=0)
        self._take(product(self._sizes(given)), 2 * (_ENTRY + 2 * longest))

    def _longest_of(self, node: Any, name: str) -> int | None:
        """Return the maximum length of the strings in a tensor; None if they come from the request, each at most once."""
        if self._shapes.types[name].tensor_type.elem_type != _STRING:
            return 0
        attributes = {each.name: each for each in node.attribute}
        if node.op_type in _OWN_TEXTS:
            own = [text for each in node.attribute for text in (*each.strings, each.s, *each.t.string_data)]
            return max(map(len, own), default=0) + len("_Unused")  # an encoder's default for unknown keys
        if node.op_type == "Cast" and self._shapes.types[node.input[0]].tensor_type.elem_type != _STRING:
            return 32
        if "value" in attributes or node.op_type in ("Pad", "ConstantOfShape"):
            raise NotProved("it makes strings")
        given = [each for each in node.input if each and self._shapes.types[each].tensor_type.elem_type == _STRING]
        longest = [self._longest[each] for each in given]
        if any(each is None for each in longest):
            if node.op_type in _SELECTING and len(given) == 1:
                return None
            raise NotProved("it may repeat strings")
        return max((each for each in longest if each is not None), default=0)

    def _sizes(self, name: str) -> Sizes:
        return sizes_of(self._shapes.types[name])

    def _bytes(self, name: str, element: int, sizes: Sizes) -> Size:
        """Return the size of a tensor in bytes."""
        if element == _STRING:
            return product(sizes) * Size(_TEXT + (self._longest.get(name) or 0))
        if element not in _BYTES:
            raise NotProved("a tensor has elements of an unknown type")
        return product(sizes) * Size(_BYTES[element])

    def _count(self, name: str) -> None:
        self._take(self._bytes(name, self._shapes.types[name].tensor_type.elem_type, self._sizes(name)))
        self._fixed += _ALIGNMENT
        if self._longest[name] is None and self._shapes.types[name].tensor_type.elem_type == _STRING:
            self._texts += 1

    def _take(self, elements: Size, each: int = 1) -> None:
        if elements.by_row:
            self._row += elements.times * each
        else:
            self._fixed += elements.times * each

    def _answer(self, name: str) -> None:
        """Count the copies of an output, and its JSON."""
        if name not in self._shapes.types:
            if any(name in node.output and node.op_type == "ZipMap" for node in self._graph.node):
                return
            raise NotProved(f"no operator computes the output {name[:80]!r}")
        self._take(product(self._sizes(name)), _OUT + 4 * (self._longest.get(name) or 0))
        if self._longest.get(name) is None:
            self._texts += 2

    def _scratch_of(self, node: Any) -> None:
        """Raise the scratch space to that of this node, if it needs more. Nodes run one at a time."""
        fixed = row = 0
        for name in filter(None, (*node.input, *node.output)):
            size = self._bytes(name, self._shapes.types[name].tensor_type.elem_type, self._sizes(name))
            fixed, row = (fixed, row + size.times) if size.by_row else (fixed + size.times, row)
        if node.domain == "ai.onnx.ml":
            fixed, row = _LEARNED_SCRATCH * fixed, _LEARNED_SCRATCH * row
        if node.op_type in _CONVOLUTIONS:
            more, row = self._unrolled(node), _CHANNELS * row
            fixed += more
        before = self._scratch
        self._scratch = Memory(fixed=max(before.fixed, fixed), row=max(before.row, row))

    def _unrolled(self, node: Any) -> int:
        """Return the bytes for a convolution to unroll one image of the batch: a value for each weight at each position."""
        place = _CONVOLUTIONS[node.op_type]
        given, weights, out = (self._sizes(name) for name in (node.input[0], node.input[place], node.output[0]))
        if len(weights) < 3 or any(size.by_row for size in (*weights, *given[1:], *out[1:])):
            raise NotProved("the size of its weights or images depends on the rows")
        places = max(math.prod(size.times for size in sizes[2:]) for sizes in (given, out))
        kernel = math.prod(size.times for size in weights[1:])
        wide = max(kernel, math.prod(size.times for size in (weights[0], *weights[2:])))
        return 8 * wide * places
