"""What the benchmarks print and draw: machine and versions, tables, plots, sizes, the matrix product's peak."""

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
    """A line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def environment() -> dict[str, Any]:
    """Date, machine and versions: no figure without them."""
    return {
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "vector_extensions": sorted(_flags() & {"avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"}),
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
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
    """GFLOP/s (8-bit: as many operations) of the product that a MiniLM's feed-forward makes, on all cores, in ONNX
    Runtime: float32, and 8-bit activations times 8-bit weights, already rounded. The best of some rounds, by turns.
    """
    chance = np.random.default_rng(0)
    sessions, inputs = {}, {}
    for name, operator, kind, weight, result in (
        ("float32", "MatMul", np.float32, np.float32, TensorProto.FLOAT),
        ("int8", "MatMulInteger", np.uint8, np.int8, TensorProto.INT32),
    ):
        values = numpy_helper.from_array(chance.integers(-127, 127, (deep, wide)).astype(weight), "weight")
        taken = helper.make_tensor_value_info("rows", helper.np_dtype_to_tensor_dtype(np.dtype(kind)), [rows, deep])
        given = helper.make_tensor_value_info("product", result, [rows, wide])
        node = helper.make_node(operator, ["rows", "weight"], ["product"])
        graph = helper.make_graph([node], "product", [taken], [given], [values])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        sessions[name] = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        inputs[name] = {"rows": chance.integers(0, 127, (rows, deep)).astype(kind)}
    best = dict.fromkeys(sessions, float("inf"))
    for _ in range(rounds):
        for name, session in sessions.items():
            started = time.perf_counter()
            session.run(None, inputs[name])
            best[name] = min(best[name], time.perf_counter() - started)
    return {name: 2 * rows * deep * wide / seconds / 1e9 for name, seconds in best.items()}


def installed_bytes(names: Sequence[str]) -> int:
    """Bytes of these distributions and of everything they require, files as installed."""
    seen: set[str] = set()
    waiting = list(names)
    total = 0
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        total += sum(path.stat().st_size for file in found.files or () if (path := Path(str(file.locate()))).is_file())
        wanted = [Requirement(line) for line in found.requires or ()]
        waiting += [one.name for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    return total


def print_rows(results: dict[str, Any]) -> None:
    """Markdown tables, as docs/performance.md wants them."""
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
            shown = [f"{row[one]['median']:.0f} ({row[one]['ratio']:.1f})" if one in row else "" for one in counts]
            show(f"| {name} | " + " | ".join(shown) + " |")
    _print_starts(results)
    _print_peak(results)
    for name, reason in results["absent"].items():
        show(f"not measured: {name}: {reason}")


def _print_starts(results: dict[str, Any]) -> None:
    show("\n| | first result, s | peak memory, MB | installed, MB |\n|---|---|---|---|")
    for name, one in results["start"].items():
        size = results["installed_bytes"][name] / 1e6
        show(f"| {name} | {one['first_result_seconds']:.2f} | {one['peak_megabytes']:.0f} | {size:.0f} |")


def _print_peak(results: dict[str, Any]) -> None:
    """How near the arithmetic's limit a ranking comes: multiply-adds needed over the product's peak, over the time."""
    tokenizer = word_pieces()
    peaks = results["product_gflops"]
    show(f"\nmatrix product on all cores, GFLOP/s: float32 {peaks['float32']:.0f}, int8 {peaks['int8']:.0f}")
    show("share of that peak, every layer counted for every position:")
    for cell in results["cells"]:
        name = cell["system"]
        kind = "int8" if "int8" in name else "float32" if SYSTEMS[name].exact else None  # bundled: another network
        if kind and cell["callers"] == 1 and cell["candidates"] >= 100:
            texts = passages(cell["candidates"], cell["length"])
            lengths = [len(one) for one in tokenizer.encode_batch([(QUERY, text) for text in texts])]
            share = 2 * products(lengths) / (peaks[kind] * 1e9) / (cell["median"] / 1000)
            show(f"{name}, {cell['length']}, {cell['candidates']}: {share:.0%} of the {kind} peak")


def plot(results: dict[str, Any], stem: Path) -> None:
    """A bar for each system: median milliseconds for 100 mixed passages (or the most there were), one caller."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "resift"  # the same figure gives the same file
    from matplotlib import pyplot as plt

    cells = [cell for cell in results["cells"] if cell["length"] == "mixed" and cell["callers"] == 1]
    count = min({cell["candidates"] for cell in cells}, key=lambda count: abs(count - 100))
    bars = sorted((cell for cell in cells if cell["candidates"] == count), key=lambda cell: -cell["median"])
    ours = [cell["system"].startswith("resift") for cell in bars]
    figure, axes = plt.subplots(figsize=(8, 0.32 * len(bars) + 1))
    drawn = axes.barh(
        [cell["system"] for cell in bars],
        [cell["median"] for cell in bars],
        color=["#1f6feb" if mine else "#b8bcc2" for mine in ours],
    )
    labels = [f"{cell['median']:,.0f} ms   {cell['ratio']:.1f} x" for cell in bars]
    axes.bar_label(drawn, labels, padding=4, fontsize=8)
    for label, mine in zip(axes.get_yticklabels(), ours, strict=True):
        label.set_fontweight("bold" if mine else "normal")
    axes.set_xlim(0, 1.22 * bars[0]["median"])
    title = f"{count} mixed passages, median ms (times as fast as {BASELINE})"
    figure.suptitle(title, x=0.02, ha="left", fontsize=10)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    figure.tight_layout()
    for kind in ("svg", "png"):
        figure.savefig(stem.with_suffix(f".{kind}"), dpi=150, metadata={"Date": None} if kind == "svg" else None)
    plt.close(figure)
