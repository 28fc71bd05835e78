/* The gradient of log-sum-exp is the softmax. */
#include <math.h>

void gradient(const double *x, long n, double *x_bar) {
    double top = x[0], total = 0.0;
    for (long i = 1; i < n; i++)
        if (x[i] > top)
            top = x[i];
    for (long i = 0; i < n; i++) {
        x_bar[i] = exp(x[i] - top);
        total += x_bar[i];
    }
    for (long i = 0; i < n; i++)
        x_bar[i] /= total;
}
