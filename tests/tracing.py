"""A tiny stand-in for inference: expressions over proxies go through the library into a graph, which `interp` runs.

`check(f, *args)` asks that f on the numbers and f through the library agree in value, dtype, kind and exceptions.
"""

from __future__ import annotations

import warnings

import numpy as np

from myia_lite.backends import interp
from myia_lite.infer import library
from myia_lite.infer.context import Context
from myia_lite.infer.library.dtypes import OURS
from myia_lite.infer.values import Bound, Iterator, Leaf, Mapping, Record, Sequence, Slice, Static, Value
from myia_lite.ir import Array, Constant, Graph, Node, Scalar, shaped, verify
from myia_lite.ops import control

PYTHON = {bool: "bool", int: "i64", float: "f64"}


class Tracing(Context):
    """A context with one graph, no aliasing, and calls of library functions only."""

    def __init__(self, error_model="python"):
        super().__init__(error_model)
        self.graph = Graph("traced")
        self.inputs: list = []
        self.views: set[Node] = set()

    def use(self, nodes):
        pass

    def made(self, node):
        pass

    def view(self, node, source):
        self.views.add(node)
        return Leaf(node)

    def call(self, function, args, keywords=()):
        if isinstance(function, Bound):
            return self.call(function.function, (*function.args, *args), (*function.keywords, *keywords))
        return library.lookup(function.value)(self, *args, **dict(keywords))

    def getattr(self, value, name):
        from myia_lite.ir import MyiaAttributeError

        out = library.attribute(self, value, name)
        return out if out is not None else self.error(f"no attribute {name}", cls=MyiaAttributeError)

    def getitem(self, value, index):
        return library.getitem(self, value, index)

    def switch(self, condition, then, orelse):
        if isinstance(condition, Constant):
            return then() if condition.value else orelse()
        graphs, values = [], []
        for branch in (then, orelse):
            g = Graph("branch", self.graph)
            with self.into(g):
                value = branch()
                g.returns(self.tuple_of([x.node for x in leaves(value)]))
            graphs.append(g)
            values.append(value)
        out = self.emit(control.switch, condition, graphs=tuple(graphs))
        return rebuilt(values[0], iter(self.split(out, len(leaves(values[0])))))

    def value(self, obj) -> Value:
        """A Python object as an abstract value; arrays become parameters."""
        match obj:
            case Value():
                return obj
            case Proxy():
                return obj._value
            case bool() | int() | float() if type(obj) in PYTHON:
                return self.const(obj)
            case np.generic() if obj.dtype in OURS:
                return Leaf(Constant(obj.item(), Scalar(OURS[obj.dtype])))
            case np.ndarray():
                return self.argument(obj)
            case tuple() | list():
                return Sequence(tuple(map(self.value, obj)), type(obj))
            case dict():
                return Mapping(tuple(obj), tuple(map(self.value, obj.values())))
            case slice():
                return Slice(*map(self.value, (obj.start, obj.stop, obj.step)))
        return Static(obj)

    def argument(self, obj, unknown=False) -> Value:
        """A parameter; `unknown`: the sizes of an array are not known at compile time."""
        if isinstance(obj, (tuple, list)):
            return Sequence(tuple(self.argument(x, unknown) for x in obj), type(obj))
        if type(obj) in PYTHON:
            self.inputs.append(np.array(obj)[()])
            return Leaf(self.graph.parameter(Scalar(PYTHON[type(obj)])), True)
        if isinstance(obj, (np.ndarray, np.generic)):
            self.inputs.append(obj)
            sizes = tuple(None if unknown else n for n in obj.shape)
            return Leaf(self.graph.parameter(shaped(OURS[obj.dtype], sizes)))
        return self.value(obj)


def leaves(v) -> list[Leaf]:
    match v:
        case Leaf():
            return [v]
        case Sequence() | Mapping() | Record():
            return [x for i in v.items for x in leaves(i)]
    return []


def rebuilt(v, nodes):
    match v:
        case Leaf():
            return Leaf(next(nodes), v.py)
        case Sequence():
            return Sequence(tuple(rebuilt(i, nodes) for i in v.items), v.kind)
    return v


class Proxy:
    """A value while a test's expression runs: each operation goes through the library."""

    __array_priority__ = 100
    __hash__ = None

    def __init__(self, ctx, value):
        self._ctx, self._value = ctx, value

    def __array_ufunc__(self, ufunc, method, *args, **keywords):
        return traced(self._ctx, ufunc, args, keywords)

    def __array_function__(self, function, classes, args, keywords):
        return traced(self._ctx, function, args, keywords)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return wrapped(self._ctx, self._ctx.getattr(self._value, name))

    def __call__(self, *args, **keywords):
        keywords = {k: self._ctx.value(v) for k, v in keywords.items()}
        return wrapped(self._ctx, self._ctx.call(self._value, [self._ctx.value(a) for a in args], keywords.items()))

    def __getitem__(self, index):
        return wrapped(self._ctx, library.getitem(self._ctx, self._value, self._ctx.value(index)))

    def __neg__(self):
        return wrapped(self._ctx, library.unary(self._ctx, "-", self._value))

    def __pos__(self):
        return wrapped(self._ctx, library.unary(self._ctx, "+", self._value))

    def __invert__(self):
        return wrapped(self._ctx, library.unary(self._ctx, "~", self._value))

    def __len__(self):
        return 0

    def __bool__(self):
        raise TypeError("a traced value has no truth here")


def _operator(op, rule):
    def forward(self, other):
        return wrapped(self._ctx, rule(self._ctx, op, self._value, self._ctx.value(other)))

    def backward(self, other):
        return wrapped(self._ctx, rule(self._ctx, op, self._ctx.value(other), self._value))

    return forward, backward


for _op, _name in {
    "+": "add", "-": "sub", "*": "mul", "/": "truediv", "//": "floordiv", "%": "mod", "**": "pow", "@": "matmul",
    "&": "and", "|": "or", "^": "xor", "<<": "lshift", ">>": "rshift",
}.items():  # fmt: skip
    _forward, _backward = _operator(_op, library.binary)
    setattr(Proxy, f"__{_name}__", _forward)
    setattr(Proxy, f"__r{_name}__", _backward)
for _op, _name in {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}.items():
    setattr(Proxy, f"__{_name}__", _operator(_op, library.compare)[0])


def wrapped(ctx, v):
    if isinstance(v, (Leaf, Bound, Iterator)):
        return Proxy(ctx, v)
    if isinstance(v, Static):
        return v.value
    if isinstance(v, Sequence):
        return v.kind([wrapped(ctx, i) for i in v.items])
    return v


def traced(ctx, function, args, keywords):
    elaborator = library.lookup(function)
    assert elaborator is not None, f"the library does not know {function}"
    keywords = {k: ctx.value(v) for k, v in keywords.items()}
    return wrapped(ctx, elaborator(ctx, *map(ctx.value, args), **keywords))


_current: list[Tracing] = []


def call(function, *args, **keywords):
    """`function(*args)`, through the library while tracing: for what proxies cannot intercept."""
    if _current:
        return traced(_current[-1], function, args, keywords)
    return function(*args, **keywords)


def written(a, index, value):
    """`a` after a[index] = value."""
    if _current:
        ctx = _current[-1]
        return wrapped(ctx, library.setitem(ctx, *map(ctx.value, (a, index, value))))
    a = a.copy()
    a[index] = value
    return a


def updated(op, a, b):
    """`a` after `a op= b`."""
    if _current:
        ctx = _current[-1]
        return wrapped(ctx, library.inplace(ctx, op, *map(ctx.value, (a, b))))
    scope = {"a": a.copy() if isinstance(a, np.ndarray) else a, "b": b}
    exec(f"a {op}= b", scope)
    return scope["a"]


def compared(op, a, b):
    """`a op b` for in, not in, and comparisons of tuples."""
    if _current:
        ctx = _current[-1]
        return wrapped(ctx, library.compare(ctx, op, *map(ctx.value, (a, b))))
    return eval(f"a {op} b", {"a": a, "b": b})


def operated(op, a, b):
    """`a op b`, of tuples."""
    if _current:
        ctx = _current[-1]
        return wrapped(ctx, library.binary(ctx, op, *map(ctx.value, (a, b))))
    return eval(f"a {op} b", {"a": a, "b": b})


def picked(a, i):
    """a[i], of tuples."""
    if _current:
        ctx = _current[-1]
        return wrapped(ctx, library.getitem(ctx, *map(ctx.value, (a, i))))
    return a[i]


def truth(a):
    if _current:
        ctx = _current[-1]
        return wrapped(ctx, Leaf(library.truth(ctx, ctx.value(a)), True))
    return bool(a)


def item(v, k):
    """Item number k of an iterable."""
    if _current:
        ctx = _current[-1]
        return wrapped(
            ctx, library.item(ctx, ctx.value(v) if not isinstance(v, Proxy) else v._value, ctx.value(k).node)
        )
    return list(v)[k]


def through(f, *args, unknown=False, error_model="python"):
    """f(*args) by way of the library and the reference back end."""
    ctx = Tracing(error_model)
    proxies = [wrapped(ctx, ctx.argument(a, unknown)) for a in args]
    _current.append(ctx)
    try:
        out = ctx.value(f(*proxies))
    finally:
        _current.pop()
    ctx.graph.returns(ctx.tuple_of([x.node for x in leaves(out)]))
    verify(ctx.graph)
    raw = interp.compile(ctx.graph)(ctx.inputs)
    flat = leaves(out)
    for leaf, x in zip(flat, raw, strict=True):
        assert OURS[np.asarray(x).dtype] == leaf.type.dtype
        sizes = leaf.type.shape if isinstance(leaf.type, Array) else ()
        assert len(sizes) == np.ndim(x)
        assert all(d is None or d == n for d, n in zip(sizes, np.shape(x), strict=True)), (leaf.type, np.shape(x))
    return concrete(out, iter(raw))


def concrete(v, raw):
    match v:
        case Leaf():
            x = next(raw)
            return x.item() if v.py else np.asarray(x) if isinstance(v.type, Array) else np.asarray(x)[()]
        case Sequence():
            return v.kind([concrete(i, raw) for i in v.items])
        case Mapping():
            return dict(zip(v.keys, [concrete(i, raw) for i in v.items], strict=True))
        case Static():
            return v.value
    raise TypeError(f"no concrete {v}")


def outcome(f, *args, **keywords):
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return f(*args, **keywords)
    except Exception as error:
        return error


def agree(got, want, rtol=1e-12, atol=1e-12):
    if isinstance(want, (tuple, list)):
        assert type(got) is type(want) and len(got) == len(want), f"{got!r} for {want!r}"
        for g, w in zip(got, want, strict=True):
            agree(g, w, rtol, atol)
    elif isinstance(want, np.ndarray) and want.ndim:
        assert isinstance(got, np.ndarray) and got.dtype == want.dtype and got.shape == want.shape, (
            f"{got!r} for {want!r}"
        )
        close = {"rtol": 1e-5, "atol": 1e-6} if want.dtype == np.float32 else {"rtol": rtol, "atol": atol}
        np.testing.assert_allclose(got, want, **close)
    elif isinstance(want, (float, int, np.generic, np.ndarray)):
        want = want[()] if isinstance(want, np.ndarray) else want
        assert type(got) is type(want), f"{got!r} of {type(got)} for {want!r} of {type(want)}"
        near = 1e-5 if isinstance(want, np.float32) else rtol
        np.testing.assert_allclose(got, want, rtol=near, atol=atol)
        if want == 0 and isinstance(want, float):
            assert np.signbit(got) == np.signbit(want), f"{got!r} for {want!r}"
    else:
        assert got == want, f"{got!r} for {want!r}"


def check(f, *args, unknown=False, rtol=1e-12, atol=1e-12):
    want = outcome(f, *args)
    got = outcome(through, f, *args, unknown=unknown)
    if isinstance(want, Exception):
        assert isinstance(got, Exception), f"{got!r} for {want!r}"
        builtins = (TypeError, IndexError, ZeroDivisionError, OverflowError, ValueError, KeyError)
        family = tuple(c for c in builtins if isinstance(want, c)) or type(want)
        either = (IndexError, ValueError)  # with several things wrong, which is found first is not promised
        assert isinstance(got, either if isinstance(want, either) else family), f"{got!r} for {want!r}"
        return got
    if isinstance(got, Exception):
        raise got
    agree(got, want, rtol, atol)
    return got
