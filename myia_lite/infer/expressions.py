"""What each surface primitive means: values in, a value out; the meaning of operators is the library's.

An operand whose shape only the running program knows is taken apart first, one branch for each shape.
"""

from __future__ import annotations

from ..ir import Array, Bool, Scalar
from ..ops import control, elementwise
from . import library
from .control import Control, Unroll
from .dependencies import Contents
from .joins import several
from .templates import Env
from .values import (
    Closure,
    Complex,
    Iterator,
    Leaf,
    Mapping,
    Message,
    Outcome,
    Record,
    Sequence,
    Slice,
    Static,
    Value,
)


class Expressions(Control):
    """The elaboration of surface nodes."""

    def evaluate(self, node, env: Env) -> Value:
        if node.op.name == "py_call":
            return self.evaluate_call(node, env)
        handler = _RAW.get(node.op.name)
        if handler is not None:
            return handler(self, node, env)
        handler = _STRUCTURE.get(node.op.name)
        values = [self.value(a, env) for a in node.args]
        if handler is not None:
            return self.starred(lambda *vs: handler(self, node.attrs, *vs), values, node.attrs.get("star", ()))
        handler = _OPERATIONS[node.op.name]
        return self.apart(lambda *vs: handler(self, node, *vs), values)

    def apart(self, f, values: list[Value]) -> Value:
        """`f(*values)`, with values of several shapes taken apart."""
        for k, v in enumerate(values):
            if several(v):
                return self.over(v, lambda x, k=k: self.apart(f, [*values[:k], x, *values[k + 1 :]]))
            if isinstance(v, Slice) and any(several(p) for p in (v.start, v.stop, v.step)):
                return self.apart(
                    lambda a, b, c, k=k, v=v: self.apart(f, [*values[:k], Slice(a, b, c), *values[k + 1 :]]),
                    [v.start, v.stop, v.step],
                )
        return f(*values)

    # ---- blocks: values are handed on as they are --------------------------------------------------------------------
    def _tuple(self, node, env):
        return Sequence(tuple(self.lookup(a, env) for a in node.args))

    def _get(self, node, env):
        return self.lookup(node.args[0], env).items[node.attrs["index"]]

    def _inject(self, node, env):
        return Outcome(node.attrs["tag"], tuple(self.lookup(a, env) for a in node.args))

    def _closure(self, node, env):
        return Closure(node.graphs[0], env, tuple(self.value(a, env) for a in node.args))

    def _local(self, node, env):
        return self.bound(self.lookup(node.args[0], env), node.attrs["name"], node.attrs.get("free", False))

    def _switch(self, node, env):
        return self.inline(self.attempt(lambda: self.fork(node, env)))

    def _match(self, node, env):
        return self.inline(self.attempt(lambda: self.fork_match(node, env)))

    def _comprehension(self, node, env):
        return self.comprehension(self.value(node.args[0], env), node.graphs[0], env)

    def starred(self, f, values: list[Value], star) -> Value:
        """`f(*values)`, with those of several shapes taken apart that stand at the positions `star`."""
        for k in star:
            if several(values[k]):
                return self.over(values[k], lambda x, k=k: self.starred(f, [*values[:k], x, *values[k + 1 :]], star))
        return f(*values)

    # ---- structures --------------------------------------------------------------------------------------------------
    def spread(self, values, star) -> list[Value]:
        """Items of a call or a display, those at the positions `star` taken apart."""
        out = []
        for k, v in enumerate(values):
            out += self.items_of(v) if k in star else [v]
        return out

    def items_of(self, value: Value) -> list[Value]:
        """The items of something of known length."""
        it = self.iterator(value)
        if not it.parts[1].known:
            self.error("the number of items to unpack is known at run time only", "index it instead")
        return [self.next_item(it, self.const(k)) for k in range(it.parts[1].node.value)]

    def _display(self, attrs, *values, kind=tuple):
        return Sequence(tuple(self.spread(values, attrs.get("star", ()))), kind)

    def _list(self, attrs, *values):
        return self._display(attrs, *values, kind=list)

    def _dict(self, attrs, *values):
        found = {}
        for k, v in zip(attrs["keys"], values, strict=True):
            found[k] = v
        return Mapping(tuple(found), tuple(found.values()))

    def _slice(self, attrs, start, stop, step):
        return Slice(start, stop, step)

    def _fstring(self, attrs, *values):
        """A string where all is known, else a message."""
        supply, template, leaves, known = iter(values), "", [], True
        text = ""
        for part in attrs["parts"]:
            if isinstance(part, str):
                text += part
                template += part.replace("{", "{{").replace("}", "}}")
                continue
            v = next(supply)
            spec = "" if part is None else part[0]
            conversion = spec if spec[:1] in ("!", ":") else f":{spec}" if spec else ""
            if isinstance(v, Static):
                shown = format(v.value, conversion.removeprefix(":"))
                text += shown
                template += shown.replace("{", "{{").replace("}", "}}")
            elif isinstance(v, Message):
                shift = len(leaves)
                template += renumbered(v.template, shift)
                leaves += v.values
                known = False
            elif isinstance(v, Leaf) and isinstance(v.type, Scalar):
                if v.known and v.py:
                    text += format(v.node.value, conversion.removeprefix(":"))
                else:
                    known = False
                template += f"{{{len(leaves)}{conversion}}}"
                leaves.append(v)
            else:
                self.error("an f-string here takes numbers and strings", "format its parts one by one")
        return Static(text) if known else Message(template, tuple(leaves))

    # ---- operations --------------------------------------------------------------------------------------------------
    def binary(self, op: str, a: Value, b: Value) -> Value:
        if isinstance(a, Record) or isinstance(b, Record):
            found = self.overloaded(op, a, b)
            if found is not None:
                return found
            a, b = self.as_sequence(a), self.as_sequence(b)
        return library.binary(self, op, a, b)

    def _inplace(self, node, a, b):
        op = node.attrs["op"]
        if isinstance(a, Sequence) and a.kind is list:
            self.error(
                "this changes a list in place, which other names for it would see",
                f"make a new list: a = a {op} b",
            )
        if isinstance(a, Complex) and a.rank:
            return self._inplace_complex(node, a, b)
        if not (isinstance(a, Leaf) and isinstance(a.type, Array)):
            return self.binary(op, a, b)
        held = node in self.through and self._is_view(a)
        if not held:
            self.aliases.writable(a.node, self.span)
        new = library.inplace(self, op, a, b)
        if held:
            return new
        if node in self.through:
            self.whole[new.node] = a.node
        return self._written(a, new)

    def _inplace_complex(self, node, a: Complex, b) -> Complex:
        parts = (a.re, a.im)
        held = [node in self.through and self._is_view(x) for x in parts]
        for x, h in zip(parts, held, strict=True):
            if not h:
                self.aliases.writable(x.node, self.span)
        new = library.inplace(self, node.attrs["op"], a, b)
        return Complex(
            *(n if h else self._written(x, n) for x, n, h in zip(parts, (new.re, new.im), held, strict=True))
        )

    def _is_view(self, a: Leaf) -> bool:
        return self.aliases.of(a.node)[()].view

    def _written(self, old: Leaf, new: Leaf) -> Leaf:
        if new.node is old.node:
            return new
        self.aliases.write(old.node, new.node, self.span)
        return new

    def _setitem(self, node, a, index, value):
        if node.attrs.get("through") and isinstance(a, (Sequence, Mapping)):
            return self._held_item(a, index, value)
        if isinstance(a, Complex) and a.rank:
            halves = [library.complexes.part(self, value, imaginary) for imaginary in (False, True)]
            return Complex(*(self._setitem(node, x, index, v) for x, v in zip((a.re, a.im), halves, strict=True)))
        if not (isinstance(a, Leaf) and isinstance(a.type, Array)):
            kind = {Sequence: "a tuple or a list", Mapping: "a dict", Record: "a record"}.get(type(a), "this value")
            self.error(f"assignment to an item of {kind}", "make a new one, or use an array")
        if isinstance(value, Leaf) and self.whole.get(value.node) is a.node:
            return value  # `a[:] += v`, where the slice is the array itself: it has been written to
        held = node in self.through and self._is_view(a)
        if node.attrs.get("through"):
            part = library.getitem(self, a, index)
            if not (isinstance(part.type, Array) and self._is_view(part)):
                self.error(
                    "this writes into a copy that the index makes, not into the array", "use one index: a[i, j] = v"
                )
        if not held:
            self.aliases.writable(a.node, self.span)
        new = library.setitem(self, a, index, value)
        return new if held else self._written(a, new)

    def _held_item(self, a, index, value):
        """The tuple, list or dict `a` that holds the array `a[index]`, after a write into that array."""
        if isinstance(a, Mapping):
            k = a.keys.index(index.value)
        elif isinstance(index, Leaf) and index.known:
            k = range(len(a.items))[index.node.value]
        else:
            self.error("which of these arrays is written to is known at run time only", "use one array of all of them")
        items = (*a.items[:k], value, *a.items[k + 1 :])
        return Mapping(a.keys, items) if isinstance(a, Mapping) else Sequence(items, a.kind)

    def unary(self, op: str, a: Value) -> Value:
        if op == "not":
            return self.unary_not(a)
        found = self.special(a, {"-": "neg", "+": "pos", "~": "invert"}[op])
        return library.unary(self, op, a) if found is None else found

    def unary_not(self, a: Value) -> Leaf:
        return Leaf(self.emit(elementwise.logical_not, self.truth(a)), True)

    def truth(self, value: Value):
        """The node of bool(value)."""
        if several(value):
            return self.over(value, lambda v: Leaf(self.truth(v), True)).node
        if isinstance(value, Iterator) and value.kind == "checkpoint":
            return self.truth(self.checkpointed_condition(value))
        if isinstance(value, Static):
            return self.const(bool(value.value)).node
        if isinstance(value, (Sequence, Mapping)):
            return self.const(bool(value.items)).node
        if isinstance(value, Record):
            for name in ("bool", "len"):
                found = self.special(value, name)
                if found is not None:
                    return self.truth(found)
            value = self.as_sequence(value)
            return self.const(not isinstance(value, Sequence) or bool(value.items)).node
        if isinstance(value, (Leaf, Complex)):
            return library.truth(self, value)
        return self.const(True).node

    def _truth(self, node, a):
        return Leaf(self.truth(a), True)

    def compare(self, op: str, a: Value, b: Value) -> Value:
        if op in ("is", "is not"):
            if self._is_bool(a) and self._is_bool(b):
                return Leaf(self.emit(elementwise.eq if op == "is" else elementwise.ne, a.node, b.node), True)
            return self.const(self.identical(a, b) == (op == "is"))
        if isinstance(a, Record) or isinstance(b, Record):
            found = self.compared(op, a, b)
            if found is not None:
                return found
            a, b = self.as_sequence(a), self.as_sequence(b)
        return library.compare(self, op, a, b)

    def identical(self, a: Value, b: Value) -> bool:
        """`a is b`, where one of them is a constant such as None."""
        if isinstance(a, Static) and isinstance(b, Static):
            return a.value is b.value
        for x, y in ((a, b), (b, a)):
            if isinstance(x, Static) and not isinstance(y, Static):
                return False
            if isinstance(x, Leaf) and x.known and isinstance(x.node.value, bool) and not self._is_bool(y):
                return False  # True and False are nothing but themselves
        self.error("`is` between values that are computed", "compare with ==")

    def _is_bool(self, value: Value) -> bool:
        return isinstance(value, Leaf) and value.py and value.type == Bool

    def getitem(self, value: Value, index: Value) -> Value:
        return self.apart(self._item, [value, index])

    def _item(self, value, index):
        found = self.special(value, "getitem", index)
        if found is not None:
            return found
        value = self.as_sequence(value)
        if isinstance(value, Mapping):
            if not (isinstance(index, Static) and isinstance(index.value, str)):
                self.error("a dict is indexed by a string known at compile time", "use a tuple and a number")
            if index.value not in value.keys:
                self._no_key(index.value)
            return value.items[value.keys.index(index.value)]
        if isinstance(value, Static) and isinstance(value.value, dict):
            return self._static_item(value.value, index)
        if isinstance(value, Sequence) and isinstance(index, Leaf) and not index.known and self.unrollable:
            raise Unroll(self.unrollable[-1])
        return library.getitem(self, value, index)

    def _static_item(self, table: dict, index: Value) -> Value:
        """An item of a dict from outside, whose keys are no strings."""
        if isinstance(index, Static):
            key = index.value
        elif isinstance(index, Leaf) and index.known:
            key = index.node.value
        else:
            self.error("the key of this dict is known at run time only", "use a tuple, and a number as index")
        if key not in table:
            self._no_key(key)
        self.dependencies.append(Contents.of(table))
        return self.constant_value(table[key])

    def _unpack(self, node, value):
        before, star, after = (node.attrs[k] for k in ("before", "star", "after"))
        items = self.items_of(value)
        want = before + after
        if len(items) < want or (len(items) > want and not star):
            few = len(items) < want
            at_least = "at least " if star else ""
            message = (
                f"not enough values to unpack (expected {at_least}{want}, got {len(items)})"
                if few
                else f"too many values to unpack (expected {want})"
            )
            self.emit(control.raise_, exception="ValueError", message=message)
        if not star:
            return Sequence(tuple(items))
        stop = len(items) - after
        middle = Sequence(tuple(items[before:stop]), list)
        return Sequence((*items[:before], middle, *items[stop:]))

    def _successor(self, node, k):
        return Leaf(self.emit(elementwise.add, k.node, 1), True)

    # ---- exceptions --------------------------------------------------------------------------------------------------
    def _no_key(self, key):
        """KeyError with the key itself, a string or a number."""
        message = key.replace("{", "{{").replace("}", "}}") if isinstance(key, str) else (key,)
        self.emit(control.raise_, exception="KeyError", message=message)

    def raises(self, value: Value):
        """`raise value`: ends the graph."""
        if several(value):
            self.over(value, self.raises)
        if isinstance(value, Static) and isinstance(value.value, type) and issubclass(value.value, BaseException):
            value = Record(value.value, ())
        if not (isinstance(value, Record) and issubclass(value.cls, BaseException)):
            self.error("only exceptions can be raised", "raise ValueError(…)")
        leaves = []
        args = tuple(self._shown(v, leaves) for v in value.items)
        message = args[0] if len(args) == 1 and isinstance(args[0], str) else args or None
        cls = value.cls
        name = cls.__name__ if cls.__module__ == "builtins" else cls
        self.emit(control.raise_, *leaves, exception=name, message=message)

    def _shown(self, v, leaves) -> str | float | None:
        """An argument of an exception: a number, or a template, whose run-time numbers are added to `leaves`."""
        if isinstance(v, Message):
            shift = len(leaves)
            leaves += v.values
            return renumbered(v.template, shift)
        if isinstance(v, Leaf) and isinstance(v.type, Scalar):
            if v.known and v.py:
                return v.node.value
            leaves.append(v)
            return f"{{{len(leaves) - 1}}}"
        if isinstance(v, Static):
            if v.value is None:
                return None
            text = v.value if isinstance(v.value, str) else repr(v.value)
            return text.replace("{", "{{").replace("}", "}}")
        self.error("an exception takes strings and numbers", "format a message: f'…{x}…'")

    def raise_node(self, node, value):
        self.raises(value)


def renumbered(template: str, shift: int) -> str:
    """A message template whose values start at number `shift`."""
    if not shift:
        return template
    out, k = "", 0
    while k < len(template):
        c = template[k]
        if c == "{" and template[k + 1] == "{":
            out, k = out + "{{", k + 2
        elif c == "{":
            end = k + 1
            while template[end].isdigit():
                end += 1
            out, k = out + "{" + str(int(template[k + 1 : end]) + shift), end
        else:
            out, k = out + c, k + 1
    return out


_RAW = {
    "tuple": Expressions._tuple,
    "get": Expressions._get,
    "inject": Expressions._inject,
    "switch": Expressions._switch,
    "match": Expressions._match,
    "loop": Expressions.loop,
    "py_closure": Expressions._closure,
    "py_local": Expressions._local,
    "py_comprehension": Expressions._comprehension,
}
_STRUCTURE = {
    "py_tuple": Expressions._display,
    "py_list": Expressions._list,
    "py_dict": Expressions._dict,
    "py_slice": Expressions._slice,
}
_OPERATIONS = {
    "py_binary": lambda self, node, a, b: self.binary(node.attrs["op"], a, b),
    "py_inplace": Expressions._inplace,
    "py_unary": lambda self, node, a: self.unary(node.attrs["op"], a),
    "py_compare": lambda self, node, a, b: self.compare(node.attrs["op"], a, b),
    "py_truth": Expressions._truth,
    "py_getattr": lambda self, node, value: self.getattr(value, node.attrs["name"]),
    "py_getitem": lambda self, node, value, index: self._item(value, index),
    "py_setitem": Expressions._setitem,
    "py_unpack": Expressions._unpack,
    "py_iter": lambda self, node, value: self.iterator(value),
    "py_has_next": lambda self, node, it, k: self.has_next(it, k),
    "py_next": lambda self, node, it, k: self.next_item(it, k),
    "py_successor": Expressions._successor,
    "py_fstring": lambda self, node, *values: self._fstring(node.attrs, *values),
    "py_raise": Expressions.raise_node,
}
