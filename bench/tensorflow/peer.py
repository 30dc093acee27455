"""The jobs of jobs.ts by TensorFlow's own `tf.function`: reads one request a line, answers one line of JSON.

Requests: {"start": FOLDER, "network": NAME, "job": NAME} traces a job on the numbers that the folder holds; {"step": JOB_ID} makes a step and
answers with its loss, wall and CPU time. Weights and optimiser state are tf.Variables, updated in place.
"""
import json
import os
import sys
import time

THREADS = int(sys.argv[1])
os.environ["TF_NUM_INTRAOP_THREADS"] = str(THREADS)
os.environ["TF_NUM_INTEROP_THREADS"] = sys.argv[2]
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

CLASSES = 10


def conv(p, x, name, stride):
    return tf.nn.conv2d(x, p[f"{name}.weight"], stride, "SAME") + p[f"{name}.bias"]


def dense(p, x, name):
    return tf.matmul(x, p[f"{name}.weight"]) + p[f"{name}.bias"]


def lenet(p, x):
    h = tf.nn.relu(conv(p, x, "conv1", 2))
    h = tf.nn.relu(conv(p, h, "conv2", 2))
    h = tf.nn.relu(dense(p, tf.reshape(h, [h.shape[0], -1]), "hidden"))
    return dense(p, h, "logits")


def resnet8(p, x):
    h = tf.nn.relu(conv(p, x, "stem", 1))
    for name, stride in (("stage1", 1), ("stage2", 2), ("stage3", 2)):
        residual = conv(p, tf.nn.relu(conv(p, h, f"{name}.conv1", stride)), f"{name}.conv2", 1)
        shortcut = h if stride == 1 else conv(p, h, f"{name}.shortcut", stride)
        h = tf.nn.relu(shortcut + residual)
    return dense(p, tf.reduce_mean(h, [1, 2]), "logits")


FORWARD = {"lenet": lenet, "resnet8": resnet8}


def cross_entropy(z, y):
    return tf.reduce_mean(-tf.reduce_sum(y * tf.nn.log_softmax(z), 1))


def mean_square(g):
    return tf.reduce_mean(tf.reduce_sum(g * g, [1, 2, 3]))


def adam(state, names, gradients):
    for name, g in zip(names, gradients):
        first, second = state["first"][name], state["second"][name]
        first.assign(0.9 * first + g)
        second.assign(0.999 * second + g * g)
        p = state["parameters"][name]
        p.assign(p - 1e-3 * (first / (tf.sqrt(second) + 1e-6)))


def make(network, job, state, x, y, v):
    forward = FORWARD[network]
    p = state["parameters"]
    names = list(p)

    def forward_only():
        return forward(p, x)

    def train():
        with tf.GradientTape() as tape:
            loss = cross_entropy(forward(p, x), y)
        adam(state, names, tape.gradient(loss, [p[n] for n in names]))
        return loss

    def jsigr():
        with tf.GradientTape() as outer:
            with tf.GradientTape(persistent=True) as inner:
                inner.watch(x)
                z = forward(p, x)
            selective = mean_square(inner.gradient(z, x, output_gradients=tf.nn.softmax(z) - y))
            jacobian = mean_square(inner.gradient(z, x, output_gradients=v)) * (CLASSES / 2)
            loss = cross_entropy(z, y) + 0.5 * selective + 0.01 * jacobian
        adam(state, names, outer.gradient(loss, [p[n] for n in names]))
        return loss

    def pgd():
        adversarial = state["adversarial"]
        q = tf.identity(adversarial)
        with tf.GradientTape() as tape:
            tape.watch(q)
            loss = tf.reduce_sum(-tf.reduce_sum(y * tf.nn.log_softmax(forward(p, q)), 1))
        moved = q + 0.01 * tf.sign(tape.gradient(loss, q))
        adversarial.assign(tf.clip_by_value(tf.minimum(tf.maximum(moved, x - 0.1), x + 0.1), 0.0, 1.0))
        return loss

    return tf.function({"forward": forward_only, "train": train, "jsigr": jsigr, "pgd": pgd}[job])


def load(folder, name, shape):
    return np.fromfile(os.path.join(folder, name), np.float32).reshape(shape)


def start(folder, network, job):
    with open(os.path.join(folder, "shapes.json")) as file:
        shapes = json.load(file)
    arrays = {name: load(folder, name, shape) for name, shape in shapes.items()}
    names = [name[len("parameters "):] for name in arrays if name.startswith("parameters ")]
    parameters = {name: tf.Variable(arrays[f"parameters {name}"]) for name in names}
    zeros = lambda: {name: tf.Variable(tf.zeros_like(p)) for name, p in parameters.items()}  # noqa: E731
    state = {"parameters": parameters, "first": zeros(), "second": zeros(), "adversarial": tf.Variable(arrays["x"])}
    return make(network, job, state, *(tf.constant(arrays[name]) for name in ("x", "y", "v")))


steps = []
print(json.dumps({"version": tf.__version__}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if "start" in request:
        steps.append(start(request["start"], request["network"], request["job"]))
        print(json.dumps({"id": len(steps) - 1}), flush=True)
        continue
    wall, cpu = time.perf_counter(), time.process_time()
    result = steps[request["step"]]().numpy()
    answer = {"wall": 1e3 * (time.perf_counter() - wall), "cpu": 1e3 * (time.process_time() - cpu)}
    print(json.dumps({**answer, "loss": float(result) if result.ndim == 0 else None}), flush=True)
