// Memory that is given back and asked for again all the time.
//
// A network asks for the same sizes in every batch, up to hundreds of megabytes. What goes back to the system
// has to be cleared and found again page by page, and between blocks of all sizes a heap breaks up. So large
// blocks are kept here, each whole, and are made of huge pages where the system has them.

#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <unordered_map>
#include <vector>

#ifdef __GLIBC__
#include <malloc.h>
#endif
#ifdef __linux__
#include <sys/mman.h>
#endif

namespace {

#ifdef __linux__

constexpr size_t HUGE_PAGE = size_t{2} << 20;
// Blocks do not all start at the same place of a page: arrays that are read side by side would drive each
// other out of the cache. Multiples of 64 bytes, in which libtorch and its libraries want memory.
constexpr size_t SHIFT = 320;
constexpr size_t SHIFTS = 12;

// Without gradients a network needs little at once, but many sizes one after the other.
constexpr size_t ALWAYS_KEPT = size_t{256} << 20;

struct Block {
  char* start;
  size_t size;
  char* data;
};

// A tensor of `wanted` bytes leaves no more than an eighth of its block unused.
bool fits(const Block& block, size_t wanted) {
  return block.size >= wanted && block.size - wanted <= wanted / 8;
}

class Keeper final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* data = bytes < HUGE_PAGE ? c10::GetDefaultCPUAllocator()->raw_allocate(bytes) : take(bytes);
    return {data, data, &release, c10::Device(c10::DeviceType::CPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &release; }

  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

  // Whether it was one of these blocks, which is kept from now on.
  bool give(void* data) {
    const std::lock_guard<std::mutex> guard(lock_);
    const auto found = used_.find(data);
    if (found == used_.end()) return false;
    used_bytes_ -= found->second.size;
    kept_bytes_ += found->second.size;
    kept_.push_back(found->second);
    used_.erase(found);
    return true;
  }

  // The most bytes of these blocks that were in use at once.
  size_t most() {
    const std::lock_guard<std::mutex> guard(lock_);
    return most_;
  }

 private:
  static void release(void* data);

  void* take(size_t bytes) {
    const size_t wanted = (bytes + SHIFT * SHIFTS + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    const std::lock_guard<std::mutex> guard(lock_);
    auto best = kept_.end();
    for (auto block = kept_.begin(); block != kept_.end(); ++block) {
      if (fits(*block, wanted) && (best == kept_.end() || block->size < best->size)) best = block;
    }
    Block block{};
    if (best != kept_.end()) {
      block = *best;
      kept_.erase(best);
      kept_bytes_ -= block.size;
    } else {
      // Some is kept beyond what was ever needed at once.
      const size_t most = std::max(most_, used_bytes_ + wanted);
      const size_t limit = most + std::max(most / 8, ALWAYS_KEPT);
      while (!kept_.empty() && used_bytes_ + kept_bytes_ + wanted > limit) forget_oldest();
      block = map(wanted);
      while (block.start == nullptr && !kept_.empty()) {
        forget_oldest();
        block = map(wanted);
      }
      TORCH_CHECK(block.start != nullptr, "not enough memory: you tried to allocate ", bytes, " bytes.");
    }
    used_bytes_ += block.size;
    most_ = std::max(most_, used_bytes_);
    used_.emplace(block.data, block);
    return block.data;
  }

  void forget_oldest() {
    munmap(kept_.front().start, kept_.front().size);
    kept_bytes_ -= kept_.front().size;
    kept_.erase(kept_.begin());
  }

  // New memory from the system that starts with a huge page; none if there is not enough.
  Block map(size_t size) {
    const size_t more = size + HUGE_PAGE;
    void* mapped = mmap(nullptr, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return {};
    char* const begin = static_cast<char*>(mapped);
    const size_t before = (HUGE_PAGE - reinterpret_cast<uintptr_t>(begin) % HUGE_PAGE) % HUGE_PAGE;
    char* const start = begin + before;
    if (before > 0) munmap(begin, before);
    if (more - before > size) munmap(start + size, more - before - size);
    // A system without huge pages has small ones.
    madvise(start, size, MADV_HUGEPAGE);
    return {start, size, start + SHIFT * (mapped_++ % SHIFTS)};
  }

  std::mutex lock_;
  std::unordered_map<void*, Block> used_;
  // The longest kept first.
  std::vector<Block> kept_;
  size_t used_bytes_ = 0;
  size_t kept_bytes_ = 0;
  size_t most_ = 0;
  size_t mapped_ = 0;
};

// Tensors may outlive everything: it is never taken down.
Keeper& keeper() {
  static Keeper* const one = new Keeper;
  return *one;
}

void Keeper::release(void* data) {
  if (data != nullptr && !keeper().give(data)) c10::GetDefaultCPUAllocator()->raw_deallocate(data);
}

#endif

}  // namespace

extern "C" {

// Keeps the memory of tensors, and tells the C library to keep that of everything else. To be called before
// the first tensor is made.
void kernels_keep_memory() {
#ifdef __GLIBC__
  // Larger blocks are asked for from the system one by one. Before 2.35, glibc takes no such threshold.
  if (!mallopt(M_MMAP_THRESHOLD, 1 << 30)) mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
#endif
#ifdef __linux__
  c10::SetCPUAllocator(&keeper());
#endif
}

// The most bytes of large tensors that were in use at once; 0 where they are not kept.
uint64_t kernels_most_memory() {
#ifdef __linux__
  return keeper().most();
#else
  return 0;
#endif
}
}
