"""Reads NAME.inputs.safetensors of a folder and writes NAME.torch32.safetensors and NAME.torch64.safetensors."""

import json
import pathlib
import sys

import torch
from safetensors import safe_open
from safetensors.torch import save_file

import networks_torch as networks


def derivatives(case, tensors, dtype):
    tensors = {name: tensor.to(dtype) for name, tensor in tensors.items()}

    def part(prefix):
        return {n[len(prefix):]: networks.to_torch(tensor) for n, tensor in tensors.items() if n.startswith(prefix)}

    parameters = {name: tensor.requires_grad_() for name, tensor in part("parameters/").items()}
    statistics = {name: tensor.clone() for name, tensor in part("statistics/").items()}
    images = tensors["images"].permute(0, 3, 1, 2).contiguous().requires_grad_()
    z = networks.logits(case["network"], parameters, statistics, images, activation=case["activation"])
    if case["objective"] == "jsigr":
        weights = case["jacobianWeight"], case["gradientWeight"]
        loss = networks.jsigr(z, images, tensors["labels"], tensors["projection0"], *weights)
    else:
        loss = networks.cross_entropy(z, tensors["labels"])
    names = list(parameters)
    gradients = torch.autograd.grad(loss, [images, *parameters.values()])
    return {
        "loss": loss.detach(),
        "images": gradients[0].permute(0, 2, 3, 1).contiguous(),
        **{"parameters/" + name: networks.to_ours(g) for name, g in zip(names, gradients[1:])},
        **{"statistics/" + name: tensor for name, tensor in statistics.items()},
    }


def main(folder):
    torch.set_num_threads(1)
    for path in sorted(pathlib.Path(folder).glob("*.inputs.safetensors")):
        with safe_open(path, "pt") as file:
            case = json.loads(file.metadata()["case"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        for dtype, suffix in ((torch.float32, "torch32"), (torch.float64, "torch64")):
            found = derivatives(case, tensors, dtype)
            single = {name: tensor.float().contiguous() for name, tensor in found.items()}
            save_file(single, path.parent / f"{case['name']}.{suffix}.safetensors")
    print(f"torch {torch.__version__}")


main(sys.argv[1])
