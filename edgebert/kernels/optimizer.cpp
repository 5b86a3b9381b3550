// AdamW of a table of which few rows have a gradient: edgebert.optim.TableAdamW.
#include "common.hpp"

// table, average, squares (rows, columns); moved: bool (rows,), whether a row's average or squares
// may differ from 0; changed: int64 (count,), the rows of grads (count, columns), each once.
// rate: learning rate over 1 - beta1^step; root: sqrt(1 - beta2^step).
KERNEL void adamw_rows(float* table, float* average, float* squares, uint8_t* moved,
                       const int64_t* changed, const float* grads, int64_t count, int64_t rows,
                       int64_t columns, double keep, double beta1, double beta2, double epsilon,
                       double rate, double root, [[maybe_unused]] int threads) {
    std::vector<const float*> grad(rows, nullptr);
    for (int64_t i = 0; i < count; i++) {
        grad[changed[i]] = grads + i * columns;
        moved[changed[i]] = 1;
    }
    const float kept = static_cast<float>(keep), step = static_cast<float>(rate);
    const float b1 = static_cast<float>(beta1), b2 = static_cast<float>(beta2);
    const float a1 = static_cast<float>(1 - beta1), a2 = static_cast<float>(1 - beta2);
    const float eps = static_cast<float>(epsilon), scale = static_cast<float>(root);
    const std::vector<float> none(columns, 0.0f);
    PARALLEL_FOR
    for (int64_t r = 0; r < rows; r++) {
        float* p = table + r * columns;
        if (!moved[r]) {
            if (kept != 1.0f)
                for (int64_t c = 0; c < columns; c++) p[c] *= kept;
            continue;
        }
        const float* g = grad[r] ? grad[r] : none.data();
        float *m = average + r * columns, *v = squares + r * columns;
#pragma omp simd
        for (int64_t c = 0; c < columns; c++) {
            m[c] = b1 * m[c] + a1 * g[c];
            v[c] = b2 * v[c] + a2 * g[c] * g[c];
            p[c] = p[c] * kept - step * m[c] / (std::sqrt(v[c]) / scale + eps);
        }
    }
}
