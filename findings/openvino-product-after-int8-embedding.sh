#!/usr/bin/env bash
# OpenVINO 2026.2.0 computes garbage where an embedding table is stored in 8 bits (rows and their scales looked up, cast, then
# multiplied) and a product with constant weights follows. The rows that were looked up are right, and the product of the
# same rows from a float32 table is right; 2026.3.0 is right in both. The numbers are NaN or of a plausible size;
# there is no error and no warning. Weight-only int8 transformers have this form.
#
# Good guess: what gives the right rows also multiplies the right rows.
# Seen with: openvino 2026.2.0 (wrong) and 2026.3.0 (right), onnx 1.19.1, numpy 2.2.6, Python 3.11, Linux, x86-64 with AVX2.
# Output seen:
#   2026.2.0: of 1344 numbers wrong: rows 0, their product 551
#   2026.3.0: of 1344 numbers wrong: rows 0, their product 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/run.py" <<'PYTHON'
import sys

import numpy as np
import openvino
from onnx import TensorProto, helper, numpy_helper

WIDTH, WORDS = 64, 100
random = np.random.default_rng(7)
table = random.integers(-127, 128, (WORDS, WIDTH)).astype(np.int8)
scales = random.uniform(0.0005, 0.001, (WORDS, 1)).astype(np.float32)
weights = random.normal(scale=0.1, size=(WIDTH, WIDTH)).astype(np.float32)
ids = random.integers(0, WORDS, (3, 7))


def compute(int8_table: bool, output: str) -> np.ndarray:
    """Look rows up; normalise them and multiply them with the weights, if the output asked for is the product."""
    values = {"gain": np.ones(WIDTH, np.float32), "shift": np.zeros(WIDTH, np.float32), "weights": weights}
    values |= {"table": table, "scales": scales} if int8_table else {"table": table * scales}
    lookup = "rows" if int8_table else "embedded"
    nodes = [helper.make_node("Gather", ["table", "ids"], [lookup], axis=0)]
    if int8_table:
        nodes += [
            helper.make_node("Cast", ["rows"], ["whole"], to=TensorProto.FLOAT),
            helper.make_node("Gather", ["scales", "ids"], ["of_rows"], axis=0),
            helper.make_node("Mul", ["whole", "of_rows"], ["embedded"]),
        ]
    if output == "product":
        nodes += [
            helper.make_node("LayerNormalization", ["embedded", "gain", "shift"], ["normal"], axis=-1),
            helper.make_node("MatMul", ["normal", "weights"], ["product"]),
        ]
    graph = helper.make_graph(
        nodes,
        "embed_and_multiply",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["texts", "tokens"])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["texts", "tokens", WIDTH])],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    core = openvino.Core()
    return core.compile_model(core.read_model(model.SerializeToString()), "CPU")({"ids": ids})[0]


def count_wrong(output: str) -> int:
    """Return how many numbers differ from those of the float32 table, or are NaN."""
    near = np.abs(compute(True, output) - compute(False, output)) < 0.05
    return int(near.size - near.sum())


of_rows, of_product = count_wrong("embedded"), count_wrong("product")
print(f"{openvino.__version__[:8]}: of {ids.size * WIDTH} numbers wrong: rows {of_rows}, their product {of_product}")
assert of_rows == 0 and (of_product > 100 if sys.argv[1] == "wrong" else of_product == 0)
PYTHON
python3 -m venv "$work/venv"
for case in "2026.2.0 wrong" "2026.3.0 right"; do
    "$work/venv/bin/pip" install -q "openvino==${case% *}" onnx==1.19.1 numpy==2.2.6
    "$work/venv/bin/python" "$work/run.py" "${case#* }"
done
