// Batch norm in training, with the addition of the skip path and the ReLU that follow it, in one pass each way.
//
// Memory is channels-last: an image is `pixels` rows of `channels` numbers, float32 or bfloat16 (as uint16_t).
// Sums run over an image in float32 and over a group's images in double, in a fixed order, so the result does not
// depend on the number of threads. Compiled by networks/fused.py; called through ctypes.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

inline float load(float value) { return value; }

inline float load(uint16_t value) {
    uint32_t bits = static_cast<uint32_t>(value) << 16;
    float result;
    std::memcpy(&result, &bits, sizeof result);
    return result;
}

inline void store(float* place, float value) { *place = value; }

inline void store(uint16_t* place, float value) {  // round to nearest, ties to even; NaN stays NaN
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    *place = static_cast<uint16_t>(value != value ? 0x7fc0u : rounded);
}

// A row of few channels is too short for vectors: several pixels are taken as one row, `fold` of them.
long fold_of(long pixels, long channels) {
    long fold = 1;
    while (fold * 2 * channels <= 64 && pixels % (fold * 2) == 0) fold *= 2;
    return fold;
}

struct Floats {  // a work array
    std::vector<float> memory;
    explicit Floats(long size) : memory(size, 0.0f) {}
    float* at(long index) { return memory.data() + index; }
};

void repeat(const float* values, long channels, long fold, float* out) {
    for (long copy = 0; copy < fold; ++copy) std::copy(values, values + channels, out + copy * channels);
}

void gather(const float* sums, long channels, long fold, float* out) {
    for (long c = 0; c < channels; ++c) {
        float sum = 0;
        for (long copy = 0; copy < fold; ++copy) sum += sums[copy * channels + c];
        out[c] = sum;
    }
}

template <typename T>
void forward(const T* x, const T* skip, T* y, const float* weight, const float* bias, float* mean, float* invstd,
             float* running_mean, float* running_var, long images, long group, long pixels, long channels, double eps,
             double momentum, int relu, int threads) {
    const long C = channels, size = pixels * C, fold = fold_of(pixels, C), width = fold * C, rows = pixels / fold;
    const long groups = (images + group - 1) / group;
    Floats partial(images * 2 * C), scale(groups * width), shift(groups * width), pivot(groups * width);
    for (long g = 0; g < groups; ++g) {  // sums of x - pivot do not cancel
        float* p = pivot.at(g * width);
        for (long c = 0; c < C; ++c) p[c] = load(x[g * group * size + c]);
        repeat(p, C, fold, p);
    }

#pragma omp parallel for schedule(static) num_threads(threads)
    for (long n = 0; n < images; ++n) {
        Floats sums(2 * width);
        float *sum = sums.at(0), *square = sums.at(width);
        const float* p = pivot.at(n / group * width);
        const T* row = x + n * size;
        long r = 0;
        for (; r + 4 <= rows; r += 4, row += 4 * width) {
#pragma omp simd
            for (long j = 0; j < width; ++j) {
                const float a = load(row[j]) - p[j], b = load(row[width + j]) - p[j];
                const float c = load(row[2 * width + j]) - p[j], d = load(row[3 * width + j]) - p[j];
                sum[j] += (a + b) + (c + d);
                square[j] += (a * a + b * b) + (c * c + d * d);
            }
        }
        for (; r < rows; ++r, row += width) {
#pragma omp simd
            for (long j = 0; j < width; ++j) {
                const float a = load(row[j]) - p[j];
                sum[j] += a;
                square[j] += a * a;
            }
        }
        gather(sum, C, fold, partial.at(n * 2 * C));
        gather(square, C, fold, partial.at(n * 2 * C + C));
    }

    std::vector<double> new_mean(C, 0.0), new_var(C, 0.0);
    for (long g = 0; g < groups; ++g) {
        const long first = g * group, last = std::min(images, first + group);
        const double count = static_cast<double>(last - first) * pixels, share = double(last - first) / images;
        for (long c = 0; c < C; ++c) {
            double sum = 0, square = 0;
            for (long n = first; n < last; ++n) {
                sum += *partial.at(n * 2 * C + c);
                square += *partial.at(n * 2 * C + C + c);
            }
            const double offset = sum / count, m = *pivot.at(g * width + c) + offset;
            double var = square / count - offset * offset;
            if (var < 0) var = 0;  // a NaN stays
            const double inverse = 1.0 / std::sqrt(var + eps);
            mean[g * C + c] = static_cast<float>(m);
            invstd[g * C + c] = static_cast<float>(inverse);
            *scale.at(g * width + c) = static_cast<float>(weight[c] * inverse);
            *shift.at(g * width + c) = static_cast<float>(bias[c] - m * weight[c] * inverse);
            new_mean[c] += share * m;
            new_var[c] += share * var * (count > 1 ? count / (count - 1) : 1.0);
        }
        repeat(scale.at(g * width), C, fold, scale.at(g * width));
        repeat(shift.at(g * width), C, fold, shift.at(g * width));
    }
    for (long c = 0; c < C; ++c) {
        running_mean[c] += static_cast<float>(momentum * (new_mean[c] - running_mean[c]));
        running_var[c] += static_cast<float>(momentum * (new_var[c] - running_var[c]));
    }

    const float floor = relu ? 0.0f : -INFINITY;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (long n = 0; n < images; ++n) {
        const float *a = scale.at(n / group * width), *b = shift.at(n / group * width);
        for (long r = 0; r < rows; ++r) {
            const T* in = x + n * size + r * width;
            T* out = y + n * size + r * width;
            if (skip != nullptr) {
                const T* add = skip + n * size + r * width;
#pragma omp simd
                for (long j = 0; j < width; ++j) {
                    const float value = load(in[j]) * a[j] + b[j] + load(add[j]);
                    store(out + j, value < floor ? floor : value);
                }
            } else {
#pragma omp simd
                for (long j = 0; j < width; ++j) {
                    const float value = load(in[j]) * a[j] + b[j];
                    store(out + j, value < floor ? floor : value);
                }
            }
        }
    }
}

// `y` is given where a skip path was added; then `masked` receives the gradient of both summands. Without it the
// ReLU's mask is that of x * scale + shift.
template <typename T>
void backward(const T* gradient, const T* x, const T* y, T* masked, T* dx, const float* weight, const float* bias,
              const float* mean, const float* invstd, float* dweight, float* dbias, long images, long group,
              long pixels, long channels, int relu, int threads) {
    const long C = channels, size = pixels * C, fold = fold_of(pixels, C), width = fold * C, rows = pixels / fold;
    const long groups = (images + group - 1) / group;
    Floats partial(images * 2 * C), scale(groups * width), shift(groups * width), means(groups * width);
    Floats of_x(groups * width), constant(groups * width);
    for (long g = 0; g < groups; ++g) {
        for (long c = 0; c < C; ++c) {
            const double a = static_cast<double>(weight[c]) * invstd[g * C + c];
            *scale.at(g * width + c) = static_cast<float>(a);
            *shift.at(g * width + c) = static_cast<float>(bias[c] - mean[g * C + c] * a);
        }
        repeat(scale.at(g * width), C, fold, scale.at(g * width));
        repeat(shift.at(g * width), C, fold, shift.at(g * width));
        repeat(mean + g * C, C, fold, means.at(g * width));
    }
    const float floor = relu ? 0.0f : -INFINITY;

#pragma omp parallel for schedule(static) num_threads(threads)
    for (long n = 0; n < images; ++n) {
        Floats sums(2 * width);
        float *sum = sums.at(0), *product = sums.at(width);
        const float *a = scale.at(n / group * width), *b = shift.at(n / group * width);
        const float* m = means.at(n / group * width);
        for (long r = 0; r < rows; ++r) {
            const long start = n * size + r * width;
            const T *grad = gradient + start, *in = x + start;
            if (y != nullptr) {
                const T* out = y + start;
                T* both = masked + start;
#pragma omp simd
                for (long j = 0; j < width; ++j) {
                    const float g = load(out[j]) > floor ? load(grad[j]) : 0.0f;
                    store(both + j, g);
                    sum[j] += g;
                    product[j] += g * (load(in[j]) - m[j]);
                }
            } else {
#pragma omp simd
                for (long j = 0; j < width; ++j) {
                    const float value = load(in[j]);
                    const float g = value * a[j] + b[j] > floor ? load(grad[j]) : 0.0f;
                    sum[j] += g;
                    product[j] += g * (value - m[j]);
                }
            }
        }
        gather(sum, C, fold, partial.at(n * 2 * C));
        gather(product, C, fold, partial.at(n * 2 * C + C));
    }

    std::vector<double> all_weight(C, 0.0), all_bias(C, 0.0);
    for (long g = 0; g < groups; ++g) {
        const long first = g * group, last = std::min(images, first + group);
        const double count = static_cast<double>(last - first) * pixels;
        for (long c = 0; c < C; ++c) {
            double sum = 0, product = 0;
            for (long n = first; n < last; ++n) {
                sum += *partial.at(n * 2 * C + c);
                product += *partial.at(n * 2 * C + C + c);
            }
            const double inverse = invstd[g * C + c], a = weight[c] * inverse;
            const double slope = -a * inverse * inverse * product / count;
            *of_x.at(g * width + c) = static_cast<float>(slope);
            *constant.at(g * width + c) = static_cast<float>(-a * sum / count);
            all_weight[c] += product * inverse;
            all_bias[c] += sum;
        }
        repeat(of_x.at(g * width), C, fold, of_x.at(g * width));
        repeat(constant.at(g * width), C, fold, constant.at(g * width));
    }
    for (long c = 0; c < C; ++c) {
        dweight[c] = static_cast<float>(all_weight[c]);
        dbias[c] = static_cast<float>(all_bias[c]);
    }

#pragma omp parallel for schedule(static) num_threads(threads)
    for (long n = 0; n < images; ++n) {
        const float *a = scale.at(n / group * width), *b = shift.at(n / group * width);
        const float *slope = of_x.at(n / group * width), *offset = constant.at(n / group * width);
        const float* m = means.at(n / group * width);
        for (long r = 0; r < rows; ++r) {
            const long start = n * size + r * width;
            const T* in = x + start;
            T* out = dx + start;
            if (y != nullptr) {
                const T* both = masked + start;
#pragma omp simd
                for (long j = 0; j < width; ++j) {
                    store(out + j, a[j] * load(both[j]) + slope[j] * (load(in[j]) - m[j]) + offset[j]);
                }
            } else {
                const T* grad = gradient + start;
#pragma omp simd
                for (long j = 0; j < width; ++j) {
                    const float value = load(in[j]);
                    const float g = value * a[j] + b[j] > floor ? load(grad[j]) : 0.0f;
                    store(out + j, a[j] * g + slope[j] * (value - m[j]) + offset[j]);
                }
            }
        }
    }
}

}  // namespace

#define EXPORT(NAME, TYPE)                                                                                           \
    extern "C" void forward_##NAME(const TYPE* x, const TYPE* skip, TYPE* y, const float* weight, const float* bias,  \
                                   float* mean, float* invstd, float* running_mean, float* running_var, long images, \
                                   long group, long pixels, long channels, double eps, double momentum, int relu,     \
                                   int threads) {                                                                    \
        forward<TYPE>(x, skip, y, weight, bias, mean, invstd, running_mean, running_var, images, group, pixels,      \
                      channels, eps, momentum, relu, threads);                                                       \
    }                                                                                                                \
    extern "C" void backward_##NAME(const TYPE* gradient, const TYPE* x, const TYPE* y, TYPE* masked, TYPE* dx,      \
                                    const float* weight, const float* bias, const float* mean, const float* invstd,  \
                                    float* dweight, float* dbias, long images, long group, long pixels,              \
                                    long channels, int relu, int threads) {                                          \
        backward<TYPE>(gradient, x, y, masked, dx, weight, bias, mean, invstd, dweight, dbias, images, group,        \
                       pixels, channels, relu, threads);                                                             \
    }

EXPORT(float32, float)
EXPORT(bfloat16, uint16_t)
