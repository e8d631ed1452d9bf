// Memory that is given back and asked for again all the time.
//
// A network asks for the same sizes in every batch, up to hundreds of megabytes. What goes back to the system
// has to be cleared and found again page by page, and between blocks of all sizes a heap breaks up. So large
// blocks are kept here. A block is an array of pages, which need not stay together: where no kept block has
// the right size, pages of others are moved to a new place in the address space, which costs a hundredth of
// clearing new ones. So no more is kept than was needed at once.
//
// Huge pages are not asked for: networks were no faster with them, and a virtual machine that gives free
// memory back to its host gives huge ones back first.

#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#ifdef __GLIBC__
#include <malloc.h>
#endif
#ifdef __linux__
#include <sys/mman.h>
#endif

namespace {

#ifdef __linux__

// What a table of pages covers: the system moves tables whole.
constexpr size_t TABLE = size_t{2} << 20;
// Blocks do not all start at the same place of a page: arrays that are read side by side would drive each
// other out of the cache. Multiples of 64 bytes, in which libtorch and its libraries want memory.
constexpr size_t SHIFT = 320;
constexpr size_t SHIFTS = 12;

// A system allows some 65,000 mappings. Beyond this, blocks are given back instead of being cut further.
constexpr size_t MOST_PIECES = size_t{1} << 14;

// What the system sees as one mapping.
struct Piece {
  char* start;
  size_t size;
};

// Pieces one after the other.
struct Block {
  std::vector<Piece> pieces;
  size_t size = 0;
  char* data = nullptr;
};

class Keeper final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* data = bytes < TABLE ? c10::GetDefaultCPUAllocator()->raw_allocate(bytes) : take(bytes);
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
    kept_.push_back(std::move(found->second));
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
    const size_t wanted = (bytes + SHIFT * SHIFTS + TABLE - 1) / TABLE * TABLE;
    const std::lock_guard<std::mutex> guard(lock_);
    const auto has_size = [wanted](const Block& block) { return block.size == wanted; };
    // The last one is the likeliest to be in the cache.
    const auto last = std::find_if(kept_.rbegin(), kept_.rend(), has_size);
    Block block;
    if (last != kept_.rend()) {
      block = std::move(*last);
      kept_.erase(std::next(last).base());
      kept_bytes_ -= wanted;
    } else {
      block = make(wanted);
      while (block.data == nullptr && !kept_.empty()) {
        forget_oldest();
        block = make(wanted);
      }
      TORCH_CHECK(block.data != nullptr, "not enough memory: you tried to allocate ", bytes, " bytes.");
    }
    used_bytes_ += wanted;
    most_ = std::max(most_, used_bytes_);
    void* const data = block.data;
    used_.emplace(data, std::move(block));
    return data;
  }

  // A new block of kept pages, and of new ones as long as fewer are held than were in use at once; none if
  // there is not enough memory.
  Block make(size_t size) {
    const size_t most = std::max(most_, used_bytes_ + size);
    const size_t fresh = std::min(size, most - std::min(most, used_bytes_ + kept_bytes_));
    char* const start = map(size);
    if (start == nullptr) return {};
    Block block;
    size_t filled = 0;
    while (filled < size - fresh && may_move_ && pieces_ < MOST_PIECES) {
      const size_t wanted = size - fresh - filled;
      const size_t moved = move_oldest(start + filled, wanted);
      if (moved == 0) {
        // Where pages should have gone there may be a hole, which another thread may fill: it is not touched.
        may_move_ = false;
        if (filled > 0) munmap(start, filled);
        if (fresh > 0) munmap(start + filled + wanted, fresh);
        pieces_ -= block.pieces.size();
        return {};
      }
      block.pieces.push_back({start + filled, moved});
      filled += moved;
    }
    if (filled < size) {
      block.pieces.push_back({start + filled, size - filled});
      ++pieces_;
      while (!kept_.empty() && used_bytes_ + kept_bytes_ + size > most) forget_oldest();
    }
    block.size = size;
    block.data = start + SHIFT * (made_++ % SHIFTS);
    return block;
  }

  // Moves pages of the block that is kept longest, and tells how many bytes they are; none if the system
  // refuses.
  size_t move_oldest(char* to, size_t most) {
    Block& oldest = kept_.front();
    Piece& piece = oldest.pieces.back();
    const size_t moved = std::min(piece.size, most);
    char* const from = piece.start + (piece.size - moved);
    if (mremap(from, moved, moved, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED) return 0;
    kept_bytes_ -= moved;
    oldest.size -= moved;
    piece.size -= moved;
    if (piece.size == 0) {
      oldest.pieces.pop_back();
    } else {
      ++pieces_;
    }
    if (oldest.pieces.empty()) kept_.erase(kept_.begin());
    return moved;
  }

  void forget_oldest() {
    for (const Piece& piece : kept_.front().pieces) munmap(piece.start, piece.size);
    pieces_ -= kept_.front().pieces.size();
    kept_bytes_ -= kept_.front().size;
    kept_.erase(kept_.begin());
  }

  // New memory from the system that starts with a table; none if there is not enough.
  static char* map(size_t size) {
    const size_t more = size + TABLE;
    void* mapped = mmap(nullptr, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return nullptr;
    char* const begin = static_cast<char*>(mapped);
    const size_t before = (TABLE - reinterpret_cast<uintptr_t>(begin) % TABLE) % TABLE;
    char* const start = begin + before;
    if (before > 0) munmap(begin, before);
    if (more - before > size) munmap(start + size, more - before - size);
    return start;
  }

  std::mutex lock_;
  std::unordered_map<void*, Block> used_;
  // The longest kept first.
  std::vector<Block> kept_;
  size_t used_bytes_ = 0;
  size_t kept_bytes_ = 0;
  size_t most_ = 0;
  // Of all blocks.
  size_t pieces_ = 0;
  size_t made_ = 0;
  // Until the system refuses once, as it may where memory that is only promised counts.
  bool may_move_ = true;
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
