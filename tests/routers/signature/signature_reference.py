"""Float64 references of the signature, each from its definition, one row at a time."""

import numpy as np
from scipy import stats

Matrix = np.ndarray


def spectrum(x: Matrix) -> Matrix:
    return np.linalg.svd(x, compute_uv=False)


def effective_rank(x: Matrix) -> float:
    values = spectrum(x)
    return float(np.exp(stats.entropy(values))) if values.any() else np.nan


def stable_rank(x: Matrix) -> float:
    return (x**2).sum() / spectrum(x)[0] ** 2 if x.any() else np.nan


def matrix_entropy(x: Matrix) -> float:
    return float(stats.entropy(spectrum(x) ** 2)) if x.any() else np.nan


def participation_ratio(x: Matrix) -> float:
    if (x == x[:1]).all():
        return np.nan
    values = np.linalg.eigvalsh(np.cov(x.T, bias=True).reshape(x.shape[1], -1))
    return values.sum() ** 2 / (values**2).sum()


def mean_cosine(x: Matrix) -> float:
    rows = [row / np.linalg.norm(row) for row in x if row.any()]
    found = [a @ b for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j]
    return float(np.mean(found)) if found else np.nan


def rank_one_residual(x: Matrix) -> float:
    def size(m: Matrix) -> float:
        return float(np.sqrt(np.linalg.norm(m, 1) * np.linalg.norm(m, np.inf)))

    return size(x - x.mean(0)) / size(x) if x.any() else np.nan


def massive_activation(x: Matrix) -> float:
    median = np.median(np.abs(x))
    return np.abs(x).max() / median if median else np.nan


COLLAPSE = {
    f.__name__: f
    for f in (
        effective_rank,
        stable_rank,
        matrix_entropy,
        participation_ratio,
        mean_cosine,
        rank_one_residual,
    )
}


def hub_mass(a: Matrix) -> float:
    """Of one causal matrix, source by source over the queries that can see it."""
    size = len(a)
    return max(np.mean([a[i, j] for i in range(j, size)]) for j in range(size // 2))


def column_shares(a: Matrix) -> Matrix:
    return a.sum(0) / a.sum() if a.any() else np.full(a.shape[1], np.nan)


def hhi(a: Matrix, mask: Matrix) -> float:
    return a.shape[1] * (column_shares(a) ** 2).sum()


def participation(a: Matrix, mask: Matrix) -> float:
    return 1 / (column_shares(a) ** 2).sum()


def perplexity(a: Matrix, mask: Matrix) -> float:
    return float(np.exp(stats.entropy(column_shares(a)))) if a.any() else np.nan


def gini(a: Matrix, mask: Matrix) -> float:
    share = column_shares(a)
    return np.abs(share[:, None] - share[None]).sum() / (2 * len(share))


def row_peak(a: Matrix, mask: Matrix) -> float:
    return a.max(1).mean()


def row_entropy(a: Matrix, mask: Matrix) -> float:
    found = [
        stats.entropy(row) / np.log(allowed.sum())
        for row, allowed in zip(a, mask, strict=True)
        if allowed.sum() > 1 and row.any()
    ]
    return float(np.mean(found)) if found else np.nan


def diagonal_mass(a: Matrix, mask: Matrix) -> float:
    return np.diag(a).mean() if a.shape[0] == a.shape[1] else np.nan


def excess_of_sources(a: Matrix, mask: Matrix) -> Matrix:
    even = (mask / mask.sum(1, keepdims=True)).sum(0)
    return a.sum(0) / even


def importance(a: Matrix, mask: Matrix) -> Matrix:
    return np.asarray([a[mask[:, j], j].mean() for j in range(a.shape[1])])


def spectral_ratio(a: Matrix, mask: Matrix) -> float:
    values = np.append(spectrum(a), 0.0)
    return values[1] / values[0] if a.any() else np.nan


CONCENTRATION = {
    f.__name__: f
    for f in (
        hhi,
        participation,
        perplexity,
        gini,
        row_peak,
        row_entropy,
        diagonal_mass,
        excess_of_sources,
        spectral_ratio,
    )
}


def contributions(a: Matrix, v: Matrix) -> Matrix:
    omega = np.full(a.shape, np.nan)
    for i, row in enumerate(a):
        y = row @ v
        if y.any():
            omega[i] = row * (v @ y) / (y @ y)
    return omega


def output_length(a: Matrix, v: Matrix) -> float:
    median = np.median(np.linalg.norm(v, axis=1))
    return np.linalg.norm(a @ v, axis=1).mean() / median if median else np.nan


def variation(norms: Matrix) -> float:
    return norms.std() / norms.mean() if norms.any() else np.nan


def log_ratio(norms: Matrix, hub: int, others_only: bool) -> float:
    rest = np.delete(norms, hub) if others_only else norms
    if not len(rest) or not norms[hub] or not np.median(rest):
        return np.nan
    return float(np.log(norms[hub] / np.median(rest)))


def spearman(a: Matrix, b: Matrix) -> float:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return np.nan
    return stats.pearsonr(stats.rankdata(a), stats.rankdata(b)).statistic


def jensen_shannon(a: Matrix, b: Matrix) -> float:
    found = []
    for p, q in zip(a, b, strict=True):
        if p.any() and q.any():
            p, q = p / p.sum(), q / q.sum()
            middle = (p + q) / 2
            found.append((stats.entropy(p, middle) + stats.entropy(q, middle)) / 2)
    return float(np.mean(found)) if found else np.nan


def negative_aware_norm(x: Matrix) -> Matrix:
    return np.asarray([row[row > 0].mean() if (row > 0).any() else 0.0 for row in x])


def dirichlet_energy(x: Matrix, edges: Matrix) -> float:
    pairs = np.argwhere(edges)
    found = [((x[i] - x[j]) ** 2).sum() for i, j in pairs]
    return float(np.mean(found)) if found else np.nan


def mean_average_distance(x: Matrix, edges: Matrix) -> float:
    of_node = []
    for i, row in enumerate(edges):
        near = [j for j in np.flatnonzero(row) if x[j].any() and x[i].any()]
        if near:
            cosines = [
                x[i] @ x[j] / np.linalg.norm(x[i]) / np.linalg.norm(x[j]) for j in near
            ]
            of_node.append(np.mean(1 - np.asarray(cosines)))
    return float(np.mean(of_node)) if of_node else np.nan


def dominant_direction(matrix: Matrix) -> tuple[Matrix, float]:
    """Eigenvector of the largest eigenvalue, and second modulus over the first."""
    values, vectors = np.linalg.eig(matrix)
    order = np.argsort(-np.abs(values))
    gap = float(np.abs(values[order[1]]) / np.abs(values[order[0]]))
    return vectors[:, order[0]], gap


def first_source_mass(a: Matrix, queries: Matrix) -> float:
    found = [row[0] for row, counted in zip(a, queries, strict=True) if counted]
    return float(np.mean(found)) if found else np.nan


def losses_of_kind(
    logits: Matrix, targets: Matrix, chosen: Matrix, truth: Matrix
) -> tuple[float, float]:
    """Mean cross-entropy of the known targets of a kind, and its excess."""
    own, excess = [], []
    for row, target, counted, true in zip(logits, targets, chosen, truth, strict=True):
        if counted and target >= 0:
            own.append(np.log(np.exp(row - row[target]).sum()))
            excess.append(own[-1] - true)
    return float(np.mean(own)), float(np.mean(excess))


def norms_written(values: Matrix, out: Matrix) -> Matrix:
    """``|W_O v|`` of values ``[S, H, K]``, ``[H, S]``, one head and source apart."""
    sources, heads, width = values.shape
    found = np.zeros((heads, sources))
    for h in range(heads):
        for s in range(sources):
            mixed = np.zeros((heads, width))
            mixed[h] = values[s, h]
            found[h, s] = np.linalg.norm(mixed.ravel() @ out)
    return found
