"""How long the default pipeline takes on programs of 250 to 10,000 nodes: straight-line code, branches and loops."""

import random

from myia_lite.ir import I64, Builder, Graph, Scalar, constant, reachable, verify
from myia_lite.ops.control import loop, recur, switch
from myia_lite.ops.elementwise import add, cos, lt, maximum, mul, neg, powi, select, sin, sub, tanh
from myia_lite.opt import default

from .harness import Row, benchmark, seconds_of

F64 = Scalar("f64")


def program(nodes: int, seed: int = 0) -> Graph:
    """A random program of about so many nodes: in three parts straight-line, a fourth of it in branches and loops."""
    rng = random.Random(seed)
    g = Graph("f")
    values = [g.parameter(F64, name) for name in "xyz"]

    def straight(b, values, count):
        with b:
            for _ in range(count):
                u, v = (values[-1 - min(int(rng.expovariate(0.15)), len(values) - 1)] for _ in range(2))
                kind = rng.randrange(10)
                if kind < 6:
                    n = (add, sub, mul, mul, add, maximum)[kind](u, v)
                elif kind == 6:
                    n = rng.choice((sin, cos, tanh, neg))(u)
                elif kind == 7:
                    n = add(u, neg(v))
                elif kind == 8:
                    n = powi(u, n=2)
                else:
                    n = select(lt(u, v), u, mul(v, 1.0))
                values.append(n)
        return values

    def branch(b, values):
        with b:
            c = lt(values[-1], values[-2])
        graphs = []
        for name in ("then", "else"):
            h = Graph(name, b.graph)
            h.returns(straight(Builder(h), list(values), 10)[-1])
            graphs.append(h)
        values.append(b.emit(switch, c, graphs=graphs))

    def trips(b, values):
        h = Graph("L", b.graph)
        k, s = h.parameter(I64, "k"), h.parameter(F64, "s")
        h.result_type = F64
        inner = Builder(h)
        with inner:
            c = lt(k, 100)
        body, done = Graph("body", h), Graph("done", h)
        done.returns(s)
        inside = Builder(body)
        out = straight(inside, [*values[-3:], s], 12)
        with inside:
            body.returns(inside.emit(recur, add(k, 1), out[-1], graphs=(h,)))
        h.returns(inner.emit(switch, c, graphs=(body, done)))
        values.append(b.emit(loop, constant(0), values[-1], graphs=(h,)))

    b = Builder(g)
    while size(g) < nodes:
        straight(b, values, 60)
        branch(b, values)
        trips(b, values)
    with b:
        total = values[-1]
        for v in values[3:-1:3]:
            total = add(total, v)
    return verify(g.returns(total))


def size(g: Graph) -> int:
    """The nodes of a program."""
    return sum(len(h.nodes) for top in reachable(g) for h in top.nested())


@benchmark
def run():
    """Seconds by size; twice the size should take little more than twice the time."""
    before = None
    for nodes, target in ((250, None), (500, None), (1000, 0.5), (2500, None), (5000, None), (10_000, 6.0)):
        g = program(nodes)
        seconds = min(seconds_of(lambda g=g: default(g)) for _ in range(3 if nodes <= 2500 else 1))
        yield Row(f"optimise {size(g):6,} nodes ({seconds / size(g) * 1e6:.0f} µs a node)", seconds, target=target)
        if before is not None:
            assert seconds / before[0] < 4 * size(g) / before[1], "the time grows faster than the program"
        before = seconds, size(g)
