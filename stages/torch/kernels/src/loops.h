// Loops over feature maps whose channels are next to each other in memory.
//
// Nothing here knows of libtorch: the loops are compiled once for each kind of processor, and what is
// inline in a header of libtorch would then exist in several versions under one name.

#pragma once

#include <cstddef>
#include <cstdint>

namespace kernels {

/// The upper half of a float.
struct Bfloat16 {
  uint16_t bits;
};

/// Places of the greatest voxel of a window are 0 to 7, in the order of memory; this is added where no
/// voxel was above zero.
constexpr uint8_t NONE_ABOVE_ZERO = 0x80;

/// Maps of `depth · height · width` voxels, and what pooling by two makes of them. Maps with two axes have
/// a depth of one, which is not pooled.
struct Geometry {
  int64_t channels;
  int64_t depth, height, width;
  int64_t pooled_depth, pooled_height, pooled_width;
  bool is_flat;

  int64_t pooled_rows() const { return pooled_depth * pooled_height; }
};

/// For each channel: what a voxel's gradient is made of, (x − mean)·slope + shift + scale·gradient.
struct Gradient {
  const float* mean;
  const float* slope;
  const float* shift;
  const float* scale;
};

/// A convolution of one channel by kernels of 3·3·3: `rows` of `width` voxels, `depth · height` of them in each
/// image. There are a multiple of eight output channels.
struct First {
  int64_t channels;
  int64_t depth, height, width;
};

/// Numbers of its kernel for each output channel; they lie as `[TAPS, channels]`.
constexpr int TAPS = 27;

/// One step of Adam: Kingma and Ba 2015, as `torch.optim` has it.
struct Adam {
  /// What the weights are multiplied with first, and what of them is added to the gradient.
  float keep, decay;
  /// Shares of what is new in the moments.
  float first, second;
  /// √(1 − β₂ᵗ), ε, and the learning rate over 1 − β₁ᵗ.
  float correction, epsilon, rate;
};

/// The loops for maps of numbers `T`.
template <class T>
struct Loops {
  /// Mean, and sum of squared differences from it, of each channel.
  void (*moments)(const T* x, int64_t rows, int64_t channels, double* mean, double* squares);

  /// y = x·scale + shift, at least zero if `rectify`.
  void (*normalise)(const T* x, const float* scale, const float* shift, bool rectify, T* y,
                    int64_t rows, int64_t channels);

  /// The greatest of y in each window of pooled rows `begin` to `end`, at least zero; where wanted, which
  /// x it was and where.
  void (*pool)(const T* x, const Geometry& geometry, const float* scale, const float* shift, T* y, T* chosen,
               uint8_t* places, int64_t begin, int64_t end);

  /// Σ g and Σ g·(x − mean) of each channel, over g whose `y` is above zero; all, if `y` is null.
  void (*sums)(const T* gradient, const T* x, const T* y, const float* mean, int64_t rows, int64_t channels,
               double* sum, double* product);

  /// The same over windows in which a voxel was above zero.
  void (*sums_of_pooled)(const T* gradient, const T* chosen, const uint8_t* places, const float* mean, int64_t rows,
                         int64_t channels, double* sum, double* product);

  /// The gradient of x, which may be written over x.
  void (*back)(const T* gradient, const T* x, const T* y, const Gradient& how, T* of_x, int64_t rows,
               int64_t channels);

  /// The same through pooling.
  void (*back_pooled)(const T* gradient, const T* x, const uint8_t* places, const Geometry& geometry,
                      const Gradient& how, T* of_x, int64_t begin, int64_t end);

  /// Puts the voxels of pooled rows back to their places, zeros elsewhere.
  void (*unpool)(const T* x, const uint8_t* places, const Geometry& geometry, T* y, int64_t begin, int64_t end);

  /// The gradient of what was put back.
  void (*back_unpooled)(const T* gradient, const uint8_t* places, const Geometry& geometry, T* of_x, int64_t begin,
                        int64_t end);
};

#define DECLARE(capability)             \
  namespace capability {                \
  /** Weights, gradient, and both moments, of which all but the gradient change. */ \
  void adam(float* weights, const float* gradient, float* first, float* second, const Adam& how, int64_t length); \
  /** Rows `begin` to `end` of the map, the first of them at `y`. */ \
  void convolve_first(const float* x, const float* weight, const float* bias, const First& f, float* y, \
                      int64_t begin, int64_t end); \
  /** Adds what these rows give to the gradients of the weights. */ \
  void back_first_weight(const float* gradient, const float* x, const First& f, double* of_weight, double* of_bias, \
                         int64_t begin, int64_t end); \
  /** Rows of the gradient of the image. */ \
  void back_first_data(const float* gradient, const float* weight, const First& f, float* of_x, int64_t begin, \
                       int64_t end); \
  /** Pooled rows `begin` to `end` of what convolution, norm and ReLU make, as `Loops::pool` has them. */ \
  void pool_first(const float* x, const float* weight, const float* bias, const First& f, const float* scale, \
                  const float* shift, float* y, float* chosen, uint8_t* places, int64_t begin, int64_t end); \
  /** What these rows give to the gradients of the weights, and those of the map, each where wanted. */ \
  void back_pool_first(const float* gradient, const uint8_t* places, const float* x, const float* weight, \
                       const float* bias, const First& f, const Gradient& how, double* of_weight, double* of_bias, \
                       float* of_map, int64_t begin, int64_t end); \
  extern const Loops<float> floats;     \
  extern const Loops<Bfloat16> halves;  \
  }

DECLARE(plain)
DECLARE(avx2)
DECLARE(avx512)

#undef DECLARE

}  // namespace kernels
