/* The Jacobian of hand tracking: an angle of a finger moves only that finger's four bones. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef double Matrix[4][4];

static void product(Matrix a, Matrix b, Matrix out) {
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            double s = 0.0;
            for (int k = 0; k < 4; k++)
                s += a[i][k] * b[k][j];
            out[i][j] = s;
        }
}

/* Rz(z) Rx(x), and its derivatives in x and in z. */
static void rotation(double x, double z, Matrix r, Matrix by_x, Matrix by_z) {
    double sx = sin(x), cx = cos(x), sz = sin(z), cz = cos(z);
    Matrix a = {{cz, -cx * sz, sx * sz, 0}, {sz, cx * cz, -sx * cz, 0}, {0, sx, cx, 0}, {0, 0, 0, 1}};
    Matrix b = {{0, sx * sz, cx * sz, 0}, {0, -sx * cz, -cx * cz, 0}, {0, cx, -sx, 0}, {0}};
    Matrix c = {{-sz, -cx * cz, sx * cz, 0}, {cz, -cx * sz, sx * sz, 0}, {0}, {0}};
    memcpy(r, a, sizeof(Matrix)), memcpy(by_x, b, sizeof(Matrix)), memcpy(by_z, c, sizeof(Matrix));
}

/* The rotation by |r| about r, and its derivatives in r. */
static void about(const double *r, double out[3][3], double by[3][3][3]) {
    double angle = sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2]), s = sin(angle), c = cos(angle);
    double a[3] = {r[0] / angle, r[1] / angle, r[2] / angle};
    double cross[3][3] = {{0, -a[2], a[1]}, {a[2], 0, -a[0]}, {-a[1], a[0], 0}};
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            out[i][j] = (i == j) * c + s * cross[i][j] + (1 - c) * a[i] * a[j];
    for (int k = 0; k < 3; k++) {
        double e[3];
        for (int j = 0; j < 3; j++)
            e[j] = ((j == k) - a[j] * a[k]) / angle;
        double turned[3][3] = {{0, -e[2], e[1]}, {e[2], 0, -e[0]}, {-e[1], e[0], 0}};
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++)
                by[k][i][j] = -s * a[k] * (i == j) + c * a[k] * cross[i][j] + s * turned[i][j] +
                              s * a[k] * a[i] * a[j] + (1 - c) * (e[i] * a[j] + a[i] * e[j]);
    }
}

/* Vertices, and for each of 26 parameters how they move; both V by 3. */
static void vertices(long bones, long count, const double *theta, const long *parents, Matrix *relatives,
                     Matrix *inverses, const double *positions, const double *weights, double *out, double *moves) {
    Matrix *absolutes = malloc((1 + 4 * 4) * bones * sizeof(Matrix)), *turned = absolutes + bones; /* by 4 angles */
    double *still = calloc(count * 3, sizeof(double)), *by = calloc(20 * count * 3, sizeof(double));
    memset(turned, 0, 4 * bones * sizeof(Matrix));
    for (long b = 0; b < bones; b++) {
        long finger = (b - 2) / 4, joint = (b - 2) % 4, first = 2 + 4 * finger, parent = parents[b];
        Matrix relative, r, by_x, by_z, slopes[2];
        int own = 0, at = 0; /* angles of its own, and the number of the first in its finger */
        memcpy(relative, relatives[b], sizeof(Matrix));
        if (b >= 2 && joint < 3) {
            const double *angles = theta + 6 + 4 * finger;
            at = joint ? joint + 1 : 0;
            own = joint ? 1 : 2;
            rotation(angles[at], joint ? 0.0 : angles[1], r, by_x, by_z);
            product(relatives[b], r, relative);
            product(relatives[b], by_x, slopes[0]);
            product(relatives[b], by_z, slopes[1]);
        }
        if (parent < 0)
            memcpy(absolutes[b], relative, sizeof(Matrix));
        else
            product(absolutes[parent], relative, absolutes[b]);
        for (int k = 0; b >= 2 && k < 4; k++) {
            if (k >= at && k < at + own)
                product(absolutes[parent], slopes[k - at], turned[4 * b + k]);
            else if (parent >= first)
                product(turned[4 * parent + k], relative, turned[4 * b + k]);
        }
    }
    for (long b = 0; b < bones; b++) {
        Matrix moved;
        product(absolutes[b], inverses[b], moved);
        for (long v = 0; v < count; v++) {
            const double *p = positions + 4 * v, w = weights[v * bones + b];
            for (int i = 0; i < 3; i++)
                still[3 * v + i] += w * (moved[i][0] * p[0] + moved[i][1] * p[1] + moved[i][2] * p[2] + moved[i][3] * p[3]);
        }
        for (int k = 0; b >= 2 && k < 4; k++) {
            double *slope = by + (4 * ((b - 2) / 4) + k) * 3 * count;
            product(turned[4 * b + k], inverses[b], moved);
            for (long v = 0; v < count; v++) {
                const double *p = positions + 4 * v, w = weights[v * bones + b];
                for (int i = 0; i < 3; i++)
                    slope[3 * v + i] +=
                        w * (moved[i][0] * p[0] + moved[i][1] * p[1] + moved[i][2] * p[2] + moved[i][3] * p[3]);
            }
        }
    }
    double r[3][3], slopes[3][3][3];
    about(theta, r, slopes);
    for (long v = 0; v < count; v++)
        for (int i = 0; i < 3; i++) {
            const double *p = still + 3 * v;
            out[3 * v + i] = r[i][0] * p[0] + r[i][1] * p[1] + r[i][2] * p[2] + theta[3 + i];
            for (int k = 0; k < 3; k++) {
                moves[(k * count + v) * 3 + i] = slopes[k][i][0] * p[0] + slopes[k][i][1] * p[1] + slopes[k][i][2] * p[2];
                moves[((3 + k) * count + v) * 3 + i] = i == k;
            }
            for (int k = 0; k < 20; k++) {
                const double *d = by + (k * count + v) * 3;
                moves[((6 + k) * count + v) * 3 + i] = r[i][0] * d[0] + r[i][1] * d[1] + r[i][2] * d[2];
            }
        }
    free(absolutes), free(still), free(by);
}

void jacobian(long bones, long count, long n, const double *theta, const long *parents, void *relatives, void *inverses,
              const double *positions, const double *weights, const long *correspondences, double *out) {
    double *at = malloc(27 * count * 3 * sizeof(double)), *moves = at + 3 * count;
    vertices(bones, count, theta, parents, relatives, inverses, positions, weights, at, moves);
    for (long j = 0; j < n; j++)
        for (int i = 0; i < 3; i++)
            for (int k = 0; k < 26; k++)
                out[(3 * j + i) * 26 + k] = -moves[(k * count + correspondences[j]) * 3 + i];
    free(at);
}

void jacobian_on_triangles(long bones, long count, long n, const double *theta, const double *us, const long *parents,
                           void *relatives, void *inverses, const double *positions, const double *weights,
                           const long *triangles, const long *correspondences, double *out) {
    double *at = malloc(27 * count * 3 * sizeof(double)), *moves = at + 3 * count;
    vertices(bones, count, theta, parents, relatives, inverses, positions, weights, at, moves);
    for (long j = 0; j < n; j++) {
        const long *corner = triangles + 3 * correspondences[j];
        double u = us[2 * j], w = us[2 * j + 1];
        for (int i = 0; i < 3; i++) {
            double *row = out + (3 * j + i) * 28, third = at[3 * corner[2] + i];
            row[0] = third - at[3 * corner[0] + i];
            row[1] = third - at[3 * corner[1] + i];
            for (int k = 0; k < 26; k++) {
                const double *m = moves + k * count * 3 + i;
                row[2 + k] = -(u * m[3 * corner[0]] + w * m[3 * corner[1]] + (1 - u - w) * m[3 * corner[2]]);
            }
        }
    }
    free(at);
}
