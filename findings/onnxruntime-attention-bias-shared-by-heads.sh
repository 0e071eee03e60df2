#!/usr/bin/env bash
# ONNX Runtime's com.microsoft MultiHeadAttention on the CPU takes an `attention_bias` that the heads share, of shape
# (batch, 1, tokens, tokens), rightly for the first row of a batch only: the other rows are computed with another row's
# bias. Models with a padding mask in that form score texts of a batch wrongly, unless all have the same length. The same
# bias repeated for each head, (batch, heads, tokens, tokens), is right.
#
# Good guess: both forms are in the operator's specification, so both give the same numbers.
# Seen with: onnxruntime 1.21.0 (wrong) and 1.21.1 (right), onnx 1.17.0, numpy 2.2.6, Python 3.11, Linux, CPU provider.
# Upstream: microsoft/onnxruntime#24017.
# Output seen:
#   1.21.0: largest difference in row 0: 0.00, in row 1: 1.16
#   1.21.1: largest difference in row 0: 0.00, in row 1: 0.00
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/run.py" <<'PYTHON'
import sys

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

BATCH, HEADS, TOKENS, SIZE = 2, 2, 4, 8
width = HEADS * SIZE


def attend(bias: np.ndarray) -> np.ndarray:
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, TOKENS, width]) for name in "qkv"]
    inputs.append(helper.make_tensor_value_info("bias", TensorProto.FLOAT, list(bias.shape)))
    node = helper.make_node(
        "MultiHeadAttention", ["q", "k", "v", "", "", "bias"], ["out"], num_heads=HEADS, domain="com.microsoft"
    )
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, [BATCH, TOKENS, width])
    graph = helper.make_graph([node], "attention", inputs, [output])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(7)
    feeds = {name: random.normal(size=(BATCH, TOKENS, width)).astype(np.float32) for name in "qkv"}
    return session.run(None, {**feeds, "bias": bias})[0]


shared = np.zeros((BATCH, 1, TOKENS, TOKENS), np.float32)
shared[0, :, :, 2:] = -10_000.0  # the first row has two tokens, the second all four
repeated = np.repeat(shared, HEADS, axis=1)
first, second = np.abs(attend(shared) - attend(repeated)).max(axis=(1, 2))
print(f"{onnxruntime.__version__}: largest difference in row 0: {first:.2f}, in row 1: {second:.2f}")
wrong = sys.argv[1] == "wrong"
assert first < 1e-5 and (second > 0.1) == wrong
PYTHON
python3 -m venv "$work/venv"
for case in "1.21.0 wrong" "1.21.1 right"; do
    "$work/venv/bin/pip" install -q "onnxruntime==${case% *}" onnx==1.17.0 numpy==2.2.6
    "$work/venv/bin/python" "$work/run.py" "${case#* }"
done
