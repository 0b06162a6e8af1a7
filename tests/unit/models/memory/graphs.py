"""Helpers for small ONNX graphs, and graphs whose memory has a bound."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64, BOOL, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL, TensorProto.STRING
MIB = 2**20


def node(kind, inputs, outputs="y", domain="", **attributes):
    return helper.make_node(kind, inputs.split(), outputs.split(), domain=domain, **attributes)


def value(name, kind=FLOAT, shape=("N", 4)):
    return helper.make_tensor_value_info(name, kind, shape)


X = (value("x"),)


def model(*nodes, inputs=X, out=FLOAT, declared=(), functions=(), **constants):
    """Return a model whose output is y; its declared shape is as small as possible."""
    initializers = [numpy_helper.from_array(np.asarray(each), name) for name, each in constants.items()]
    graph = helper.make_graph(list(nodes), "g", list(inputs), [value("y", out, ["N"])], initializers)
    graph.value_info.extend(declared)
    opsets = [helper.make_opsetid(*each) for each in (("", 18), ("ai.onnx.ml", 3), ("mine", 1))]
    return helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=10)


def body(*nodes, out="inner", kind=FLOAT, inputs=()):
    return helper.make_graph(list(nodes), "b", list(inputs), [value(out, kind, None)])


COLUMN, ROW = np.ones((4, 1), np.float32), np.array([1, -1])
TEXTS = (value("x", STRING),)
KERNEL = np.ones((8, 3, 3, 3), np.float32)
PICTURES = (value("x", FLOAT, ["N", 3, 16, 16]),)
TOKENS = (value("x", INT64, ["N", 7]),)
SIZE_OF_X = (node("Shape", "x", "s"), node("Gather", "s zero", "n"))


BOUNDED = {
    "elementwise": model(node("Relu", "x")),
    "product": model(node("MatMul", "x w"), w=COLUMN),
    "flat": model(node("Reshape", "x flat"), flat=np.array([-1])),
    "halved": model(node("Reshape", "x w"), w=np.array([-1, 2])),
    "rows of its own": model(
        *SIZE_OF_X, node("Concat", "n one", "t", axis=0), node("Reshape", "x t"), zero=np.array([0]), one=np.array([4])
    ),
    "rows times four": model(
        *SIZE_OF_X, node("Mul", "n four", "t"), node("ConstantOfShape", "t"), zero=np.array([0]), four=np.array([4])
    ),
    "a class token": model(
        *SIZE_OF_X,
        node("Concat", "n one", "t", axis=0),
        node("Expand", "w t"),
        zero=np.array([0]),
        one=np.array([8]),
        w=np.ones((1, 8), np.float32),
    ),
    "repeated a few times": model(node("Tile", "x w"), w=np.array([1, 3])),
    "wider by broadcasting": model(
        node("Unsqueeze", "x axis", "u"), node("Add", "u w"), axis=np.array([2]), w=np.ones((1, 1, 9), np.float32)
    ),
    "convolution": model(node("Conv", "x w", "c"), node("GlobalAveragePool", "c"), inputs=PICTURES, w=KERNEL),
    "transposed convolution": model(
        node("ConvTranspose", "x w", strides=[2, 2]), inputs=PICTURES, w=np.ones((3, 8, 3, 3), np.float32)
    ),
    "pool": model(node("MaxPool", "x", kernel_shape=[2, 2], strides=[2, 2]), inputs=PICTURES),
    "embedding": model(node("Gather", "w x"), inputs=TOKENS, w=np.ones((100, 16), np.float32)),
    "best ones": model(node("TopK", "x k", "y places"), k=np.array([2])),
    "range of constants": model(
        node("Range", "a b c", "r"),
        node("Cast", "r", "f", to=FLOAT),
        node("Add", "x f"),
        a=np.array(0),
        b=np.array(4),
        c=np.array(1),
    ),
    "slices": model(node("Slice", "x a b c"), a=np.array([1]), b=np.array([2**63 - 1]), c=np.array([1])),
    "a fixed number of rows": model(node("Relu", "x"), inputs=(value("x", FLOAT, [8, 4]),)),
    "texts to numbers": model(
        node("LabelEncoder", "x", domain="ai.onnx.ml", keys_strings=["a", "b"], values_int64s=[1, 2]),
        inputs=TEXTS,
        out=INT64,
    ),
    "numbers to texts": model(
        node("LabelEncoder", "x", domain="ai.onnx.ml", keys_int64s=[1], values_strings=["a" * 50]),
        inputs=TOKENS,
        out=STRING,
    ),
    "texts handed on": model(node("Identity", "x"), inputs=TEXTS, out=STRING),
}
