"""A device that is none: programs as they are made for a GPU, with kernels that run as loops on the host.

All but the device's code is what a GPU would have: the launches, where memory comes from, what is read back and when.
"""

from collections import Counter
from contextlib import contextmanager

import pytest

from myia_lite.backends.tvm import build, graphs, nests, program
from myia_lite.backends.tvm.code import expr, plus, quotient, times


@contextmanager
def launch(self, count, threads):
    """`Kernel.launch`, with the threads one after the other."""
    blocks = quotient(plus(count, threads - 1), threads)
    blocks = expr(blocks) if isinstance(blocks, int) else self.code.let(blocks)
    self.ctx.launches += 1
    with self.code.counted(blocks) as bx, self.code.counted(threads) as tx:
        yield plus(times(bx, threads), tx)


class Recorder:
    """Instead of launching a recording, its call is run again, in the memory that it had."""

    available = True

    def __init__(self):
        self.nothing, self.count = (), Counter()

    def record(self, recording, work):
        self.count["recorded"] += 1
        work()
        work()

    def launch(self, recording, work):
        self.count["launched"] += 1
        work()


@pytest.fixture
def device(monkeypatch):
    """The target "llvm" is a device; the value is the recorder."""
    monkeypatch.setattr(nests.Kernel, "launch", launch)
    monkeypatch.setattr(build, "check_kernels", lambda out: None)
    for module in (build, program):
        monkeypatch.setattr(module, "is_device", lambda target: True)
    recorder = Recorder()
    monkeypatch.setattr(program.Program, "recorder", recorder)
    yield recorder
    assert not getattr(graphs._local, "arena", None)
