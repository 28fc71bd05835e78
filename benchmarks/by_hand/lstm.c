/* The gradient of the two-layer recurrent network: the gates of each step are kept, then back through time. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }

enum { FORGET, INTO, OUT, CHANGE, CELL, TANH, HIDDEN, KEPT }; /* of each layer at each step, before and after */

void gradient(long layers, long b, long length, const double *main, const double *extra, const double *state,
              const double *seq, double *main_bar, double *extra_bar) {
    long steps = length - 1, per = KEPT * b, row = layers * per;
    double *room = calloc((steps + 1) * row + steps * b + 3 * b + 2 * layers * b, sizeof(double));
    double *kept = room + row, *ys = room + (steps + 1) * row, *x = ys + steps * b, *x_bar = x + b, *y = x_bar + b,
           *h_bar = y + b, *c_bar = h_bar + layers * b;
    for (long k = 0; k < layers; k++) { /* the row before the first step holds the state at the start */
        memcpy(kept - row + k * per + HIDDEN * b, state + 2 * k * b, b * sizeof(double));
        memcpy(kept - row + k * per + CELL * b, state + (2 * k + 1) * b, b * sizeof(double));
    }
    for (long t = 0; t < steps; t++) {
        for (long j = 0; j < b; j++)
            x[j] = seq[t * b + j] * extra[j];
        for (long k = 0; k < layers; k++) {
            const double *w = main + 8 * k * b, *bias = w + 4 * b, *before = kept + (t - 1) * row + k * per;
            double *now = kept + t * row + k * per;
            for (long j = 0; j < b; j++) {
                double h = before[HIDDEN * b + j];
                double f = sigmoid(x[j] * w[j] + bias[j]), i = sigmoid(x[j] * w[b + j] + bias[b + j]);
                double o = sigmoid(h * w[2 * b + j] + bias[2 * b + j]), g = tanh(h * w[3 * b + j] + bias[3 * b + j]);
                double c = before[CELL * b + j] * f + o * g, u = tanh(c);
                now[FORGET * b + j] = f, now[INTO * b + j] = i, now[OUT * b + j] = o, now[CHANGE * b + j] = g;
                now[CELL * b + j] = c, now[TANH * b + j] = u, now[HIDDEN * b + j] = i * u;
                x[j] = i * u;
            }
        }
        double total = 2.0;
        for (long j = 0; j < b; j++)
            total += ys[t * b + j] = exp(x[j] * extra[b + j] + extra[2 * b + j]);
        for (long j = 0; j < b; j++)
            ys[t * b + j] /= total;
    }
    memset(main_bar, 0, 8 * layers * b * sizeof(double));
    memset(extra_bar, 0, 3 * b * sizeof(double));
    double scale = -1.0 / (b * steps);
    for (long t = steps - 1; t >= 0; t--) {
        const double *top = kept + t * row + (layers - 1) * per + HIDDEN * b;
        double sum = 0.0;
        for (long j = 0; j < b; j++)
            sum += seq[(t + 1) * b + j];
        for (long j = 0; j < b; j++) {
            double y_bar = scale * (seq[(t + 1) * b + j] - sum * ys[t * b + j]);
            extra_bar[b + j] += y_bar * top[j];
            extra_bar[2 * b + j] += y_bar;
            x_bar[j] = y_bar * extra[b + j];
        }
        for (long k = layers - 1; k >= 0; k--) {
            const double *w = main + 8 * k * b, *now = kept + t * row + k * per, *before = now - row;
            double *w_bar = main_bar + 8 * k * b, *bias_bar = w_bar + 4 * b;
            const double *in = k ? now - per + HIDDEN * b : NULL;
            for (long j = 0; j < b; j++) {
                double f = now[FORGET * b + j], i = now[INTO * b + j], o = now[OUT * b + j], g = now[CHANGE * b + j];
                double u = now[TANH * b + j], h = before[HIDDEN * b + j];
                double xj = in ? in[j] : seq[t * b + j] * extra[j];
                double out_bar = x_bar[j] + h_bar[k * b + j];
                double cell_bar = c_bar[k * b + j] + out_bar * i * (1 - u * u);
                double pf = cell_bar * before[CELL * b + j] * f * (1 - f), pi = out_bar * u * i * (1 - i);
                double po = cell_bar * g * o * (1 - o), pg = cell_bar * o * (1 - g * g);
                w_bar[j] += pf * xj, w_bar[b + j] += pi * xj, w_bar[2 * b + j] += po * h, w_bar[3 * b + j] += pg * h;
                bias_bar[j] += pf, bias_bar[b + j] += pi, bias_bar[2 * b + j] += po, bias_bar[3 * b + j] += pg;
                x_bar[j] = pf * w[j] + pi * w[b + j];
                h_bar[k * b + j] = po * w[2 * b + j] + pg * w[3 * b + j];
                c_bar[k * b + j] = cell_bar * f;
            }
        }
        for (long j = 0; j < b; j++)
            extra_bar[j] += x_bar[j] * seq[t * b + j];
    }
    free(room);
}
