/* The gradient of the last component in x: the states at the steps are kept, the slopes within a step found again. */
#include <stdlib.h>

static void slope(const double *x, const double *y, long n, double *k) {
    k[0] = x[0];
    for (long i = 1; i < n; i++)
        k[i] = x[i] * y[i - 1];
}

/* Pull k_bar through slope(x, y): added to x_bar; written to y_bar. */
static void pull(const double *x, const double *y, const double *k_bar, long n, double *x_bar, double *y_bar) {
    x_bar[0] += k_bar[0];
    for (long i = 1; i < n; i++) {
        x_bar[i] += y[i - 1] * k_bar[i];
        y_bar[i - 1] = x[i] * k_bar[i];
    }
    y_bar[n - 1] = 0.0;
}

static void moved(const double *y, double h, const double *k, long n, double *out) {
    for (long i = 0; i < n; i++)
        out[i] = y[i] + h * k[i];
}

void gradient(const double *x, long n, long steps, double *x_bar) {
    double h = 2.0 / steps, *room = malloc((steps + 14) * n * sizeof(double)), *ys = room;
    double *k1 = room + (steps + 1) * n, *k2 = k1 + n, *k3 = k2 + n, *k4 = k3 + n, *y2 = k4 + n, *y3 = y2 + n,
           *y4 = y3 + n, *b = y4 + n, *b1 = b + n, *b2 = b1 + n, *b3 = b2 + n, *b4 = b3 + n, *c = b4 + n;
    for (long i = 0; i < n; i++)
        ys[i] = x_bar[i] = b[i] = 0.0;
    for (long s = 0; s < steps; s++) {
        double *y = ys + s * n;
        slope(x, y, n, k1);
        moved(y, h / 2, k1, n, y2);
        slope(x, y2, n, k2);
        moved(y, h / 2, k2, n, y3);
        slope(x, y3, n, k3);
        moved(y, h, k3, n, y4);
        slope(x, y4, n, k4);
        for (long i = 0; i < n; i++)
            y[n + i] = y[i] + h / 6 * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]);
    }
    b[n - 1] = 1.0;
    for (long s = steps - 1; s >= 0; s--) {
        double *y = ys + s * n;
        slope(x, y, n, k1);
        moved(y, h / 2, k1, n, y2);
        slope(x, y2, n, k2);
        moved(y, h / 2, k2, n, y3);
        slope(x, y3, n, k3);
        moved(y, h, k3, n, y4);
        for (long i = 0; i < n; i++) {
            b1[i] = b4[i] = h / 6 * b[i];
            b2[i] = b3[i] = h / 3 * b[i];
        }
        pull(x, y4, b4, n, x_bar, c);
        for (long i = 0; i < n; i++) {
            b[i] += c[i];
            b3[i] += h * c[i];
        }
        pull(x, y3, b3, n, x_bar, c);
        for (long i = 0; i < n; i++) {
            b[i] += c[i];
            b2[i] += h / 2 * c[i];
        }
        pull(x, y2, b2, n, x_bar, c);
        for (long i = 0; i < n; i++) {
            b[i] += c[i];
            b1[i] += h / 2 * c[i];
        }
        pull(x, y, b1, n, x_bar, c);
        for (long i = 0; i < n; i++)
            b[i] += c[i];
    }
    free(room);
}
