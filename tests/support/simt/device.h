// What a kernel test holds in hand: a Device with registered buffers, on which launchers run, and
// what the emulator found.
//
//   for_each_schedule(50, [](simt::Device& device) {          // "support/simt/schedule.h"
//     auto x = device.input(values, "x");                     // read-only, a copy of `values`
//     auto y = device.output<float>(rows * width, "y");       // poisoned
//     scale_rows(x.data(), y.data(), rows, width, nullptr);   // the launcher
//     EXPECT_THAT(y.read(), …);                               // read(): every element was written
//   });                                                       // fails where there are findings
//
// The kernels of a launch see only these buffers, their parameters and their block's shared memory;
// anything else is out of bounds. Findings: out of bounds, misaligned, a store to an input, races
// in shared and global memory, uninitialised reads, divergent barriers, shuffles from absent lanes,
// misused cp.async, launches beyond the limits. The first four end the launch.
//
// A seed is a schedule: the order of threads and blocks, where they are interrupted, how matrix
// products round, where buffers lie. Seeds 0 and 1 run threads up and down without interruption.
// One Device exists at a time, and what it runs is deterministic for its seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <string>
#include <vector>

namespace gtrain::simt {

struct Region;
struct State;

struct Finding {
  std::string kind;     // "race", "out of bounds" …
  std::string message;  // who, where (file:line where debug information is there), on what
};

// Of all launches so far. A request is what one instruction of one warp asks for.
struct Traffic {
  std::uint64_t requests = 0;
  std::uint64_t sectors = 0;  // distinct 32-byte sectors
  std::uint64_t ideal = 0;    // sectors that the distinct bytes would fill
  double ratio() const { return ideal == 0 ? 1.0 : static_cast<double>(sectors) / ideal; }
};
struct Banks {
  std::uint64_t requests = 0;
  std::uint64_t wavefronts = 0;  // passes over the 32 banks
  std::uint64_t ideal = 0;       // without conflicts
  std::uint64_t conflicts() const { return wavefronts - ideal; }
};

// What a launcher asked for. Two are equal where grid, block and dynamic shared memory are.
struct Launch {
  unsigned x = 1, y = 1, z = 1;  // blocks
  unsigned threads = 0;          // of a block
  std::size_t shared_bytes = 0;
  bool operator==(const Launch&) const = default;
  friend void PrintTo(const Launch& launch, std::ostream* out);
};

class Device;

template <class T>
class Buffer {
 public:
  T* data() const { return static_cast<T*>(data_); }
  std::size_t size() const { return size_; }
  // The contents; an element that was never written is a finding.
  std::vector<T> read() const;
  // The contents, poison included.
  std::vector<T> read_any() const { return std::vector<T>(data(), data() + size_); }
  void write(const std::vector<T>& values);

 private:
  friend class Device;
  Device* device_ = nullptr;
  Region* region_ = nullptr;
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

struct DeviceOptions {
  bool measure = false;                    // count sectors and bank conflicts
  std::uint64_t step_limit = 200'000'000;  // accesses and collective calls of one launch
};

class Device {
 public:
  explicit Device(std::uint64_t seed = 0, DeviceOptions options = {});
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  template <class T>
  Buffer<T> input(const std::vector<T>& values, std::string name = "input") {
    Buffer<T> buffer = make<T>(values.size(), std::move(name), true);
    buffer.write(values);
    return buffer;
  }
  template <class T>
  Buffer<T> output(std::size_t count, std::string name = "output") {
    return make<T>(count, std::move(name), false);
  }
  // Initialised, and the kernel may write.
  template <class T>
  Buffer<T> buffer(const std::vector<T>& values, std::string name = "buffer") {
    Buffer<T> out = make<T>(values.size(), std::move(name), false);
    out.write(values);
    return out;
  }

  std::uint64_t seed() const;
  const std::vector<Finding>& findings() const;
  // One line each; empty where there are none.
  std::string report() const;

  // In their order; those beyond the limits are findings and left out.
  const std::vector<Launch>& launches() const;

  // With DeviceOptions::measure.
  template <class T>
  Traffic loads(const Buffer<T>& buffer) const {
    return traffic(buffer.region_, false);
  }
  template <class T>
  Traffic stores(const Buffer<T>& buffer) const {
    return traffic(buffer.region_, true);
  }
  Banks banks() const;
  // A line for each instruction that touched memory: where, requests, sectors or wavefronts.
  std::string traffic_report() const;

 private:
  template <class T>
  friend class Buffer;

  template <class T>
  Buffer<T> make(std::size_t count, std::string name, bool read_only) {
    Buffer<T> buffer;
    buffer.device_ = this;
    buffer.region_ = add_region(count * sizeof(T), sizeof(T), std::move(name), read_only);
    buffer.data_ = region_data(buffer.region_);
    buffer.size_ = count;
    return buffer;
  }
  Region* add_region(std::size_t bytes, std::size_t element, std::string name, bool read_only);
  static void* region_data(const Region* region);
  void fill_region(Region* region, const void* from, std::size_t bytes);
  void expect_written(const Region* region) const;
  Traffic traffic(const Region* region, bool stores) const;

  std::unique_ptr<State> state_;
};

template <class T>
std::vector<T> Buffer<T>::read() const {
  device_->expect_written(region_);
  return read_any();
}

template <class T>
void Buffer<T>::write(const std::vector<T>& values) {
  device_->fill_region(region_, values.data(), values.size() * sizeof(T));
}

}  // namespace gtrain::simt
