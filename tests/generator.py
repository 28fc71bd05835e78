"""Random well-typed programs of the subset, as source text, for Hypothesis.

A program is a function `f(x, y, n, p, a)` of two floats, a small int, a bool and an array of four float64.  What it
does is bounded: loops make few trips, integers are kept small by `%`, indices are in range; division, logarithms and
square roots may raise.  A variable has one type, is used only where it is surely assigned, and is not assigned again
once a closure has captured it: those corners have programs of their own in `programs/`.  Arrays never have two names.
"""

from contextlib import contextmanager
from dataclasses import dataclass, field

from hypothesis import strategies as st

HEADER = "import math\n\nimport numpy as np\n\n\ndef twice(g, v):\n    return g(g(v))\n\n\n"
FLOATS = ["0.5", "-1.5", "2.0", "0.25", "-0.75", "3.0", "1.0", "0.0"]
LENGTH = 4


@dataclass
class Scope:
    """The names that can be used here; those in `fixed` cannot be assigned to."""

    floats: list = field(default_factory=list)
    ints: list = field(default_factory=list)
    bools: list = field(default_factory=list)
    arrays: dict = field(default_factory=dict)  # name -> length
    functions: dict = field(default_factory=dict)  # name -> number of float arguments
    fixed: set = field(default_factory=set)
    in_loop: bool = False
    depth: int = 0

    def inner(self, **changes):
        """A copy for a block: what it defines is not seen after it."""
        names = {
            "floats": list(self.floats),
            "ints": list(self.ints),
            "bools": list(self.bools),
            "arrays": dict(self.arrays),
            "functions": dict(self.functions),
            "fixed": set(self.fixed),
            "in_loop": self.in_loop,
            "depth": self.depth + 1,
        }
        return Scope(**{**names, **changes})


class Writer:
    """Writes one program, drawing each choice."""

    def __init__(self, draw, pair):
        self.draw, self.pair = draw, pair
        self.lines, self.indent, self.count, self.budget = [], 1, 0, draw(st.integers(4, 22))
        self.inside_function = False
        self.used = []  # a set of names for each closure being written
        self.captured = set()  # names that a closure written so far uses

    # ------------------------------------------------------------------------------------------------ choices
    def pick(self, options):
        return self.draw(st.sampled_from(options))

    def number(self, low, high):
        return self.draw(st.integers(low, high))

    def chance(self, percent):
        return self.number(1, 100) > 100 - percent

    def fresh(self, stem):
        self.count += 1
        return f"{stem}{self.count}"

    def use(self, name):
        for names in self.used:
            names.add(name)
        return name

    def free(self, s, names):
        """Those of the names that may be assigned to."""
        return [name for name in names if name not in s.fixed | self.captured]

    def emit(self, text):
        self.lines.append("    " * self.indent + text)

    @contextmanager
    def block(self, head):
        self.emit(head)
        self.indent += 1
        before = len(self.lines)
        yield
        if len(self.lines) == before:
            self.emit("pass")
        self.indent -= 1

    # -------------------------------------------------------------------------------------------- expressions
    def float(self, s, depth=2):
        """An expression whose value is a Python float."""
        forms = ["literal", "name", "name"]
        if depth > 0:
            forms += ["sum", "product", "quotient", "smooth", "smooth", "guarded", "rough", "power", "choice", "mixed"]
            forms += ["call"] * bool(s.functions) + ["element", "reduction"] * bool(s.arrays)
        return getattr(self, "float_" + self.pick(forms))(s, depth - 1)

    def float_literal(self, s, depth):
        return self.pick(FLOATS)

    def float_name(self, s, depth):
        names = [name for name in s.floats if name != "t" or not self.used]
        return self.use(self.pick(names[-4:] if self.chance(60) else names))

    def float_sum(self, s, depth):
        return f"({self.float(s, depth)} {self.pick('+-')} {self.float(s, depth)})"

    def float_product(self, s, depth):
        return f"{self.float(s, depth)} * {self.float(s, depth)}"

    def float_quotient(self, s, depth):
        d = self.float(s, depth)
        return f"{self.float(s, depth)} / {d if self.chance(20) else f'(1.5 + {d} ** 2)'}".replace("/ -", "/ 2.0 * -")

    def float_smooth(self, s, depth):
        return f"math.{self.pick(['sin', 'cos', 'tanh', 'atan'])}({self.float(s, depth)})"

    def float_guarded(self, s, depth):
        e = self.float(s, depth)
        forms = [f"math.sqrt(1.0 + {e} * {e})", f"math.log(1.5 + abs({e}))", f"math.exp(math.tanh({e}))"]
        return self.pick([*forms, f"math.sqrt({e})", f"math.log({e})", f"math.exp({e})"])

    def float_rough(self, s, depth):
        e = self.float(s, depth)
        return self.pick([f"abs({e})", f"-({e})", f"max({e}, {self.float(s, 0)})", f"min({self.float(s, 0)}, {e})"])

    def float_power(self, s, depth):
        return f"({self.float(s, depth)}) ** {self.pick([2, 3])}"

    def float_choice(self, s, depth):
        return f"({self.float(s, depth)} if {self.bool(s, depth)} else {self.float(s, depth)})"

    def float_mixed(self, s, depth):
        return f"({self.float(s, depth)} {self.pick('+-*')} {self.int(s, 1)})"

    def float_call(self, s, depth):
        name = self.pick(list(s.functions))
        arguments = ", ".join(self.float(s, depth) for _ in range(s.functions[name]))
        if s.functions[name] == 1 and self.chance(20):
            return f"twice({self.use(name)}, {arguments})"
        return f"{self.use(name)}({arguments})"

    def float_element(self, s, depth):
        name = self.pick(list(s.arrays))
        return f"float({self.use(name)}[{self.index(s, s.arrays[name])}])"

    def float_reduction(self, s, depth):
        n = self.pick(sorted(set(s.arrays.values())))
        a, b = self.array(s, n, depth), self.array(s, n, 0)
        return self.pick([f"float(np.sum({a}))", f"float(({a}).mean())", f"float(np.max({a}))", f"float({a} @ {b})"])

    def int(self, s, depth=1):
        """An expression whose value is a small int, in parentheses where it is compound."""
        if depth and self.chance(50):
            a, b = self.int(s, depth - 1), self.int(s, depth - 1)
            return self.pick([f"({a} + {b})", f"({a} * {b})", f"({a} - {b})", f"({a} // 2)", f"({a} % 3)"])
        return self.use(self.pick(s.ints)) if s.ints and self.chance(70) else str(self.number(0, 3))

    def bool(self, s, depth=1):
        """A condition, in parentheses where it is compound."""
        forms = ["less", "less", "chain", "parity"] + ["name"] * bool(s.bools) + ["and", "or", "not"] * (depth > 0)
        form = self.pick(forms)
        if form == "name":
            return self.use(self.pick(s.bools))
        if form == "not":
            return f"(not {self.bool(s, depth - 1)})"
        if form in ("and", "or"):
            return f"({self.bool(s, depth - 1)} {form} {self.bool(s, depth - 1)})"
        if form == "parity":
            return f"({self.int(s, 0)} % 2 == {self.number(0, 1)})"
        if form == "chain":
            return f"({self.float(s, 0)} < {self.float(s, 0)} <= {self.float(s, 0)})"
        return f"({self.float(s, 1)} {self.pick(['<', '<=', '>', '>=', '!='])} {self.float(s, 0)})"

    def array(self, s, n, depth=2):
        """An expression whose value is an array of n floats; possibly a view of a named one."""
        whole = [name for name, length in s.arrays.items() if length == n]
        longer = [name for name, length in s.arrays.items() if length > n]
        forms = ["new"] + ["name"] * 3 * bool(whole) + ["slice"] * bool(longer)
        if depth:
            forms += ["binary", "binary", "scaled", "function", "quotient", "where"]
        form = self.pick(forms)
        if form == "name":
            return self.use(self.pick(whole)) + self.pick(["", "", "[::-1]"])
        if form == "slice":
            name = self.pick(longer)
            start = self.number(0, s.arrays[name] - n)
            return f"{self.use(name)}[{start}:{start + n}]"
        if form == "new":
            items = [self.float(s, 0) for _ in range(n)]
            forms = [f"np.zeros({n})", f"np.ones({n})", f"np.array([{', '.join(items)}])", f"np.full({n}, {items[0]})"]
            return self.pick(forms)
        if form == "binary":
            return f"({self.array(s, n, depth - 1)} {self.pick('+-*')} {self.array(s, n, depth - 1)})"
        if form == "scaled":
            return f"{self.float(s, 0)} * {self.array(s, n, depth - 1)}"
        if form == "function":
            return f"np.{self.pick(['sin', 'tanh', 'square', 'abs', 'cos'])}({self.array(s, n, depth - 1)})"
        if form == "quotient":
            return f"{self.array(s, n, depth - 1)} / (1.0 + {self.array(s, n, 0)} ** 2)"
        a, b, c = self.array(s, n, 0), self.array(s, n, depth - 1), self.array(s, n, 0)
        return f"np.where({a} > {self.float(s, 0)}, {b}, {c})"

    def fresh_array(self, s, n, depth=2):
        """An expression whose value is an array that nothing else holds."""
        return f"{self.array(s, n, depth)} + 0.0"

    def index(self, s, n):
        if s.ints and self.chance(50):
            return f"{self.int(s)} % {n}"
        return str(self.number(-n, n - 1))

    # --------------------------------------------------------------------------------------------- statements
    def body(self, s, most=4):
        """Some statements."""
        for _ in range(self.number(1, most)):
            if self.budget <= 0:
                return
            self.budget -= 1
            forms = ["float", "float", "augmented", "pair", "int", "bool", "array", "assert"]
            if self.free(s, s.arrays):
                forms += ["store", "store", "store_slice", "update"]
            if s.depth < 3:
                forms += ["if", "if", "for", "for", "for_array", "while"] + ["define", "lambda"] * 2
                forms += ["recursive"] * (s.depth == 0)
            getattr(self, "write_" + self.pick(forms))(s)
        if "t" in self.free(s, s.floats) and s.depth:
            # So that little of what is computed is dead.
            called = s.functions and self.chance(50)
            self.emit(f"t = t * 0.5 + {self.float_call(s, 1) if called else self.float(s)}")

    def assign(self, s, names, stem, value):
        """Assign to a new name, or to an old one that may be assigned to."""
        old = self.free(s, names)
        name = self.pick(old[-4:]) if old and self.chance(60) else self.fresh(stem)
        self.emit(f"{name} = {value}")
        if name not in names:
            names.append(name)

    def write_float(self, s):
        self.assign(s, s.floats, "u", self.float(s, 3))

    def write_augmented(self, s):
        old = self.free(s, s.floats)
        if not old:
            return self.write_float(s)
        self.emit(f"{self.pick(old)} {self.pick('+-*')}= {self.float(s)}")

    def write_pair(self, s):
        left, right = self.float(s), self.float(s)
        old = self.free(s, s.floats)
        names = self.draw(st.permutations(old))[:2] if len(old) > 1 else [self.fresh("u"), self.fresh("u")]
        self.emit(f"{names[0]}, {names[1]} = {left}, {right}")
        s.floats += [name for name in names if name not in s.floats]

    def write_int(self, s):
        self.assign(s, s.ints, "i", f"{self.int(s, 2)} % {self.number(3, 7)}")

    def write_bool(self, s):
        self.assign(s, s.bools, "b", self.bool(s, 2))

    def write_array(self, s):
        old = self.free(s, s.arrays)
        if old and self.chance(40):
            name = self.pick(old)
            self.emit(f"{name} = {self.fresh_array(s, s.arrays[name])}")
        else:
            name, n = self.fresh("a"), self.number(2, LENGTH)
            self.emit(f"{name} = {self.fresh_array(s, n)}")
            s.arrays[name] = n

    def write_store(self, s):
        name = self.pick(self.free(s, s.arrays))
        self.emit(f"{name}[{self.index(s, s.arrays[name])}] {self.pick(['=', '=', '+=', '*='])} {self.float(s)}")

    def write_store_slice(self, s):
        name = self.pick(self.free(s, s.arrays))
        n = s.arrays[name]
        start = self.number(0, n - 1)
        stop = self.number(start + 1, n)
        value = self.array(s, stop - start, 1) if self.chance(70) else self.float(s, 1)
        self.emit(f"{name}[{start}:{stop}] {self.pick(['=', '+=', '*='])} {value}")

    def write_update(self, s):
        name = self.pick(self.free(s, s.arrays))
        self.emit(f"{name} {self.pick('+-*')}= {self.array(s, s.arrays[name], 1)}")

    def write_assert(self, s):
        self.emit(f"assert {self.bool(s)} or {self.bool(s)} or {self.bool(s)}")

    def write_if(self, s):
        with self.block(f"if {self.bool(s, 2)}:"):
            self.body(s.inner(), 3)
            self.leave(s, 25)
        if self.chance(30):
            with self.block(f"elif {self.bool(s)}:"):
                self.body(s.inner(), 2)
                self.leave(s, 15)
        if self.chance(50):
            with self.block("else:"):
                self.body(s.inner(), 3)

    def leave(self, s, percent):
        """Perhaps end a branch by leaving the loop, the trip or the function."""
        if self.chance(percent):
            forms = ["return"] + ["break", "continue"] * s.in_loop
            form = self.pick(forms)
            self.emit(self.returned(s) if form == "return" else form)

    def write_for(self, s):
        i = self.fresh("i")
        n = self.pick([*s.ints, "3", "2"])
        ranges = [f"range({n})", f"range(1, {self.number(2, 4)})", f"range({self.number(1, 4)}, -1, -2)"]
        ranges.append(f"reversed(range({n}))")
        self.loop(s, f"for {i} in {self.pick(ranges)}:", s.inner(in_loop=True, ints=[*s.ints, i], fixed=s.fixed | {i}))

    def write_for_array(self, s):
        if not s.arrays:
            return self.write_for(s)
        # NumPy's element becomes a Python float at the head of the body, for those two divide differently.
        name, v, e, i = self.pick(list(s.arrays)), self.fresh("v"), self.fresh("e"), self.fresh("i")
        inner = s.inner(in_loop=True, floats=[*s.floats, v], fixed=s.fixed | {i, name})
        other = self.pick(list(s.arrays))
        w = self.fresh("e")
        head, convert = self.pick(
            [
                (f"for {e} in {name}:", f"{v} = float({e})"),
                (f"for {i}, {e} in enumerate({name}):", f"{v} = float({e}) * {i}"),
                (f"for {e}, {w} in zip({name}, {other}):", f"{v} = float({e} - {w})"),
            ]
        )
        inner.fixed.add(other)
        self.use(name), self.use(other)
        if "enumerate" in head:
            inner.ints.append(i)
        self.loop(s, head, inner, convert)

    def write_while(self, s):
        k = self.fresh("k")
        self.emit(f"{k} = 0")
        condition = self.pick([f"{k} < {self.number(1, 4)} and {self.bool(s)}", f"{k} < {self.number(0, 4)}"])
        inner = s.inner(in_loop=True, ints=[*s.ints, k], fixed=s.fixed | {k})
        self.loop(s, f"while {condition}:", inner, f"{k} += 1")

    def loop(self, s, head, inner, *first):
        with self.block(head):
            for line in first:
                self.emit(line)
            self.body(inner, 2)
            if self.chance(50):
                with self.block(f"if {self.bool(inner)}:"):
                    self.leave(inner, 100)
                self.body(inner, 2)
        if self.chance(10):
            with self.block("else:"):
                self.body(s.inner(), 2)

    # ---------------------------------------------------------------------------------------------- functions
    @contextmanager
    def closure(self):
        """What is written inside captures names: those stay as they are from here on."""
        self.used.append(set())
        yield
        self.captured |= self.used.pop()

    def parameters(self, s, names):
        """The scope inside a function: all names of the enclosing one can be read, none assigned."""
        outside = {*s.floats, *s.ints, *s.bools, *s.arrays}
        return s.inner(floats=[*s.floats, *names], fixed=outside, in_loop=False)

    def write_define(self, s):
        name = self.fresh("g")
        names = [self.fresh("z") for _ in range(self.number(1, 2))]
        outer, self.inside_function = self.inside_function, True
        with self.closure(), self.block(f"def {name}({', '.join(names)}):"):
            inner = self.parameters(s, names)
            self.body(inner, 3)
            self.emit(f"return {self.float(inner)}")
        self.inside_function = outer
        s.functions[name] = len(names)

    def write_lambda(self, s):
        name, z = self.fresh("h"), self.fresh("z")
        with self.closure():
            inner = s.inner(floats=[*s.floats, z])
            self.emit(f"{name} = lambda {z}: {self.float(inner)}")
        s.functions[name] = 1

    def write_recursive(self, s):
        name, z, k = self.fresh("r"), self.fresh("z"), self.fresh("k")
        with self.closure(), self.block(f"def {name}({z}, {k}):"):
            inner = self.parameters(s, [z])
            inner.ints.append(k)
            self.emit(f"if {k} <= 0:")
            self.emit(f"    return {self.float(inner)}")
            deeper = f"{name}({self.float(inner, 1)}, {k} - 1)"
            results = [deeper, f"{self.float(inner, 1)} * {deeper}", f"{deeper} - {deeper} * 0.5"]
            self.emit(f"return {self.pick(results)}")
        self.assign(s, s.floats, "u", f"{name}({self.float(s, 1)}, {self.number(0, 3)})")

    def returned(self, s):
        if self.pair and not self.inside_function:
            return f"return t + {self.float(s)}, {self.fresh_array(s, LENGTH, 1)}, {self.int(s)}"
        return f"return {self.float(s)}" + " + t" * (not self.inside_function)

    def program(self):
        """The source text."""
        s = Scope(floats=["x", "y", "t"], ints=["n"], bools=["p"], arrays={"a": LENGTH}, fixed={"a"})
        self.emit(f"t = {self.float(s.inner(floats=['x', 'y']))}")
        while self.budget > 0:
            self.body(s)
        for name in s.arrays:
            self.emit(f"t = t - {self.number(1, 3)} * float(np.sum({name}))")
        for name, k in s.functions.items():
            self.emit(f"t = t * 0.5 + {name}({', '.join(self.pick(s.floats) for _ in range(k))})")
        for name in s.floats[3:]:
            self.emit(f"t = t + {name}")
        self.emit(self.returned(s))
        return HEADER + "def f(x, y, n, p, a):\n" + "\n".join(self.lines) + "\n"


@st.composite
def programs(draw, pair=False):
    """The source of a module with a function f(x, y, n, p, a) -> float, or -> (float, array, int) for a pair."""
    return Writer(draw, pair).program()
