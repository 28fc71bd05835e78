"""Random structured programs: back ends move values and write in place; an evaluator that does neither agrees."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from myia_lite.backends import get_backend
from myia_lite.ir import I64, Array, Builder, Constant, Graph, verify
from myia_lite.ops import arrays, control, elementwise

ROW = Array("i64", (3,))


class Recur(Exception):
    pass


def evaluate(g, args, env):
    """The result of `g` by its definition: environments are copied, arrays are never written to."""
    env = env | dict(zip(g.params, args, strict=True))
    of = lambda n: n.value if isinstance(n, Constant) else env[n]  # noqa: E731
    for n in g.nodes:
        values = [of(a) for a in n.args]
        if n.op is control.switch:
            env[n] = evaluate(n.graphs[0 if values[0] else 1], [], env)
        elif n.op is control.call:
            env[n] = evaluate(n.graphs[0], values, {})
        elif n.op is control.recur:
            raise Recur(values)
        elif n.op is control.loop:
            while True:
                try:
                    env[n] = evaluate(n.graphs[0], values, env)
                    break
                except Recur as again:
                    (values,) = again.args
        else:
            env[n] = n.op.value(*values, **n.attrs)
    return of(g.result)


class Programs:
    """Draws statements into graphs; `scope` holds the numbers and rows that may be used."""

    def __init__(self, draw):
        self.draw = draw
        self.callees = []

    def pick(self, items):
        return items[self.draw(st.integers(0, len(items) - 1))]

    def number(self, numbers):
        return self.pick([*numbers, Constant(np.int64(2), I64)])

    def statements(self, b, numbers, rows, depth):
        """Emit some; returns what is in scope after them."""
        numbers, rows = list(numbers), list(rows)
        for _ in range(self.draw(st.integers(1, 4))):
            kind = self.draw(st.integers(0, 7 if depth else 4))
            index = Constant(np.int64(self.draw(st.integers(0, 2))), I64)
            with b:
                if kind == 0:
                    numbers.append(elementwise.sub(self.number(numbers), self.number(numbers)))
                elif kind == 1:
                    rows.append(arrays.set_elem(self.pick(rows), self.number(numbers), index))
                elif kind == 2:
                    rows.append(arrays.add_elem(self.pick(rows), self.number(numbers), index))
                elif kind == 3:
                    numbers.append(arrays.elem(self.pick(rows), index))
                elif kind == 4:
                    pair = control.tuple_(self.pick(rows), self.pick(rows))
                    rows.append(control.get(pair, index=self.draw(st.integers(0, 1))))
                elif kind in (5, 6):
                    c = elementwise.lt(self.number(numbers), self.number(numbers))
                    rows.append(self.switch(b, c, numbers, rows, depth - 1))
                elif self.callees and self.draw(st.booleans()):
                    rows.append(b.emit(control.call, self.pick(rows), graphs=(self.pick(self.callees),)))
                else:
                    rows.append(self.loop(b, numbers, rows, depth - 1))
        return numbers, rows

    def switch(self, b, c, numbers, rows, depth):
        branches = []
        for name in ("then", "else"):
            g = Graph(name, b.graph)
            _, inner = self.statements(Builder(g), numbers, rows, depth)
            g.returns(self.pick(inner))
            branches.append(g)
        return b.emit(control.switch, c, graphs=branches)

    def loop(self, b, numbers, rows, depth):
        """So many trips; each changes one row, and leaves early where a number says so."""
        g = Graph("L", b.graph)
        k, row = g.parameter(I64, "k"), g.parameter(ROW, "row")
        g.result_type = ROW
        body = Builder(g)
        n, r = self.statements(body, [*numbers, k], [*rows, row], depth)
        with body:
            c = elementwise.gt(k, 0)
        leave, again = Graph("leave", g), Graph("again", g)
        leave.returns(self.pick(r))
        inner = Builder(again)
        _, r = self.statements(inner, n, r, 0)
        with inner:
            again.returns(inner.emit(control.recur, elementwise.sub(k, 1), self.pick(r), graphs=(g,)))
        g.returns(body.emit(control.switch, c, graphs=(again, leave)))
        trips = Constant(np.int64(self.draw(st.integers(0, 3))), I64)
        return b.emit(control.loop, trips, self.pick(rows), graphs=(g,))


@st.composite
def programs(draw):
    make = Programs(draw)
    for name in ("h", "f"):
        g = Graph(name)
        row = g.parameter(ROW, "row")
        b = Builder(g)
        with b:
            first = arrays.elem(row, Constant(np.int64(0), I64))
        _, rows = make.statements(b, [first], [row], 2)
        if name == "h":
            make.callees.append(g.returns(make.pick(rows)))
    with b:
        g.returns(control.tuple_(*rows[-4:]))
    return verify(g)


@settings(max_examples=300, deadline=None)
@given(programs())
def test_moving_and_writing_in_place_do_not_show(g):
    check(g, "interp")


@settings(max_examples=60, deadline=None)
@given(programs())
def test_nor_do_they_in_native_code(g):
    check(g, "llvm")


def check(g, backend):
    row = np.array([3, -1, 2])
    expected = evaluate(g, [row.copy()], {})
    actual = get_backend(backend).compile(g)([row])
    assert [a.tolist() for a in actual] == [e.tolist() for e in expected]
    assert row.tolist() == [3, -1, 2]
