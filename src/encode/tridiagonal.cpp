#include "gtrain/encode/tridiagonal.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "gtrain/base/random.h"

namespace gtrain::encode {
namespace {

using Eigen::Index;
using Vector = Eigen::Ref<const Eigen::VectorXd>;

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
constexpr double kGroupGap = 1e-3;  // relative to |T|

double norm_of(const Vector& d, const Vector& e) {
  const double largest =
      d.cwiseAbs().maxCoeff() + (e.size() > 0 ? 2.0 * e.cwiseAbs().maxCoeff() : 0.0);
  return largest > 0.0 ? largest : 1.0;
}

// One QL step with Wilkinson's shift on the unreduced block [l, m]; q holds squared off-diagonals.
void sweep(double* d, double* q, Index l, Index m) {
  const double root = std::sqrt(q[l]);
  const double half = (d[l + 1] - d[l]) / (2.0 * root);
  const double shift = d[l] - root / (half + std::copysign(std::hypot(half, 1.0), half));
  double c = 1.0;
  double s = 0.0;
  double gamma = d[m] - shift;
  double p = gamma * gamma;
  for (Index i = m - 1; i >= l; --i) {
    const double r = p + q[i];
    if (i != m - 1) q[i + 1] = s * r;
    const double last_c = c;
    const double last_gamma = gamma;
    c = p / r;
    s = q[i] / r;
    gamma = c * (d[i] - shift) - s * last_gamma;
    d[i + 1] = last_gamma + (d[i] - gamma);
    p = c != 0.0 ? gamma * gamma / c : last_c * q[i];
  }
  q[l] = s * p;
  d[l] = shift + gamma;
}

// |T x - value x|; a NaN in x shows.
double residual(const Vector& diagonal, const Vector& off_diagonal, double value, const double* x) {
  const Index n = diagonal.size();
  const double* d = diagonal.data();
  const double* e = off_diagonal.data();
  double squares = 0.0;
  for (Index i = 0; i < n; ++i) {
    double r = (d[i] - value) * x[i];
    if (i > 0) r += e[i - 1] * x[i - 1];
    if (i + 1 < n) r += e[i] * x[i + 1];
    squares += r * r;
  }
  return std::sqrt(squares);
}

}  // namespace

bool tridiagonal_values(const Vector& diagonal, const Vector& off_diagonal,
                        Eigen::VectorXd& values) {
  const Index n = diagonal.size();
  values = diagonal;
  if (n == 0) return true;
  Eigen::VectorXd squares = off_diagonal.cwiseAbs2();
  double* d = values.data();
  double* q = squares.data();
  const double small = kEpsilon * norm_of(diagonal, off_diagonal);
  const double negligible = small * small;
  Index left = 40 * n;
  for (Index l = 0; l < n; ++l) {
    while (true) {
      Index m = l;
      while (m + 1 < n && q[m] > negligible) ++m;
      if (m == l) break;
      if (--left == 0) return false;
      sweep(d, q, l, m);
    }
  }
  std::sort(d, d + n);
  return values.allFinite();
}

void TridiagonalVectors::factor(const double* d, const double* e, Index n, double shift,
                                double tiny) {
  double a = d[0] - shift;  // row i, eliminated so far: a at i, b at i + 1
  double b = n > 1 ? e[0] : 0.0;
  for (Index i = 0; i + 1 < n; ++i) {
    const double next = d[i + 1] - shift;  // row i + 1: e[i], next, beyond
    const double beyond = i + 2 < n ? e[i + 1] : 0.0;
    const bool swap = std::abs(e[i]) > std::abs(a);
    const double top = swap ? e[i] : a;
    const double first = swap ? next : b;
    const double second = swap ? beyond : 0.0;
    const double inverse = 1.0 / (std::abs(top) < tiny ? tiny : top);
    const double multiplier = (swap ? a : e[i]) * inverse;
    rows_[static_cast<std::size_t>(i)] = {inverse, first, second, multiplier, swap};
    a = (swap ? b : next) - multiplier * first;
    b = (swap ? 0.0 : beyond) - multiplier * second;
  }
  const double inverse = 1.0 / (std::abs(a) < tiny ? tiny : a);
  rows_[static_cast<std::size_t>(n - 1)] = {inverse, 0.0, 0.0, 0.0, false};
}

void TridiagonalVectors::eliminate(double* x, Index n) const {
  const Row* row = rows_.data();
  for (Index i = 0; i + 1 < n; ++i, ++row) {
    const double top = row->swapped ? x[i + 1] : x[i];
    const double below = row->swapped ? x[i] : x[i + 1];
    x[i] = top;
    x[i + 1] = below - row->multiplier * top;
  }
}

void TridiagonalVectors::substitute(double* x, Index n) const {
  double after = 0.0;   // x[i + 1]
  double beyond = 0.0;  // x[i + 2]
  for (Index i = n - 1; i >= 0; --i) {
    const Row& row = rows_.data()[i];
    x[i] = (x[i] - row.first * after - row.second * beyond) * row.inverse;
    beyond = after;
    after = x[i];
  }
}

bool TridiagonalVectors::iterate(const Vector& d, const Vector& e, double value, Index group,
                                 Index k, Eigen::MatrixXd& vectors, double tolerance) const {
  constexpr int kSolves = 6;
  const Index n = d.size();
  auto x = vectors.col(k);
  for (int solve = 0; solve < kSolves; ++solve) {
    if (solve > 0) eliminate(x.data(), n);  // any start is as good as its elimination
    substitute(x.data(), n);
    x /= x.cwiseAbs().maxCoeff();
    for (Index j = group; j < k; ++j) x -= vectors.col(j).dot(x) * vectors.col(j);
    x.normalize();
    if (solve > 0 && residual(d, e, value, x.data()) < tolerance) return true;
  }
  return false;
}

bool TridiagonalVectors::solve(const Vector& diagonal, const Vector& off_diagonal,
                               const Eigen::VectorXd& values, Index count,
                               Eigen::MatrixXd& vectors) {
  const Index n = diagonal.size();
  vectors.resize(n, count);
  if (n == 0 || count == 0) return true;
  rows_.resize(static_cast<std::size_t>(n));
  base::Random random(base::key(0, base::Purpose::kGenerate));
  start_.resize(n + count);
  for (double& v : start_) v = random.uniform() - 0.5;
  const double norm = norm_of(diagonal, off_diagonal);
  const double tiny = kEpsilon * norm;
  Index group = 0;
  double shift = values[0];
  for (Index k = 0; k < count; ++k) {
    if (k > 0) {
      if (values[k] - values[k - 1] > kGroupGap * norm) group = k;
      // Equal shifts would give one vector twice, up to rounding.
      shift = std::max(values[k], shift + 10.0 * tiny);
    }
    factor(diagonal.data(), off_diagonal.data(), n, shift, tiny);
    vectors.col(k) = start_.segment(k, n);
    if (!iterate(diagonal, off_diagonal, values[k], group, k, vectors, 50.0 * tiny)) return false;
  }
  gram_.noalias() = vectors.transpose() * vectors;
  gram_.diagonal().array() -= 1.0;
  return gram_.cwiseAbs().maxCoeff() < 1e-12;
}

}  // namespace gtrain::encode
