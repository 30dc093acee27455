"""Reads NAME.onnx and NAME.safetensors (images, logits) of a folder; prints one line of JSON: versions, and for each NAME the errors of its readers."""

import importlib.metadata
import json
import pathlib
import sys

import numpy
import onnx
import onnxruntime
import torch
from onnx import version_converter
from onnx.reference import ReferenceEvaluator
from onnx2torch import convert
from safetensors.numpy import load_file


def error(found, expected):
    """The largest difference, of the largest number that was expected."""
    return float(numpy.abs(found - expected).max() / numpy.abs(expected).max())


folder = pathlib.Path(sys.argv[1])
rows = {}
for path in sorted(folder.glob("*.onnx")):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    given = load_file(path.with_suffix(".safetensors"))
    inputs = {"images": given["images"]}
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    [by_runtime] = session.run(["logits"], inputs)
    [by_reference] = ReferenceEvaluator(model).run(["logits"], inputs)
    # onnx2torch knows operators up to opset 17.
    with torch.no_grad():
        by_torch = convert(version_converter.convert_version(model, 17)).eval()(torch.from_numpy(given["images"])).numpy()
    found = {"onnxruntime": by_runtime, "reference": by_reference, "torch": by_torch}
    rows[path.stem] = {reader: error(logits, given["logits"]) for reader, logits in found.items()}
versions = {name: importlib.metadata.version(name) for name in ["onnx", "onnxruntime", "onnx2torch", "torch"]}
print(json.dumps({"versions": versions, "rows": rows}))
