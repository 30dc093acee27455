"""TensorFlow: each job one tf.function, Adam by its fused kernel, one shared forward pass for both penalties."""

import tensorflow as tf

import networks_tensorflow as networks
import worker

tf.config.threading.set_intra_op_parallelism_threads(worker.THREADS)
tf.config.threading.set_inter_op_parallelism_threads(worker.THREADS)


def make(command, arrays, is_checked):
    network, job, constants = command["workload"]["network"], command["job"], command["constants"]
    parameters = {name: tf.Variable(array) for name, array in arrays["parameters"].items()}
    statistics = {name: tf.Variable(array) for name, array in arrays["statistics"].items()}
    images, labels = tf.constant(arrays["images"]), tf.constant(arrays["labels"])
    projection = tf.constant(arrays["projection0"])
    names = list(parameters)
    first = {name: tf.Variable(tf.zeros_like(parameters[name])) for name in names}
    second = {name: tf.Variable(tf.zeros_like(parameters[name])) for name in names}
    powers = tf.Variable(1.0), tf.Variable(1.0)
    batch, classes = labels.shape

    def cross_entropy(z):
        return tf.nn.softmax_cross_entropy_with_logits(labels, z)

    def adam(gradients):
        for power, beta in zip(powers, (0.9, 0.999)):
            power.assign(power * beta)
        for name, gradient in zip(names, gradients):
            tf.raw_ops.ResourceApplyAdam(
                var=parameters[name].handle, m=first[name].handle, v=second[name].handle,
                beta1_power=powers[0], beta2_power=powers[1], lr=constants["learningRate"],
                beta1=0.9, beta2=0.999, epsilon=1e-8, grad=gradient,
            )

    def forward_of(x):
        return tf.reduce_mean(tf.abs(networks.logits(network, parameters, statistics, x, False)))

    @tf.function
    def forward():
        return forward_of(images)

    @tf.function
    def train():
        with tf.GradientTape() as tape:
            z = networks.logits(network, parameters, statistics, images, True)
            loss = tf.reduce_mean(cross_entropy(z))
        adam(tape.gradient(loss, [parameters[name] for name in names]))
        return loss

    @tf.function
    def jsigr():
        with tf.GradientTape() as outer:
            with tf.GradientTape(persistent=True) as inner:
                inner.watch(images)
                z = networks.logits(network, parameters, statistics, images, True)
                losses = cross_entropy(z)
                projected = tf.reduce_sum(z * projection)
            slope = inner.gradient(losses, images)
            row = inner.gradient(projected, images)
            jacobian = 0.5 * classes * tf.reduce_sum(tf.square(row)) / batch
            selective = tf.reduce_sum(tf.square(slope)) / batch
            loss = tf.reduce_mean(losses) + constants["jacobianWeight"] * jacobian
            loss += constants["gradientWeight"] * selective
        adam(outer.gradient(loss, [parameters[name] for name in names]))
        return loss

    attacked = tf.Variable(images)

    @tf.function
    def pgd():
        x = tf.identity(attacked)
        with tf.GradientTape() as tape:
            tape.watch(x)
            losses = cross_entropy(networks.logits(network, parameters, statistics, x, False))
        moved = x + constants["stepSize"] * tf.sign(tape.gradient(losses, x))
        offset = tf.clip_by_value(moved - images, -constants["epsilon"], constants["epsilon"])
        attacked.assign(tf.clip_by_value(images + offset, 0.0, 1.0))
        return forward_of(attacked) if is_checked else attacked[0, 0, 0, 0]

    return {"forward": forward, "train": train, "jsigr": jsigr, "pgd": pgd}[job]


worker.serve(f"tensorflow {tf.__version__}", [""], make)
