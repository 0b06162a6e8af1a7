"""ONNX graphs whose memory depends on values, or grows faster than their rows; each with a pattern of the reason."""

import numpy as np
from onnx import helper

from .graphs import BOOL, COLUMN, FLOAT, INT64, PICTURES, SIZE_OF_X, STRING, TEXTS, TOKENS, body, model, node, value

AMPLIFYING = {
    "Expand by values": (
        model(
            node("Cast", "x", "s", to=INT64),
            node("Reshape", "s flat", "f"),
            node("Expand", "one f"),
            flat=np.array([-1]),
            one=np.ones(1, np.float32),
        ),
        "Expand.*values",
    ),
    "Tile by values": (
        model(
            node("Reshape", "x flat", "f"),
            node("Tile", "one f"),
            inputs=TOKENS,
            flat=np.array([-1]),
            one=np.ones((1,) * 7, np.float32),
        ),
        "Tile.*values",
    ),
    "ConstantOfShape": (
        model(node("Reshape", "x flat", "f"), node("ConstantOfShape", "f"), inputs=TOKENS, flat=np.array([-1])),
        "ConstantOfShape.*values",
    ),
    "Range": (
        model(
            node("ReduceMax", "x", "m", keepdims=0),
            node("Range", "zero m one"),
            inputs=TOKENS,
            out=INT64,
            zero=np.array(0),
            one=np.array(1),
        ),
        "Range",
    ),
    "Range of floats": (
        model(
            node("ReduceMax", "x", "m", keepdims=0),
            node("Range", "zero m one"),
            zero=np.array(0, np.float32),
            one=np.array(1, np.float32),
        ),
        "Range",
    ),
    "Pad by values": (
        model(
            node("Reshape", "x flat", "f"),
            node("Pad", "w f"),
            inputs=(value("x", INT64, ["N", 2]),),
            flat=np.array([-1]),
            w=np.ones(1, np.float32),
        ),
        "Pad",
    ),
    "Resize by values": (
        model(
            node("Reshape", "s flat", "f"),
            node("Resize", "x f"),
            inputs=(*PICTURES, value("s", FLOAT)),
            flat=np.array([-1]),
        ),
        "Resize",
    ),
    "OneHot of a depth that is given": (
        model(
            node("ReduceMax", "x", "m", keepdims=0),
            node("OneHot", "x m values"),
            inputs=TOKENS,
            values=np.array([0, 1], np.float32),
        ),
        "OneHot",
    ),
    "rows against rows": (
        model(node("Transpose", "x", "t"), node("Add", "x t"), inputs=(value("x", FLOAT, ["N", 1]),)),
        "Add.*square",
    ),
    "outer product": (model(node("Transpose", "x", "t"), node("MatMul", "x t")), "MatMul.*square"),
    "rows of a Reshape against rows": (
        model(
            node("Reshape", "x flat", "f"),
            node("Add", "x f"),
            inputs=(value("x", FLOAT, ["N", 1]),),
            flat=np.array([1, -1]),
        ),
        "Add.*square",
    ),
    "Expand to rows of rows": (
        model(
            *SIZE_OF_X,
            node("Concat", "n n", "t", axis=0),
            node("Expand", "w t"),
            zero=np.array([0]),
            w=np.ones((1, 1), np.float32),
        ),
        "square",
    ),
    "rows times rows": (
        model(*SIZE_OF_X, node("Mul", "n n", "t"), node("ConstantOfShape", "t"), zero=np.array([0])),
        "values",
    ),
    "a constant less the rows": (
        model(
            *SIZE_OF_X,
            node("Sub", "many n", "t"),
            node("ConstantOfShape", "t"),
            zero=np.array([0]),
            many=np.array([10**9]),
        ),
        "values",
    ),
    "a constant divided by the rows": (
        model(
            *SIZE_OF_X,
            node("Div", "many n", "t"),
            node("ConstantOfShape", "t"),
            zero=np.array([0]),
            many=np.array([10**9]),
        ),
        "values",
    ),
    "Einsum": (model(node("Einsum", "x x", equation="ab,cd->abcd")), "Einsum"),
    "If": (
        model(
            node(
                "If",
                "c",
                then_branch=body(node("Identity", "x", "inner")),
                else_branch=body(node("Identity", "x", "inner")),
            ),
            c=np.array(True),
        ),
        "If",
    ),
    "Loop": (
        model(
            node("ReduceMax", "x", "m", keepdims=0),
            node(
                "Loop",
                "m c",
                body=body(
                    node("Identity", "c", "inner"), kind=BOOL, inputs=(value("i", INT64, []), value("c", BOOL, []))
                ),
            ),
            inputs=TOKENS,
            c=np.array(True),
        ),
        "Loop",
    ),
    "Scan": (
        model(
            node(
                "Scan",
                "x",
                num_scan_inputs=1,
                body=body(node("Identity", "r", "inner"), inputs=(value("r", FLOAT, [4]),)),
            )
        ),
        "Scan",
    ),
    "function": (
        model(
            node("F", "x", domain="mine"),
            functions=[
                helper.make_function(
                    "mine",
                    "F",
                    ["x"],
                    ["y"],
                    [node("Einsum", "x x", equation="ab,cd->abcd")],
                    [helper.make_opsetid("", 18)],
                )
            ],
        ),
        "F",
    ),
    "sequence": (
        model(node("SequenceConstruct", "x x", "q"), node("ConcatFromSequence", "q", axis=0)),
        "SequenceConstruct",
    ),
    "NonZero": (model(node("NonZero", "x"), out=INT64), "NonZero"),
    "texts joined": (model(node("StringConcat", "x x"), inputs=TEXTS, out=STRING), "StringConcat"),
    "texts repeated": (model(node("Tile", "x w"), inputs=TEXTS, out=STRING, w=np.array([1, 1000])), "repeat strings"),
    "a text for all": (
        model(node("Gather", "x w"), inputs=TEXTS, out=STRING, w=np.zeros(1000, np.int64)),
        "repeat strings",
    ),
    "free dimension": (model(node("Relu", "x"), inputs=(value("x", FLOAT, ["N", "M"]),)), "free dimension"),
    "free dimension of the same name": (
        model(node("Relu", "x"), inputs=(value("x", FLOAT, ["N", "N"]),)),
        "free dimension",
    ),
    "declared sizes are wrong": (
        model(
            node("ReduceMax", "x", "m", keepdims=0),
            node("Range", "zero m one", "r"),
            node("Cast", "r", to=FLOAT),
            inputs=TOKENS,
            declared=(value("r", INT64, [4]), value("m", INT64, [])),
            zero=np.array(0),
            one=np.array(1),
        ),
        "Range",
    ),
    "a dimension named like our own": (
        model(node("Relu", "x"), inputs=(value("x", FLOAT, ["N", "1 rows"]),)),
        "free dimension",
    ),
    "sizes that overflow": (
        model(
            *SIZE_OF_X,
            node("Mul", "n many", "t"),
            node("ConstantOfShape", "t"),
            zero=np.array([0]),
            many=np.array([2**62]),
        ),
        "values",
    ),
    "pads that overflow": (
        model(node("Pad", "x pads"), pads=np.array([0, 2**63 - 1, 0, 2**63 - 1])),
        "too large",
    ),
    "strides that overflow": (
        model(
            node("ConvTranspose", "x w", strides=[2**62, 2**62]), inputs=PICTURES, w=np.ones((3, 8, 3, 3), np.float32)
        ),
        "too large",
    ),
    "an operator of ONNX Runtime's": (
        model(helper.make_node("FusedMatMul", ["x", "w"], ["y"], domain="com.microsoft"), w=COLUMN),
        "FusedMatMul",
    ),
}
