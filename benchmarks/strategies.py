"""Forward mode by rules: what each step of the optimisation ladder is worth, beside reverse mode, NumPy by hand and
JAX.

    python -m benchmarks.strategies [--out out/ladder.png] [NAME ...]

For each of the six micro-benchmarks: the time, the nodes and the rules fired of five named strategies, at a size where
the first is bearable; then the full ladder at the largest size against the others, in the same run.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from myia_lite import grad, myia
from myia_lite.opt import STRATEGIES

from .harness import Row, benchmark, check_equal, medians, peer, seconds_of
from .micro import DERIVATIVES, dot, inputs, largest, nmf

LADDER = {
    "forward_plain": "none",
    "forward_fused": "+ loop fusion",
    "forward_moved": "+ invariant motion",
    "forward_normalised": "+ loop normalisation",
    "forward_in_place": "+ destination passing",
}
BEARABLE = {"add": 400, "dot": 3200, "max": 3200, "mults": 25600, "ba": 2411, "nmf": 400}


def by_rules(function, args, strategy):
    """(the compiled derivative, its nodes, rules fired, the result in a test call)."""
    compiled = myia(function, error_model="numpy", optimize=STRATEGIES[strategy])
    phase = compiled.log(*args).phases[0]
    return (lambda: compiled(*args)), phase.after, sum(phase.fired.values())


def by_hand(name, args):
    """The derivative that one would write, in NumPy."""
    if name == "add":
        return lambda: np.eye(len(args[0]))
    if name == "dot":
        return lambda: args[1].copy()
    if name == "mults":
        return lambda: 2.0 * args[0] * args[1]
    if name == "nmf":
        a, v, u = args
        return lambda: (1.0 / u) * len(v) - ((a / v[:, None]) / u**2).sum(0)
    if name == "max":

        def one_hot():
            out = np.zeros(len(args[0]))
            out[np.argmax(args[0])] = 1.0
            return out

        return one_hot
    return None


def by_reverse_mode(name, args):
    """Our reverse mode, where there is one result."""
    if name == "dot":
        f = grad(myia(dot, error_model="numpy"))
    elif name == "max":
        f = grad(myia(largest, error_model="numpy"))
    elif name == "nmf":
        f = grad(myia(nmf, error_model="numpy"), argnums=2)
    else:
        return None
    return lambda: f(*args)


def by_jax(name, args):
    """JAX's own choice for the derivative, compiled."""
    jax = peer("jax")
    if jax is None:
        return None
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    args = [jnp.asarray(a) for a in args]
    if name == "add":
        f = jax.jacfwd(lambda x, y: x + y)
    elif name == "dot":
        f = jax.grad(jnp.dot)
    elif name == "max":
        f = jax.grad(lambda v: v[jnp.argmax(v)])
    elif name == "mults":
        f = jax.jacfwd(lambda x, y: x * y * y, argnums=1)
    elif name == "nmf":
        f = jax.grad(lambda a, v, u: jnp.sum(jnp.log(jnp.outer(v, u)) + a / jnp.outer(v, u)), argnums=2)
    else:

        def project(cam, p):
            d = p - cam[3:6]
            s = jnp.sum(cam[:3] ** 2)
            theta = jnp.sqrt(s)
            w = cam[:3] / theta
            x = d * jnp.cos(theta) + jnp.cross(w, d) * jnp.sin(theta) + jnp.outer(d @ w, w) * (1.0 - jnp.cos(theta))
            q = x[:, :2] / x[:, 2:]
            r = jnp.sum(q * q, axis=1, keepdims=True)
            return cam[6] * (1.0 + cam[9] * r + cam[10] * r * r) * q + cam[7:9]

        f = jax.jacfwd(project)
    f = jax.jit(f)
    return lambda: f(*args).block_until_ready()


def ladder(name):
    """Rows (strategy, seconds, nodes, rules fired) at a bearable size; equal results throughout."""
    function, _ = DERIVATIVES[name]
    args = inputs(name, BEARABLE[name])
    first = None
    for strategy in LADDER:
        run, nodes, fired = by_rules(function, args, strategy)
        result = np.array(run())
        first = result if first is None else first
        check_equal(result, first, what=f"{name} by {strategy}")
        slow = seconds_of(run) > 0.2
        seconds = seconds_of(run) if slow else medians(run, rounds=7, least=0.002)[0]
        yield strategy, seconds, nodes, fired


def against(name):
    """(size, seconds of the full ladder, {peer: seconds}) at the largest size, measured in turn."""
    function, sizes = DERIVATIVES[name]
    args = inputs(name, sizes[-1])
    ours = by_rules(function, args, "forward_in_place")[0]
    peers = {"reverse mode": by_reverse_mode(name, args), "NumPy": by_hand(name, args), "JAX": by_jax(name, args)}
    peers = {k: f for k, f in peers.items() if f is not None}
    result = np.array(ours())
    for k, f in peers.items():
        other = np.asarray(f())
        other = np.moveaxis(other, -1, 0) if k == "JAX" and name in ("add", "ba") else other
        check_equal(result, other, rtol=1e-8, what=f"{name}: by rules and by {k}")
    seconds = medians(ours, *peers.values(), rounds=9, least=0.002)
    return sizes[-1], seconds[0], dict(zip(peers, seconds[1:], strict=True))


def draw(steps, path):
    """The ladder as a picture: time at each step, relative to none."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for name, rows in steps.items():
        axes.plot(list(LADDER.values()), [r[1] * 1e3 for r in rows], marker="o", label=f"{name} {BEARABLE[name]}")
    axes.set_yscale("log")
    axes.set_ylabel("milliseconds")
    axes.set_title("Forward mode by rewriting: what each family of rules is worth")
    axes.tick_params(axis="x", labelrotation=12)
    axes.grid(axis="y", alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


@benchmark
def run():
    """The full ladder against JAX, and the gain on nmf."""
    for name in DERIVATIVES:
        size, ours, peers = against(name)
        yield Row(f"forward mode by rules, {name} {size}", ours, "JAX", peers.get("JAX"), target=1.0)
    rows = list(ladder("nmf"))
    yield Row(
        "nmf 100×400: the ladder's last step over its first", rows[-1][1], "no ladder", rows[0][1], target=1 / 200
    )


def main(argv=None) -> int:
    """Print both tables and draw the ladder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.strategies", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", choices=[*DERIVATIVES, []], metavar="NAME", help=", ".join(DERIVATIVES))
    parser.add_argument("--out", default="out/ladder.png", help="where to draw the ladder")
    options = parser.parse_args(argv)
    steps = {}
    print(f"{'benchmark':12} {'strategy':24} {'ms':>10} {'nodes':>6} {'fired':>6} {'gain':>8}")
    for name in options.names or DERIVATIVES:
        steps[name] = []
        for row in ladder(name):
            steps[name].append(row)
            strategy, seconds, nodes, fired = row
            gain = steps[name][0][1] / seconds
            line = (
                f"{name + ' ' + str(BEARABLE[name]):12} {LADDER[strategy]:24} {seconds * 1e3:10.4f} {nodes:6} {fired:6}"
            )
            print(f"{line} {gain:7.1f}×", flush=True)
    print(f"\n{'benchmark':14} {'by rules, ms':>13} " + " ".join(f"{k:>20}" for k in ("reverse mode", "NumPy", "JAX")))
    for name in options.names or DERIVATIVES:
        size, ours, peers = against(name)
        cells = [
            f"{peers[k] * 1e3:.4f} ({ours / peers[k]:.2f}×)" if k in peers else ""
            for k in ("reverse mode", "NumPy", "JAX")
        ]
        print(f"{name + ' ' + str(size):14} {ours * 1e3:13.4f} " + " ".join(f"{c:>20}" for c in cells), flush=True)
    Path(options.out).parent.mkdir(parents=True, exist_ok=True)
    draw(steps, options.out)
    print(f"\nthe ladder is drawn in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
