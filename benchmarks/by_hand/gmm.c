/* The gradient of the Gaussian mixture in alpha, mu, q and l, accumulated point by point. */
#include <math.h>
#include <stdlib.h>

void gradient(long d, long k, long n, const double *alpha, const double *mu, const double *q, const double *l,
              const double *x, double gamma, double m, double *alpha_bar, double *mu_bar, double *q_bar,
              double *l_bar) {
    long ld = d * (d - 1) / 2;
    double *room = calloc(2 * k * d * d + 2 * k * d + 2 * k + k + d, sizeof(double));
    double *t = room, *t_bar = t + k * d * d, *v = t_bar + k * d * d, *c = v + k * d, *beta = c + k * d,
           *sums = beta + k, *sums_bar = sums + k;
    for (long j = 0; j < k; j++) {
        double *tj = t + j * d * d;
        const double *lj = l + j * ld;
        for (long a = 0; a < d; a++) {
            tj[a * d + a] = exp(q[j * d + a]);
            sums[j] += q[j * d + a];
            for (long b = a + 1; b < d; b++)
                tj[b * d + a] = *lj++;
        }
        alpha_bar[j] = 0.0;
        for (long a = 0; a < d; a++)
            mu_bar[j * d + a] = 0.0;
    }
    for (long i = 0; i < n; i++) {
        double top = -INFINITY, total = 0.0;
        for (long j = 0; j < k; j++) {
            const double *tj = t + j * d * d;
            double square = 0.0;
            for (long a = 0; a < d; a++)
                c[j * d + a] = x[i * d + a] - mu[j * d + a];
            for (long a = 0; a < d; a++) {
                double s = 0.0;
                for (long b = 0; b <= a; b++)
                    s += tj[a * d + b] * c[j * d + b];
                v[j * d + a] = s;
                square += s * s;
            }
            beta[j] = alpha[j] - 0.5 * square + sums[j];
            if (beta[j] > top)
                top = beta[j];
        }
        for (long j = 0; j < k; j++)
            total += beta[j] = exp(beta[j] - top);
        for (long j = 0; j < k; j++) {
            double p = beta[j] / total, *tj = t + j * d * d, *bj = t_bar + j * d * d;
            alpha_bar[j] += p;
            sums_bar[j] += p;
            for (long a = 0; a < d; a++) {
                double pv = p * v[j * d + a];
                for (long b = 0; b <= a; b++) {
                    bj[a * d + b] -= pv * c[j * d + b];
                    mu_bar[j * d + b] += pv * tj[a * d + b];
                }
            }
        }
    }
    double top = -INFINITY, total = 0.0;
    for (long j = 0; j < k; j++)
        top = alpha[j] > top ? alpha[j] : top;
    for (long j = 0; j < k; j++)
        total += exp(alpha[j] - top);
    for (long j = 0; j < k; j++) {
        alpha_bar[j] -= n * exp(alpha[j] - top) / total;
        double *tj = t + j * d * d, *bj = t_bar + j * d * d, *lj = l_bar + j * ld;
        for (long a = 0; a < d; a++) {
            double own = bj[a * d + a] - gamma * gamma * tj[a * d + a];
            q_bar[j * d + a] = own * tj[a * d + a] + sums_bar[j] + m;
            for (long b = a + 1; b < d; b++)
                *lj++ = bj[b * d + a] - gamma * gamma * tj[b * d + a];
        }
    }
    free(room);
}
