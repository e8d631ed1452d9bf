// The first convolution of a network: one channel in, kernels of 3·3·3, a voxel of zeros around the image; and
// with it the batch norm, ReLU and pooling that follow.
//
// Its map is by far the largest, and there is little to compute for each number of it: 27 products. Writing the
// map and reading it again takes longer than computing it twice. So where it is pooled, it never is in memory:
// some rows of it are, while they are near.

#include <algorithm>
#include <cstring>
#include <vector>

#include "loops.h"

namespace kernels {
namespace CAPABILITY {
namespace {

#define INLINE static inline __attribute__((always_inline))

/// Channels that are computed together, and voxels in a row.
constexpr int WIDTH = 8, TOGETHER = 4;
typedef float Floats __attribute__((vector_size(4 * WIDTH)));

INLINE Floats load(const float* from) {
  Floats values;
  std::memcpy(&values, from, sizeof values);
  return values;
}

INLINE void store(float* to, Floats values) { std::memcpy(to, &values, sizeof values); }

/// The nine rows of an image around one of them, each with a zero before and behind it.
class Neighbours {
 public:
  explicit Neighbours(const First& f) : f(f), length(f.width + 2), rows(9 * length) {}

  void gather(const float* x, int64_t row) {
    const int64_t image = row / (f.depth * f.height), d = row / f.height % f.depth, h = row % f.height;
    for (int i = 0; i < 9; ++i) {
      const int64_t z = d + i / 3 - 1, y = h + i % 3 - 1;
      float* to = &rows[i * length + 1];
      if (z < 0 || z >= f.depth || y < 0 || y >= f.height) {
        std::fill_n(to, f.width, 0.0f);
      } else {
        std::memcpy(to, x + ((image * f.depth + z) * f.height + y) * f.width, sizeof(float) * f.width);
      }
    }
  }

  /// What number `tap` of the kernel meets at voxel `w`.
  const float* at(int tap, int64_t w) const { return &rows[tap / 3 * length + w + tap % 3]; }

 private:
  const First& f;
  int64_t length;
  std::vector<float> rows;
};

template <int N>
INLINE void convolve_voxels(const Neighbours& near, const First& f, const float* weight, Floats bias, int64_t w,
                            float* y) {
  Floats sums[N];
  for (auto& sum : sums) sum = bias;
  for (int tap = 0; tap < TAPS; ++tap) {
    const Floats factor = load(weight + tap * f.channels);
    const float* x = near.at(tap, w);
    for (int i = 0; i < N; ++i) sums[i] += factor * x[i];
  }
  for (int i = 0; i < N; ++i) store(y + (w + i) * f.channels, sums[i]);
}

/// Gradients of `N` voxels from `w` on, whose neighbours in the row are there.
template <int N>
INLINE void back_voxels(const float* const* rows, const First& f, const float* weight, int64_t w, float* of_x) {
  Floats sums[N] = {};
  for (int row = 0; row < 9; ++row) {
    if (!rows[row]) continue;
    for (int k = 0; k < 3; ++k) {
      for (int64_t c = 0; c < f.channels; c += WIDTH) {
        const Floats factor = load(weight + (row * 3 + k) * f.channels + c);
        // A number of the kernel met this voxel where its own voxel lies on the other side.
        const float* gradient = rows[row] + (w + 1 - k) * f.channels + c;
        for (int i = 0; i < N; ++i) sums[i] += factor * load(gradient + i * f.channels);
      }
    }
  }
  for (int i = 0; i < N; ++i) {
    const auto s = sums[i];
    of_x[w + i] = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
  }
}

/// The same of a voxel at an end of the row.
INLINE void back_end(const float* const* rows, const First& f, const float* weight, int64_t w, float* of_x) {
  float sum = 0;
  for (int row = 0; row < 9; ++row) {
    for (int k = 0; k < 3; ++k) {
      const int64_t from = w + 1 - k;
      if (!rows[row] || from < 0 || from >= f.width) continue;
      for (int64_t c = 0; c < f.channels; ++c) {
        sum += weight[(row * 3 + k) * f.channels + c] * rows[row][from * f.channels + c];
      }
    }
  }
  of_x[w] = sum;
}

/// A row of the map, `[W, C]`.
INLINE void convolve_row(const Neighbours& near, const First& f, const float* weight, const float* bias, float* y) {
  for (int64_t c = 0; c < f.channels; c += WIDTH) {
    const Floats start = load(bias + c);
    int64_t w = 0;
    for (; w + TOGETHER <= f.width; w += TOGETHER) convolve_voxels<TOGETHER>(near, f, weight + c, start, w, y + c);
    for (; w < f.width; ++w) convolve_voxels<1>(near, f, weight + c, start, w, y + c);
  }
}

/// Adds what a row of the map's gradient gives to the gradients of the weights.
INLINE void back_row(const Neighbours& near, const First& f, const float* gradient, double* of_weight,
                     double* of_bias) {
  for (int64_t c = 0; c < f.channels; c += WIDTH) {
    // Nine sums do not wait for each other, and fit the registers.
    for (int taps = 0; taps < TAPS; taps += 9) {
      Floats sums[9] = {};
      for (int64_t w = 0; w < f.width; ++w) {
        const Floats value = load(gradient + w * f.channels + c);
        for (int i = 0; i < 9; ++i) sums[i] += value * *near.at(taps + i, w);
      }
      for (int i = 0; i < 9; ++i) {
        for (int lane = 0; lane < WIDTH; ++lane) of_weight[(taps + i) * f.channels + c + lane] += sums[i][lane];
      }
    }
    Floats sums[4] = {};
    for (int64_t w = 0; w < f.width; ++w) sums[w % 4] += load(gradient + w * f.channels + c);
    const Floats sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    for (int lane = 0; lane < WIDTH; ++lane) of_bias[c + lane] += sum[lane];
  }
}

/// The rows of the map that a row of the pooled map is made of: two by two of them, but at the start of an odd
/// axis, where zeros are the other ones.
struct Source {
  int64_t rows[4];
  int count = 0;
  /// What pooling makes of these rows alone; it finds the zeros at the same places.
  Geometry geometry;

  Source(const First& f, int64_t pooled_row) {
    const int64_t depths = (f.depth + 1) / 2, heights = (f.height + 1) / 2;
    const int64_t image = pooled_row / (depths * heights), i = pooled_row / heights % depths, j = pooled_row % heights;
    const int64_t last_d = 2 * i + 1 - f.depth % 2, last_h = 2 * j + 1 - f.height % 2;
    const int64_t first_d = std::max<int64_t>(0, last_d - 1), first_h = std::max<int64_t>(0, last_h - 1);
    for (int64_t d = first_d; d <= last_d; ++d) {
      for (int64_t h = first_h; h <= last_h; ++h) rows[count++] = (image * f.depth + d) * f.height + h;
    }
    geometry = {f.channels, last_d - first_d + 1, last_h - first_h + 1, f.width, 1, 1, (f.width + 1) / 2, false};
  }
};

/// Those rows of the map, one after the other.
INLINE void convolve_rows(Neighbours& near, const Source& source, const float* x, const First& f, const float* weight,
                          const float* bias, float* map) {
  for (int i = 0; i < source.count; ++i) {
    near.gather(x, source.rows[i]);
    convolve_row(near, f, weight, bias, map + i * f.width * f.channels);
  }
}

}  // namespace

void convolve_first(const float* x, const float* weight, const float* bias, const First& f, float* y, int64_t begin,
                    int64_t end) {
  Neighbours near(f);
  for (int64_t row = begin; row < end; ++row) {
    near.gather(x, row);
    convolve_row(near, f, weight, bias, y + (row - begin) * f.width * f.channels);
  }
}

void back_first_weight(const float* gradient, const float* x, const First& f, double* of_weight, double* of_bias,
                       int64_t begin, int64_t end) {
  Neighbours near(f);
  for (int64_t row = begin; row < end; ++row) {
    near.gather(x, row);
    back_row(near, f, gradient + row * f.width * f.channels, of_weight, of_bias);
  }
}

void pool_first(const float* x, const float* weight, const float* bias, const First& f, const float* scale,
                const float* shift, float* y, float* chosen, uint8_t* places, int64_t begin, int64_t end) {
  Neighbours near(f);
  const int64_t pooled = (f.width + 1) / 2 * f.channels;
  std::vector<float> map(4 * f.width * f.channels);
  for (int64_t row = begin; row < end; ++row) {
    const Source source(f, row);
    convolve_rows(near, source, x, f, weight, bias, map.data());
    floats.pool(map.data(), source.geometry, scale, shift, y + row * pooled, chosen ? chosen + row * pooled : nullptr,
                places ? places + row * pooled : nullptr, 0, 1);
  }
}

void back_pool_first(const float* gradient, const uint8_t* places, const float* x, const float* weight,
                     const float* bias, const First& f, const Gradient& how, double* of_weight, double* of_bias,
                     float* of_map, int64_t begin, int64_t end) {
  Neighbours near(f);
  const int64_t length = f.width * f.channels, pooled = (f.width + 1) / 2 * f.channels;
  std::vector<float> map(4 * length);
  for (int64_t row = begin; row < end; ++row) {
    const Source source(f, row);
    convolve_rows(near, source, x, f, weight, bias, map.data());
    floats.back_pooled(gradient + row * pooled, map.data(), places + row * pooled, source.geometry, how, map.data(), 0, 1);
    for (int i = 0; i < source.count; ++i) {
      if (of_weight) {
        near.gather(x, source.rows[i]);
        back_row(near, f, &map[i * length], of_weight, of_bias);
      }
      if (of_map) std::copy_n(&map[i * length], length, of_map + source.rows[i] * length);
    }
  }
}

void back_first_data(const float* gradient, const float* weight, const First& f, float* of_x, int64_t begin,
                     int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const int64_t image = row / (f.depth * f.height), d = row / f.height % f.depth, h = row % f.height;
    const float* rows[9];
    for (int i = 0; i < 9; ++i) {
      const int64_t z = d + 1 - i / 3, y = h + 1 - i % 3;
      const bool is_there = z >= 0 && z < f.depth && y >= 0 && y < f.height;
      const int64_t from = (image * f.depth + z) * f.height + y;
      rows[i] = is_there ? gradient + from * f.width * f.channels : nullptr;
    }
    float* to = of_x + row * f.width;
    back_end(rows, f, weight, 0, to);
    int64_t w = 1;
    for (; w + TOGETHER < f.width; w += TOGETHER) back_voxels<TOGETHER>(rows, f, weight, w, to);
    for (; w + 1 < f.width; ++w) back_voxels<1>(rows, f, weight, w, to);
    if (w < f.width) back_end(rows, f, weight, w, to);
  }
}

}  // namespace CAPABILITY
}  // namespace kernels
