// What both runners share: flags, queries, the loop of commands, times and marks. The line protocol is
// device_bench/session.py's.
#pragma once

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace runner {

// A failure that one sentence explains.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A loaded program.
class Program {
 public:
  virtual ~Program() = default;
  // Runs a window in the shortest length that holds it, the rest id 0 and mask 0, and returns that length.
  virtual size_t run(const std::vector<int32_t>& ids) = 0;
  // The last run's logits, in the order of the outputs, without those of padding.
  virtual std::vector<float> logits() = 0;
  // What the runtime itself says; nothing where it does not.
  virtual std::optional<int> threads() { return std::nullopt; }
  virtual std::optional<std::string> delegate() { return std::nullopt; }
};

using Load = std::function<std::unique_ptr<Program>(const std::string& path, int threads)>;

inline std::string quoted(const std::string& text) {
  std::string made = "\"";
  for (unsigned char c : text) {
    if (c == '"' || c == '\\') {
      made += '\\';
      made += static_cast<char>(c);
    } else if (c < 0x20) {
      made += ' ';
    } else {
      made += static_cast<char>(c);
    }
  }
  return made + '"';
}

// Where a window of `tokens` is run: the shortest of `lengths` (ascending) that holds it.
inline size_t fitting(const std::vector<size_t>& lengths, size_t tokens) {
  for (size_t i = 0; i < lengths.size(); i++)
    if (tokens <= lengths[i]) return i;
  throw Failure(std::to_string(tokens) + " tokens are more than the program's " +
                std::to_string(lengths.empty() ? 0 : lengths.back()));
}

struct Flags {
  std::string program, queries, outputs;
  int threads = 1;
  bool marks = false;
};

inline Flags parsed(int argc, char** argv) {
  Flags flags;
  for (int i = 1; i < argc; i++) {
    const std::string name = argv[i];
    if (name == "--marks") {
      flags.marks = true;
      continue;
    }
    if (i + 1 >= argc) throw Failure("the flag " + name + " needs a value");
    const std::string value = argv[++i];
    if (name == "--program") {
      flags.program = value;
    } else if (name == "--queries") {
      flags.queries = value;
    } else if (name == "--outputs") {
      flags.outputs = value;
    } else if (name == "--threads") {
      flags.threads = std::atoi(value.c_str());
    } else {
      throw Failure("unknown flag " + name);
    }
  }
  if (flags.program.empty() || flags.queries.empty()) throw Failure("give --program FILE and --queries FILE");
  if (flags.threads < 1) throw Failure("--threads must be at least 1");
  return flags;
}

inline std::vector<std::vector<int32_t>> windows(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw Failure("the queries file " + path + " cannot be read");
  std::vector<std::vector<int32_t>> found;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::vector<int32_t> ids;
    for (int32_t id; words >> id;) ids.push_back(id);
    if (!words.eof() || ids.empty())
      throw Failure("line " + std::to_string(found.size() + 1) + " of " + path + " is no window of token ids");
    found.push_back(std::move(ids));
  }
  return found;
}

// Most memory that was ever resident: the kernel's own figure, or rusage's, which counts the parent's in.
inline long long peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("VmHWM:", 0) == 0) return std::atoll(line.c_str() + 6) * 1024;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<long long>(usage.ru_maxrss) * 1024;
}

// One line at a time to whoever drives the runner.
class Channel {
 public:
  // Libraries may print what they like to stdout: it goes to stderr from now on.
  Channel() : stream_(fdopen(dup(STDOUT_FILENO), "w")) { dup2(STDERR_FILENO, STDOUT_FILENO); }
  // Without allocating: how many digits a time has must not decide where the next inference's memory lies.
  __attribute__((format(printf, 2, 3))) void say(const char* format, ...) {
    va_list values;
    va_start(values, format);
    const bool said = std::vfprintf(stream_, format, values) >= 0 && std::fputc('\n', stream_) != EOF;
    va_end(values);
    if (!said || std::fflush(stream_)) std::exit(1);
  }

 private:
  FILE* stream_;
};

class Clock {
 public:
  long long ns() const {
    const auto passed = std::chrono::steady_clock::now() - began_;
    const long long ns = std::chrono::duration_cast<std::chrono::nanoseconds>(passed).count();
    return ns > 0 ? ns : 1;
  }

 private:
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

inline void mark(bool wanted, long number) {
  if (wanted) syscall(number);
}

inline void serve(const Flags& flags, const std::string& runtime, const Load& load, Channel& channel) {
  const auto queries = windows(flags.queries);
  if (access(flags.program.c_str(), R_OK)) throw Failure("the program " + flags.program + " cannot be read");
  std::ofstream outputs;
  if (!flags.outputs.empty()) {
    outputs.open(flags.outputs, std::ios::binary | std::ios::app);
    if (!outputs) throw Failure("the outputs file " + flags.outputs + " cannot be written");
  }
  const Clock loading;
  const auto program = load(flags.program, flags.threads);
  const long long load_ns = loading.ns();
  const auto threads = program->threads();
  const auto delegate = program->delegate();
  channel.say("{\"event\": \"loaded\", \"runtime\": %s, \"load_ns\": %lld, \"threads\": %s, \"delegate\": %s}",
              quoted(runtime).c_str(), load_ns, threads ? std::to_string(*threads).c_str() : "null",
              delegate ? quoted(*delegate).c_str() : "null");
  for (std::string line; std::getline(std::cin, line);) {
    if (line == "end") {
      channel.say("{\"event\": \"ended\", \"peak_resident_bytes\": %lld}", peak_resident_bytes());
      return;
    }
    char* rest = nullptr;
    const bool is_run = line.rfind("run ", 0) == 0 && line.size() > 4;
    const unsigned long query = is_run ? std::strtoul(line.c_str() + 4, &rest, 10) : 0;
    if (!is_run || *rest) throw Failure("was told " + quoted(line) + ", which is neither run N nor end");
    if (query >= queries.size())
      throw Failure("query " + std::to_string(query) + " was asked, but there are " +
                    std::to_string(queries.size()));
    const Clock running;
    mark(flags.marks, 5000);
    const size_t length = program->run(queries[query]);
    mark(flags.marks, 5001);
    const long long ns = running.ns();
    const auto logits = program->logits();
    if (outputs.is_open()) {
      outputs.write(reinterpret_cast<const char*>(logits.data()), logits.size() * sizeof(float));
      if (!outputs.flush()) throw Failure("the outputs file " + flags.outputs + " cannot be written to its end");
    }
    channel.say("{\"event\": \"ran\", \"query\": %lu, \"ns\": %lld, \"length\": %zu}", query, ns, length);
  }
  throw Failure("was not told to end");
}

inline int main(int argc, char** argv, const std::string& runtime, const Load& load) {
  Channel channel;
  try {
    serve(parsed(argc, argv), runtime, load, channel);
    return 0;
  } catch (const std::exception& failure) {
    channel.say("{\"event\": \"failed\", \"why\": %s}", quoted(failure.what()).c_str());
    return 1;
  }
}

}  // namespace runner
