/* Recursive functions, and their derivatives by hand: of the first two the slope, which needs nothing kept, of the
   last the adjoint, which keeps what each inner node has seen. */
#include <math.h>
#include <stdlib.h>

double fib(double n, double x) { return n < 2.0 ? x * n + 1.0 : fib(n - 1.0, x) * 0.6 + fib(n - 2.0, x) * 0.4; }

double fib_slope(double n, double x, double seed) {
    return n < 2.0 ? seed * n : fib_slope(n - 1.0, x, seed * 0.6) + fib_slope(n - 2.0, x, seed * 0.4);
}

static double simpson(double a, double b, double w) {
    double m = 0.5 * (a + b);
    return (b - a) / 6.0 * (sin(w * a * a) + 4.0 * sin(w * m * m) + sin(w * b * b));
}

static double simpson_slope(double a, double b, double w) {
    double m = 0.5 * (a + b);
    return (b - a) / 6.0 * (a * a * cos(w * a * a) + 4.0 * m * m * cos(w * m * m) + b * b * cos(w * b * b));
}

double integral(double a, double b, double w, double tolerance) {
    double m = 0.5 * (a + b), whole = simpson(a, b, w), halves = simpson(a, m, w) + simpson(m, b, w);
    if (fabs(halves - whole) <= tolerance)
        return halves;
    return integral(a, m, w, 0.5 * tolerance) + integral(m, b, w, 0.5 * tolerance);
}

double integral_slope(double a, double b, double w, double tolerance) {
    double m = 0.5 * (a + b), whole = simpson(a, b, w), halves = simpson(a, m, w) + simpson(m, b, w);
    if (fabs(halves - whole) <= tolerance)
        return simpson_slope(a, m, w) + simpson_slope(m, b, w);
    return integral_slope(a, m, w, 0.5 * tolerance) + integral_slope(m, b, w, 0.5 * tolerance);
}

double tree(const double *x, long low, long high) {
    if (high - low == 1)
        return x[low];
    long middle = (low + high) / 2;
    double left = tree(x, low, middle), right = tree(x, middle, high);
    return left * right / (left + right);
}

static double forward(const double *x, long low, long high, double **top) {
    if (high - low == 1)
        return x[low];
    long middle = (low + high) / 2;
    double left = forward(x, low, middle, top), right = forward(x, middle, high, top);
    *(*top)++ = left;
    *(*top)++ = right;
    return left * right / (left + right);
}

static void backward(long low, long high, double seed, double **top, double *x_bar) {
    if (high - low == 1) {
        x_bar[low] += seed;
        return;
    }
    long middle = (low + high) / 2;
    double right = *--*top, left = *--*top, sum = left + right;
    backward(middle, high, seed * (left / sum) * (left / sum), top, x_bar);
    backward(low, middle, seed * (right / sum) * (right / sum), top, x_bar);
}

double tree_adjoint(const double *x, long n, double *x_bar) {
    double *kept = malloc(2 * n * sizeof(double)), *top = kept;
    for (long i = 0; i < n; i++)
        x_bar[i] = 0.0;
    double value = forward(x, 0, n, &top);
    backward(0, n, 1.0, &top, x_bar);
    free(kept);
    return value;
}
