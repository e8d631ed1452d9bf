#include "loops.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

namespace kernels {
namespace CAPABILITY {
namespace {

/// Vectors of `N` numbers; a compiler makes of them what the processor has.
template <int N>
struct Vectors {
  typedef float Floats __attribute__((vector_size(4 * N)));
  typedef int32_t Integers __attribute__((vector_size(4 * N)));
  typedef uint32_t Words __attribute__((vector_size(4 * N)));
  typedef uint16_t Halves __attribute__((vector_size(2 * N)));
  typedef uint8_t Bytes __attribute__((vector_size(N)));
};

template <int N>
using Floats = typename Vectors<N>::Floats;
template <int N>
using Integers = typename Vectors<N>::Integers;

#define INLINE static inline __attribute__((always_inline))

template <int N>
INLINE Floats<N> load(const float* from) {
  Floats<N> values;
  std::memcpy(&values, from, sizeof values);
  return values;
}

template <int N>
INLINE Floats<N> load(const Bfloat16* from) {
  typename Vectors<N>::Halves halves;
  std::memcpy(&halves, from, sizeof halves);
  auto words = __builtin_convertvector(halves, typename Vectors<N>::Words) << 16;
  Floats<N> values;
  std::memcpy(&values, &words, sizeof values);
  return values;
}

template <int N>
INLINE void store(float* to, Floats<N> values) {
  std::memcpy(to, &values, sizeof values);
}

/// Rounds to the nearest, ties to even.
template <int N>
INLINE void store(Bfloat16* to, Floats<N> values) {
  typename Vectors<N>::Words words;
  std::memcpy(&words, &values, sizeof words);
  auto rounded = (words + 0x7fffu + ((words >> 16) & 1u)) >> 16;
  auto is_number = (typename Vectors<N>::Words)(values == values);
  rounded = (rounded & is_number) | (0x7fc0u & ~is_number);
  auto halves = __builtin_convertvector(rounded, typename Vectors<N>::Halves);
  std::memcpy(to, &halves, sizeof halves);
}

template <int N>
INLINE Integers<N> load_places(const uint8_t* from) {
  typename Vectors<N>::Bytes bytes;
  std::memcpy(&bytes, from, sizeof bytes);
  return __builtin_convertvector(bytes, Integers<N>);
}

template <int N>
INLINE void store_places(uint8_t* to, Integers<N> places) {
  auto bytes = __builtin_convertvector(places, typename Vectors<N>::Bytes);
  std::memcpy(to, &bytes, sizeof bytes);
}

/// The values where the mask is set, zeros elsewhere.
template <int N>
INLINE Floats<N> where(Integers<N> mask, Floats<N> values) {
  Integers<N> bits;
  std::memcpy(&bits, &values, sizeof bits);
  bits &= mask;
  std::memcpy(&values, &bits, sizeof values);
  return values;
}

/// At least zero; what is no number stays.
template <int N>
INLINE Floats<N> rectified(Floats<N> values) {
  return where<N>(~(values <= 0.0f), values);
}

/// Rows whose sums are kept in floats before they are added up in doubles: about 16 KiB of them.
int64_t block_of(int64_t channels) { return std::clamp<int64_t>(4096 / channels, 16, 512); }

/// Calls `f` with a constant number of channels that divides `channels`.
template <class F>
INLINE void by_width(int64_t channels, F f) {
  if (channels % 16 == 0) {
    f(std::integral_constant<int, 16>{});
  } else if (channels % 8 == 0) {
    f(std::integral_constant<int, 8>{});
  } else {
    f(std::integral_constant<int, 1>{});
  }
}

/// Σ term(row) over rows, in four sums that do not wait for each other.
template <int N, class Term>
INLINE Floats<N> added_up(int64_t rows, Term term) {
  Floats<N> sums[4] = {};
  int64_t row = 0;
  for (; row + 4 <= rows; row += 4) {
    for (int i = 0; i < 4; ++i) sums[i] += term(row + i);
  }
  for (; row < rows; ++row) sums[0] += term(row);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/// Chan et al. 1979: blocks have their own mean, and are then made one.
template <class T>
void moments(const T* x, int64_t rows, int64_t channels, double* mean, double* squares) {
  std::fill_n(mean, channels, 0.0);
  std::fill_n(squares, channels, 0.0);
  const int64_t block = block_of(channels);
  for (int64_t start = 0; start < rows; start += block) {
    const int64_t length = std::min(block, rows - start);
    const double share = double(length) / double(start + length);
    const double weight = double(start) * share;
    by_width(channels, [&](auto width) {
      constexpr int N = decltype(width)::value;
      for (int64_t c = 0; c < channels; c += N) {
        const T* from = x + start * channels + c;
        auto sum = added_up<N>(length, [&](int64_t row) { return load<N>(from + row * channels); });
        auto middle = sum / float(length);
        auto square = added_up<N>(length, [&](int64_t row) {
          auto difference = load<N>(from + row * channels) - middle;
          return difference * difference;
        });
        for (int i = 0; i < N; ++i) {
          const double difference = double(middle[i]) - mean[c + i];
          mean[c + i] += difference * share;
          squares[c + i] += double(square[i]) + difference * difference * weight;
        }
      }
    });
  }
}

template <class T>
void normalise(const T* x, const float* scale, const float* shift, bool rectify, T* y, int64_t rows,
               int64_t channels) {
  by_width(channels, [&](auto width) {
    constexpr int N = decltype(width)::value;
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t c = 0; c < channels; c += N) {
        const int64_t at = row * channels + c;
        const auto value = load<N>(x + at) * load<N>(scale + c) + load<N>(shift + c);
        store<N>(y + at, rectify ? rectified<N>(value) : value);
      }
    }
  });
}

/// The lines of voxels that a pooled row looks at, with the place of the first voxel in a window.
struct Lines {
  int count = 0;
  int64_t at[4];
  int place[4];

  Lines(const Geometry& g, int64_t row) {
    const int64_t slab = row / g.pooled_rows();
    const int64_t d = row % g.pooled_rows() / g.pooled_height, h = row % g.pooled_height;
    const int64_t first_d = g.is_flat ? d : 2 * d - g.depth % 2, first_h = 2 * h - g.height % 2;
    for (int64_t i = 0; i < (g.is_flat ? 1 : 2); ++i) {
      for (int64_t j = 0; j < 2; ++j) {
        // What would be before the first one is a zero that was added.
        if (first_d + i < 0 || first_h + j < 0) continue;
        const int64_t line = (slab * g.depth + first_d + i) * g.height + first_h + j;
        at[count] = line * g.width * g.channels;
        place[count++] = int(4 * i + 2 * j);
      }
    }
  }
};

/// Calls `f(from, place)` for each voxel of the window at `w` of a pooled row.
template <class F>
INLINE void in_window(const Geometry& g, const Lines& lines, int64_t w, F f) {
  const int64_t first = 2 * w - g.width % 2;
  for (int line = 0; line < lines.count; ++line) {
    const int64_t from = lines.at[line] + first * g.channels;
    if (first >= 0) f(from, lines.place[line]);
    f(from + g.channels, lines.place[line] + 1);
  }
}

template <class T>
void pool(const T* x, const Geometry& g, const float* scale, const float* shift, T* y, T* chosen, uint8_t* places,
          int64_t begin, int64_t end) {
  by_width(g.channels, [&](auto width) {
    constexpr int N = decltype(width)::value;
    for (int64_t row = begin; row < end; ++row) {
      const Lines lines(g, row);
      for (int64_t w = 0; w < g.pooled_width; ++w) {
        const int64_t to = (row * g.pooled_width + w) * g.channels;
        for (int64_t c = 0; c < g.channels; c += N) {
          const auto a = load<N>(scale + c), b = load<N>(shift + c);
          auto greatest = Floats<N>{} - std::numeric_limits<float>::infinity();
          Floats<N> origin = {};
          Integers<N> place = {};
          in_window(g, lines, w, [&](int64_t from, int where_it_is) {
            const auto value = load<N>(x + from + c);
            const auto normal = value * a + b;
            // The first of equals; what is no number wins.
            const Integers<N> is_greater = (normal > greatest) | (normal != normal);
            greatest = is_greater ? normal : greatest;
            origin = is_greater ? value : origin;
            place = is_greater ? Integers<N>{} + where_it_is : place;
          });
          const Integers<N> is_none = greatest <= 0.0f;
          store<N>(y + to + c, where<N>(~is_none, greatest));
          if (chosen) store<N>(chosen + to + c, origin);
          if (places) store_places<N>(places + to + c, is_none ? Integers<N>{} + int(NONE_ABOVE_ZERO) : place);
        }
      }
    }
  });
}

/// Σ g and Σ g·(x − mean); `gradient_at` gives what counts of g, and zeros.
template <int N, class At, class Value>
INLINE void add_products(int64_t length, const float* mean, At gradient_at, Value value_at, double* sum,
                         double* product) {
  const auto middle = load<N>(mean);
  const auto sums = added_up<N>(length, gradient_at);
  const auto products =
      added_up<N>(length, [&](int64_t row) { return gradient_at(row) * (value_at(row) - middle); });
  for (int i = 0; i < N; ++i) {
    sum[i] += double(sums[i]);
    product[i] += double(products[i]);
  }
}

/// The same of all rows; `counted(N, at)` gives what counts of the gradient there.
template <class T, class Counted>
INLINE void all_sums(const T* x, const float* mean, int64_t rows, int64_t channels, double* sum, double* product,
                     Counted counted) {
  std::fill_n(sum, channels, 0.0);
  std::fill_n(product, channels, 0.0);
  const int64_t block = block_of(channels);
  for (int64_t start = 0; start < rows; start += block) {
    by_width(channels, [&](auto width) {
      constexpr int N = decltype(width)::value;
      for (int64_t c = 0; c < channels; c += N) {
        const int64_t at = start * channels + c;
        auto gradient_at = [&](int64_t row) { return counted(width, at + row * channels); };
        auto value_at = [&](int64_t row) { return load<N>(x + at + row * channels); };
        add_products<N>(std::min(block, rows - start), mean + c, gradient_at, value_at, sum + c, product + c);
      }
    });
  }
}

template <class T>
void sums(const T* gradient, const T* x, const T* y, const float* mean, int64_t rows, int64_t channels, double* sum,
          double* product) {
  all_sums(x, mean, rows, channels, sum, product, [&](auto width, int64_t at) {
    constexpr int N = decltype(width)::value;
    const auto g = load<N>(gradient + at);
    return y ? where<N>(~(load<N>(y + at) <= 0.0f), g) : g;
  });
}

template <class T>
void sums_of_pooled(const T* gradient, const T* chosen, const uint8_t* places, const float* mean, int64_t rows,
                    int64_t channels, double* sum, double* product) {
  all_sums(chosen, mean, rows, channels, sum, product, [&](auto width, int64_t at) {
    constexpr int N = decltype(width)::value;
    return where<N>(load_places<N>(places + at) < int(NONE_ABOVE_ZERO), load<N>(gradient + at));
  });
}

/// The part of a gradient that does not depend on the gradient behind the layer.
template <int N>
INLINE Floats<N> settled(Floats<N> x, const Gradient& how, int64_t c) {
  return (x - load<N>(how.mean + c)) * load<N>(how.slope + c) + load<N>(how.shift + c);
}

template <class T>
void back(const T* gradient, const T* x, const T* y, const Gradient& how, T* of_x, int64_t rows,
          int64_t channels) {
  by_width(channels, [&](auto width) {
    constexpr int N = decltype(width)::value;
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t c = 0; c < channels; c += N) {
        const int64_t at = row * channels + c;
        auto g = load<N>(gradient + at);
        if (y) g = where<N>(~(load<N>(y + at) <= 0.0f), g);
        store<N>(of_x + at, settled<N>(load<N>(x + at), how, c) + g * load<N>(how.scale + c));
      }
    }
  });
}

template <class T>
void back_pooled(const T* gradient, const T* x, const uint8_t* places, const Geometry& g, const Gradient& how,
                 T* of_x, int64_t begin, int64_t end) {
  by_width(g.channels, [&](auto width) {
    constexpr int N = decltype(width)::value;
    for (int64_t row = begin; row < end; ++row) {
      const Lines lines(g, row);
      for (int64_t w = 0; w < g.pooled_width; ++w) {
        const int64_t to = (row * g.pooled_width + w) * g.channels;
        for (int64_t c = 0; c < g.channels; c += N) {
          const auto change = load<N>(gradient + to + c) * load<N>(how.scale + c);
          const auto place = load_places<N>(places + to + c);
          in_window(g, lines, w, [&](int64_t from, int where_it_is) {
            const auto rest = settled<N>(load<N>(x + from + c), how, c);
            store<N>(of_x + from + c, rest + where<N>(place == where_it_is, change));
          });
        }
      }
    }
  });
}

/// Calls `f(to, c, place, width)` for the vectors of pooled rows, whose places are those of the window.
template <class F>
INLINE void over_pooled(const Geometry& g, const uint8_t* places, int64_t begin, int64_t end, F f) {
  by_width(g.channels, [&](auto width) {
    constexpr int N = decltype(width)::value;
    for (int64_t row = begin; row < end; ++row) {
      const Lines lines(g, row);
      for (int64_t w = 0; w < g.pooled_width; ++w) {
        const int64_t to = (row * g.pooled_width + w) * g.channels;
        for (int64_t c = 0; c < g.channels; c += N) {
          const Integers<N> place = load_places<N>(places + to + c) & int(NONE_ABOVE_ZERO - 1);
          f(width, lines, w, c, to + c, place);
        }
      }
    }
  });
}

template <class T>
void unpool(const T* x, const uint8_t* places, const Geometry& g, T* y, int64_t begin, int64_t end) {
  over_pooled(g, places, begin, end, [&](auto width, const Lines& lines, int64_t w, int64_t c, int64_t at, auto place) {
    constexpr int N = decltype(width)::value;
    const auto value = load<N>(x + at);
    in_window(g, lines, w, [&](int64_t to, int here) { store<N>(y + to + c, where<N>(place == here, value)); });
  });
}

template <class T>
void back_unpooled(const T* gradient, const uint8_t* places, const Geometry& g, T* of_x, int64_t begin, int64_t end) {
  over_pooled(g, places, begin, end, [&](auto width, const Lines& lines, int64_t w, int64_t c, int64_t at, auto place) {
    constexpr int N = decltype(width)::value;
    Floats<N> sum = {};
    in_window(g, lines, w, [&](int64_t from, int here) { sum += where<N>(place == here, load<N>(gradient + from + c)); });
    store<N>(of_x + at, sum);
  });
}

/// Each square root by itself: a compiler has no other name for it in vectors, and makes one of them.
template <int N>
INLINE Floats<N> root(Floats<N> values) {
  for (int i = 0; i < N; ++i) values[i] = __builtin_sqrtf(values[i]);
  return values;
}

template <int N>
INLINE void adam_of(float* weights, const float* gradient, float* first, float* second, const Adam& how) {
  auto w = load<N>(weights) * how.keep;
  const auto g = load<N>(gradient) + w * how.decay;
  auto m = load<N>(first), v = load<N>(second);
  m += (g - m) * how.first;
  v += (g * g - v) * how.second;
  w -= how.rate * m / (root<N>(v) / how.correction + how.epsilon);
  store<N>(weights, w), store<N>(first, m), store<N>(second, v);
}

}  // namespace

void adam(float* weights, const float* gradient, float* first, float* second, const Adam& how, int64_t length) {
  int64_t i = 0;
  for (; i + 16 <= length; i += 16) adam_of<16>(weights + i, gradient + i, first + i, second + i, how);
  for (; i < length; ++i) adam_of<1>(weights + i, gradient + i, first + i, second + i, how);
}

template <class T>
constexpr Loops<T> all = {moments<T>,        normalise<T>, pool<T>,        sums<T>,   sums_of_pooled<T>,
                          back<T>, back_pooled<T>, unpool<T>, back_unpooled<T>};
const Loops<float> floats = all<float>;
const Loops<Bfloat16> halves = all<Bfloat16>;

}  // namespace CAPABILITY
}  // namespace kernels
