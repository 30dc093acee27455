"""JAX: each job one jitted function whose state is donated, one shared forward pass for both penalties."""

import os

import worker

worker.limit_cores()
if worker.THREADS == 1:
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

import networks_jax as networks  # noqa: E402


def make(command, arrays, is_checked):
    network, job, constants = command["workload"]["network"], command["job"], command["constants"]
    images, labels, projection = (jnp.asarray(arrays[name]) for name in ("images", "labels", "projection0"))
    parameters = {name: jnp.array(array) for name, array in arrays["parameters"].items()}
    statistics = {name: jnp.array(array) for name, array in arrays["statistics"].items()}
    batch, classes = labels.shape

    def cross_entropy(z):
        return -jnp.sum(labels * jax.nn.log_softmax(z), 1)

    def standard(weights, running):
        z, updated = networks.logits(network, weights, running, images, True)
        return jnp.mean(cross_entropy(z)), updated

    def jsigr(weights, running):
        z, pullback, updated = jax.vjp(lambda x: networks.logits(network, weights, running, x, True), images, has_aux=True)
        slope, = pullback(jax.nn.softmax(z) - labels)
        row, = pullback(projection)
        jacobian = 0.5 * classes * jnp.sum(row**2) / batch
        penalties = constants["jacobianWeight"] * jacobian + constants["gradientWeight"] * jnp.sum(slope**2) / batch
        return jnp.mean(cross_entropy(z)) + penalties, updated

    def training_step(loss):
        def step(state):
            weights, running, first, second, count = state
            (value, updated), slopes = jax.value_and_grad(loss, has_aux=True)(weights, running)
            count = count + 1
            first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, slopes)
            second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, slopes)
            rate = constants["learningRate"] * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
            # PyTorch's epsilon is added after the correction.
            small = 1e-8 * jnp.sqrt(1 - 0.999**count)
            weights = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + small), weights, first, second)
            return (weights, updated, first, second, count), value

        compiled = jax.jit(step, donate_argnums=0)
        zeros = jax.tree.map(jnp.zeros_like, parameters)
        state = [(parameters, statistics, zeros, jax.tree.map(jnp.zeros_like, parameters), jnp.float32(0))]

        def run():
            state[0], value = compiled(state[0])
            return value

        return run

    @jax.jit
    def forward(weights, running, x):
        return jnp.mean(jnp.abs(networks.logits(network, weights, running, x, False)[0]))

    @jax.jit
    def attack(weights, running, x):
        def total(at):
            return jnp.sum(cross_entropy(networks.logits(network, weights, running, at, False)[0]))

        moved = x + constants["stepSize"] * jnp.sign(jax.grad(total)(x))
        offset = jnp.clip(moved - images, -constants["epsilon"], constants["epsilon"])
        x = jnp.clip(images + offset, 0, 1)
        return x, (forward(weights, running, x) if is_checked else x[0, 0, 0, 0])

    attacked = [images]

    def pgd():
        attacked[0], value = attack(parameters, statistics, attacked[0])
        return value

    if job == "forward":
        return lambda: forward(parameters, statistics, images)
    if job == "pgd":
        return pgd
    return training_step({"train": standard, "jsigr": jsigr}[job])


worker.serve(f"jax {jax.__version__}", [""], make)
