// Runs a .tflite of this project with LiteRT's CompiledModel on the CPU, as exporters/tflite.py does in Python:
// a signature seq_N for each length, XNNPACK's packed weights kept once, in memory, for all of them.
#include <algorithm>
#include <cstring>

#include "litert.h"
#include "runner.h"

namespace {

void check(LiteRtStatus status, const char* what) {
  if (status != 0)
    throw runner::Failure(std::string("LiteRT cannot ") + what + " (status " + std::to_string(status) + ")");
}

// A buffer locked for the host, unlocked when it goes.
class Locked {
 public:
  Locked(LiteRtTensorBuffer buffer, int mode) : buffer_(buffer) {
    check(LiteRtLockTensorBuffer(buffer, &address_, mode), "lock a buffer");
  }
  ~Locked() { LiteRtUnlockTensorBuffer(buffer_); }
  template <typename T>
  T* as() const {
    return static_cast<T*>(address_);
  }

 private:
  LiteRtTensorBuffer buffer_;
  void* address_ = nullptr;
};

size_t elements(LiteRtTensorBuffer buffer) {
  size_t bytes = 0;
  check(LiteRtGetTensorBufferPackedSize(buffer, &bytes), "tell the size of a buffer");
  return bytes / 4;  // int32 and float32 alike
}

// One signature of the program, with its buffers.
struct Signature {
  LiteRtParamIndex index;
  size_t length;
  std::vector<LiteRtTensorBuffer> inputs, outputs;
  size_t ids, mask;                 // which of the inputs
  std::vector<size_t> in_order;     // which of the outputs, start before end
  bool per_token;
};

class LiteRtProgram : public runner::Program {
 public:
  LiteRtProgram(const std::string& path, int threads) {
    check(LiteRtCreateEnvironment(0, nullptr, &environment_), "start");
    check(LiteRtCreateModelFromFile(environment_, path.c_str(), &model_), ("read " + path).c_str());
    LiteRtOptions options;
    check(LiteRtCreateOptions(&options), "make options");
    check(LiteRtSetOptionsHardwareAccelerators(options, kLiteRtHwAcceleratorCpu), "choose the CPU");
    // The CPU's options are TOML under the name "xnnpack": keys as in LiteRT's litert_cpu_options.cc.
    const std::string cpu =
        "num_threads = " + std::to_string(threads) + "\nweight_cache_file_path = \":memory\"\n";
    LiteRtOpaqueOptions opaque;
    check(LiteRtCreateOpaqueOptions("xnnpack", strdup(cpu.c_str()), std::free, &opaque), "make CPU options");
    check(LiteRtAddOpaqueOptions(options, opaque), "take CPU options");
    check(LiteRtCreateCompiledModel(environment_, model_, options, &compiled_), ("compile " + path).c_str());
    LiteRtParamIndex count = 0;
    check(LiteRtGetNumModelSignatures(model_, &count), "count signatures");
    for (LiteRtParamIndex i = 0; i < count; i++) signatures_.push_back(signature(i));
    std::sort(signatures_.begin(), signatures_.end(),
              [](const Signature& a, const Signature& b) { return a.length < b.length; });
    for (const auto& one : signatures_) lengths_.push_back(one.length);
  }

  size_t run(const std::vector<int32_t>& ids) override {
    last_ = &signatures_[runner::fitting(lengths_, ids.size())];
    tokens_ = ids.size();
    fill(last_->inputs[last_->ids], ids.data());
    fill(last_->inputs[last_->mask], nullptr);
    check(LiteRtRunCompiledModel(compiled_, last_->index, last_->inputs.size(), last_->inputs.data(),
                                 last_->outputs.size(), last_->outputs.data()),
          "run the program");
    return last_->length;
  }

  std::vector<float> logits() override {
    std::vector<float> found;
    for (size_t place : last_->in_order) {
      const Locked output(last_->outputs[place], kLiteRtTensorBufferLockModeRead);
      const size_t kept = last_->per_token ? tokens_ : elements(last_->outputs[place]);
      found.insert(found.end(), output.as<float>(), output.as<float>() + kept);
    }
    return found;
  }

 private:
  LiteRtEnvironment environment_ = nullptr;
  LiteRtModel model_ = nullptr;
  LiteRtCompiledModel compiled_ = nullptr;
  std::vector<Signature> signatures_;
  std::vector<size_t> lengths_;
  Signature* last_ = nullptr;
  size_t tokens_ = 0;

  // The window's ids, or ones for its mask, and zeros after it.
  void fill(LiteRtTensorBuffer buffer, const int32_t* ids) {
    const Locked input(buffer, kLiteRtTensorBufferLockModeWrite);
    int32_t* to = input.as<int32_t>();
    if (ids) {
      std::copy_n(ids, tokens_, to);
    } else {
      std::fill_n(to, tokens_, 1);
    }
    std::fill(to + tokens_, to + last_->length, 0);
  }

  Signature signature(LiteRtParamIndex index) {
    Signature made{};
    made.index = index;
    LiteRtSignature handle;
    check(LiteRtGetModelSignature(model_, index, &handle), "find a signature");
    LiteRtParamIndex inputs = 0, outputs = 0;
    check(LiteRtGetNumSignatureInputs(handle, &inputs), "count inputs");
    check(LiteRtGetNumSignatureOutputs(handle, &outputs), "count outputs");
    std::vector<std::string> in_names, out_names;
    for (LiteRtParamIndex i = 0; i < inputs; i++) {
      const char* name = nullptr;
      LiteRtTensor tensor;
      LiteRtTensorBufferRequirements needed;
      check(LiteRtGetSignatureInputName(handle, i, &name), "name an input");
      check(LiteRtGetSignatureInputTensorByIndex(handle, i, &tensor), "find an input");
      check(LiteRtGetCompiledModelInputBufferRequirements(compiled_, index, i, &needed), "size an input");
      in_names.push_back(name);
      made.inputs.push_back(buffer(tensor, needed, kLiteRtElementTypeInt32));
    }
    for (LiteRtParamIndex i = 0; i < outputs; i++) {
      const char* name = nullptr;
      LiteRtTensor tensor;
      LiteRtTensorBufferRequirements needed;
      check(LiteRtGetSignatureOutputName(handle, i, &name), "name an output");
      check(LiteRtGetSignatureOutputTensorByIndex(handle, i, &tensor), "find an output");
      check(LiteRtGetCompiledModelOutputBufferRequirements(compiled_, index, i, &needed), "size an output");
      out_names.push_back(name);
      made.outputs.push_back(buffer(tensor, needed, kLiteRtElementTypeFloat32));
    }
    made.ids = place(in_names, "input_ids");
    made.mask = place(in_names, "attention_mask");
    made.length = elements(made.inputs[made.ids]);
    made.per_token = out_names.size() == 2;
    if (made.per_token) {
      made.in_order = {place(out_names, "start_logits"), place(out_names, "end_logits")};
    } else {
      made.in_order = {place(out_names, "logits")};
    }
    return made;
  }

  LiteRtTensorBuffer buffer(LiteRtTensor tensor, LiteRtTensorBufferRequirements needed, int type_wanted) {
    LiteRtRankedTensorType type{};
    LiteRtTensorBuffer made;
    check(LiteRtGetRankedTensorType(tensor, &type), "tell a tensor's type");
    if (type.element_type != type_wanted)
      throw runner::Failure("the program's inputs are not int32 or its outputs not float32");
    check(LiteRtCreateManagedTensorBufferFromRequirements(environment_, &type, needed, &made),
          "make a buffer");
    return made;
  }

  static size_t place(const std::vector<std::string>& names, const std::string& wanted) {
    const auto found = std::find(names.begin(), names.end(), wanted);
    if (found == names.end()) throw runner::Failure("the program has no tensor named " + wanted);
    return static_cast<size_t>(found - names.begin());
  }
};

}  // namespace

int main(int argc, char** argv) {
  return runner::main(argc, argv, "LiteRT " RUNTIME_VERSION, [](const std::string& path, int threads) {
    return std::make_unique<LiteRtProgram>(path, threads);
  });
}
