"""The front door: `@myia`, `grad`, `value_and_grad`.

A compiled function keeps one program for each signature of its arguments (types, dtypes, shapes, structure), and checks
at each call that the globals and closure variables built into the program still have the values they had.
"""

from __future__ import annotations

import collections
import functools
import inspect
import operator
import threading
import types
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from . import backends, cache
from .adapter import adapter, unchanged
from .backends import expect_backend, get_backend, with_target
from .callable import NativeCallable
from .infer import abstract, leaves, rebuild
from .infer.abstract import Record
from .infer.structures import Template, sized, skeleton, widened
from .ir import MyiaError, MyiaTypeError, MyiaValueError, Residual, element_types

if TYPE_CHECKING:  # what compiles is imported when something is compiled
    from .infer import Inferred
    from .opt import Log, Strategy

backends.kept = cache.CodeStore()
LINKS = 8  # native entries that a call tries before it goes by way of Python
STAGES = ("parse", "infer", "ad", "opt", "llvm", "asm")
ERROR_MODELS = ("python", "numpy")


class MyiaFunction(NativeCallable):
    """A Python function that is compiled at its first call, for each signature of its arguments.

    Made by `myia`, `grad` and `value_and_grad`. `__wrapped__` is the undecorated function; `compilations` counts the
    programs made so far, but for those that the cache had; `ir` prints one. Calls are safe from several threads.
    """

    __slots__ = ("__dict__", "__weakref__")

    def __init__(
        self,
        function: Callable,
        backend: str = "llvm",
        error_model: str = "python",
        optimize: Strategy | None = None,
        static_shapes: bool = False,
    ):
        if not callable(function):
            raise MyiaTypeError(f"a {type(function).__name__} cannot be compiled", remedy="pass a function")
        expect_backend(backend)
        if error_model not in ERROR_MODELS:
            raise MyiaValueError(
                f"there is no error model {error_model!r}", remedy=f"one of {', '.join(map(repr, ERROR_MODELS))}"
            )
        if optimize is not None:
            from .opt import Strategy

            if not isinstance(optimize, Strategy):
                raise MyiaValueError(f"optimize is {optimize!r}", remedy="a strategy of myia_lite.opt")
        self.backend, self.error_model, self.optimize = backend, error_model, optimize
        self.static_shapes = static_shapes
        self.compilations = 0
        self._function = function
        self._programs: dict[_Key, _Program] = {}
        # for arguments alike but for sizes: what serves all that were seen, or None where each has its own program
        self._widest: dict[_Key, _Key | None] = {}
        self._lock = threading.RLock()
        self.entry = self._dispatch
        functools.update_wrapper(self, function, updated=())

    def __get__(self, instance, owner=None):
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self):
        return f"<{type(self).__name__} {getattr(self, '__qualname__', self._function)}>"

    # ---- calls
    def _dispatch(self, *args, **keywords):
        """The way for whatever the native entries do not take."""
        if "out" in keywords and self._has_results_to_place:
            return self._into(keywords.pop("out"), args, keywords)
        program = self._program(args, keywords)
        self._prepare(program)
        return program.call(args, keywords)

    def _into(self, out, args, keywords):
        from .outputs import placed

        program = self._program(args, keywords)
        self._prepare(program)
        return placed(program.inferred.result, out, lambda: program.call(args, keywords))

    @functools.cached_property
    def _has_results_to_place(self) -> bool:
        """Does `out` mean memory for the results, the function having no parameter of that name?"""
        code = getattr(python_function(self._function), "__code__", None)
        if code is None:
            return True
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        return "out" not in names and not code.co_flags & inspect.CO_VARKEYWORDS

    def _prepare(self, program: _Program) -> None:
        """Make the native entry of a program at its second call: many are called but once."""
        if program.calls >= 2:
            return
        with self._lock:
            program.calls += 1
            if program.calls == 2 and self.backend != "interp":
                program.enter(getattr(self, "__name__", "compiled"))
                self._chain()

    def _chain(self) -> None:
        """A call goes to the entry made last, and on to those before it until one takes it."""
        entries = [p for p in self._programs.values() if p.entry is not None][: -LINKS - 1 : -1]
        if not entries:
            return
        for p, following in zip(entries, [*(q.entry for q in entries[1:]), self._dispatch], strict=True):
            p.otherwise[0] = following
        self.enter(entries[0].entry, get_backend("llvm").vectorcall())

    def _program(self, args, keywords) -> _Program:
        key = self._signature(args, keywords)
        program = self._find(key)
        if program is None:
            with self._lock:
                program = self._find(key) or self._compile(key)
        return program

    def _find(self, key: _Key) -> _Program | None:
        """The program for these types, if there is one and what it took from outside is unchanged."""
        program = self._programs.get(key)
        if program is None and self._widest and (wide := self._widest.get(_each(skeleton, key))) is not None:
            program = self._programs.get(wide) if _both(widened, wide, key) == wide else None
        return program if program is not None and program.current() else None

    def _compile(self, key: _Key) -> _Program:
        """A new program: a size in which this call differs from earlier ones is left open, where that can be."""
        self._programs.pop(key, None)
        kind = _each(skeleton, key)
        seen = key if self.static_shapes else self._widest.setdefault(kind, key)
        wide = key if seen is None else _both(widened, seen, key)
        if wide == key:
            return self._made(key)
        if seen == wide and (program := self._find(wide)) is not None:
            return program
        try:
            program = self._made(wide)
        except MyiaError:  # something needs a known size, or the program is wrong for any size
            program, wide = self._made(key), None
        self._widest[kind] = wide
        return program

    def _made(self, key: _Key) -> _Program:
        program = self._programs[key] = with_room(_Program, self, *key)
        self.compilations += not program.from_cache
        if self.compilations == 1:
            _count(python_function(self._function))
        return program

    def _exact(self, args, keywords) -> _Program:
        """The program for just these sizes."""
        key = self._signature(args, keywords)
        with self._lock:
            program = self._programs.get(key)
            return program if program is not None and program.current() else self._made(key)

    def _signature(self, args, keywords) -> tuple:
        """The templates of the arguments; an argument that cannot be passed is an error at its parameter."""
        try:
            return tuple(map(abstract, args)), tuple((k, abstract(v)) for k, v in keywords.items())
        except MyiaError as error:
            if error.span is None:
                raise self._at_parameter(error, args, keywords) from None
            raise

    def _at_parameter(self, error: MyiaError, args, keywords) -> MyiaError:
        """The same error, naming the first argument that raises it."""
        from .compiler import parameter

        for place, value in (*enumerate(args), *keywords.items()):
            try:
                abstract(value)
            except MyiaError:
                span, name = parameter(python_function(self._function), place)
                return type(error)(f"the argument {name} is {error.message}", span, error.remedy)
        return error

    def _infer(self, args: tuple, keywords: tuple) -> Inferred:
        from .compiler import inferred

        return inferred(self._function, args, keywords, self.error_model)

    # ---- looking in
    def ir(self, *args, stage: str = "opt", **keywords) -> str:
        """The program for these arguments, as text, at a stage: parse, infer, ad, opt, llvm or asm.

        Raises MyiaValueError for another stage, and what a call with these arguments would raise at compile time.

        >>> from myia_lite import grad
        >>> def cube(x):
        ...     return x**3
        >>> print(grad(cube).ir(2.0))
        graph @grad(cube)(%x: f64) -> f64 {
          %1: f64 = mul(%x, %x)
          %2: f64 = mul(%1, 3.0)
          return %2
        }
        <BLANKLINE>
        """
        if stage not in STAGES:
            raise MyiaValueError(f"there is no stage {stage!r}", remedy=f"one of {', '.join(STAGES)}")
        from .compiler import parse_function, show, text

        if stage == "parse":
            return show(parse_function(python_function(self._function)).graph)
        return text(stage, self._infer(*self._signature(args, keywords)).graph, self.optimize, self.backend)

    def export(self, path, *args, backend: str = "tvm", target: str | None = None, **keywords) -> None:
        """Write the program for arguments like these as a shared library, which TVM's runtime alone loads, in C++ too.

        Its function "run" of Relax's virtual machine takes the leaves of the arguments in order (tensors, ints,
        floats) and, last, arrays captured from outside; it returns the leaf of the result, or an array of several.
        target: that of the function, or "llvm".  Linking needs a C++ compiler.

        Raises MyiaValueError for another back end, and where TVM is not installed.

        >>> myia(lambda x: x + 1.0).export("f.so", 2.0, backend="llvm")
        Traceback (most recent call last):
        ...
        myia_lite.ir.errors.MyiaValueError: the backend 'llvm' writes no libraries
        Instead: backend='tvm'
        """
        if backend != "tvm":
            raise MyiaValueError(f"the backend {backend!r} writes no libraries", remedy="backend='tvm'")
        from .compiler import optimised

        graph = optimised(self._infer(*self._signature(args, keywords)).graph, self.optimize, backend=backend)
        own = getattr(get_backend(self.backend), "target", "llvm")
        options, end, mine = own.rpartition(";")
        get_backend("tvm").export(graph, path, options + end + (target or mine))

    def log(self, *args, trace: bool = False, between: Callable | None = None, **keywords) -> Log:
        """What the optimiser does to the program for these arguments: phases and their times, and the rules that fired.

        trace: keep each firing, with its line; between(phase, text): called with the program after each phase.

        >>> from myia_lite import grad
        >>> log = grad(lambda x: x**2).log(3.0)
        >>> log.fired["powi(x, n=2) == x * x"]
        0
        """
        from .compiler import Log, optimised

        log = Log(trace, between)
        optimised(self._infer(*self._signature(args, keywords)).graph, self.optimize, log, self.backend)
        return log


class GradFunction(MyiaFunction):
    """The derivative of a function; compiled code that calls it differentiates in place."""

    def __init__(self, kind: str, function: Callable, argnums, has_aux: bool, holomorphic: bool = False, **options):
        self.__myia_transformed__ = kind, function, argnums, has_aux, holomorphic
        super().__init__(function, **options)
        self._function = self
        name = getattr(function, "__name__", type(function).__name__)
        self.__name__, self.__qualname__ = f"{kind}({name})", f"{kind}({name})"
        self.__dict__.pop("__wrapped__", None)


_Key = tuple[tuple[Template, ...], tuple[tuple[str, Template], ...]]  # of positional arguments, and of keywords


def _each(f: Callable, key: _Key) -> _Key:
    return tuple(map(f, key[0])), tuple((k, f(t)) for k, t in key[1])


def _both(f: Callable, a: _Key, b: _Key) -> _Key:
    named = zip(a[1], b[1], strict=True)
    return tuple(map(f, a[0], b[0])), tuple((k, f(t, u)) for (k, t), (_, u) in named)


class _Program:
    """One compiled signature."""

    def __init__(self, owner: MyiaFunction, args: tuple, keywords: tuple):
        # Where sizes are open, a size that turns out 1 is not stretched, and errors name no sizes: the program for just
        # these sizes has the last word.
        self.open = None if all(map(sized, (*args, *(t for _, t in keywords)))) else owner._exact
        self.keywords = tuple(k for k, _ in keywords)
        kept = found = None
        if owner.backend == "llvm" and owner.optimize is None:
            kept = cache.place(owner._function, owner.error_model, args, keywords)
            found = kept and kept.load()
        self.from_cache = found is not None
        if found is not None:
            self.inferred, self.run, self.watched = found, found.program, list(found.dependencies)
            types = found.program.results
        else:
            from .compiler import optimised, uncollected

            with uncollected():
                self.inferred = owner._infer(args, keywords)
                graph = optimised(self.inferred.graph, owner.optimize, backend=owner.backend)
                types = element_types(graph.result_type)
                self.run = get_backend(owner.backend).compile(graph)
            self.watched = watched(self.inferred.dependencies)
            if kept is not None:
                kept.save(self.inferred, self.watched, self.run)
        self.records = [k for k, t in enumerate(types) if isinstance(t, Residual)]
        self.layouts = list(map(layout, self.inferred.captured))
        self.calls, self.entry, self.otherwise = 0, None, []
        self.backend, self.go_on = owner.backend, going_on(owner.backend, owner.error_model, owner.optimize)

    def current(self) -> bool:
        """Is what the program took from outside still what it was?"""
        return unchanged(self.watched) and list(map(layout, self.inferred.captured)) == self.layouts

    def enter(self, name: str) -> None:
        """Make the native entry, where the signature has one."""
        self.otherwise = [None]
        if self.backend != "llvm":
            from .python_entry import entry

            again = None if self.open is None else lambda args, keywords: self.open(args, keywords).call(args, keywords)
            self.entry = entry(self.run, self.inferred, self.keywords, self.watched, self.otherwise, again)
            return
        about = self.run, self.inferred, self.keywords, self.watched, self.otherwise, name, self.go_on
        self.entry = with_room(adapter, *about)

    def call(self, args: tuple, keywords: dict):
        given: list = []
        for v, t in zip((*args, *keywords.values()), self.inferred.arguments, strict=True):
            given += leaves(v, t)
        given = [v.opened(self.backend) if isinstance(v, Record) else v for v in (*given, *self.inferred.captured)]
        try:
            results = self.run(given)
        except (ValueError, IndexError, TypeError):
            if self.open is None:
                raise
            return self.open(args, keywords).call(args, keywords)
        results = [apart(x, given) for x in results]
        for k in self.records:
            results[k] = Record(results[k], self.go_on)
        return rebuild(self.inferred.result, results)


def layout(captured) -> tuple | None:
    """What of an array from outside may change in place and is built into a program."""
    return (captured.dtype, captured.shape) if isinstance(captured, np.ndarray) else None


@functools.cache
def going_on(backend: str, error_model: str, optimize) -> MyiaFunction:
    """The compiled `f(*args)`, for functions f that compiled functions returned."""
    return MyiaFunction(operator.call, backend, error_model, optimize)


MANY = 16
_made: collections.Counter = collections.Counter()  # code object -> function objects made of it that were compiled


def _count(function) -> None:
    """Say so, once, when a function is made anew again and again, each time to be compiled."""
    code = getattr(function, "__code__", None)
    if code is None or not function.__closure__:
        return
    _made[code] += 1
    if _made[code] == MANY:
        warnings.warn(
            f'{function.__qualname__} (File "{code.co_filename}", line {code.co_firstlineno}) was made and compiled '
            f"{MANY} times: make it once, outside the loop, and pass what changes as an argument",
            RuntimeWarning,
            stacklevel=5,
        )


STACK = 64 << 20  # bytes, of which only what is used is ever taken
_starting = threading.Lock()


def with_room(make: Callable, *args):
    """`make(*args)`, with the stack that a compiler needs: threads of the user's may have very little."""
    if threading.current_thread() is threading.main_thread():
        return make(*args)
    out: list = []

    def work():
        try:
            out.append((make(*args), None))
        except BaseException as error:  # handed to the caller, whatever it is
            out.append((None, error))

    with _starting:
        before = threading.stack_size(STACK)
        try:
            thread = threading.Thread(target=work, name="myia-compile")
            thread.start()
        finally:
            threading.stack_size(before)
    thread.join()
    ((made, error),) = out
    if error is not None:
        raise error
    return made


def apart(result, given):
    """A result in memory of its own: a back end may hand back an argument."""
    if isinstance(result, np.ndarray) and any(
        isinstance(a, np.ndarray) and np.may_share_memory(result, a) for a in given
    ):
        return result.copy()
    return result


def watched(dependencies) -> list:
    """What of this may change between calls: modules, builtins and NumPy's functions are taken for granted."""
    found = [d for d in dependencies if not isinstance(d.value, (types.ModuleType, types.BuiltinFunctionType))]
    return [d for d in found if not _is_library(d.value)]


SETTLED = ("builtins", "math", "numpy", "scipy", "functools", "myia_lite")


def _is_library(value) -> bool:
    """A class or function of Python itself, NumPy, SciPy or this package: nobody rebinds its name."""
    module = getattr(value, "__module__", None) if callable(value) else None
    return isinstance(module, str) and module.split(".")[0] in SETTLED


def python_function(f) -> Callable:
    """The Python function behind a compiled one, a derivative, a method or a partial application."""
    while True:
        if hasattr(f, "__myia_transformed__"):
            f = f.__myia_transformed__[1]
        elif isinstance(f, MyiaFunction):
            f = f._function
        elif isinstance(f, types.MethodType):
            f = f.__func__
        elif isinstance(f, functools.partial):
            f = f.func
        elif isinstance(f, types.FunctionType) or not isinstance(type(f).__call__, types.FunctionType):
            return f
        else:
            f = type(f).__call__


def myia(
    function: Callable | None = None,
    *,
    backend: str = "llvm",
    error_model: str = "python",
    optimize: Strategy | None = None,
    static_shapes: bool = False,
    target=None,
    cuda_graphs: bool = True,
    products: str | None = None,
    deterministic: bool = False,
    tuning=None,
):
    """Compile a Python function, at its first call and for each new signature of its arguments.

    Use it as `@myia`, `@myia(backend="interp")` or `myia(f)`. The compiled function gives the same answer as the plain
    one (up to rounding), raises what it would raise, or refuses with a `MyiaError` that points at the source line,
    before anything runs.

    A call `f(x, out=a)` writes an array result into `a`, of its dtype and shape, and returns `a`; for a structure `out`
    is one like it, with None in the place of what is to be made anew.  That saves the memory of a result, and its copy,
    where `a` is C-contiguous and shares no memory with an argument.  After an error `a` may hold anything.  A parameter
    of f named `out` is an argument as any other.

    backend: "llvm" (native code), "interp" (the slow reference), or "tvm" (through TVM: pip install myia-lite[tvm]).
    target: of "tvm", what to compile for: "llvm" (the default), "cuda", or a target of TVM's; "emulated" runs the
    kernels of a device as loops on the CPU, to check what they compute where there is no device.
    cuda_graphs: whether calls for "cuda" that wait for nothing there are recorded, and then launched as a whole.
    products: of "tvm": "float16" or "bfloat16" has the factors of products of float32 matrices rounded to that dtype,
    and their sums in float32, as tensor cores compute.  Derivatives are the program's, their products rounded alike.
    deterministic: of "tvm": sums that parallel threads make in any order (of what is added at repeated indexes) are
    made in one order, at the price of sorting the indexes.
    tuning: of "tvm": the folder of a database that `myia-tune` filled; MYIA_TUNE_DB is the default.
    error_model: "python" checks the arithmetic of Python numbers as CPython does (ZeroDivisionError, OverflowError,
    ValueError); "numpy" gives inf, nan and wrap-around there, as NumPy does.
    optimize: a strategy of `myia_lite.opt`, which takes the place of the default optimiser (None) before, between and
    after differentiations.
    static_shapes: one program for each shape of the arguments.  Otherwise the second size that an axis of an argument
    has makes that size a value that only the running program knows, so that a third one compiles nothing.  (Sizes 0
    and 1 have programs of their own; where a program needs a size to be known, each shape has one.)

    Raises MyiaTypeError where `function` is not callable, MyiaValueError for an unknown option; at a call, either where
    `out` does not fit the result.

    >>> from myia_lite import myia
    >>> @myia
    ... def collatz(n):
    ...     steps = 0
    ...     while n != 1:
    ...         n = n // 2 if n % 2 == 0 else 3 * n + 1
    ...         steps += 1
    ...     return steps
    >>> collatz(27)
    111
    >>> import numpy as np
    >>> a = np.zeros(3)
    >>> myia(lambda x: x * 2.0)(np.arange(3.0), out=a) is a, a
    (True, array([0., 2., 4.]))
    """
    backend = with_target(backend, target, cuda_graphs, products, deterministic, tuning)
    options: dict = {"backend": backend, "error_model": error_model, "optimize": optimize}
    options["static_shapes"] = static_shapes
    if function is None:
        return functools.partial(myia, **options)
    if isinstance(function, MyiaFunction):
        if isinstance(function, GradFunction):
            return GradFunction(*function.__myia_transformed__, **options)
        function = function._function
    return MyiaFunction(function, **options)


def grad(f: Callable, argnums: int | str | tuple = 0, has_aux: bool = False, holomorphic: bool = False) -> GradFunction:
    """The gradient of a function that returns one float, exact, by reverse mode: a compiled function of the same
    arguments.

    argnums: the argument to differentiate by, as an index, a parameter's name, or a tuple of these (the result is then
    a tuple). A gradient has the structure of its argument: tuples, lists, dicts, dataclasses and NamedTuples of floats
    and arrays; leaves that are no floats have None in their place.
    has_aux: f returns (loss, aux), and the result is (gradient, aux).
    holomorphic: f is a holomorphic function of complex arguments, and the result is its complex derivative.  Without it
    f returns a real float, and by a complex argument x + iy its gradient is df/dx - i df/dy, as in JAX.

    It works in ordinary Python and inside compiled code, on plain and compiled functions, methods, lambdas, closures
    and partial applications, and on its own results: `grad(grad(f))` is the second derivative.

    Raises MyiaTypeError where f does not return one float, or an argument to differentiate by is no float.
    Source: the transformation follows Pearlmutter and Siskind, "Reverse-mode AD in a functional framework" (TOPLAS
    2008).

    >>> from myia_lite import grad
    >>> grad(lambda x: x**3)(2.0)
    12.0
    >>> grad(lambda p: p["a"] * p["b"])({"a": 2.0, "b": 5.0})
    {'a': 5.0, 'b': 2.0}
    """
    return transformed("grad", f, argnums, has_aux, holomorphic)


def value_and_grad(
    f: Callable, argnums: int | str | tuple = 0, has_aux: bool = False, holomorphic: bool = False
) -> GradFunction:
    """Like `grad`, but the result is (value, gradient), both from one pass; the value is f's whole result.

    >>> from myia_lite import value_and_grad
    >>> value_and_grad(lambda x: x * x)(3.0)
    (9.0, 6.0)
    """
    return transformed("value_and_grad", f, argnums, has_aux, holomorphic)


grad.__myia_transform__ = "grad"  # what inference calls them
value_and_grad.__myia_transform__ = "value_and_grad"


def transformed(kind: str, f: Callable, argnums=0, has_aux: bool = False, holomorphic: bool = False) -> GradFunction:
    """The compiled function that a transform makes of f; compiled code knows the transform by `kind`."""
    for a in argnums if isinstance(argnums, tuple) else (argnums,):
        if not isinstance(a, (int, str)) or isinstance(a, bool):
            raise MyiaTypeError(f"argnums is {argnums!r}", remedy="an index, a parameter's name, or a tuple of these")
    inner = f
    while isinstance(inner, functools.partial):
        inner = inner.func
    if isinstance(inner, types.MethodType) and isinstance(inner.__func__, MyiaFunction):
        inner = inner.__func__
    options = (
        {k: getattr(inner, k) for k in ("backend", "error_model", "optimize", "static_shapes")}
        if isinstance(inner, MyiaFunction)
        else {}
    )
    if isinstance(f, (types.FunctionType, types.MethodType, MyiaFunction)):
        return _kept(kind, f, argnums, has_aux, holomorphic, tuple(options.items()))
    return GradFunction(kind, f, argnums, has_aux, holomorphic, **options)


@functools.lru_cache(512)
def _kept(kind, f, argnums, has_aux, holomorphic, options) -> GradFunction:
    """The same object for the same function, so that `grad(f)` may stand inside a training loop."""
    return GradFunction(kind, f, argnums, has_aux, holomorphic, **dict(options))
