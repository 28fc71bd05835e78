// Loads a program that `f.export("digits.so", …)` wrote, with TVM's runtime alone, and runs it.
//
//   python examples/cpp/export.py out/model.so
//   TVM=$(python -c "import tvm, pathlib; print(pathlib.Path(tvm.__file__).parent)")
//   FFI=$(python -c "import tvm_ffi, pathlib; print(pathlib.Path(tvm_ffi.__file__).parent)")
//   g++ -std=c++20 examples/cpp/load.cc -I$TVM/include -I$FFI/include -L$TVM/lib -L$FFI/lib
//       -Wl,--no-as-needed -ltvm_runtime -ltvm_ffi -Wl,-rpath,$TVM/lib:$FFI/lib -o out/load        (one line)
//   out/load out/model.so
#include <tvm/ffi/container/array.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/function.h>

#include <cstdio>
#include <cstdlib>

using tvm::ffi::Any;
using tvm::ffi::Tensor;

struct Heap {
  void AllocData(DLTensor* t) { t->data = std::aligned_alloc(64, (tvm::ffi::GetDataSize(*t) + 63) / 64 * 64); }
  void FreeData(DLTensor* t) { std::free(t->data); }
};

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: %s LIBRARY\n", argv[0]), 2;
  tvm::ffi::Module library = tvm::ffi::Module::LoadFromFile(argv[1]);
  tvm::ffi::Module machine = (*library->GetFunction("vm_load_executable"))().cast<tvm::ffi::Module>();
  const int cpu = 1, pooled = 2;
  (*machine->GetFunction("vm_initialization"))(cpu, 0, pooled);
  Tensor x = Tensor::FromNDAlloc(Heap(), {4}, DLDataType{kDLFloat, 64, 1}, DLDevice{kDLCPU, 0});
  for (int i = 0; i < 4; ++i) static_cast<double*>(x.data_ptr())[i] = i;
  auto out = (*machine->GetFunction("run"))(x, 3).cast<tvm::ffi::Array<Any>>();
  Tensor gradient = out[1].cast<Tensor>();
  std::printf("%.6f", out[0].cast<double>());
  for (int i = 0; i < 4; ++i) std::printf(" %.6f", static_cast<double*>(gradient.data_ptr())[i]);
  std::printf("\n");
}
