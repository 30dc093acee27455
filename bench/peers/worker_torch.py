"""PyTorch, eager: fused Adam, one shared forward pass for both penalties, channels_last tried beside the default layout.

On a GPU cuDNN tries its algorithms first, and rounds to TF32 only where NVIDIA_TF32_OVERRIDE is 1.
"""

import os

import torch

import networks_torch as networks
import worker

torch.set_num_threads(worker.THREADS)
torch.set_num_interop_threads(1)
is_rounded = os.environ.get("NVIDIA_TF32_OVERRIDE") == "1"
torch.backends.cudnn.benchmark = True
torch.backends.cudnn.allow_tf32 = is_rounded
torch.backends.cuda.matmul.allow_tf32 = is_rounded
LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}


def make(command, arrays, is_checked):
    layout = LAYOUTS[command["variant"]]
    network, job, constants = command["workload"]["network"], command["job"], command["constants"]

    def placed(tensor):
        return tensor.to(worker.DEVICE, memory_format=layout if tensor.ndim == 4 else torch.preserve_format)

    parameters = {
        name: placed(networks.to_torch(torch.from_numpy(array))).clone().requires_grad_()
        for name, array in arrays["parameters"].items()
    }
    statistics = {name: placed(torch.from_numpy(array)).clone() for name, array in arrays["statistics"].items()}
    images = placed(torch.from_numpy(arrays["images"]).permute(0, 3, 1, 2).contiguous())
    labels, projection = (placed(torch.from_numpy(arrays[name])) for name in ("labels", "projection0"))

    def logits(x, training):
        options = {"training": training, "native_padding": not is_checked}
        return networks.logits(network, parameters, statistics, x, **options)

    def forward():
        with torch.inference_mode():
            return logits(images, False).abs().mean()

    optimizer = torch.optim.Adam(parameters.values(), constants["learningRate"], fused=True)

    def train():
        optimizer.zero_grad(set_to_none=True)
        loss = networks.cross_entropy(logits(images, True), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    weights = constants["jacobianWeight"], constants["gradientWeight"]
    leaves = list(parameters.values())

    def jsigr():
        optimizer.zero_grad(set_to_none=True)
        x = images.detach().requires_grad_()
        loss = networks.jsigr(logits(x, True), x, labels, projection, *weights)
        # backward, not grad: it lays gradients out like their parameters, which fused Adam takes for granted.
        loss.backward(inputs=leaves)
        optimizer.step()
        return loss.detach()

    attacked = images.clone()
    frozen = {name: parameter.detach() for name, parameter in parameters.items()}

    def pgd():
        nonlocal attacked
        x = attacked.detach().requires_grad_()
        z = networks.logits(network, frozen, statistics, x, training=False, native_padding=not is_checked)
        # The sum over the batch: a sample's step does not depend on its neighbours.
        loss = networks.cross_entropy(z, labels) * len(labels)
        slope, = torch.autograd.grad(loss, x)
        with torch.no_grad():
            moved = attacked + constants["stepSize"] * slope.sign()
            offset = (moved - images).clamp_(-constants["epsilon"], constants["epsilon"])
            attacked = (images + offset).clamp_(0, 1)
            return logits(attacked, False).abs().mean() if is_checked else attacked[0, 0, 0, 0]

    return {"forward": forward, "train": train, "jsigr": jsigr, "pgd": pgd}[job]


worker.serve(f"torch {torch.__version__}", list(LAYOUTS), make)
