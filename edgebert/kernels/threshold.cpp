// Binarization of accumulators: edgebert.integer_ops._Threshold and _Requantize.
#include "common.hpp"

// bits = values >= threshold[column] ? 1 : low
KERNEL void threshold_forward(const float* values, const float* threshold, float* bits, double low,
                              int64_t rows, int64_t columns, int threads) {
    const float other = static_cast<float>(low);
    PARALLEL_FOR
    for (int64_t r = 0; r < rows; r++) {
        const float* v = values + r * columns;
        float* out = bits + r * columns;
        for (int64_t c = 0; c < columns; c++) out[c] = v[c] >= threshold[c] ? 1.0f : other;
    }
}

namespace {
struct Sums {
    float *unit, *bias, *beta, *alpha;
};

// One row of the sign's gradient; the sums for bias and beta are equal.
inline void sign_row(const float* g, const float* a, const float* unit, const float* bias,
                     const float* beta, float alpha, bool triangle, float* grad, Sums s,
                     int64_t columns) {
    float *su = s.unit, *sb = s.beta;
#pragma omp simd
    for (int64_t c = 0; c < columns; c++) {
        float z = (a[c] * unit[c] + bias[c]) + beta[c];
        float scaled = g[c] / alpha;
        float grad_z = scaled * sign_slope(z, alpha, triangle);
        su[c] += grad_z * a[c];
        sb[c] += grad_z;
        grad[c] = grad_z * unit[c];
    }
}

inline void relu_row(const float* g, const float* a, const float* unit, const float* bias,
                     const float* beta, float alpha, float* grad, Sums s, int64_t columns) {
    float *su = s.unit, *sb = s.bias, *st = s.beta, *sa = s.alpha;
#pragma omp simd
    for (int64_t c = 0; c < columns; c++) {
        float pre = a[c] * unit[c] + bias[c];
        float ratio = ((pre > 0 ? pre : 0.0f) + beta[c]) / alpha;
        float scaled = g[c] / alpha;
        float grad_z = (ratio >= 0) & (ratio <= 1) ? scaled : 0.0f;
        float grad_pre = pre > 0 ? grad_z : 0.0f;
        su[c] += grad_pre * a[c];
        sb[c] += grad_pre;
        st[c] += grad_z;
        sa[c] -= grad_z * ratio;
        grad[c] = grad_pre * unit[c];
    }
}
}  // namespace

// Gradients of the threshold of a linear layer. unit, bias, beta: (columns,); sums: (4, columns),
// the gradients of unit, bias, beta and alpha before their reduction to a scalar.
KERNEL void threshold_backward(const float* grads, const float* values, const float* unit,
                               const float* bias, const float* beta, const float* alpha,
                               int64_t relu, int64_t triangle, float* grad_values, float* sums,
                               int64_t rows, int64_t columns, int threads) {
    std::vector<float> partial(BLOCKS * 4 * columns, 0.0f);
    PARALLEL_FOR
    for (int64_t block = 0; block < BLOCKS; block++) {
        float* p = partial.data() + block * 4 * columns;
        Sums s{p, p + columns, p + 2 * columns, p + 3 * columns};
        Block range = block_of(rows, block);
        for (int64_t r = range.begin; r < range.end; r++) {
            int64_t at = r * columns;
            const float *g = grads + at, *a = values + at;
            float* grad = grad_values + at;
            if (relu)
                relu_row(g, a, unit, bias, beta, *alpha, grad, s, columns);
            else
                sign_row(g, a, unit, bias, beta, *alpha, triangle, grad, s, columns);
        }
    }
    add_blocks(partial, sums, 4 * columns);
    if (!relu) std::copy(sums + 2 * columns, sums + 3 * columns, sums + columns);
}

// floor((a * multiplier + offset[column]) * 2^-n + 1/2) * step, in float64
KERNEL void requantize_forward(const float* values, const double* offset, double multiplier,
                               double factor, double half, double step, float* result,
                               int64_t rows, int64_t columns, int threads) {
    PARALLEL_FOR
    for (int64_t r = 0; r < rows; r++) {
        const float* a = values + r * columns;
        float* out = result + r * columns;
        for (int64_t c = 0; c < columns; c++) {
            double wide = (a[c] * multiplier + offset[c]) * factor;
            if (half != 0) wide = std::floor(wide + half);
            out[c] = static_cast<float>(wide * step);
        }
    }
}

// Gradient of unit * a + bias[column]; sums: (2, columns) of g * a and of g.
KERNEL void affine_backward(const float* grads, const float* values, const float* unit,
                            float* grad_values, float* sums, int64_t rows, int64_t columns,
                            int threads) {
    const float factor = *unit;
    std::vector<float> partial(BLOCKS * 2 * columns, 0.0f);
    PARALLEL_FOR
    for (int64_t block = 0; block < BLOCKS; block++) {
        float* su = partial.data() + block * 2 * columns;
        float* sb = su + columns;
        Block range = block_of(rows, block);
        for (int64_t r = range.begin; r < range.end; r++) {
            const float *g = grads + r * columns, *a = values + r * columns;
            float* out = grad_values + r * columns;
#pragma omp simd
            for (int64_t c = 0; c < columns; c++) {
                su[c] += g[c] * a[c];
                sb[c] += g[c];
                out[c] = g[c] * factor;
            }
        }
    }
    add_blocks(partial, sums, 2 * columns);
}

// clip(x + y, low, high)
KERNEL void saturating_add(const float* x, const float* y, float* result, double lowest,
                           double highest, int64_t count, int threads) {
    const float low = static_cast<float>(lowest), high = static_cast<float>(highest);
    PARALLEL_FOR
    for (int64_t block = 0; block < BLOCKS; block++) {
        Block range = block_of(count, block);
#pragma omp simd
        for (int64_t i = range.begin; i < range.end; i++) {
            float sum = x[i] + y[i];
            result[i] = sum < low ? low : (sum > high ? high : sum);
        }
    }
}
