"""Reads NAME.onnx and NAME.safetensors (images, logits) of a folder; prints one line of JSON: versions, and for each NAME the errors of its readers."""

import importlib.metadata
import json
import pathlib
import sys

import numpy
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator
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
    rows[path.stem] = {"onnxruntime": error(by_runtime, given["logits"]), "reference": error(by_reference, given["logits"])}
versions = {name: importlib.metadata.version(name) for name in ["onnx", "onnxruntime"]}
print(json.dumps({"versions": versions, "rows": rows}))
