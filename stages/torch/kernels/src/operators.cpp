// Operators of libtorch, with gradients, made of the loops.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "loops.h"

namespace kernels {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

/// Voxels whose sums are added up by themselves: the result does not depend on the number of threads.
constexpr int64_t CHUNK = 1 << 15;

template <class T>
const Loops<T>& loops();

#ifdef HAS_X86_LOOPS
/// Those instructions that `-march=x86-64-v4` and `-march=x86-64-v3` take for granted.
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("bmi2");
}

bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
}

#define CHOOSE(what)                                                                           \
  static auto* const chosen = has_avx512() ? &avx512::what : has_avx2() ? &avx2::what : &plain::what; \
  return *chosen;
#else
#define CHOOSE(what) return plain::what;
#endif

template <>
const Loops<float>& loops() {
  CHOOSE(floats)
}

template <>
const Loops<Bfloat16>& loops() {
  CHOOSE(halves)
}

auto adam_loop() -> decltype(plain::adam)& {
  CHOOSE(adam)
}

auto convolve_first() -> decltype(plain::convolve_first)& {
  CHOOSE(convolve_first)
}

auto back_first_weight() -> decltype(plain::back_first_weight)& {
  CHOOSE(back_first_weight)
}

auto back_first_data() -> decltype(plain::back_first_data)& {
  CHOOSE(back_first_data)
}

auto pool_first() -> decltype(plain::pool_first)& {
  CHOOSE(pool_first)
}

auto back_pool_first() -> decltype(plain::back_pool_first)& {
  CHOOSE(back_pool_first)
}

/// Calls `f` with a null pointer of the type of the map's numbers.
template <class F>
void by_kind(const Tensor& x, F f) {
  switch (x.scalar_type()) {
    case at::kFloat:
      return f(static_cast<float*>(nullptr));
    case at::kBFloat16:
      return f(static_cast<Bfloat16*>(nullptr));
    default:
      throw std::invalid_argument("maps have numbers of 32 bits or bfloat16");
  }
}

/// The numbers of a tensor.
template <class T>
T* numbers(const Tensor& tensor) {
  return tensor.defined() ? static_cast<T*>(tensor.data_ptr()) : nullptr;
}

at::MemoryFormat channels_last(const Tensor& x) {
  return x.dim() == 5 ? at::MemoryFormat::ChannelsLast3d : at::MemoryFormat::ChannelsLast;
}

/// A map with the numbers and the place in memory of another, of another size where wanted.
Tensor map_like(const Tensor& x, at::IntArrayRef sizes, at::ScalarType kind) {
  return at::empty(sizes, x.options().dtype(kind), channels_last(x));
}

Tensor map_like(const Tensor& x) { return map_like(x, x.sizes(), x.scalar_type()); }

int64_t rows_of(const Tensor& x) { return x.numel() / x.size(1); }

/// Calls `f(begin, end)` for parts of `rows`, in parallel.
template <class F>
void in_parts(int64_t rows, int64_t length, F f) {
  const int64_t parts = (rows + length - 1) / length;
  at::parallel_for(0, parts, 1, [&](int64_t first, int64_t last) {
    for (int64_t part = first; part < last; ++part) f(part * length, std::min(rows, (part + 1) * length));
  });
}

/// What pooling by two makes of a map; an odd axis has a zero before its first voxel.
Geometry geometry_of(const Tensor& x) {
  Geometry g;
  g.is_flat = x.dim() == 4;
  g.channels = x.size(1);
  g.depth = g.is_flat ? 1 : x.size(2);
  g.height = x.size(-2), g.width = x.size(-1);
  g.pooled_depth = g.is_flat ? 1 : (g.depth + 1) / 2;
  g.pooled_height = (g.height + 1) / 2, g.pooled_width = (g.width + 1) / 2;
  return g;
}

std::vector<int64_t> pooled_sizes(const Tensor& x, const Geometry& g) {
  if (g.is_flat) return {x.size(0), g.channels, g.pooled_height, g.pooled_width};
  return {x.size(0), g.channels, g.pooled_depth, g.pooled_height, g.pooled_width};
}

/// Mean and variance of each channel; the variance is that of the voxels, not an estimate.
struct Moments {
  std::vector<double> mean, variance;
};

/// Those of a map whose parts, of `length` voxels but the last, are told by `part(begin, end, mean, squares)`.
template <class F>
Moments moments_of_parts(int64_t rows, int64_t channels, int64_t length, F part) {
  const int64_t parts = (rows + length - 1) / length;
  std::vector<double> means(parts * channels), squares(parts * channels);
  in_parts(rows, length, [&](int64_t begin, int64_t end) {
    const int64_t at = begin / length * channels;
    part(begin, end, &means[at], &squares[at]);
  });
  Moments all{std::vector<double>(channels), std::vector<double>(channels)};
  for (int64_t part = 0; part < parts; ++part) {
    const double before = double(part * length), own = double(std::min(length, rows - part * length));
    for (int64_t c = 0; c < channels; ++c) {
      const double difference = means[part * channels + c] - all.mean[c];
      all.mean[c] += difference * own / (before + own);
      all.variance[c] += squares[part * channels + c] + difference * difference * before * own / (before + own);
    }
  }
  for (auto& variance : all.variance) variance /= double(rows);
  return all;
}

Moments moments_of(const Tensor& x) {
  const int64_t channels = x.size(1);
  return moments_of_parts(rows_of(x), channels, CHUNK, [&](int64_t begin, int64_t end, double* mean, double* squares) {
    by_kind(x, [&](auto* none) {
      using T = std::remove_pointer_t<decltype(none)>;
      loops<T>().moments(numbers<T>(x) + begin * channels, end - begin, channels, mean, squares);
    });
  });
}

/// A normalisation of channels.
struct Norm {
  Tensor weight, bias, running_mean, running_variance;
  bool of_batch;
  double momentum, epsilon;
};

/// Floats of each channel.
Tensor of_channels(const std::vector<double>& values) {
  auto tensor = at::empty({int64_t(values.size())}, at::kFloat);
  std::copy(values.begin(), values.end(), numbers<float>(tensor));
  return tensor;
}

/// Mean and inverse deviation that a map is normalised with; running statistics move on.
template <class F>
std::pair<Tensor, Tensor> statistics(const Norm& norm, int64_t rows_of_map, F moments_of_map) {
  if (!norm.of_batch) {
    return {norm.running_mean.detach().clone(), (norm.running_variance.detach() + norm.epsilon).rsqrt()};
  }
  auto moments = moments_of_map();
  if (norm.running_mean.defined()) {
    const double rows = double(rows_of_map);
    float *mean = numbers<float>(norm.running_mean), *variance = numbers<float>(norm.running_variance);
    for (size_t c = 0; c < moments.mean.size(); ++c) {
      mean[c] = float((1 - norm.momentum) * mean[c] + norm.momentum * moments.mean[c]);
      const double estimate = moments.variance[c] * rows / (rows - 1);
      variance[c] = float((1 - norm.momentum) * variance[c] + norm.momentum * estimate);
    }
  }
  auto inverse = moments.variance;
  for (auto& value : inverse) value = 1 / std::sqrt(value + norm.epsilon);
  return {of_channels(moments.mean), of_channels(inverse)};
}

std::pair<Tensor, Tensor> statistics(const Tensor& x, const Norm& norm) {
  return statistics(norm, rows_of(x), [&] { return moments_of(x); });
}

/// What came out of the forward pass, and what the backward pass needs of it.
struct Passed {
  Tensor y, chosen, places;
};

/// y = norm(x), rectified, pooled: each where wanted.
Passed pass(const Tensor& x, const Tensor& mean, const Tensor& inverse, const Norm& norm, bool rectify,
            bool pools, bool keeps_chosen, bool keeps_places) {
  const auto scale = norm.weight.detach() * inverse;
  const auto shift = norm.bias.detach() - mean * scale;
  const float *a = numbers<float>(scale), *b = numbers<float>(shift);
  const int64_t channels = x.size(1);
  Passed passed;
  by_kind(x, [&](auto* none) {
    using T = std::remove_pointer_t<decltype(none)>;
    const T* from = numbers<T>(x);
    if (!pools) {
      passed.y = map_like(x);
      T* to = numbers<T>(passed.y);
      in_parts(rows_of(x), CHUNK, [&](int64_t begin, int64_t end) {
        const int64_t at = begin * channels;
        loops<T>().normalise(from + at, a, b, rectify, to + at, end - begin, channels);
      });
      return;
    }
    const auto g = geometry_of(x);
    const auto sizes = pooled_sizes(x, g);
    passed.y = map_like(x, sizes, x.scalar_type());
    if (keeps_chosen) passed.chosen = map_like(x, sizes, x.scalar_type());
    if (keeps_places) passed.places = map_like(x, sizes, at::kByte);
    in_parts(x.size(0) * g.pooled_rows(), 16, [&](int64_t begin, int64_t end) {
      loops<T>().pool(from, g, a, b, numbers<T>(passed.y), numbers<T>(passed.chosen),
                      numbers<uint8_t>(passed.places), begin, end);
    });
  });
  return passed;
}

/// What the gradients of a map are made of, from the sums over all of it.
class Back {
 public:
  Back(bool of_batch, const Tensor& mean, const Tensor& inverse, const Tensor& weight, const std::vector<double>& sum,
       const std::vector<double>& product, int64_t rows)
      : mean(mean), scale(sum.size()), slope(sum.size()), shift(sum.size()) {
    for (size_t c = 0; c < sum.size(); ++c) {
      const double deviation = numbers<float>(inverse)[c], factor = numbers<float>(weight)[c] * deviation;
      scale[c] = float(factor);
      // In evaluation the statistics are constants.
      slope[c] = of_batch ? float(-factor * product[c] * deviation * deviation / double(rows)) : 0;
      shift[c] = of_batch ? float(-factor * sum[c] / double(rows)) : 0;
    }
  }

  Gradient how() const { return {numbers<float>(mean), slope.data(), shift.data(), scale.data()}; }

 private:
  Tensor mean;
  std::vector<float> scale, slope, shift;
};

struct NormFunction : torch::autograd::Function<NormFunction> {
  static variable_list forward(AutogradContext* context, const Variable& x, const Variable& weight,
                               const Variable& bias, const std::optional<Tensor>& running_mean,
                               const std::optional<Tensor>& running_variance, bool of_batch, double momentum,
                               double epsilon, bool rectify, bool pools, bool may_overwrite) {
    const Norm norm{weight,  bias,     running_mean.value_or(Tensor()), running_variance.value_or(Tensor()),
                    of_batch, momentum, epsilon};
    auto [mean, inverse] = statistics(x, norm);
    auto passed = pass(x, mean, inverse, norm, rectify, pools, true, true);
    // What is not rectified is free to be written over.
    const auto known = pools ? passed.chosen : rectify ? passed.y : Tensor();
    context->save_for_backward({x, weight, mean, inverse, known, passed.places});
    context->saved_data["of_batch"] = of_batch;
    context->saved_data["rectify"] = rectify;
    context->saved_data["pools"] = pools;
    context->saved_data["may_overwrite"] = may_overwrite;
    if (!pools) return {passed.y};
    context->mark_non_differentiable({passed.places});
    return {passed.y, passed.places};
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto x = saved[0].detach(), weight = saved[1].detach(), mean = saved[2], inverse = saved[3];
    const auto known = saved[4].defined() ? saved[4].detach() : Tensor(), places = saved[5];
    const bool of_batch = context->saved_data["of_batch"].toBool(), rectify = context->saved_data["rectify"].toBool();
    const bool pools = context->saved_data["pools"].toBool();
    const auto gradient = gradients[0].to(x.scalar_type()).contiguous(channels_last(x));
    const int64_t channels = x.size(1), rows = rows_of(gradient), parts = (rows + CHUNK - 1) / CHUNK;

    std::vector<double> sum(channels), product(channels);
    Tensor of_x = context->saved_data["may_overwrite"].toBool() ? x : map_like(x);
    by_kind(x, [&](auto* none) {
      using T = std::remove_pointer_t<decltype(none)>;
      const T *g = numbers<T>(gradient), *values = numbers<T>(x);
      const T* y = rectify ? numbers<T>(known) : nullptr;
      std::vector<double> sums(parts * channels), products(parts * channels);
      in_parts(rows, CHUNK, [&](int64_t begin, int64_t end) {
        const int64_t at = begin * channels, part = begin / CHUNK * channels;
        const float* middle = numbers<float>(mean);
        if (pools) {
          loops<T>().sums_of_pooled(g + at, numbers<T>(known) + at, numbers<uint8_t>(places) + at, middle, end - begin,
                                    channels, &sums[part], &products[part]);
        } else {
          loops<T>().sums(g + at, values + at, y ? y + at : nullptr, middle, end - begin, channels, &sums[part],
                          &products[part]);
        }
      });
      for (int64_t i = 0; i < parts * channels; ++i) {
        sum[i % channels] += sums[i];
        product[i % channels] += products[i];
      }

      const Back back(of_batch, mean, inverse, weight, sum, product, rows_of(x));
      const Gradient how = back.how();
      if (pools) {
        const auto geometry = geometry_of(x);
        in_parts(x.size(0) * geometry.pooled_rows(), 16, [&](int64_t begin, int64_t end) {
          loops<T>().back_pooled(g, values, numbers<uint8_t>(places), geometry, how, numbers<T>(of_x), begin, end);
        });
        return;
      }
      in_parts(rows, CHUNK, [&](int64_t begin, int64_t end) {
        const int64_t at = begin * channels;
        loops<T>().back(g + at, values + at, y ? y + at : nullptr, how, numbers<T>(of_x) + at, end - begin,
                        channels);
      });
    });
    for (int64_t c = 0; c < channels; ++c) product[c] *= numbers<float>(inverse)[c];
    return {of_x,     of_channels(product), of_channels(sum), Tensor(), Tensor(), Tensor(),
            Tensor(), Tensor(),             Tensor(),         Tensor(), Tensor()};
  }
};

/// Puts voxels back to where pooling took them from; `sizes` are those before pooling.
struct UnpoolFunction : torch::autograd::Function<UnpoolFunction> {
  static Variable forward(AutogradContext* context, const Variable& x, const Tensor& places, at::IntArrayRef sizes) {
    context->save_for_backward({places});
    const auto y = map_like(x, sizes, x.scalar_type());
    const auto geometry = geometry_of(y);
    if (pooled_sizes(y, geometry) != x.sizes().vec() || x.sizes() != places.sizes()) {
      throw std::invalid_argument("a map is put back to another size than it was pooled from");
    }
    by_kind(x, [&](auto* none) {
      using T = std::remove_pointer_t<decltype(none)>;
      in_parts(x.size(0) * geometry.pooled_rows(), 16, [&](int64_t begin, int64_t end) {
        loops<T>().unpool(numbers<T>(x), numbers<uint8_t>(places), geometry, numbers<T>(y), begin, end);
      });
    });
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto places = context->get_saved_variables()[0];
    const auto gradient = gradients[0].contiguous(channels_last(gradients[0]));
    const auto geometry = geometry_of(gradient);
    auto of_x = map_like(gradient, places.sizes(), gradient.scalar_type());
    by_kind(gradient, [&](auto* none) {
      using T = std::remove_pointer_t<decltype(none)>;
      in_parts(places.size(0) * geometry.pooled_rows(), 16, [&](int64_t begin, int64_t end) {
        loops<T>().back_unpooled(numbers<T>(gradient), numbers<uint8_t>(places), geometry, numbers<T>(of_x), begin, end);
      });
    });
    return {of_x, Tensor(), Tensor()};
  }
};

/// Rows of the first convolution whose gradients are added up by themselves.
constexpr int64_t ROWS = 256;

/// The first convolution of a network. `x` is `[B, 1, X, Y, Z]`, `weight` `[C, 1, 3, 3, 3]`.
struct FirstFunction : torch::autograd::Function<FirstFunction> {
  static First geometry(const Tensor& x, const Tensor& weight) {
    return {weight.size(0), x.size(2), x.size(3), x.size(4)};
  }

  /// `[TAPS, C]`.
  static Tensor taps(const Tensor& weight) { return weight.detach().reshape({weight.size(0), TAPS}).t().contiguous(); }

  static Tensor compute(const Tensor& x, const Tensor& weight, const Tensor& bias) {
    const auto f = geometry(x, weight);
    const auto taps_of_all = taps(weight);
    const auto start = bias.defined() ? bias.detach().contiguous() : at::zeros({f.channels}, at::kFloat);
    auto y = at::empty({x.size(0), f.channels, f.depth, f.height, f.width}, x.options(), at::MemoryFormat::ChannelsLast3d);
    in_parts(x.size(0) * f.depth * f.height, ROWS, [&](int64_t begin, int64_t end) {
      convolve_first()(numbers<float>(x), numbers<float>(taps_of_all), numbers<float>(start), f,
                       numbers<float>(y) + begin * f.width * f.channels, begin, end);
    });
    return y;
  }

  /// Gradients of weight and bias, from what all parts of the map gave to them.
  static std::pair<Tensor, Tensor> added_up(const std::vector<double>& parts, const First& f, const Tensor& weight) {
    std::vector<double> sums((TAPS + 1) * f.channels);
    for (size_t i = 0; i < parts.size(); ++i) sums[i % sums.size()] += parts[i];
    const auto all = of_channels(sums).reshape({TAPS + 1, f.channels});
    return {all.narrow(0, 0, TAPS).t().reshape(weight.sizes()).contiguous(), all.select(0, TAPS).contiguous()};
  }

  static Variable forward(AutogradContext* context, const Variable& x, const Variable& weight,
                          const std::optional<Tensor>& bias) {
    context->save_for_backward({x, weight});
    context->saved_data["has_bias"] = bias.has_value();
    return compute(x, weight, bias.value_or(Tensor()));
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto x = saved[0].detach(), weight = saved[1].detach();
    const auto f = geometry(x, weight);
    const auto gradient = gradients[0].contiguous(at::MemoryFormat::ChannelsLast3d);
    const int64_t rows = x.size(0) * f.depth * f.height, parts = (rows + ROWS - 1) / ROWS;
    Tensor of_x, of_weight, of_bias;
    if (context->needs_input_grad(0)) {
      const auto taps_of_all = taps(weight);
      of_x = at::empty(x.sizes(), x.options());
      in_parts(rows, ROWS, [&](int64_t begin, int64_t end) {
        back_first_data()(numbers<float>(gradient), numbers<float>(taps_of_all), f, numbers<float>(of_x), begin, end);
      });
    }
    if (context->needs_input_grad(1)) {
      const int64_t each = (TAPS + 1) * f.channels;
      std::vector<double> sums(parts * each);
      in_parts(rows, ROWS, [&](int64_t begin, int64_t end) {
        double* own = &sums[begin / ROWS * each];
        back_first_weight()(numbers<float>(gradient), numbers<float>(x), f, own, own + TAPS * f.channels, begin, end);
      });
      std::tie(of_weight, of_bias) = added_up(sums, f, weight);
      if (!context->saved_data["has_bias"].toBool()) of_bias = Tensor();
    }
    return {of_x, of_weight, of_bias};
  }
};

/// Rows of the map whose moments are added up by themselves; they are in memory together, and should be near.
constexpr int64_t NEAR_ROWS = 32;

/// The first convolution of a network with norm, ReLU and pooling, whose map is never in memory.
struct FirstBlockFunction : torch::autograd::Function<FirstBlockFunction> {
  struct Made {
    Tensor y, chosen, places, mean, inverse;
  };

  static Tensor start(const Tensor& bias, const First& f) {
    return bias.defined() ? bias.detach().contiguous() : at::zeros({f.channels}, at::kFloat);
  }

  static Made compute(const Tensor& x, const Tensor& weight, const Tensor& bias, const Norm& norm, bool is_recorded) {
    const auto f = FirstFunction::geometry(x, weight);
    const auto taps = FirstFunction::taps(weight), from = start(bias, f);
    const float *image = numbers<float>(x), *w = numbers<float>(taps), *b = numbers<float>(from);
    const int64_t rows = x.size(0) * f.depth * f.height;
    const auto moments = [&] {
      return moments_of_parts(rows * f.width, f.channels, NEAR_ROWS * f.width,
                              [&](int64_t begin, int64_t end, double* mean, double* squares) {
        std::vector<float> map((end - begin) * f.channels);
        convolve_first()(image, w, b, f, map.data(), begin / f.width, end / f.width);
        loops<float>().moments(map.data(), end - begin, f.channels, mean, squares);
      });
    };
    Made made;
    std::tie(made.mean, made.inverse) = statistics(norm, rows * f.width, moments);
    const auto scale = norm.weight.detach() * made.inverse, shift = norm.bias.detach() - made.mean * scale;
    const std::vector<int64_t> sizes{x.size(0), f.channels, (f.depth + 1) / 2, (f.height + 1) / 2, (f.width + 1) / 2};
    const auto empty = [&](at::ScalarType kind) {
      return at::empty(sizes, x.options().dtype(kind), at::MemoryFormat::ChannelsLast3d);
    };
    made.y = empty(at::kFloat), made.places = empty(at::kByte);
    if (is_recorded) made.chosen = empty(at::kFloat);
    in_parts(sizes[0] * sizes[2] * sizes[3], 16, [&](int64_t begin, int64_t end) {
      pool_first()(image, w, b, f, numbers<float>(scale), numbers<float>(shift), numbers<float>(made.y),
                   numbers<float>(made.chosen), numbers<uint8_t>(made.places), begin, end);
    });
    return made;
  }

  static variable_list forward(AutogradContext* context, const Variable& x, const Variable& weight,
                               const std::optional<Tensor>& bias, const Variable& norm_weight,
                               const Variable& norm_bias, const std::optional<Tensor>& running_mean,
                               const std::optional<Tensor>& running_variance, bool of_batch, double momentum,
                               double epsilon) {
    const Norm norm{norm_weight, norm_bias, running_mean.value_or(Tensor()), running_variance.value_or(Tensor()),
                    of_batch,    momentum,  epsilon};
    const auto made = compute(x, weight, bias.value_or(Tensor()), norm, true);
    context->save_for_backward(
        {x, weight, bias.value_or(Tensor()), norm_weight, made.mean, made.inverse, made.chosen, made.places});
    context->saved_data["of_batch"] = of_batch;
    context->mark_non_differentiable({made.places});
    return {made.y, made.places};
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto x = saved[0].detach(), weight = saved[1].detach(), norm_weight = saved[3].detach();
    const auto mean = saved[4], inverse = saved[5], chosen = saved[6], places = saved[7];
    const auto f = FirstFunction::geometry(x, weight);
    const auto taps = FirstFunction::taps(weight), from = start(saved[2], f);
    const auto gradient = gradients[0].contiguous(at::MemoryFormat::ChannelsLast3d);
    const bool of_image = context->needs_input_grad(0), of_weights = context->needs_input_grad(1);

    const int64_t pooled = rows_of(gradient), sums_parts = (pooled + CHUNK - 1) / CHUNK;
    std::vector<double> sums(sums_parts * f.channels), products(sums_parts * f.channels);
    in_parts(pooled, CHUNK, [&](int64_t begin, int64_t end) {
      const int64_t at = begin * f.channels, part = begin / CHUNK * f.channels;
      loops<float>().sums_of_pooled(numbers<float>(gradient) + at, numbers<float>(chosen) + at,
                                    numbers<uint8_t>(places) + at, numbers<float>(mean), end - begin, f.channels,
                                    &sums[part], &products[part]);
    });
    std::vector<double> sum(f.channels), product(f.channels);
    for (size_t i = 0; i < sums.size(); ++i) {
      sum[i % f.channels] += sums[i];
      product[i % f.channels] += products[i];
    }
    const Back back(context->saved_data["of_batch"].toBool(), mean, inverse, norm_weight, sum, product,
                    x.numel());

    Tensor of_map, of_x, of_weight, of_bias;
    if (of_image) of_map = at::empty({x.size(0), f.channels, f.depth, f.height, f.width}, x.options(), at::MemoryFormat::ChannelsLast3d);
    const int64_t pooled_rows = pooled / ((f.width + 1) / 2), each = (TAPS + 1) * f.channels;
    const int64_t parts = (pooled_rows + ROWS - 1) / ROWS;
    std::vector<double> of_weights_sums(of_weights ? parts * each : 0);
    in_parts(pooled_rows, ROWS, [&](int64_t begin, int64_t end) {
      double* own = of_weights ? &of_weights_sums[begin / ROWS * each] : nullptr;
      back_pool_first()(numbers<float>(gradient), numbers<uint8_t>(places), numbers<float>(x), numbers<float>(taps),
                        numbers<float>(from), f, back.how(), own, own ? own + TAPS * f.channels : nullptr,
                        numbers<float>(of_map), begin, end);
    });
    if (of_weights) std::tie(of_weight, of_bias) = FirstFunction::added_up(of_weights_sums, f, weight);
    if (of_image) {
      of_x = at::empty(x.sizes(), x.options());
      in_parts(x.size(0) * f.depth * f.height, ROWS, [&](int64_t begin, int64_t end) {
        back_first_data()(numbers<float>(of_map), numbers<float>(taps), f, numbers<float>(of_x), begin, end);
      });
    }
    for (int64_t c = 0; c < f.channels; ++c) product[c] *= numbers<float>(inverse)[c];
    return {of_x,     of_weight, saved[2].defined() ? of_bias : Tensor(), of_channels(product), of_channels(sum), Tensor(),
            Tensor(), Tensor(),  Tensor(), Tensor()};
  }
};

/// The last message of an error, for Rust to take.
thread_local std::string message;

template <class F>
bool tried(F f) {
  try {
    f();
    return true;
  } catch (const c10::Error& error) {
    message = error.what_without_backtrace();
  } catch (const std::exception& error) {
    message = error.what();
  } catch (...) {
    message = "an error without a name";
  }
  return false;
}

Tensor any(const Tensor* tensor) { return tensor ? *tensor : Tensor(); }

std::optional<Tensor> maybe(const Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}

}  // namespace
}  // namespace kernels

using namespace kernels;

extern "C" {

const char* kernels_message() { return message.c_str(); }

/// y, and where pooling found it, as new tensors; false if there is an error.
bool kernels_norm(const Tensor* x, const Tensor* weight, const Tensor* bias,
                  const Tensor* running_mean, const Tensor* running_variance, bool of_batch, double momentum,
                  double epsilon, bool rectify, bool pools, bool may_overwrite, Tensor** y, Tensor** places) {
  return tried([&] {
    const auto map = x->contiguous(channels_last(*x));
    const bool is_recorded = at::GradMode::is_enabled() && (map.requires_grad() || weight->requires_grad() ||
                                                            bias->requires_grad());
    if (is_recorded) {
      auto made = NormFunction::apply(map, *weight, *bias, maybe(any(running_mean)),
                                      maybe(any(running_variance)), of_batch, momentum, epsilon, rectify, pools,
                                      may_overwrite);
      *y = new Tensor(made[0]);
      if (places) *places = new Tensor(made[1]);
      return;
    }
    const Norm norm{*weight, *bias, any(running_mean), any(running_variance), of_batch, momentum, epsilon};
    const auto [mean, inverse] = statistics(map, norm);
    auto passed = pass(map, mean, inverse, norm, rectify, pools, false, places != nullptr);
    *y = new Tensor(passed.y);
    if (places) *places = new Tensor(passed.places);
  });
}

/// Tensors are contiguous and have 32 bits; `bias` may be null.
bool kernels_first_convolution(const Tensor* x, const Tensor* weight, const Tensor* bias, Tensor** y) {
  return tried([&] {
    const bool is_recorded = at::GradMode::is_enabled() && (x->requires_grad() || weight->requires_grad() ||
                                                            (bias && bias->requires_grad()));
    *y = new Tensor(is_recorded ? FirstFunction::apply(*x, *weight, maybe(any(bias)))
                                : FirstFunction::compute(*x, *weight, any(bias)));
  });
}

/// The same with norm, ReLU and pooling.
bool kernels_first_block(const Tensor* x, const Tensor* weight, const Tensor* bias, const Tensor* norm_weight,
                         const Tensor* norm_bias, const Tensor* running_mean, const Tensor* running_variance,
                         bool of_batch, double momentum, double epsilon, Tensor** y, Tensor** places) {
  return tried([&] {
    const Tensor* all[] = {x, weight, bias, norm_weight, norm_bias};
    const bool is_recorded = at::GradMode::is_enabled() && std::any_of(std::begin(all), std::end(all), [](auto tensor) {
                               return tensor && tensor->requires_grad();
                             });
    if (is_recorded) {
      auto made = FirstBlockFunction::apply(*x, *weight, maybe(any(bias)), *norm_weight, *norm_bias,
                                            maybe(any(running_mean)), maybe(any(running_variance)), of_batch, momentum,
                                            epsilon);
      *y = new Tensor(made[0]), *places = new Tensor(made[1]);
      return;
    }
    const Norm norm{*norm_weight, *norm_bias, any(running_mean), any(running_variance), of_batch, momentum, epsilon};
    const auto made = FirstBlockFunction::compute(*x, *weight, any(bias), norm, false);
    *y = new Tensor(made.y), *places = new Tensor(made.places);
  });
}

bool kernels_unpool(const Tensor* x, const Tensor* places, const int64_t* sizes, int axes, Tensor** y) {
  return tried([&] {
    const auto map = x->contiguous(channels_last(*x)), where = places->contiguous(channels_last(*x));
    *y = new Tensor(UnpoolFunction::apply(map, where, at::IntArrayRef(sizes, size_t(axes))));
  });
}

/// One step of Adam; tensors are contiguous and have 32 bits.
void kernels_adam(const Tensor* weights, const Tensor* gradient, const Tensor* first, const Tensor* second,
                  const float* how) {
  const Adam step{how[0], how[1], how[2], how[3], how[4], how[5], how[6]};
  float *w = numbers<float>(*weights), *m = numbers<float>(*first), *v = numbers<float>(*second);
  const float* g = numbers<float>(*gradient);
  in_parts(weights->numel(), CHUNK, [&](int64_t begin, int64_t end) {
    adam_loop()(w + begin, g + begin, m + begin, v + begin, step, end - begin);
  });
}

/// The same numbers with channels next to each other in memory, also where there is but one channel.
bool kernels_channels_last(const Tensor* x, Tensor** y) {
  return tried([&] {
    auto map = x->contiguous(channels_last(*x));
    if (map.size(1) == 1) {
      // Strides of an axis of one element say nothing of memory, but libtorch chooses by them.
      auto strides = map.strides().vec();
      strides[1] = 1;
      map = map.as_strided(map.sizes(), strides);
    }
    *y = new Tensor(map);
  });
}

/// `[count, length]`: arrays of `length` numbers next to each other.
bool kernels_stacked(const float* const* arrays, int64_t count, int64_t length, Tensor** y) {
  return tried([&] {
    auto stacked = at::empty({count, length}, at::kFloat);
    float* const numbers = stacked.data_ptr<float>();
    at::parallel_for(0, count * length, at::internal::GRAIN_SIZE, [&](int64_t first, int64_t last) {
      while (first < last) {
        const int64_t start = first % length;
        const int64_t here = std::min(last - first, length - start);
        std::copy_n(arrays[first / length] + start, here, numbers + first);
        first += here;
      }
    });
    *y = new Tensor(stacked);
  });
}
}
