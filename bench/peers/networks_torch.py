"""The networks of the comparison in PyTorch, from our parameters by name (see packages/models)."""

import torch
import torch.nn.functional as F

RESIDUAL = {
    "resnet20": {"stem": 16, "stages": [16, 32, 64], "blocks": 3, "before": False},
    "resnet18": {"stem": 64, "stages": [64, 128, 256, 512], "blocks": 2, "before": False},
    "wrn-16-4": {"stem": 16, "stages": [64, 128, 256], "blocks": 2, "before": True},
}
VGG = {"vgg11": [1, 1, 2, 2, 2]}


def to_torch(array):
    """[height, width, in, out] to PyTorch's [out, in, height, width]; other shapes stay."""
    return array.permute(3, 2, 0, 1).contiguous() if array.ndim == 4 else array


def to_ours(tensor):
    return tensor.permute(2, 3, 1, 0).contiguous() if tensor.ndim == 4 else tensor


ACTIVATIONS = {"relu": F.relu, "softplus": F.softplus}


class Layers:
    """One forward pass.

    training: batch norm uses the batch and moves the running statistics in place; otherwise it uses those.

    native_padding: PyTorch's symmetric padding, which sees a strided image shifted by a pixel: as fast as a user of
    PyTorch would have it, but another function. Otherwise TensorFlow's `same` padding, by hand where it is asymmetric.
    """

    def __init__(self, parameters, statistics, activation="relu", training=True, native_padding=False):
        self.p = parameters
        self.s = statistics
        self.activate = ACTIVATIONS[activation]
        self.training = training
        self.native = native_padding

    def conv(self, x, name, stride=1):
        weight = self.p[name + ".weight"]
        kernel = weight.shape[-1]
        bias = self.p.get(name + ".bias")
        if stride == 1 or self.native:
            return F.conv2d(x, weight, bias, stride, kernel // 2)
        total = max((-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1], 0)
        before, after = total // 2, total - total // 2
        if total:
            x = F.pad(x, (before, after, before, after))
        return F.conv2d(x, weight, bias, stride)

    def norm(self, x, name):
        mean, variance = self.s[name + ".mean"], self.s[name + ".variance"]
        scale, offset = self.p[name + ".scale"], self.p[name + ".offset"]
        return F.batch_norm(x, mean, variance, scale, offset, self.training, 0.1, 1e-5)

    def dense(self, x, name):
        return torch.addmm(self.p[name + ".bias"], x, self.p[name + ".weight"])


def lenet(layers, x):
    x = layers.activate(layers.conv(x, "conv1", 2))
    x = layers.activate(layers.conv(x, "conv2", 2))
    # Our dense layers read [height, width, channels].
    x = x.permute(0, 2, 3, 1).flatten(1)
    return layers.dense(layers.activate(layers.dense(x, "hidden")), "logits")


def resnet8(layers, x):
    x = layers.activate(layers.conv(x, "stem"))
    for name, stride in (("stage1", 1), ("stage2", 2), ("stage3", 2)):
        residual = layers.conv(layers.activate(layers.conv(x, name + ".conv1", stride)), name + ".conv2")
        x = layers.activate(residual + (x if stride == 1 else layers.conv(x, name + ".shortcut", stride)))
    return layers.dense(x.mean((2, 3)), "logits")


def residual_network(stem, stages, blocks, before):
    def forward(layers, x):
        x = layers.conv(x, "stem")
        if not before:
            x = layers.activate(layers.norm(x, "stem.norm"))
        channels = stem
        for stage, filters in enumerate(stages):
            for block in range(blocks):
                name = f"stage{stage + 1}.block{block + 1}"
                stride = 2 if block == 0 and stage > 0 else 1
                projected = stride != 1 or channels != filters
                if before:
                    entry = layers.activate(layers.norm(x, name + ".norm1"))
                    inner = layers.activate(layers.norm(layers.conv(entry, name + ".conv1", stride), name + ".norm2"))
                    shortcut = layers.conv(entry, name + ".shortcut", stride) if projected else x
                    x = shortcut + layers.conv(inner, name + ".conv2")
                else:
                    inner = layers.activate(layers.norm(layers.conv(x, name + ".conv1", stride), name + ".norm1"))
                    residual = layers.norm(layers.conv(inner, name + ".conv2"), name + ".norm2")
                    if projected:
                        x = layers.norm(layers.conv(x, name + ".shortcut", stride), name + ".shortcut.norm")
                    x = layers.activate(x + residual)
                channels = filters
        if before:
            x = layers.activate(layers.norm(x, "norm"))
        return layers.dense(x.mean((2, 3)), "logits")

    return forward


def vgg(stages):
    def forward(layers, x):
        for stage, convolutions in enumerate(stages):
            for index in range(convolutions):
                name = f"stage{stage + 1}.conv{index + 1}"
                x = layers.activate(layers.norm(layers.conv(x, name), name + ".norm"))
            x = F.max_pool2d(x, 2, 2, ceil_mode=True)
        return layers.dense(x.mean((2, 3)), "logits")

    return forward


def vit(layers, x, patch=4, heads=4, depth=2):
    p = layers.p
    width = p["positions"].shape[-1]

    def norm(x, name):
        return F.layer_norm(x, (width,), p[name + ".scale"], p[name + ".offset"], 1e-5)

    def linear(x, name):
        return x @ p[name + ".weight"] + p[name + ".bias"]

    x = F.conv2d(x, p["patch.weight"], p["patch.bias"], patch).flatten(2).transpose(1, 2) + p["positions"]
    batch, tokens, _ = x.shape
    for block in range(1, depth + 1):
        name = f"block{block}"
        qkv = linear(norm(x, name + ".norm1"), name + ".qkv")
        q, k, v = (part.view(batch, tokens, heads, -1).transpose(1, 2) for part in qkv.chunk(3, -1))
        # Written out: the fused attention of PyTorch has no second derivative.
        weights = torch.softmax(q @ k.transpose(-1, -2) / (width // heads) ** 0.5, -1)
        x = x + linear((weights @ v).transpose(1, 2).reshape(batch, tokens, width), name + ".projection")
        x = x + linear(F.gelu(linear(norm(x, name + ".norm2"), name + ".hidden")), name + ".output")
    return linear(norm(x, "norm").mean(1), "logits")


NETWORKS = {
    "lenet": lenet,
    "resnet8": resnet8,
    "vit": vit,
    **{name: residual_network(**network) for name, network in RESIDUAL.items()},
    **{name: vgg(stages) for name, stages in VGG.items()},
}


def logits(network, parameters, statistics, images, **options):
    """Logits of images [batch, channels, height, width] in [0, 1]. Options: see Layers."""
    if images.shape[1] > 1 and network != "vit":
        images = (images - 0.5) * 4
    return NETWORKS[network](Layers(parameters, statistics, **options), images)


def cross_entropy(z, labels):
    return -(labels * torch.log_softmax(z, 1)).sum(1).mean()


def jsigr(z, images, labels, projection, jacobian_weight, gradient_weight):
    """CE + lambda_J C/2 mean ||v^T J||^2 + lambda_S mean ||dCE_i/dx_i||^2, exact, with one shared forward pass."""
    batch, classes = z.shape
    loss = cross_entropy(z, labels)
    slope, = torch.autograd.grad(loss * batch, images, create_graph=True)
    projected, = torch.autograd.grad((z * projection).sum(), images, create_graph=True)
    jacobian = 0.5 * classes * projected.square().sum() / batch
    return loss + jacobian_weight * jacobian + gradient_weight * slope.square().sum() / batch
