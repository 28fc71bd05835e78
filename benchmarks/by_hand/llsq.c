/* The gradient of least squares: one pass over the points, with the powers of each kept for the way back. */
#include <stdlib.h>

void gradient(const double *x, long m, long n, double *x_bar) {
    double *powers = malloc(m * sizeof(double));
    for (long j = 0; j < m; j++)
        x_bar[j] = 0.0;
    for (long i = 0; i < n; i++) {
        double t = -1.0 + 2.0 * i / (n - 1), power = 1.0, fit = 0.0;
        for (long j = 0; j < m; j++) {
            powers[j] = power;
            fit += x[j] * power;
            power *= t;
        }
        double r = ((t > 0) - (t < 0)) - fit;
        for (long j = 0; j < m; j++)
            x_bar[j] -= r * powers[j];
    }
    free(powers);
}
