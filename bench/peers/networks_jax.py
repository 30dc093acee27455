"""The timed networks in JAX: pure functions, NHWC images, our parameters by name, convolutions with `same` padding."""

import jax
import jax.numpy as jnp
from jax import lax


class Layers:
    """Collects the next running statistics in `updated`."""

    def __init__(self, parameters, statistics, training):
        self.p = parameters
        self.s = statistics
        self.training = training
        self.updated = {}

    def conv(self, x, name, stride=1):
        dimensions = ("NHWC", "HWIO", "NHWC")
        y = lax.conv_general_dilated(x, self.p[name + ".weight"], (stride, stride), "SAME", dimension_numbers=dimensions)
        bias = self.p.get(name + ".bias")
        return y if bias is None else y + bias

    def norm(self, x, name):
        mean, variance = self.s[name + ".mean"], self.s[name + ".variance"]
        if self.training:
            count = x.size / mean.size
            now_mean, now_variance = jnp.mean(x, (0, 1, 2)), jnp.var(x, (0, 1, 2))
            self.updated[name + ".mean"] = 0.9 * mean + 0.1 * now_mean
            self.updated[name + ".variance"] = 0.9 * variance + 0.1 * now_variance * (count / (count - 1))
            mean, variance = now_mean, now_variance
        return (x - mean) * (self.p[name + ".scale"] * lax.rsqrt(variance + 1e-5)) + self.p[name + ".offset"]

    def dense(self, x, name):
        return x @ self.p[name + ".weight"] + self.p[name + ".bias"]


def lenet(layers, x):
    x = jax.nn.relu(layers.conv(x, "conv1", 2))
    x = jax.nn.relu(layers.conv(x, "conv2", 2))
    x = x.reshape(x.shape[0], -1)
    return layers.dense(jax.nn.relu(layers.dense(x, "hidden")), "logits")


def resnet8(layers, x):
    x = jax.nn.relu(layers.conv(x, "stem"))
    for name, stride in (("stage1", 1), ("stage2", 2), ("stage3", 2)):
        residual = layers.conv(jax.nn.relu(layers.conv(x, name + ".conv1", stride)), name + ".conv2")
        x = jax.nn.relu(residual + (x if stride == 1 else layers.conv(x, name + ".shortcut", stride)))
    return layers.dense(jnp.mean(x, (1, 2)), "logits")


def resnet18(layers, x):
    x = jax.nn.relu(layers.norm(layers.conv(x, "stem"), "stem.norm"))
    for stage in range(4):
        for block in range(2):
            name = f"stage{stage + 1}.block{block + 1}"
            stride = 2 if block == 0 and stage > 0 else 1
            inner = jax.nn.relu(layers.norm(layers.conv(x, name + ".conv1", stride), name + ".norm1"))
            residual = layers.norm(layers.conv(inner, name + ".conv2"), name + ".norm2")
            if stride != 1:
                x = layers.norm(layers.conv(x, name + ".shortcut", stride), name + ".shortcut.norm")
            x = jax.nn.relu(x + residual)
    return layers.dense(jnp.mean(x, (1, 2)), "logits")


NETWORKS = {"lenet": lenet, "resnet8": resnet8, "resnet18": resnet18}


def logits(network, parameters, statistics, images, training):
    """Logits, and the running statistics after this pass."""
    if images.shape[-1] > 1:
        images = (images - 0.5) * 4
    layers = Layers(parameters, statistics, training)
    z = NETWORKS[network](layers, images)
    return z, layers.updated
