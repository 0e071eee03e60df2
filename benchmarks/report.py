"""The benchmarks' output: machine and versions, tables, plots, installed sizes, and the speed of a matrix product."""

from __future__ import annotations

import datetime as dt
import os
import platform
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession
from packaging.requirements import Requirement

from systems import BASELINE, SYSTEMS
from workload import QUERY, passages, products, word_pieces

PACKAGES = (
    "resift", "onnxruntime", "openvino", "torch", "transformers", "sentence-transformers", "tokenizers", "numpy",
    "llama-index-postprocessor-sbert-rerank", "langchain-community", "rerankers", "flashrank", "fastembed",
)  # fmt: skip


def show(line: str) -> None:
    """Print a line and flush."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def environment() -> dict[str, Any]:
    """Return date, machine and versions, which belong beside every figure."""
    return {
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "vector_extensions": sorted(_flags() & {"avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"}),
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpuinfo(key: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor()


def _flags() -> set[str]:
    return set(_cpuinfo("flags").split())


def product_peaks(rows: int = 2048, deep: int = 384, wide: int = 1536, rounds: int = 15) -> dict[str, float]:
    """Return the best GFLOP/s of the matrix product in MiniLM's feed-forward layers, in float32 and int8.

    ONNX Runtime computes it on all cores. int8 means 8-bit activations times 8-bit weights, rounded beforehand. The two
    take turns; the best of all rounds counts.
    """
    rng = np.random.default_rng(0)
    sessions, inputs = {}, {}
    for name, operator, kind, weight, result in (
        ("float32", "MatMul", np.float32, np.float32, TensorProto.FLOAT),
        ("int8", "MatMulInteger", np.uint8, np.int8, TensorProto.INT32),
    ):
        values = numpy_helper.from_array(rng.integers(-127, 127, (deep, wide)).astype(weight), "weight")
        graph_input = helper.make_tensor_value_info(
            "rows", helper.np_dtype_to_tensor_dtype(np.dtype(kind)), [rows, deep]
        )
        graph_output = helper.make_tensor_value_info("product", result, [rows, wide])
        node = helper.make_node(operator, ["rows", "weight"], ["product"])
        graph = helper.make_graph([node], "product", [graph_input], [graph_output], [values])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        sessions[name] = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        inputs[name] = {"rows": rng.integers(0, 127, (rows, deep)).astype(kind)}
    best = dict.fromkeys(sessions, float("inf"))
    for _ in range(rounds):
        for name, session in sessions.items():
            started = time.perf_counter()
            session.run(None, inputs[name])
            best[name] = min(best[name], time.perf_counter() - started)
    return {name: 2 * rows * deep * wide / seconds / 1e9 for name, seconds in best.items()}


def installed_bytes(names: Sequence[str]) -> int:
    """Return the bytes on disk of these distributions and of everything they require."""
    seen: set[str] = set()
    waiting = list(names)
    total = 0
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        total += sum(
            path.stat().st_size for file in distribution.files or () if (path := Path(str(file.locate()))).is_file()
        )
        requirements = [Requirement(line) for line in distribution.requires or ()]
        waiting += [item.name for item in requirements if item.marker is None or item.marker.evaluate({"extra": ""})]
    return total


def print_rows(results: dict[str, Any]) -> None:
    """Print Markdown tables, in the form of docs/performance.md."""
    cells = results["cells"]
    machine = results["environment"]
    show(f"\n{machine['date']}, {machine['processor']}, {machine['cores']} cores, {machine['vector_extensions']}")
    show(", ".join(f"{name} {version}" for name, version in machine["versions"].items()))
    for length, callers in dict.fromkeys((cell["length"], cell["callers"]) for cell in cells):
        own = [cell for cell in cells if (cell["length"], cell["callers"]) == (length, callers)]
        counts = sorted({cell["candidates"] for cell in own})
        who = "one caller" if callers == 1 else f"{callers} callers at once"
        show(f"\n{length} passages, {who}: median ms (times faster than {BASELINE})\n")
        show("| | " + " | ".join(map(str, counts)) + " |\n|---" + "|---" * len(counts) + "|")
        for name in dict.fromkeys(cell["system"] for cell in own):
            row = {cell["candidates"]: cell for cell in own if cell["system"] == name}
            shown = [f"{row[n]['median']:.0f} ({row[n]['ratio']:.1f})" if n in row else "" for n in counts]
            show(f"| {name} | " + " | ".join(shown) + " |")
    _print_starts(results)
    _print_peak(results)
    for name, reason in results["absent"].items():
        show(f"not measured: {name}: {reason}")


def _print_starts(results: dict[str, Any]) -> None:
    show("\n| | first result, s | peak memory, MB | installed, MB |\n|---|---|---|---|")
    for name, start in results["start"].items():
        size = results["installed_bytes"][name] / 1e6
        show(f"| {name} | {start['first_result_seconds']:.2f} | {start['peak_megabytes']:.0f} | {size:.0f} |")


def _print_peak(results: dict[str, Any]) -> None:
    """Print how close each ranking comes to the limit: the time that its products need at peak speed, over its time."""
    tokenizer = word_pieces()
    peaks = results["product_gflops"]
    show(f"\nmatrix product on all cores, GFLOP/s: float32 {peaks['float32']:.0f}, int8 {peaks['int8']:.0f}")
    show("share of that peak, every layer counted for every position:")
    for cell in results["cells"]:
        name = cell["system"]
        # The bundled models are other networks, so their share would mean nothing.
        kind = "int8" if "int8" in name else "float32" if SYSTEMS[name].exact else None
        if kind and cell["callers"] == 1 and cell["candidates"] >= 100:
            texts = passages(cell["candidates"], cell["length"])
            lengths = [len(encoding) for encoding in tokenizer.encode_batch([(QUERY, text) for text in texts])]
            share = 2 * products(lengths) / (peaks[kind] * 1e9) / (cell["median"] / 1000)
            show(f"{name}, {cell['length']}, {cell['candidates']}: {share:.0%} of the {kind} peak")


def plot(results: dict[str, Any], stem: Path) -> None:
    """Draw a bar for each system: median milliseconds for 100 mixed passages (or the nearest number), one caller."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "resift"  # the same figures give the same file
    from matplotlib import pyplot as plt

    cells = [cell for cell in results["cells"] if cell["length"] == "mixed" and cell["callers"] == 1]
    count = min({cell["candidates"] for cell in cells}, key=lambda count: abs(count - 100))
    bars = sorted((cell for cell in cells if cell["candidates"] == count), key=lambda cell: -cell["median"])
    highlighted = [cell["system"].startswith("resift") for cell in bars]
    figure, axes = plt.subplots(figsize=(8, 0.32 * len(bars) + 1))
    drawn_bars = axes.barh(
        [cell["system"] for cell in bars],
        [cell["median"] for cell in bars],
        color=["#1f6feb" if is_resift else "#b8bcc2" for is_resift in highlighted],
    )
    labels = [f"{cell['median']:,.0f} ms   {cell['ratio']:.1f} x" for cell in bars]
    axes.bar_label(drawn_bars, labels, padding=4, fontsize=8)
    for label, is_resift in zip(axes.get_yticklabels(), highlighted, strict=True):
        label.set_fontweight("bold" if is_resift else "normal")
    axes.set_xlim(0, 1.22 * bars[0]["median"])
    title = f"{count} mixed passages, median ms (times as fast as {BASELINE})"
    figure.suptitle(title, x=0.02, ha="left", fontsize=10)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    figure.tight_layout()
    for kind in ("svg", "png"):
        figure.savefig(stem.with_suffix(f".{kind}"), dpi=150, metadata={"Date": None} if kind == "svg" else None)
    plt.close(figure)
