"""Counting references to Python objects in machine code, @inc and @dec: in place where the interpreter's layout of a
count is a plain number, else by its functions.

From CPython 3.12 on some objects are immortal, and without a GIL counts are split: there the functions know.
"""

from __future__ import annotations

import sys

PLAIN = sys.implementation.name == "cpython" and sys.version_info < (3, 12) and not hasattr(sys, "gettotalrefcount")


IMPORTS = {"_Py_Dealloc": "void (ptr)"} if PLAIN else {}  # what they take, beside Py_IncRef and Py_DecRef


def text() -> str:
    """The definitions."""
    return _IN_PLACE if PLAIN else _CALLS


_CALLS = """
define internal void @inc(ptr %x) alwaysinline {
  call void @Py_IncRef(ptr %x)
  ret void
}
define internal void @dec(ptr %x) alwaysinline {
  call void @Py_DecRef(ptr %x)
  ret void
}
"""
_IN_PLACE = """
define internal void @inc(ptr %x) alwaysinline {
  %n = load i64, ptr %x
  %m = add i64 %n, 1
  store i64 %m, ptr %x
  ret void
}
define internal void @dec(ptr %x) alwaysinline {
  %n = load i64, ptr %x
  %m = sub i64 %n, 1
  store i64 %m, ptr %x
  %dead = icmp eq i64 %m, 0
  br i1 %dead, label %free, label %done
free:
  call void @_Py_Dealloc(ptr %x)
  br label %done
done:
  ret void
}
"""
