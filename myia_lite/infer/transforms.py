"""`grad` and `value_and_grad` inside compiled code: one node `grad[wrt] @f(leaves…)`, which `ad` expands.

The gradient comes back in the structure of the argument: its float leaves, and None in the place of anything else.
"""

from __future__ import annotations

import inspect
import types
from dataclasses import replace

from ..ir import Scalar, Tuple, is_float
from ..ops import control, elementwise
from .context import Diverged
from .joins import End, is_complex, several
from .objects import Objects
from .structures import Dyn, Known, Template, Tree, Union, generalised
from .values import NONE, Bound, Closure, Complex, Leaf, Mapping, Record, Ruled, Sequence, Static, Transformed, Value


class Transforms(Objects):
    """Calls of differentiated functions."""

    def transformed(self, kind: str, args, keywords) -> Value:
        """`grad(f, argnums=0, has_aux=False, holomorphic=False)`, and others of the same parameters."""
        signature = inspect.Signature(
            [
                inspect.Parameter("function", inspect.Parameter.POSITIONAL_OR_KEYWORD),
                inspect.Parameter("argnums", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=self.const(0)),
                inspect.Parameter("has_aux", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=self.const(False)),
                inspect.Parameter("holomorphic", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=self.const(False)),
            ]
        )
        keywords = dict(keywords)
        if kind in ("jacobian", "hessian") and self._fixed(keywords.pop("diagonal", self.const(False))):
            self.error(
                f"{kind}(f, diagonal=True) in compiled code: what is beside the diagonal takes a run to find out",
                "call it outside, or, where all else is zero, take the derivative along ones: jvp(f, (x,), (ones,))[1]",
            )
        try:
            bound = signature.bind(*args, **keywords)
        except TypeError as error:
            self.error(f"{kind}(): {error}", f"{kind}(f, argnums=0, has_aux=False)")
        bound.apply_defaults()
        function, argnums, aux, holomorphic = bound.arguments.values()
        return Transformed(kind, function, self._fixed(argnums), bool(self._fixed(aux)), bool(self._fixed(holomorphic)))

    def _fixed(self, value):
        if isinstance(value, Leaf) and value.known:
            return value.node.value
        if isinstance(value, Static) and isinstance(value.value, str):
            return value.value
        if isinstance(value, Sequence):
            return tuple(map(self._fixed, value.items))
        self.error("argnums is an index, a parameter's name, or a tuple of these, known at compile time", "argnums=0")

    def call_transformed(self, t: Transformed, args, keywords) -> Value:
        function = t.function
        if several(function):
            return self.over(function, lambda f: self.call_transformed(replace(t, function=f), args, keywords))
        if t.kind not in ("grad", "value_and_grad"):
            return self.directional(t, args, keywords)
        names = [k for k, _ in keywords]
        values = [function, *args, *(v for _, v in keywords)]
        chosen = t.argnums if isinstance(t.argnums, tuple) else (t.argnums,)
        places = [self._place(function, a, len(args), names) for a in chosen]
        templates = [generalised(self.template(v), ("f32", "f64")) for v in values]
        for place in places:
            what = self._parameter_name(function, place, names)
            self._differentiable(templates[1 + place], what, t.holomorphic)
        flat = [n for v, s in zip(values, templates, strict=True) for n in self.coerce(v, s)]
        starts, at = [], 0
        for s in templates:
            starts.append(at)
            at += len(self.types(s))
        wrt: dict[int, None] = {}
        for place in places:
            for k, _ in enumerate(self.types(templates[1 + place]), starts[1 + place]):
                if is_float(flat[k].type):
                    wrt[k] = None
        spec = self._thunk(t, templates, names, len(args))
        self.use(flat)
        if spec.result is None:
            node = self.append(control.call, flat, (spec.graph,), self.result_type(spec))
            raise Diverged(node)
        self._scalar(spec.result, t)
        results = self.types(spec.result)
        order = tuple(sorted(wrt))
        graph = spec.graph
        type_ = Tuple((*results, *(graph.params[k].type for k in order)))
        node = self.append(control.grad, flat, (graph,), type_, wrt=order)
        outs = [self.append(control.get, [node], type=x, index=k) for k, x in enumerate(type_.elems)]
        held = self.held_by(spec, flat)
        for n, table in zip(outs, spec.sealed, strict=False):
            self.aliases.table[n] = {path: self.aliases.unseal(s, held) for path, s in table.items()}
        value = self.rebuild(spec.result, iter(outs))
        gradients = dict(zip(order, outs[len(results) :], strict=True))
        grads = []
        for place in places:
            supply = iter(range(starts[1 + place], starts[1 + place] + len(self.types(templates[1 + place]))))
            grads.append(self.conjugated(self._gradient(templates[1 + place], supply, gradients, flat)))
        gradient = Sequence(tuple(grads)) if isinstance(t.argnums, tuple) else grads[0]
        if t.kind == "value_and_grad":
            return Sequence((value, gradient))
        return Sequence((gradient, value.items[1])) if t.has_aux else gradient

    def _thunk(self, t, templates, names, count):
        """The call of the function as a closed graph, whose result has no known numbers."""

        def walk(inside):
            def call():
                f, *values = inside
                result = self.call(f, values[:count], tuple(zip(names, values[count:], strict=True)))
                return self.over(result, self._number) if several(result) and not t.has_aux else result

            graph = self.graph
            return self.attempt(lambda: [End(graph, call(), self.aliases.versions)])

        code = ("grad", t.has_aux, tuple(names), count)
        labels = [None] * len(templates)
        name = self._function_name(t.function)
        return self.specialised(code, name, tuple(templates), labels, walk, prepare=lambda r: self._first_dynamic(r, t))

    def _number(self, value: Value) -> Value:
        """A result that is None on some paths: there, the gradient raises."""
        if not isinstance(value, (Leaf, Complex)):
            self.error(f"the function to be differentiated returned {self.template(value)}", "return a float")
        return value

    def _first_dynamic(self, r: Template, t) -> Template:
        """The number to be differentiated is a leaf, even where it is known."""
        if t.has_aux and isinstance(r, Tree) and len(r.items) == 2:
            return Tree(r.shape, (generalised(r.items[0]), r.items[1]))
        return generalised(r)

    def _scalar(self, result: Template, t) -> None:
        """The function must return one float, or (one float, aux)."""
        if t.has_aux:
            pair = isinstance(result, Tree) and result.shape[0] == "sequence" and len(result.items) == 2
            if not pair:
                self.error(
                    f"with has_aux=True the function must return (value, aux), and it returns {result}",
                    "return a tuple of the loss and the rest",
                )
            result = result.items[0]
        if t.holomorphic:
            if not is_complex(result) or result.shape[1]:
                self.error(
                    f"with holomorphic=True the function must return one complex number, and it returns {result}",
                    "return a complex number, or drop holomorphic=True",
                )
            return
        if isinstance(result, Dyn) and isinstance(result.type, Scalar) and is_float(result.type):
            return
        if is_complex(result):
            self.error(
                f"the function to be differentiated must return one real float, and it returns {result}",
                "return a real part or an absolute value, or use holomorphic=True for a complex derivative",
            )
        remedy = "sum it up, or take one element"
        if isinstance(result, Dyn) and isinstance(result.type, Scalar):
            remedy = "convert the result: float(…)"
        if isinstance(result, Tree) and result.shape[0] == "sequence":
            remedy = "return the loss alone, or use has_aux=True"
        self.error(f"the function to be differentiated must return one float, and it returns {result}", remedy)

    def _differentiable(self, t: Template, what: str, holomorphic: bool = False) -> None:
        """Refuse an argument that is itself no float, array of floats or structure; if `holomorphic`, reals too."""
        if holomorphic and not _complex_throughout(t):
            self.error(f"{what} is {t}: holomorphic=True is for complex arguments", "pass complex numbers")
        if isinstance(t, (Dyn, Known)):
            if not is_float(t.type):
                self.error(
                    f"{what} is {t}: a derivative is taken in floats", "pass a float, or choose others by argnums"
                )
        elif isinstance(t, Union):
            self.error(f"{what} is {t}: its structure is known at run time only", "differentiate in each case apart")
        elif isinstance(t, Tree) and t.shape[0] not in ("sequence", "mapping", "record", "complex"):
            self.error(f"{what} is {t}: a derivative is taken in floats", "pass floats, or choose others by argnums")

    def _gradient(self, t: Template, supply, gradients, flat) -> Value:
        if isinstance(t, Dyn):
            k = next(supply)
            if k not in gradients:
                return NONE
            return Leaf(gradients[k], t.py, t.zero_d)
        if isinstance(t, Tree) and t.shape[0] in ("sequence", "mapping", "record", "complex"):
            items = tuple(self._gradient(i, supply, gradients, flat) for i in t.items)
            kind = t.shape[0]
            if kind == "complex":
                return Complex(*items)
            if kind == "sequence":
                return Sequence(items, t.shape[1])
            if kind == "record":
                return Record(t.shape[1], items)
            return Mapping(t.shape[1], items)
        for _ in self.types(t):
            next(supply)
        return NONE

    def conjugated(self, value: Value) -> Value:
        """Complex cotangents, from the pair of those of the parts to JAX's convention or back: c - di for (c, d)."""
        if isinstance(value, Complex):
            return Complex(value.re, Leaf(self.emit(elementwise.neg, value.im.node), value.im.py, value.im.zero_d))
        if isinstance(value, (Sequence, Record, Mapping)):
            return replace(value, items=tuple(map(self.conjugated, value.items)))
        return value

    # ---- which argument ----------------------------------------------------------------------------------------------
    def _place(self, function, argnum, count, names) -> int:
        """The position among the arguments given, positional then keyword, of what `argnum` says."""
        parameters = self._parameters_of(function)
        if isinstance(argnum, str):
            if argnum in names:
                return count + names.index(argnum)
            if parameters is None or argnum not in parameters:
                self.error(f"argnums: the function has no parameter '{argnum}'", "use one of its parameters")
            index = parameters.index(argnum)
        else:
            index = argnum
            if index < 0:
                index += len(parameters) if parameters is not None else count + len(names)
        if 0 <= index < count:
            return index
        if parameters is not None and 0 <= index < len(parameters) and parameters[index] in names:
            return count + names.index(parameters[index])
        self.error(f"argnums is {argnum!r}, but no such argument is given", f"there are {count + len(names)} arguments")

    def _parameter_name(self, function, place, names) -> str:
        parameters = self._parameters_of(function)
        if parameters is not None and place < len(parameters):
            return f"the argument {parameters[place]}"
        return f"argument {place}"

    def _parameters_of(self, function: Value) -> list[str] | None:
        """Names of the positional parameters, as far as they are known."""
        if isinstance(function, Closure):
            s = function.graph.info["signature"]
            return [*s.posonly, *s.names]
        if isinstance(function, Bound):
            inner = self._parameters_of(function.function)
            return None if inner is None else inner[len(function.args) :]
        if isinstance(function, (Ruled, Transformed)):
            return self._parameters_of(function.function)
        if isinstance(function, Static):
            obj = function.value
            while True:
                if hasattr(obj, "__myia_transformed__"):
                    obj = obj.__myia_transformed__[1]
                elif not isinstance(obj, types.MethodType) and callable(getattr(obj, "__wrapped__", None)):
                    obj = obj.__wrapped__
                else:
                    break
            try:
                found = inspect.signature(obj).parameters.values()
            except (TypeError, ValueError):
                return None
            return [p.name for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        if isinstance(function, Record):
            method = inspect.getattr_static(function.cls, "__call__", None)
            return None if method is None else [*inspect.signature(method).parameters][1:]
        return None

    def _function_name(self, function: Value) -> str:
        if isinstance(function, Closure):
            return function.graph.name
        if isinstance(function, Static):
            return getattr(function.value, "__name__", "function").replace("<", "").replace(">", "")
        if isinstance(function, (Bound, Ruled, Transformed)):
            return self._function_name(function.function)
        return "function"


def _complex_throughout(t: Template) -> bool:
    """Are there complex numbers in it, and no real ones?"""
    if is_complex(t):
        return True
    inside = isinstance(t, Tree) and t.shape[0] in ("sequence", "mapping", "record") and t.items
    return bool(inside) and all(map(_complex_throughout, t.items))
