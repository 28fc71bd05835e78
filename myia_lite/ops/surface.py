"""The surface primitives: what the parser emits and inference elaborates away.  They have no types and no other rules.

A surface graph is a function body, a branch, a case or a loop, structured as the typed IR is: `switch`, `match`, `loop`
and `recur` mean what they mean there.  Where Python leaves a block early (`break`, `return` inside `if`, …) and the
other path goes on, the block returns an outcome, `inject[tag](values)`, and a `match` after it carries on from there.
"""

from __future__ import annotations

from .define import define


def _surface(name: str, doc: str, **parts):
    def untyped(types, attrs, graphs):
        return None

    return define(name, untyped, doc, zero_derivative="elaborated by inference", **parts)


class Unbound:
    """The value of a variable that has none yet; `Constant(UNBOUND)`."""

    def __repr__(self):
        return "unbound"


UNBOUND = Unbound()

py_binary = _surface("py_binary", "py_binary[op](a, b): op one of + - * / // % ** @ & | ^ << >>")
py_inplace = _surface("py_inplace", "py_inplace[op](a, b): the new value of `a op= b`; of an array a write into it")
py_unary = _surface("py_unary", "py_unary[op](a): op one of - + ~ not")
py_compare = _surface("py_compare", "py_compare[op](a, b): one of == != < <= > >= is 'is not' in 'not in'")
py_truth = _surface("py_truth", "py_truth(a): bool(a), for conditions")
py_call = _surface(
    "py_call",
    "py_call[keywords, star](f, *args): the last len(keywords) arguments are keyword arguments; `star` holds the "
    "positions (counted from 0, without f) of arguments to be spread as *args",
    effect=True,
)
py_getattr = _surface("py_getattr", "py_getattr[name](object)")
py_getitem = _surface("py_getitem", "py_getitem(object, index)")
py_setitem = _surface(
    "py_setitem",
    "py_setitem[through](a, index, value): the array a after a[index] = value.  `through`, where present, is True: "
    "the source wrote a[index][…] = …, and the write is seen through `a` only where a[index] is a view (or an item of "
    "a list)",
)
py_slice = _surface("py_slice", "py_slice(start, stop, step), each possibly Constant(None)")
py_tuple = _surface("py_tuple", "py_tuple[star](*items); star as in py_call")
py_list = _surface("py_list", "py_list[star](*items)")
py_dict = _surface("py_dict", "py_dict[keys](*values), keys a tuple of strings")
py_unpack = _surface(
    "py_unpack",
    "py_unpack[before, star, after](x): a tuple of before + star + after items, the starred one a list",
)
py_closure = _surface(
    "py_closure",
    "py_closure(*defaults) {g}: a function value.  g uses nodes of enclosing graphs; g.info['signature'] is a "
    "`Signature`, whose defaults, in order, are the arguments.  Late binding: g may use the node of a function "
    "defined later in the order (itself, a sibling); where that has no value yet when g is called, the name is "
    "unbound.  g.info['trips'], where present, holds the loop graphs whose next trip assigns a variable that g "
    "captures: the closure must not be carried to a next trip of these",
    nests=True,
)
py_iter = _surface("py_iter", "py_iter(x): what a for loop walks over")
py_has_next = _surface("py_has_next", "py_has_next(it, k): is there an item number k?")
py_next = _surface("py_next", "py_next(it, k): item number k")
py_successor = _surface("py_successor", "py_successor(k): k + 1 of a trip index, which cannot overflow")
py_local = _surface(
    "py_local",
    "py_local[name, free](x): x, read where some path may not have assigned the variable; unbound, it raises "
    "UnboundLocalError (NameError where `free`: a variable of an enclosing function)",
    effect=True,
)
py_comprehension = _surface(
    "py_comprehension",
    "py_comprehension(x) {g}: the list of g(item) for the items of x",
    nests=True,
)
py_fstring = _surface(
    "py_fstring",
    "py_fstring[parts](*values): parts are strings, and None (or a format spec in a 1-tuple) where a value goes",
)
py_raise = _surface("py_raise", "py_raise(exception instance or class), in tail position", effect=True)
inject = _surface("inject", "inject[tag](*values): an outcome of a block")
match = _surface("match", "match[tags](outcome) { a graph for each tag, whose parameters are its values }", nests=True)
