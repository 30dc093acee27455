"""A tool of main.ts: an attack of torchattacks, foolbox or ART, with the parameters of the published ones.

Takes a job (see cases.ts) as its argument, writes the adversarial images, and answers with one line of JSON.
"""

import json
import os
import sys
import time
from importlib.metadata import version

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import numpy as np
import torch
from safetensors.torch import load_file, save_file

import networks_torch

JOB = json.loads(sys.argv[1])
EPSILON, BATCH, DEVICE = JOB["epsilon"], JOB["batchSize"], JOB["device"]
PGD_STEPS = 40
PGD_STEP = 2.5 * EPSILON / PGD_STEPS
STEPS, QUERIES = 100, 5000
PACKAGES = {"torchattacks": "torchattacks", "foolbox": "foolbox", "art": "adversarial-robustness-toolbox"}


class Network(torch.nn.Module):
    """Our network and weights; counts the images that go through it, forwards and back."""

    def __init__(self, name, parameters):
        super().__init__()
        self.name = name
        self.weights = parameters
        # The tools ask the parameters for the device. No gradients of weights: nobody needs them here.
        self.device = torch.nn.Parameter(torch.zeros(1, device=DEVICE), requires_grad=False)
        self.forwards = 0
        self.backwards = 0

    def forward(self, images):
        rows = len(images)
        self.forwards += rows
        logits = networks_torch.logits(self.name, self.weights, {}, images, training=False)

        def count(_):
            self.backwards += rows

        if logits.requires_grad:
            logits.register_hook(count)
        return logits


def torchattacks_tool(network):
    import torchattacks

    # Square as AutoAttack runs it: squares shrink as for 10,000 queries, whatever their number.
    def square(attack):
        attack.rescale_schedule = False
        return attack

    def auto_attack():
        whole = torchattacks.AutoAttack(network, norm="Linf", eps=EPSILON, seed=JOB["seed"])
        # As published; the library makes 10 steps of APGD and FAB instead of 100.
        ce, targeted, fab, last = whole._autoattack.attacks
        for attack in (ce, targeted, fab):
            attack.steps = STEPS
        square(last)
        return whole

    common = {"eps": EPSILON, "seed": JOB["seed"], "norm": "Linf"}
    attack = {
        "pgd-40": lambda: torchattacks.PGD(network, eps=EPSILON, alpha=PGD_STEP, steps=PGD_STEPS),
        "apgd-ce": lambda: torchattacks.APGD(network, steps=STEPS, loss="ce", **common),
        "apgd-t": lambda: torchattacks.APGDT(network, steps=STEPS, **common),
        "fab-t": lambda: torchattacks.FAB(network, steps=STEPS, multi_targeted=True, **common),
        "square": lambda: square(torchattacks.Square(network, n_queries=QUERIES, **common)),
        "autoattack": auto_attack,
    }[JOB["attack"]]()

    def run(images, labels):
        parts = zip(images.split(BATCH), labels.split(BATCH))
        return torch.cat([attack(*part) for part in parts])

    return run


def foolbox_tool(network):
    import foolbox

    model = foolbox.PyTorchModel(network.eval(), bounds=(0, 1), device=DEVICE)
    attack = {"pgd-40": foolbox.attacks.LinfPGD(abs_stepsize=PGD_STEP, steps=PGD_STEPS, random_start=True)}[JOB["attack"]]

    def run(images, labels):
        parts = zip(images.split(BATCH), labels.split(BATCH))
        return torch.cat([attack(model, *part, epsilons=EPSILON)[1] for part in parts])

    return run


def art_tool(network):
    from art.attacks.evasion import AutoProjectedGradientDescent, ProjectedGradientDescentPyTorch, SquareAttack
    from art.estimators.classification import PyTorchClassifier

    def run(images, labels):
        model = PyTorchClassifier(
            network.eval(),
            loss=torch.nn.CrossEntropyLoss(),
            input_shape=tuple(images.shape[1:]),
            nb_classes=10,
            clip_values=(0, 1),
            device_type="gpu" if DEVICE == "cuda" else "cpu",
        )
        common = {"norm": np.inf, "eps": EPSILON, "batch_size": BATCH, "verbose": False}
        attack = {
            "pgd-40": lambda: ProjectedGradientDescentPyTorch(
                model, eps_step=PGD_STEP, max_iter=PGD_STEPS, num_random_init=1, **common
            ),
            "apgd-ce": lambda: AutoProjectedGradientDescent(
                model, eps_step=2 * EPSILON, max_iter=STEPS, nb_random_init=1, **common
            ),
            "square-stretched": lambda: SquareAttack(model, max_iter=QUERIES, p_init=0.8, nb_restarts=1, **common),
        }[JOB["attack"]]()
        return torch.from_numpy(attack.generate(images.cpu().numpy(), labels.cpu().numpy()))

    return run


TOOLS = {"torchattacks": torchattacks_tool, "foolbox": foolbox_tool, "art": art_tool}


def memory(field):
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith(field + ":"))


def main():
    torch.set_num_threads(JOB["threads"])
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.manual_seed(JOB["seed"])
    np.random.seed(JOB["seed"])
    tensors = load_file(JOB["input"])
    prefix = "parameters/"
    parameters = {
        name[len(prefix) :]: networks_torch.to_torch(array).to(DEVICE)
        for name, array in tensors.items()
        if name.startswith(prefix)
    }
    images = (tensors["images"].float() / 255).permute(0, 3, 1, 2).contiguous().to(DEVICE)
    labels, logits = tensors["labels"].long().to(DEVICE), tensors["logits"].to(DEVICE)
    network = Network(JOB["network"], parameters)
    with torch.no_grad():  # batch by batch: the peak of memory is to be the attack's
        found = torch.cat([network(part) for part in images.split(BATCH)])
    deviation = float((found - logits).abs().max() / logits.abs().max())
    correct = (logits.argmax(1) == labels)[: JOB["samples"]].nonzero().squeeze(1)
    images, labels = images[correct], labels[correct]

    run = TOOLS[JOB["tool"]](network)
    network.forwards = 0
    start_bytes = memory("VmRSS")
    started = time.perf_counter()
    adversarial = run(images, labels)
    seconds = time.perf_counter() - started
    peak_bytes = memory("VmHWM")

    save_file({"adversarial": adversarial.detach().cpu().permute(0, 2, 3, 1).contiguous()}, JOB["output"])
    used = os.times()
    package = PACKAGES[JOB["tool"]]
    answer = {
        "versions": f"{package} {version(package)}, PyTorch {torch.__version__}",
        "seconds": seconds,
        "processorSeconds": used.user + used.system,
        "peakBytes": peak_bytes,
        "startBytes": start_bytes,
        "forwards": network.forwards,
        "backwards": network.backwards,
        "deviation": deviation,
    }
    print(json.dumps(answer), flush=True)


main()
