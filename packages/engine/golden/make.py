"""Writes the golden files beside this script: small models as other people's tools export them, with what PyTorch computes for them.

    python make.py [name ...]

Each folder of `onnx/` holds `model.onnx` and `expected.safetensors`:
`input/NAME`, `output/NAME`, `cotangent/NAME` (weights of the outputs in the scalar that is differentiated), `gradient/NAME` (of that scalar by
the input) and `parameter/NAME` (by a weight, where the exporter kept its name and values).

Written with Python 3.11, torch 2.15.0, onnx 1.23.2, onnxscript 0.7.2, scikit-learn 1.9.1, skl2onnx 1.20.0, tensorflow 2.21.0,
tf2onnx 1.17.0, safetensors 0.8.0. Values without a PyTorch model come from onnxruntime 1.32.0 (outputs only) or from tf.GradientTape.
"""

import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
from safetensors.numpy import save_file

warnings.filterwarnings("ignore")
HERE = Path(__file__).parent / "onnx"


def save(name, model, tensors):
    folder = HERE / name
    folder.mkdir(parents=True, exist_ok=True)
    onnx.checker.check_model(model)
    data = model.SerializeToString()
    (folder / "model.onnx").write_bytes(data)
    save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, folder / "expected.safetensors")
    size = len(data) + (folder / "expected.safetensors").stat().st_size
    print(f"{name}: {size / 1000:.0f} kB, {len(model.graph.node)} nodes, {sorted({n.op_type for n in model.graph.node})}")
    assert size < 100_000, "too large for a golden file"


# --- PyTorch

def torch_case(name, make, shape, *, opset=17, dynamo=False, fixed=False, fold=True, batch=2, zeros=False):
    import torch

    torch.manual_seed(0)
    module = make()
    settle(module)
    module.eval()
    x = torch.rand(1 if fixed else batch, *shape)
    path = Path(tempfile.mkdtemp()) / "model.onnx"
    options = dict(input_names=["images"], output_names=["logits"], opset_version=opset)
    if dynamo:
        open_batch = None if fixed else {"x": {0: torch.export.Dim("batch")}}
        torch.onnx.export(module, (x,), path, dynamo=True, external_data=False, dynamic_shapes=open_batch and tuple(open_batch.values()), verbose=False, **options)
    else:
        open_batch = None if fixed else {"images": {0: "batch"}}
        torch.onnx.export(
            module, (x,), path, dynamo=False, dynamic_axes=open_batch, do_constant_folding=fold,
            training=torch.onnx.TrainingMode.EVAL if fold else torch.onnx.TrainingMode.PRESERVE, **options)
    model = onnx.load(path)
    strip(model)

    x = torch.rand(batch, *shape) - zeros / 2
    if zeros:
        x[..., ::2] = 0
    x.requires_grad_()
    logits = module(x)
    cotangent = torch.randn_like(logits)
    named = dict(module.named_parameters())
    grads = torch.autograd.grad((logits * cotangent).sum(), [x, *named.values()], allow_unused=True)
    kept = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    tensors = {"input/images": x, "output/logits": logits, "cotangent/logits": cotangent, "gradient/images": grads[0]}
    for (key, value), grad in zip(named.items(), grads[1:]):
        if grad is not None and key in kept and np.array_equal(kept[key], value.detach().numpy()):
            tensors[f"parameter/{key}"] = grad
    save(name, model, {key: value.detach().numpy() for key, value in tensors.items()})


def strip(model):
    """What exporters write for people, paths of the machine among it."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.value_info[:]
    del model.graph.metadata_props[:]


def external_case(name, module):
    """As PyTorch writes a model unless told otherwise: its weights in a file beside it. Not among the others, which are one file each."""
    import torch

    torch.manual_seed(0)
    folder = HERE.parent / name
    folder.mkdir(parents=True, exist_ok=True)
    x = torch.rand(2, 3, 5, 5)
    torch.onnx.export(module, (x,), folder / "model.onnx", dynamo=True, verbose=False, opset_version=18, dynamic_shapes=({0: torch.export.Dim("batch")},))
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    strip(model)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    save_file({"input": x.numpy(), "output": module(x).detach().numpy()}, folder / "expected.safetensors")


def input_case(name, kind):
    """Images of another type than float: the scores are W x."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(0).standard_normal((75, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["images"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "W"], ["product"]),
        helper.make_node("Cast", ["product"], ["scores"], to=TensorProto.FLOAT if kind == TensorProto.UINT8 else kind),
    ]
    value = helper.make_tensor_value_info
    output = value("scores", TensorProto.FLOAT if kind == TensorProto.UINT8 else kind, ["n", 3])
    graph = helper.make_graph(nodes, "g", [value("images", kind, ["n", 3, 5, 5])], [output], [numpy_helper.from_array(weights, "W")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    (HERE.parent / "inputs").mkdir(exist_ok=True)
    (HERE.parent / "inputs" / f"{name}.onnx").write_bytes(model.SerializeToString())


def operator_case(name, shape, nodes, weights, scores):
    """Operators that no exporter puts together like this: a node is its operator, its inputs, its output and its attributes."""
    from onnx import TensorProto, helper, numpy_helper

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node(operator, inputs, [output], **attributes) for operator, inputs, output, attributes in nodes], "g",
        [value("images", TensorProto.FLOAT, shape)], [value("scores", TensorProto.FLOAT, [shape[0], scores])],
        [numpy_helper.from_array(np.asarray(array), key) for key, array in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    (HERE.parent / "inputs").mkdir(exist_ok=True)
    (HERE.parent / "inputs" / f"{name}.onnx").write_bytes(model.SerializeToString())


def operator_cases():
    random = np.random.default_rng(0)
    noise = lambda *shape: random.standard_normal(shape).astype(np.float32)
    return {
        # a token for each of the two images of the batch that it was written for
        "fixed-token": ([2, 1, 6, 6], [
            ("Reshape", ["images", "rows"], "x", {}),
            ("Concat", ["x", "token"], "all", {"axis": 1}),
            ("ReduceMean", ["all", "axes"], "scores", {"keepdims": 0}),
        ], {"rows": [2, 6, 6], "token": noise(2, 1, 6), "axes": [1]}, 6),
        # a window as large as the image
        "wide-fold": (["n", 2, 32, 32], [
            ("Reshape", ["images", "columns"], "x", {}),
            ("Col2Im", ["x", "size", "size"], "folded", {}),
            ("GlobalAveragePool", ["folded"], "mean", {}),
            ("Flatten", ["mean"], "scores", {}),
        ], {"columns": [0, 2048, 1], "size": [32, 32]}, 2),
        # nothing times the logarithm of a negative number
        "no-number": (["n", 1, 6, 6], [
            ("Sub", ["images", "two"], "below", {}),
            ("Log", ["below"], "none", {}),
            ("Mul", ["none", "zero"], "nothing", {}),
            ("Add", ["images", "nothing"], "x", {}),
            ("Flatten", ["x"], "flat", {}),
            ("MatMul", ["flat", "W"], "scores", {}),
        ], {"two": np.float32(2), "zero": np.float32(0), "W": noise(36, 3)}, 3),
    }


def fixed_case(name, module):
    """Attention whose shapes have the batch of the example in places where it cannot be told from others."""
    import torch

    torch.manual_seed(0)
    (HERE.parent / "inputs").mkdir(exist_ok=True)
    path = HERE.parent / "inputs" / f"{name}.onnx"
    torch.onnx.export(module.eval(), (torch.rand(1, 3, 8, 8),), path, dynamo=False, opset_version=17, input_names=["images"], output_names=["logits"])


def settle(module):
    """Statistics of batch norm and weights of norms that are not 0 and 1."""
    import torch

    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.uniform_(-0.2, 0.2)
            part.running_var.uniform_(0.5, 1.5)
        if isinstance(part, (torch.nn.BatchNorm2d, torch.nn.GroupNorm, torch.nn.LayerNorm)):
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
            torch.nn.init.uniform_(part.bias, -0.5, 0.5)


def torch_models():
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Residual(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.short = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

        def forward(self, x):
            y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            return F.relu(y + self.short(x))

    class ResNet(nn.Module):
        """Normalisation, batch norm, both poolings, residuals."""

        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.tensor([0.49, 0.48, 0.45]).view(1, 3, 1, 1))
            self.register_buffer("std", torch.tensor([0.25, 0.24, 0.26]).view(1, 3, 1, 1))
            self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
            self.bn = nn.BatchNorm2d(8)
            self.block1 = Residual(8, 8, 1)
            self.block2 = Residual(8, 12, 2)
            self.head = nn.Linear(12 * 4, 5)

        def forward(self, x):
            x = (x - self.mean) / self.std
            x = F.max_pool2d(F.relu(self.bn(self.stem(x))), 3, 2, 1)
            x = self.block2(self.block1(x))
            x = F.adaptive_avg_pool2d(F.avg_pool2d(x, 2, 2, 0, ceil_mode=True), 2)
            return self.head(torch.flatten(x, 1))

    class MobileNet(nn.Module):
        """Depthwise and grouped convolutions, squeeze and excitation, hard swish."""

        def __init__(self):
            super().__init__()
            self.expand = nn.Conv2d(3, 12, 1)
            self.depthwise = nn.Conv2d(12, 24, 3, 2, 1, groups=12)
            self.squeeze = nn.Conv2d(24, 6, 1)
            self.excite = nn.Conv2d(6, 24, 1)
            self.grouped = nn.Conv2d(24, 12, 3, padding=2, dilation=2, groups=3)
            self.head = nn.Linear(12, 4)

        def forward(self, x):
            x = F.hardswish(self.expand(x))
            x = F.relu6(self.depthwise(x))
            x = x * F.hardsigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3), keepdim=True)))))
            x = F.leaky_relu(self.grouped(x), 0.1)
            return self.head(x.mean([2, 3]))

    class Attention(nn.Module):
        def __init__(self, width, heads):
            super().__init__()
            self.heads = heads
            self.qkv = nn.Linear(width, 3 * width)
            self.out = nn.Linear(width, width)

        def forward(self, x):
            n, t, d = x.shape
            q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
            weights = (q @ k.transpose(-2, -1) * (d // self.heads) ** -0.5).softmax(-1)
            return self.out((weights @ v).transpose(1, 2).reshape(n, t, d))

    class ViT(nn.Module):
        def __init__(self, fused=False):
            super().__init__()
            width = 16
            self.patch = nn.Conv2d(3, width, 4, 4)
            self.cls = nn.Parameter(torch.randn(1, 1, width) * 0.1)
            self.position = nn.Parameter(torch.randn(1, 10, width) * 0.1)
            self.norm1 = nn.LayerNorm(width)
            self.attention = nn.MultiheadAttention(width, 2, batch_first=True) if fused else Attention(width, 2)
            self.fused = fused
            self.norm2 = nn.LayerNorm(width)
            self.mlp = nn.Sequential(nn.Linear(width, 24), nn.GELU(), nn.Linear(24, width))
            self.norm = nn.LayerNorm(width)
            self.head = nn.Linear(width, 5)

        def forward(self, x):
            x = self.patch(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.position
            y = self.norm1(x)
            x = x + (self.attention(y, y, y, need_weights=False)[0] if self.fused else self.attention(y))
            x = x + self.mlp(self.norm2(x))
            return self.head(self.norm(x)[:, 0])

    class Decoder(nn.Module):
        """Transposed convolutions, resizing, padding modes, pixel shuffle."""

        def __init__(self):
            super().__init__()
            self.down = nn.Conv2d(2, 6, 3, 2, 1)
            self.up = nn.ConvTranspose2d(6, 4, 3, 2, 1, output_padding=1)
            self.grouped = nn.ConvTranspose2d(4, 8, 2, 2, groups=2)
            self.mix = nn.Conv2d(8, 4, 3)
            self.head = nn.Linear(4, 3)

        def forward(self, x):
            x = F.elu(self.down(x))
            x = F.silu(self.up(x))
            x = F.softplus(self.grouped(x))
            x = F.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)
            x = F.interpolate(x, size=(9, 11), mode="bilinear", align_corners=True)
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = self.mix(F.pad(F.pad(x, (1, 1, 2, 0), mode="reflect"), (0, 1, 1, 0), mode="replicate"))
            x = F.pixel_unshuffle(F.pixel_shuffle(x[:, :, 1:9, ::2], 2), 2)
            return self.head(x.amax((2, 3)) + torch.logsumexp(x, (2, 3)))

    class Norms(nn.Module):
        """Group, instance and layer norm; GELU, SiLU, SELU, Mish, PReLU; split, concat, where."""

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3)
            self.group = nn.GroupNorm(4, 8)
            self.instance = nn.InstanceNorm2d(8, affine=True)
            self.prelu = nn.PReLU(8)
            self.conv2 = nn.Conv2d(8, 8, 2, 2)
            self.layer = nn.LayerNorm([8, 3, 3])
            self.head = nn.Linear(8, 4)

        def forward(self, x):
            x = F.silu(self.group(self.conv(x)))
            x = self.prelu(self.instance(x))
            a, b = F.gelu(self.conv2(x)).chunk(2, 1)
            x = torch.cat([F.mish(b), F.selu(a, inplace=False)], 1)
            x = F.gelu(self.layer(x), approximate="tanh")
            x = torch.where(x > 0.1, x * 1.5, x ** 2 / (1 + x.abs()))
            x = torch.clamp(x, -1, 1).sum((2, 3)) / 9
            return F.log_softmax(self.head(F.celu(x) - torch.tanh(x).norm(dim=1, keepdim=True)), 1)

    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(
                nn.Conv2d(1, 4, 5, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(36, 12),
                nn.Sigmoid(), nn.Linear(12, 6), nn.Softmax(1))

        def forward(self, x):
            return self.net(x)

    class Products(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(torch.randn(5, 6))
            self.b = nn.Parameter(torch.randn(4, 6))

        def forward(self, x):
            y = torch.einsum("nij,jk->nik", x, self.a)
            z = torch.einsum("nik,mk->nim", y, self.b)
            w = torch.tril(z[:, :4]) + torch.cumsum(z[:, :4], 2) * 0.1
            top = torch.topk(w, 2, dim=-1)[0].prod(-1)
            return top + torch.maximum(w.amin(1), w.std(1)) + torch.exp(-w.square().mean(1)).sqrt()

    class Groups(nn.Module):
        """Blocks as in ConvNeXt and RegNet: depthwise and grouped convolutions on channels that do and do not fill blocks of 16."""

        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 16, 2, 2)
            self.depthwise = nn.Conv2d(16, 16, 7, padding=3, groups=16)
            self.norm = nn.LayerNorm(16)
            self.wide = nn.Linear(16, 32)
            self.narrow = nn.Linear(32, 16)
            self.grouped = nn.Conv2d(16, 32, 3, 2, 1, groups=4, bias=False)
            self.bn = nn.BatchNorm2d(32)
            self.down = nn.Conv2d(32, 32, 3, 2, 1, groups=32)
            self.thin = nn.Conv2d(32, 20, 1)
            self.five = nn.Conv2d(20, 20, 3, padding=1, groups=5)
            self.last = nn.Conv2d(20, 20, 3, padding=2, dilation=2, groups=20)
            self.head = nn.Linear(20, 5)

        def forward(self, x):
            x = self.stem(x)
            y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
            x = x + self.narrow(F.gelu(self.wide(y))).permute(0, 3, 1, 2)
            x = F.silu(self.down(F.relu(self.bn(self.grouped(x)))))
            x = torch.tanh(self.five(F.relu6(self.thin(x))))
            return self.head(self.last(x).mean((2, 3)))

    class Windows(nn.Module):
        """Attention in shifted windows, as in Swin: rolls, and a mask that is written place by place."""

        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 2, 2)
            self.qkv = nn.Linear(8, 24)
            self.bias = nn.Parameter(torch.randn(9))
            self.head = nn.Linear(8, 4)

        def forward(self, x):
            x = torch.roll(self.patches(x).permute(0, 2, 3, 1), (-1, -1), (1, 2))
            n, height, width, channels = x.shape
            windows = x.view(n, height // 2, 2, width // 2, 2, channels).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, channels)
            q, k, v = self.qkv(windows).chunk(3, -1)
            mask = x.new_zeros((height, width))
            for i, rows in enumerate((slice(0, -2), slice(-2, -1), slice(-1, None))):
                for j, columns in enumerate((slice(0, -2), slice(-2, -1), slice(-1, None))):
                    mask[rows, columns] = 3 * i + j
            mask = mask.view(height // 2, 2, width // 2, 2).permute(0, 2, 1, 3).reshape(-1, 4)
            apart = (mask[:, None] != mask[:, :, None]).to(x.dtype) * -100
            place = torch.arange(4)
            between = (place[:, None] // 2 - place[None] // 2 + 1) * 3 + place[:, None] % 2 - place[None] % 2 + 1
            scores = q @ k.transpose(-2, -1) / 8 ** 0.5 + self.bias[between]
            scores = (scores.view(n, -1, 4, 4) + apart).view(-1, 4, 4)
            picked = (scores.softmax(-1) @ v).view(n, -1, channels)
            order = torch.arange(channels - 1, -1, -1).expand(picked.shape[1], channels)
            return self.head((picked + picked.gather(2, order.expand(n, -1, -1))).mean(1))

    class Standardized(nn.Module):
        """Weights with mean 0 and variance 1, as in BiT and NFNets: a batch normalisation of weights, in training mode in inference too."""

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3)
            self.gain = nn.Parameter(torch.rand(8) + 0.5)
            self.head = nn.Linear(8, 4)

        def forward(self, x):
            w = self.conv.weight
            w = F.batch_norm(w.reshape(1, 8, -1), None, None, weight=self.gain, training=True, eps=1e-6).reshape_as(w)
            return self.head(torch.tanh(F.conv2d(x, w, self.conv.bias)).mean((2, 3)))

    class Lines(nn.Module):
        """Convolutions and pooling in one dimension: attention to channels as in ECA-Net, and over the lines of images."""

        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 3)
            self.attend = nn.Conv1d(1, 1, 3, padding=1, bias=False)
            self.along = nn.Conv1d(48, 12, 3, stride=2, padding=1, groups=2)
            self.back = nn.ConvTranspose1d(12, 6, 3, 2, output_padding=1)
            self.head = nn.Linear(6, 4)

        def forward(self, x):
            x = self.stem(x)
            weights = torch.sigmoid(self.attend(x.mean((2, 3)).unsqueeze(1))).transpose(1, 2).unsqueeze(-1)
            x = torch.tanh(self.back(self.along((x * weights).flatten(1, 2))))
            x = F.avg_pool1d(F.max_pool1d(x, 3, 2, 1), 2, 1)
            return self.head(x.mean(2))

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch = nn.Conv2d(3, 8, 4, 4)
            self.layer = nn.TransformerEncoderLayer(8, 2, 8, norm_first=True)
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            return self.head(self.layer(self.patch(x).flatten(2).permute(2, 0, 1)).mean(0))

    class Kinks(nn.Module):
        """What has a corner at 0, or a seam, on pixels that are 0."""

        def __init__(self):
            super().__init__()
            self.prelu = nn.PReLU(3, init=0.3)

        def forward(self, x):
            y = F.elu(x) + F.elu(x, 0.7) + F.celu(x, 2) + F.selu(x) + F.leaky_relu(x, 0.2) + F.relu(x) + self.prelu(x)
            return (y * y + 3 * y).flatten(1)

    return dict(Standardized=Standardized, Lines=Lines, Encoder=Encoder, Kinks=Kinks, Groups=Groups, Windows=Windows, ResNet=ResNet, MobileNet=MobileNet, ViT=ViT, Decoder=Decoder, Norms=Norms, Plain=Plain, Products=Products)


# --- scikit-learn

def sklearn_case(name, model, features, *, zipmap):
    from onnxruntime import InferenceSession
    from skl2onnx import to_onnx

    random = np.random.default_rng(0)
    x = random.random((60, features), dtype=np.float32)
    labels = (x @ random.standard_normal((features, 3))).argmax(1)
    model.fit(x, labels)
    exported = to_onnx(model, x[:1], options={"zipmap": zipmap}, target_opset=17)
    batch = x[:4]
    found = model.predict_proba(batch).astype(np.float32)
    output = exported.graph.output[1].name
    session = InferenceSession(exported.SerializeToString())
    assert session.get_inputs()[0].name == "X"
    save(name, exported, {"input/X": batch, f"output/{output}": found, **sklearn_gradient(model, batch, output)})


def sklearn_gradient(model, x, output):
    """Central differences of predict_proba in double precision."""
    cotangent = np.random.default_rng(1).standard_normal((len(x), 3))
    value = lambda at: (model.predict_proba(at) * cotangent).sum(1)
    step, gradient = 1e-4, np.zeros(x.shape)
    for i in range(x.shape[1]):
        shift = np.zeros(x.shape)
        shift[:, i] = step
        gradient[:, i] = (value(x.astype(float) + shift) - value(x.astype(float) - shift)) / (2 * step)
    return {f"cotangent/{output}": cotangent.astype(np.float32), "gradient/X": gradient.astype(np.float32)}


# --- Keras

def keras_case(name):
    import tensorflow as tf
    import tf2onnx

    tf.keras.utils.set_random_seed(0)
    k = tf.keras.layers
    model = tf.keras.Sequential([
        k.Input((12, 12, 3)),
        k.Conv2D(6, 3, padding="same", use_bias=False), k.BatchNormalization(), k.ReLU(), k.MaxPooling2D(),
        k.DepthwiseConv2D(3, padding="same"), k.Activation("swish"),
        k.SeparableConv2D(8, 3, strides=2, padding="same", activation="elu"),
        k.ZeroPadding2D(1), k.AveragePooling2D(2), k.Conv2D(8, 2, activation="relu"), k.Flatten(),
        k.Dense(10, activation="tanh"), k.Dropout(0.5), k.Dense(4, activation="softmax")])
    for weight in model.weights:
        if "variance" in weight.path or "gamma" in weight.path:
            weight.assign(tf.random.uniform(weight.shape, 0.5, 1.5, seed=1))
    x = tf.random.uniform((3, 12, 12, 3), seed=2)
    call = tf.function(lambda images: model(images, training=False))
    spec = (tf.TensorSpec((None, 12, 12, 3), tf.float32, name="images"),)
    exported, _ = tf2onnx.convert.from_function(call, input_signature=spec, opset=17)
    cotangent = tf.random.normal((3, 4), seed=3)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = model(x, training=False)
        loss = tf.reduce_sum(y * cotangent)
    output = exported.graph.output[0].name
    tensors = {"input/images": x, f"output/{output}": y, f"cotangent/{output}": cotangent, "gradient/images": tape.gradient(loss, x)}
    save(name, exported, {key: value.numpy() for key, value in tensors.items()})


def cases():
    from torch import nn

    models = torch_models()
    torch = lambda *args, **options: lambda name: torch_case(name, *args, **options)
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return {
        "torch-plain-11": torch(models["Plain"], (1, 16, 16), opset=11),
        "torch-resnet-13": torch(models["ResNet"], (3, 16, 16), opset=13),
        "torch-resnet-unfolded-17": torch(models["ResNet"], (3, 16, 16), opset=17, fold=False),
        "torch-resnet-dynamo-18": torch(models["ResNet"], (3, 16, 16), opset=18, dynamo=True),
        "torch-resnet-fixed-batch-17": torch(models["ResNet"], (3, 16, 16), opset=17, fixed=True),
        "torch-mobilenet-14": torch(models["MobileNet"], (3, 12, 12), opset=14),
        "torch-mobilenet-dynamo-20": torch(models["MobileNet"], (3, 12, 12), opset=20, dynamo=True),
        "torch-groups-17": torch(models["Groups"], (3, 16, 16), opset=17),
        "torch-groups-dynamo-18": torch(models["Groups"], (3, 16, 16), opset=18, dynamo=True),
        "torch-windows-17": torch(models["Windows"], (3, 8, 8), opset=17),
        "torch-windows-dynamo-20": torch(models["Windows"], (3, 8, 8), opset=20, dynamo=True),
        "torch-vit-12": torch(models["ViT"], (3, 12, 12), opset=12),
        "torch-vit-fixed-batch-17": torch(models["ViT"], (3, 12, 12), opset=17, fixed=True),
        "torch-vit-fused-17": torch(lambda: models["ViT"](True), (3, 12, 12), opset=17),
        "torch-vit-dynamo-18": torch(models["ViT"], (3, 12, 12), opset=18, dynamo=True),
        "torch-decoder-16": torch(models["Decoder"], (2, 10, 10), opset=16),
        "torch-decoder-dynamo-18": torch(models["Decoder"], (2, 10, 10), opset=18, dynamo=True),
        "torch-standardized-17": torch(models["Standardized"], (3, 8, 8), opset=17),
        "torch-standardized-11": torch(models["Standardized"], (3, 8, 8), opset=11),
        "torch-lines-17": torch(models["Lines"], (3, 8, 8), opset=17),
        "torch-lines-dynamo-20": torch(models["Lines"], (3, 8, 8), opset=20, dynamo=True),
        "torch-kinks-17": torch(models["Kinks"], (3, 4, 4), opset=17, zeros=True),
        "torch-norms-15": torch(models["Norms"], (3, 8, 8), opset=15),
        "torch-norms-dynamo-20": torch(models["Norms"], (3, 8, 8), opset=20, dynamo=True),
        "torch-products-18": torch(models["Products"], (5, 5), opset=18),
        "sklearn-logistic-17": lambda name: sklearn_case(name, make_pipeline(StandardScaler(), LogisticRegression()), 6, zipmap=True),
        "sklearn-mlp-17": lambda name: sklearn_case(name, MLPClassifier((9, 5), "tanh", max_iter=300, random_state=0), 6, zipmap=False),
        "keras-cnn-17": keras_case,
        **{name: lambda name, kind=kind: input_case(name, kind) for name, kind in (("uint8", 2), ("float16", 10), ("float64", 11))},
        **{name: lambda name, case=case: operator_case(name, *case) for name, case in operator_cases().items()},
        "fixed-attention": lambda name: fixed_case(name, models["Encoder"]()),
        "external": lambda name: external_case(name, nn.Sequential(nn.Flatten(), nn.Linear(75, 3))),
    }


if __name__ == "__main__":
    known = cases()
    for name in sys.argv[1:] or known:
        try:
            known[name](name)
        except Exception as error:  # one tool that fails does not keep the others from writing
            print(f"{name}: FAILED {type(error).__name__}: {str(error)[:600]}")
