// edgebert.integer_ops._IntegerLayerNorm (docs/arithmetic.md, LayerNorm), in float64: every
// product and sum of these integers is below 2^53.
#include "common.hpp"

struct NormFormats {
    double scale;       // 2^fraction_bits of x
    double mean_factor; // round(2^24 / columns)
    double output_factor;  // 2^-(q + g - f)
    double largest;     // 2^(W - 1)
    double step;        // 2^-f
    int32_t index_bits; // b
    int32_t norm_bits;  // q
};

// x (rows, columns) on the grid 1 / scale; mean, rstd (rows,) in the unit of x, for the gradient
KERNEL void layer_norm_forward(const float* x, const double* gamma, const double* beta,
                               const double* table, const NormFormats* formats, float* y,
                               float* mean, float* rstd, int64_t rows, int64_t columns,
                               int threads) {
    const NormFormats f = *formats;
    const double unit = 1.0 / f.scale, first = std::ldexp(1.0, f.index_bits - 2);
    PARALLEL_FOR
    for (int64_t r = 0; r < rows; r++) {
        const float* in = x + r * columns;
        float* out = y + r * columns;
        double sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t c = 0; c < columns; c++) sum += in[c] * f.scale;
        const double mu = std::floor(sum * f.mean_factor * 0x1p-24 + 0.5);
#pragma omp simd reduction(+ : squares)
        for (int64_t c = 0; c < columns; c++) {
            double d = in[c] * f.scale - mu;
            squares += d * d;
        }
        int length = 0;
        std::frexp(squares, &length);  // bit length; 0 for V = 0
        const int k = (length - f.index_bits + 1) >> 1;  // floor
        const double index = std::max(std::floor(std::ldexp(squares, -2 * k)), first);
        const double factor = std::ldexp(table[static_cast<int64_t>(index - first)],
                                         f.norm_bits - 14 - f.index_bits / 2 - k);
#pragma omp simd
        for (int64_t c = 0; c < columns; c++) {
            double z = std::floor((in[c] * f.scale - mu) * factor + 0.5);
            double v = std::floor((z * gamma[c] + beta[c]) * f.output_factor + 0.5);
            v = v < -f.largest ? -f.largest : (v > f.largest - 1 ? f.largest - 1 : v);
            out[c] = static_cast<float>(v * f.step);
        }
        mean[r] = static_cast<float>(mu * unit);
        const double variance = squares * (unit * unit / static_cast<double>(columns));
        rstd[r] = static_cast<float>(1.0 / std::sqrt(std::max(variance, unit * unit)));
    }
}
