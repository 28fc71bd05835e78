"""Arrays that go to other libraries and come from them, by DLPack: on the CPU; on a GPU in `gpu/`."""

import pytest

pytest.importorskip("tvm", reason="apache-tvm is not installed")

import numpy as np
from compare import assert_same

from myia_lite import MyiaTypeError, grad, myia, to_device, to_host
from myia_lite.backends.tvm.devices import DeviceArray

LIBRARIES = ("numpy", "torch", "jax.numpy", "cupy")
A = np.arange(12.0).reshape(3, 4)
ARRAYS = {
    "f64": A,
    "f32": A.astype(np.float32),
    "i64": A.astype(np.int64),
    "i32": A.astype(np.int32),
    "bool": A > 3,
    "strided": A[:, ::2],
    "reversed": A[::-1],
    "transposed": A.T,
    "broadcast": np.broadcast_to(A[:1], (3, 4)),  # read-only, too
    "misaligned": np.frombuffer(b"\0" + A.tobytes(), np.uint8)[1:].view(np.float64),
    "empty": np.zeros((0, 3)),
    "0-d": np.array(2.5),
    "0-d int": np.array(3),
    "0-d bool": np.array(True),
}


@pytest.fixture(params=LIBRARIES)
def library(request):
    """A library that has `from_dlpack`."""
    found = pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    if request.param == "jax.numpy":
        import jax

        jax.config.update("jax_enable_x64", True)
    return found


def twice(a):
    return a + a


@pytest.mark.parametrize("name", ARRAYS)
def test_there_and_back(library, name):
    """`to_device` takes any layout and copies; what compiled code makes goes to the library without a copy."""
    a = ARRAYS[name]
    d = to_device(a, "llvm")
    assert d.shape == a.shape and d.dtype == a.dtype
    theirs = library.from_dlpack(d)
    assert_same(np.asarray(theirs), a)
    again = to_device(theirs, "llvm")
    assert again.shape == a.shape and again.dtype == a.dtype
    assert_same(to_host(again), a)
    assert_same(to_host(myia(backend="tvm")(twice)(again)), twice(a))
    if a.size and a.ndim:
        out = myia(backend="tvm")(twice)(d)
        assert np.shares_memory(np.from_dlpack(library.from_dlpack(out)), np.from_dlpack(out))


def made_by(name, a):
    if name == "torch":
        return pytest.importorskip("torch", reason="torch is not installed").from_numpy(a.copy())
    return pytest.importorskip("jax.numpy", reason="jax is not installed").asarray(a)


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_layouts_of_others(name):
    """Strided, transposed, 0-d and empty arrays that the library itself made."""
    x = made_by(name, A)
    f = myia(backend="tvm")(twice)
    for make in (lambda a: a[:, ::2], lambda a: a.T, lambda a: a[1:, 1:], lambda a: a[0, 0], lambda a: a[:0]):
        assert_same(to_host(f(to_device(make(x), "llvm"))), twice(make(A)))


def test_it_is_a_copy():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    t = torch.ones(3)
    d = to_device(t, "llvm")
    t.add_(1)
    assert_same(to_host(d), np.ones(3, np.float32))


@pytest.mark.parametrize("backend", ["tvm", "llvm", "interp"])
def test_others_arrays_are_no_arguments(backend):
    """They may change where a program holds them for a constant."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    f = myia(backend=backend)(twice)
    for x in (torch.ones(3), [torch.ones(3)]):
        with pytest.raises(MyiaTypeError, match="array of torch"):
            f(x)


def test_training_beside_torch():
    """Gradients of compiled code go into PyTorch's tensors, in a loop."""
    torch = pytest.importorskip("torch", reason="torch is not installed")

    def loss(w, x):
        return np.sum((np.tanh(x @ w) - 0.5) ** 2)

    w, x = torch.zeros(4, dtype=torch.float64), torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(3, 4)
    slope = grad(myia(backend="tvm")(loss))
    mine, batch = to_device((w, x), "llvm")
    for _ in range(5):
        theirs = w.clone().requires_grad_()
        torch.sum((torch.tanh(x @ theirs) - 0.5) ** 2).backward()
        g = torch.from_dlpack(slope(mine, batch))
        assert torch.allclose(g, theirs.grad, rtol=1e-12)
        w = w - 0.1 * g
        mine = to_device(w, "llvm")


def test_memory_outlives_its_maker():
    """A view by DLPack holds what it shows."""
    view = np.from_dlpack(myia(backend="tvm")(lambda a: (a * 2.0, a))(to_device(A, "llvm"))[0])
    for _ in range(10):
        myia(backend="tvm")(lambda a: a * 3.0)(A)
    assert_same(view.copy(), A * 2.0)


def test_another_stream_finds_the_array_made():
    """TVM's streams are not those of the reader: what a device still works on is waited for."""

    class Tensor:
        shape, waits = (3,), 0

        @property
        def device(self):
            return self

        def sync(self):
            self.waits += 1

        def __dlpack__(self, **options):
            return self.waits

    a = DeviceArray(Tensor(), (3,), np.dtype(float), 2)
    assert a.__dlpack__() == 1 and a.__dlpack__(stream=7, max_version=(1, 1)) == 2 and a.__dlpack__(stream=-1) == 2
    assert hasattr(to_device(A, "llvm").tensor.device, "sync")


def test_numbers_of_arrays():
    d = to_device(np.array(3), "llvm")
    assert int(d) == 3 and float(d) == 3.0 and bool(d) and [0, 1, 2, 3][d] == 3
    with pytest.raises(TypeError):
        float(to_device(A, "llvm"))
