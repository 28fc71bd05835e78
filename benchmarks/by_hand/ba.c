/* The Jacobian of bundle adjustment, observation by observation: 2 rows of 11, 3 and 1. */
#include <math.h>

static void rows(const double *cam, const double *x, double w, const double *feat, double *j0, double *j1) {
    double d[3] = {x[0] - cam[3], x[1] - cam[4], x[2] - cam[5]}, p[3], rot[3][3], by[3][3]; /* p, dp/dd, dp/dr */
    double square = cam[0] * cam[0] + cam[1] * cam[1] + cam[2] * cam[2], angle = sqrt(square);
    double c = cos(angle), s = sin(angle), a[3] = {cam[0] / angle, cam[1] / angle, cam[2] / angle};
    double across[3] = {a[1] * d[2] - a[2] * d[1], a[2] * d[0] - a[0] * d[2], a[0] * d[1] - a[1] * d[0]};
    double along = a[0] * d[0] + a[1] * d[1] + a[2] * d[2];
    for (int i = 0; i < 3; i++) {
        p[i] = d[i] * c + across[i] * s + a[i] * along * (1 - c);
        for (int j = 0; j < 3; j++)
            rot[i][j] = a[i] * a[j] * (1 - c) + (i == j) * c;
    }
    rot[0][1] -= a[2] * s, rot[0][2] += a[1] * s, rot[1][0] += a[2] * s;
    rot[1][2] -= a[0] * s, rot[2][0] -= a[1] * s, rot[2][1] += a[0] * s;
    for (int k = 0; k < 3; k++) {
        double e[3];
        for (int j = 0; j < 3; j++)
            e[j] = ((j == k) - a[j] * a[k]) / angle;
        double turned[3] = {e[1] * d[2] - e[2] * d[1], e[2] * d[0] - e[0] * d[2], e[0] * d[1] - e[1] * d[0]};
        double slip = e[0] * d[0] + e[1] * d[1] + e[2] * d[2];
        for (int i = 0; i < 3; i++)
            by[i][k] = -d[i] * s * a[k] + turned[i] * s + across[i] * c * a[k] + e[i] * along * (1 - c) +
                       a[i] * slip * (1 - c) + a[i] * along * s * a[k];
    }
    double u = p[0] / p[2], v = p[1] / p[2], r = u * u + v * v, bend = 1 + cam[9] * r + cam[10] * r * r;
    double scale = cam[6] * bend, slope = cam[6] * (cam[9] + 2 * cam[10] * r); /* d scale / d r */
    for (int row = 0; row < 2; row++) {
        double *out = row ? j1 : j0, t = row ? v : u;
        double t_u = w * ((row ? 0 : scale) + t * slope * 2 * u), t_v = w * ((row ? scale : 0) + t * slope * 2 * v);
        double by_p[3] = {t_u / p[2], t_v / p[2], -(t_u * u + t_v * v) / p[2]};
        for (int k = 0; k < 3; k++) {
            double by_d = by_p[0] * rot[0][k] + by_p[1] * rot[1][k] + by_p[2] * rot[2][k];
            out[k] = by_p[0] * by[0][k] + by_p[1] * by[1][k] + by_p[2] * by[2][k];
            out[3 + k] = -by_d;
            out[11 + k] = by_d;
        }
        out[6] = w * t * bend;
        out[7] = row ? 0 : w;
        out[8] = row ? w : 0;
        out[9] = w * t * cam[6] * r;
        out[10] = w * t * cam[6] * r * r;
        out[14] = scale * t + cam[7 + row] - feat[row];
    }
}

void jacobian(long n, long m, long p, const double *cams, const double *points, const double *weights,
              const double *feats, double *values, double *by_weights) {
    for (long i = 0; i < p; i++) {
        rows(cams + 11 * (i % n), points + 3 * (i % m), weights[i], feats + 2 * i, values + 30 * i, values + 30 * i + 15);
        by_weights[i] = -2.0 * weights[i];
    }
}
