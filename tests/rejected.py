"""Programs that the subset must refuse before anything runs, or whose call is wrong.

Each names the built-in exception type that its error must also be.  The construct at fault stands on the line marked
`# here`; the error must show that line, its number, the file, and a caret.
"""

import math
import os
import random
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rejected:
    """A function, the arguments of a call, and the types one of which the error must be."""

    name: str
    fn: object
    args: tuple
    kinds: tuple

    def __repr__(self):
        return self.name


REJECTED = {}


def rejected(*args, kind):
    """Enter the decorated function in the table."""

    def enter(fn):
        assert fn.__name__ not in REJECTED, f"two programs are called {fn.__name__}"
        REJECTED[fn.__name__] = Rejected(fn.__name__, fn, args, kind if isinstance(kind, tuple) else (kind,))
        return fn

    return enter


A = np.array([1.0, 2.0, 3.0])


# ---------------------------------------------------------------------------------------------------- statements
@rejected(3.0, kind=SyntaxError)
def generator(x):
    yield x  # here


@rejected(3.0, kind=SyntaxError)
def inner_generator(x):
    def g():
        yield from (x, x)  # here

    total = 0.0
    for v in g():
        total += v
    return total


@rejected(3.0, kind=SyntaxError)
def try_except(x):
    try:  # here
        return 1.0 / x
    except ZeroDivisionError:
        return 0.0


@rejected(3.0, kind=SyntaxError)
def try_finally(x):
    try:  # here
        y = x
    finally:
        y = 2.0
    return y


@rejected(3.0, kind=SyntaxError)
def with_statement(x):
    with np.errstate(all="ignore"):  # here
        return x * x


@rejected(3.0, kind=SyntaxError)
def inner_async(x):
    async def f():  # here
        return x

    return x


@rejected(3.0, kind=SyntaxError)
def global_statement(x):
    global _counter  # here
    _counter = x
    return x


@rejected(3.0, kind=SyntaxError)
def nonlocal_statement(x):
    y = x

    def f():
        nonlocal y  # here
        y = y + 1

    f()
    return y


@rejected(3.0, kind=SyntaxError)
def delete_statement(x):
    y = x
    del y  # here
    return x


@rejected(3.0, kind=SyntaxError)
def class_statement(x):
    class C:  # here
        pass

    return x


@rejected(3.0, kind=SyntaxError)
def import_statement(x):
    import cmath  # here

    return cmath.phase(x)


@rejected(3.0, kind=SyntaxError)
def match_statement(x):
    match x:  # here
        case 1.0:
            return 2.0
    return x


@rejected(3.0, kind=SyntaxError)
def set_display(x):
    s = {1.0, x}  # here
    return len(s)


@rejected(3.0, kind=(SyntaxError, TypeError))
def dict_with_run_time_keys(x):
    d = {x: 1.0}  # here
    return d[x]


@rejected(3.0, kind=SyntaxError)
def comprehension_with_if(x):
    return sum([v * x for v in (1.0, 2.0) if v > 1])  # here


@rejected(3.0, kind=SyntaxError)
def dict_comprehension(x):
    return {k: x for k in ("a", "b")}["a"]  # here


@rejected(3.0, kind=SyntaxError)
def set_comprehension(x):
    return len({v for v in (1.0, x)})  # here


@rejected(3.0, kind=SyntaxError)
def keyword_parameters(x):
    def f(**options):  # here
        return options["a"]

    return f(a=x)


@rejected(3.0, kind=SyntaxError)
def generator_lambda(x):
    f = lambda: (yield x)  # here
    return x


# --------------------------------------------------------------------------------------------------------- effects
@rejected(A, kind=(SyntaxError, TypeError, ValueError))
def writes_to_an_argument(a):
    a[0] = 1.0  # here
    return a


@rejected(A, kind=(SyntaxError, TypeError, ValueError))
def adds_to_an_argument_in_place(a):
    a += 1.0  # here
    return a


@rejected(A, kind=(SyntaxError, TypeError, ValueError))
def writes_through_a_view_of_an_argument(a):
    b = a[1:]
    b[0] = 1.0  # here
    return a


@rejected(A, kind=(SyntaxError, TypeError, ValueError))
def writes_through_another_name(a):
    b = a * 2
    c = b
    c[0] = 1.0  # here
    return b


@rejected(A, kind=(SyntaxError, TypeError, ValueError))
def writes_under_another_name(a):
    b = a * 2
    c = b
    b[0] = 1.0  # here
    return c


@rejected(A, kind=(SyntaxError, TypeError, ValueError))
def writes_to_a_global(a):
    A[0] = 1.0  # here
    return a


@rejected((1.0, 2.0), kind=(SyntaxError, TypeError))
def writes_to_a_tuple(t):
    t[0] = 3.0  # here
    return t


@rejected([1.0, 2.0], kind=(SyntaxError, TypeError, ValueError))
def writes_to_a_list_argument(t):
    t[0] = 3.0  # here
    return t


@rejected({"a": 1.0}, kind=(SyntaxError, TypeError, ValueError))
def writes_to_a_dict_argument(d):
    d["a"] = 3.0  # here
    return d


@dataclass(frozen=True)
class Frozen:
    x: float


@rejected(Frozen(1.0), kind=(SyntaxError, TypeError, AttributeError))
def writes_to_a_frozen_record(p):
    p.x = 2.0  # here
    return p


@rejected([1.0, 2.0], kind=(SyntaxError, TypeError, AttributeError))
def appends_to_a_list_argument(t):
    t.append(3.0)  # here
    return t


@rejected(A, kind=(SyntaxError, TypeError, AttributeError))
def sorts_an_argument_in_place(a):
    a.sort()  # here
    return a


@rejected(3.0, kind=(SyntaxError, TypeError))
def reads_a_file(x):
    open(os.devnull)  # here
    return x


@rejected(3.0, kind=(SyntaxError, TypeError))
def reads_input(x):
    return x + float(input())  # here


@rejected(3.0, kind=(SyntaxError, TypeError))
def evaluates_text(x):
    return eval("x + 1")  # here


@rejected(3.0, kind=(SyntaxError, TypeError))
def executes_text(x):
    exec("y = 1")  # here
    return x


@rejected(3.0, kind=(SyntaxError, TypeError))
def asks_for_locals(x):
    return locals()["x"]  # here


@rejected(3.0, kind=(SyntaxError, TypeError, AttributeError))
def draws_random_numbers(x):
    return x * random.random()  # here


@rejected(3.0, kind=(SyntaxError, TypeError))
def sets_an_attribute_by_name(x):
    setattr(math, "tau", x)  # here
    return x


# --------------------------------------------------------------------------------------------------------- strings
@rejected(3.0, kind=(SyntaxError, TypeError))
def formats_a_run_time_value(x):
    return f"{x:.2f}"  # here


@rejected(3.0, kind=(SyntaxError, TypeError))
def text_of_a_run_time_value(x):
    return str(x)  # here


@rejected(3.0, kind=(SyntaxError, TypeError))
def percent_formatting(x):
    return "%f" % x  # here


# ----------------------------------------------------------------------------------------------- names and unknowns
@rejected(3.0, kind=NameError)
def undefined_name(x):
    return x + undefined_somewhere  # here  # noqa: F821


@rejected(A, kind=(AttributeError, TypeError, SyntaxError))
def numpy_has_no_such_name(a):
    return np.no_such_function(a)  # here


@rejected(A, kind=(AttributeError, TypeError, SyntaxError))
def numpy_function_outside_the_subset(a):
    return np.histogram(a, 4)[0]  # here


@rejected(A, kind=AttributeError)
def array_has_no_such_attribute(a):
    return a.no_such_attribute  # here


@rejected(A, kind=(AttributeError, TypeError, SyntaxError))
def array_method_outside_the_subset(a):
    return a.tobytes()  # here


@rejected(Frozen(1.0), kind=AttributeError)
def record_has_no_such_field(p):
    return p.y  # here


@rejected(3.0, kind=(AttributeError, TypeError, SyntaxError))
def library_outside_the_subset(x):
    return os.path.getsize(x)  # here


@rejected(A, kind=(TypeError, ValueError, SyntaxError))
def out_argument(a):
    b = a * 2
    np.add(a, a, out=b)  # here
    return b


@rejected(A, kind=TypeError)
def unknown_keyword_of_a_numpy_function(a):
    return np.sum(a, axes=0)  # here


# ----------------------------------------------------------------------------------------------------------- types
@rejected(3.0, kind=TypeError)
def adds_text_to_a_number(x):
    return x + "1"  # here


@rejected(3.0, kind=TypeError)
def adds_none(x):
    return x + None  # here


@rejected((1.0, 2.0), kind=TypeError)
def adds_tuple_and_number(t):
    return t + 1.0  # here


@rejected(3.0, kind=TypeError)
def calls_a_number(x):
    return x(2.0)  # here


@rejected(3.0, kind=TypeError)
def indexes_a_number(x):
    return x[0]  # here


@rejected(3.0, kind=TypeError)
def iterates_over_a_number(x):
    total = 0.0
    for v in x:  # here
        total += v
    return total


@rejected(3.0, kind=TypeError)
def range_of_a_float(x):
    total = 0.0
    for i in range(x):  # here
        total += i
    return total


@rejected(A, kind=(TypeError, IndexError))
def indexes_by_a_float(a):
    return a[1.0]  # here


@rejected(A, kind=IndexError)
def too_many_indices(a):
    return a[0, 0]  # here


@rejected(A, kind=ValueError)
def truth_of_an_array(a):
    if a > 1:  # here
        return 1.0
    return 0.0


@rejected(3.0, kind=TypeError)
def variable_changes_type_in_a_while(x):
    y = x
    while x > 0:  # here or below
        y = (y, x)
        x = x - 1
    return y


# Structures whose type grows as the program runs.
@rejected(1.5, 4, kind=TypeError)
def list_by_recursion(x, n):
    def build(k):
        return None if k == 0 else (x * k, build(k - 1))

    def total(node):
        return 0.0 if node is None else node[0] * node[0] + total(node[1])

    return total(build(n))  # here


@rejected(1.1, 3, kind=TypeError)
def tree_by_recursion(x, depth):
    def build(y, d):
        if d == 0:
            return y
        return (build(y * x, d - 1), build(y + x, d - 1))

    def fold(node):
        if isinstance(node, tuple):
            return fold(node[0]) * fold(node[1])
        return node

    return fold(build(x, depth))  # here


@rejected(2.0, 3, kind=TypeError)
def function_grows_in_a_loop(x, n):
    f = lambda y: y * x
    for _ in range(n):  # here
        f = (lambda g: lambda y: g(y) + y)(f)
    return f(3.0)


@rejected(3.0, 4, kind=TypeError)
def tuple_of_functions_grows_in_a_loop(x, n):
    functions = ()
    for i in range(n):  # here
        functions = (*functions, lambda y, i=i: y * i)
    return sum([f(x) for f in functions])


@rejected([1.0], 2.0, kind=(TypeError, AttributeError))
def appends_in_a_loop(t, x):
    t.append(x)  # here
    return t


@rejected(3.0, kind=TypeError)
def compares_text_with_number(x):
    return x < "a"  # here


@rejected(3.0, kind=TypeError)
def matmul_of_scalars(x):
    return x @ x  # here


@rejected(A, kind=TypeError)
def bits_of_floats(a):
    return a & 1  # here


@rejected((1.0, 2.0), kind=IndexError)
def tuple_index_out_of_range(t):
    return t[2]  # here


# ----------------------------------------------------------------------------------------------------------- calls
def _two(a, b):
    return a + b


@rejected(3.0, kind=TypeError)
def calls_with_too_few_arguments(x):
    return _two(x)  # here


@rejected(3.0, kind=TypeError)
def calls_with_too_many_arguments(x):
    return _two(x, x, x)  # here


@rejected(3.0, kind=TypeError)
def calls_with_an_unknown_keyword(x):
    return _two(x, c=x)  # here


@rejected(3.0, kind=TypeError)
def calls_with_an_argument_twice(x):
    return _two(x, a=x)  # here


@rejected(3.0, 4.0, kind=TypeError)
def called_with_too_many_arguments(x):  # here
    return x


@rejected(kind=TypeError)
def called_with_too_few_arguments(x):  # here
    return x


@rejected(A.astype(object), kind=TypeError)
def called_with_an_object_array(a):  # here
    return a + 1


@rejected(np.array(["a", "b"]), kind=TypeError)
def called_with_a_text_array(a):  # here
    return a


@rejected(A.astype(np.float16), kind=TypeError)
def called_with_float16(a):  # here
    return a + 1


@rejected(2**70, kind=(TypeError, OverflowError))
def called_with_a_huge_integer(a):  # here
    return a


# Whose source is not a function of the subset at all.
@rejected(3.0, kind=SyntaxError)
async def coroutine(x):  # here
    return x
