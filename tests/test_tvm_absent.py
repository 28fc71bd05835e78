"""Where TVM is not installed, its back end says what to do."""

import sys

import pytest

from myia_lite import MyiaError, myia


def test_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "tvm", None)
    with pytest.raises(MyiaError, match=r"pip install 'apache-tvm=="):
        myia(backend="tvm")(lambda x: x + 1.0)(2.0)


def test_target_of_another_back_end():
    with pytest.raises(MyiaError, match="has no targets"):
        myia(backend="llvm", target="cuda")
