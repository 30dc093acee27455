"""The timed networks in TensorFlow: NHWC images, our parameters by name, convolutions with `same` padding."""

import tensorflow as tf


class Layers:
    def __init__(self, parameters, statistics, training):
        self.p = parameters
        self.s = statistics
        self.training = training

    def conv(self, x, name, stride=1):
        y = tf.nn.conv2d(x, self.p[name + ".weight"], stride, "SAME")
        bias = self.p.get(name + ".bias")
        return y if bias is None else tf.nn.bias_add(y, bias)

    def norm(self, x, name):
        mean, variance = self.s[name + ".mean"], self.s[name + ".variance"]
        y, new_mean, new_variance = tf.compat.v1.nn.fused_batch_norm(
            x, self.p[name + ".scale"], self.p[name + ".offset"], mean, variance, 1e-5,
            is_training=self.training, exponential_avg_factor=0.1 if self.training else 1.0,
        )
        if self.training:
            mean.assign(new_mean)
            variance.assign(new_variance)
        return y

    def dense(self, x, name):
        return tf.nn.bias_add(tf.matmul(x, self.p[name + ".weight"]), self.p[name + ".bias"])


def lenet(layers, x):
    x = tf.nn.relu(layers.conv(x, "conv1", 2))
    x = tf.nn.relu(layers.conv(x, "conv2", 2))
    x = tf.reshape(x, [x.shape[0], -1])
    return layers.dense(tf.nn.relu(layers.dense(x, "hidden")), "logits")


def resnet8(layers, x):
    x = tf.nn.relu(layers.conv(x, "stem"))
    for name, stride in (("stage1", 1), ("stage2", 2), ("stage3", 2)):
        residual = layers.conv(tf.nn.relu(layers.conv(x, name + ".conv1", stride)), name + ".conv2")
        x = tf.nn.relu(residual + (x if stride == 1 else layers.conv(x, name + ".shortcut", stride)))
    return layers.dense(tf.reduce_mean(x, [1, 2]), "logits")


def resnet18(layers, x):
    x = tf.nn.relu(layers.norm(layers.conv(x, "stem"), "stem.norm"))
    for stage in range(4):
        for block in range(2):
            name = f"stage{stage + 1}.block{block + 1}"
            stride = 2 if block == 0 and stage > 0 else 1
            inner = tf.nn.relu(layers.norm(layers.conv(x, name + ".conv1", stride), name + ".norm1"))
            residual = layers.norm(layers.conv(inner, name + ".conv2"), name + ".norm2")
            if stride != 1:
                x = layers.norm(layers.conv(x, name + ".shortcut", stride), name + ".shortcut.norm")
            x = tf.nn.relu(x + residual)
    return layers.dense(tf.reduce_mean(x, [1, 2]), "logits")


NETWORKS = {"lenet": lenet, "resnet8": resnet8, "resnet18": resnet18}


def logits(network, parameters, statistics, images, training):
    if images.shape[-1] > 1:
        images = (images - 0.5) * 4
    return NETWORKS[network](Layers(parameters, statistics, training), images)
