// Runs a .pte of this project with ExecuTorch's Module and the XNNPACK delegate, on the libraries of the wheel.
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include "runner.h"

// The wheel exports the thread pool's symbols but ships no header of it; declared after
// extension/threadpool/threadpool.h of ExecuTorch 1.5. Only ever used by pointer.
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  size_t get_thread_count() const;
  bool _unsafe_reset_threadpool(uint32_t new_thread_count);
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool

namespace {

using executorch::aten::ScalarType;
using executorch::extension::Module;
using executorch::runtime::Error;
using Verification = executorch::runtime::Program::Verification;

constexpr const char* METHOD = "forward";
constexpr const char* LONGEST = "get_max_length";
constexpr size_t SHORTEST = 2;  // as in exporters/executorch.py: a dimension of 1 would be a constant

void check(Error error, const std::string& what) {
  if (error != Error::Ok)
    throw runner::Failure("ExecuTorch cannot " + what + " (error " + std::to_string(static_cast<int>(error)) +
                          ")");
}

class ExecutorchProgram : public runner::Program {
 public:
  ExecutorchProgram(const std::string& path, int threads) : module_(path, Module::LoadMode::Mmap) {
    auto* pool = executorch::extension::threadpool::get_threadpool();
    if (!pool || !pool->_unsafe_reset_threadpool(static_cast<uint32_t>(threads)))
      throw runner::Failure("ExecuTorch cannot use " + std::to_string(threads) + " threads");
    check(module_.load(Verification::InternalConsistency), "read " + path);
    check(module_.load_method(METHOD), "load " + path);
    longest_ = longest();
  }

  size_t run(const std::vector<int32_t>& ids) override {
    if (ids.size() > longest_)
      throw runner::Failure(std::to_string(ids.size()) + " tokens are more than the program's " +
                            std::to_string(longest_));
    tokens_ = ids.size();
    const size_t length = std::max(tokens_, SHORTEST);
    ids_.assign(length, 0);
    mask_.assign(length, 0);
    std::copy(ids.begin(), ids.end(), ids_.begin());
    std::fill_n(mask_.begin(), tokens_, 1);
    const auto size = static_cast<executorch::aten::SizesType>(length);
    auto input = executorch::extension::from_blob(ids_.data(), {1, size}, ScalarType::Int);
    auto mask = executorch::extension::from_blob(mask_.data(), {1, size}, ScalarType::Int);
    auto given = module_.forward({input, mask});
    check(given.error(), "run the program");
    outputs_ = std::move(*given);
    return length;
  }

  // Also lets go of the outputs: a run that had to would execute other instructions than the first.
  std::vector<float> logits() override {
    std::vector<float> found;
    const bool per_token = outputs_.size() == 2;
    for (const auto& value : outputs_) {
      if (!value.isTensor() || value.toTensor().scalar_type() != ScalarType::Float)
        throw runner::Failure("the program's outputs are not float32");
      const auto& tensor = value.toTensor();
      const float* data = tensor.const_data_ptr<float>();
      found.insert(found.end(), data, data + (per_token ? tokens_ : static_cast<size_t>(tensor.numel())));
    }
    outputs_ = {};
    return found;
  }

  std::optional<int> threads() override {
    return static_cast<int>(executorch::extension::threadpool::get_threadpool()->get_thread_count());
  }

  std::optional<std::string> delegate() override {
    const auto about = module_.method_meta(METHOD);
    if (!about.ok()) return std::nullopt;
    return about->uses_backend("XnnpackBackend") ? "xnnpack" : "none";
  }

 private:
  Module module_;
  size_t longest_ = 0, tokens_ = 0;
  std::vector<int32_t> ids_, mask_;
  std::vector<executorch::runtime::EValue> outputs_;

  // What the program says of itself, or else what its input holds.
  size_t longest() {
    const auto names = module_.method_names();
    check(names.error(), "list the program's methods");
    if (names->count(LONGEST)) {
      const auto told = module_.get(LONGEST);
      check(told.error(), "tell the program's longest window");
      return static_cast<size_t>(told->toInt());
    }
    const auto about = module_.method_meta(METHOD);
    check(about.error(), "describe the program");
    const auto input = about->input_tensor_meta(0);
    check(input.error(), "describe the program's input");
    return static_cast<size_t>(input->sizes()[1]);
  }
};

}  // namespace

int main(int argc, char** argv) {
  return runner::main(argc, argv, "ExecuTorch " RUNTIME_VERSION, [](const std::string& path, int threads) {
    return std::make_unique<ExecutorchProgram>(path, threads);
  });
}
