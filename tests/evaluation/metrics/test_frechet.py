from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

from occlusionformer.evaluation.metrics.frechet import Gaussian, frechet_distance


def features(seed, pictures, length, shift=0.0):
    generator = np.random.default_rng(seed)
    return generator.normal(shift, 1, (pictures, length)) @ generator.normal(0, 1, (length, length))


def textbook(first, second):
    """The formula with a matrix root, as clean-fid and torch-fidelity write it."""
    a, b = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = linalg.sqrtm(a @ b)
    return np.square(first.mean(0) - second.mean(0)).sum() + np.trace(a + b - 2 * root.real)


@pytest.mark.parametrize("pictures", [20, 30, 200])
def test_agrees_with_the_matrix_root(pictures):
    """Below, between and above the numbers at which the root is held in another way."""
    first, second = features(1, pictures, 16), features(2, pictures, 16, shift=0.1)
    mine = frechet_distance(Gaussian.of_features(first), Gaussian.of_features(second))
    assert mine == pytest.approx(textbook(first, second), rel=1e-6)


def test_agrees_with_the_roots_of_the_eigenvalues_for_few_pictures():
    """With fewer pictures than features a matrix root is not defined numerically; the eigenvalues still are."""
    first, second = features(3, 10, 32), features(4, 12, 32)
    a, b = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = np.sqrt(np.linalg.eigvals(a @ b).real.clip(0)).sum()
    expected = np.square(first.mean(0) - second.mean(0)).sum() + np.trace(a + b) - 2 * root
    mine = frechet_distance(Gaussian.of_features(first), Gaussian.of_features(second))
    assert mine == pytest.approx(expected, rel=1e-5)  # roots of eigenvalues that should be 0 are about 1e-7


def test_statistics_serve_as_well_as_features():
    first, second = features(5, 100, 8), features(6, 100, 8)
    given = Gaussian.of_covariance(second.mean(0), np.cov(second, rowvar=False))
    mine = frechet_distance(Gaussian.of_features(first), given)
    assert mine == pytest.approx(frechet_distance(Gaussian.of_features(first), Gaussian.of_features(second)), rel=1e-9)


def test_statistics_may_be_spread_in_few_directions():
    first, second = features(3, 6, 8), features(4, 6, 8)
    given = [Gaussian.of_covariance(rows.mean(0), np.cov(rows, rowvar=False)) for rows in (first, second)]
    expected = frechet_distance(Gaussian.of_features(first), Gaussian.of_features(second))
    assert frechet_distance(*given) == pytest.approx(expected, rel=1e-6)


def test_a_set_is_no_distance_from_itself():
    for pictures in (5, 12, 100):
        rows = features(7, pictures, 8)
        assert frechet_distance(Gaussian.of_features(rows), Gaussian.of_features(rows[::-1])) == pytest.approx(
            0, abs=1e-9 * np.square(rows).sum()
        )


def test_a_shift_of_the_mean_is_its_square():
    rows = features(8, 50, 8)
    moved = frechet_distance(Gaussian.of_features(rows), Gaussian.of_features(rows + 3))
    assert moved == pytest.approx(8 * 9, rel=1e-9)


def test_scaled_spread_in_one_dimension():
    """(s1 - s2)^2 for numbers alone."""
    rows = np.array([[-1.0], [1.0], [-1.0], [1.0]])
    assert frechet_distance(Gaussian.of_features(rows), Gaussian.of_features(3 * rows)) == pytest.approx(4 * 4 / 3)


def test_says_what_is_wrong():
    with pytest.raises(ValueError, match="features: expected at least two rows of numbers, got the shape"):
        Gaussian.of_features([[1.0, 2.0]])
    with pytest.raises(ValueError, match="features: expected finite numbers"):
        Gaussian.of_features([[1.0], [np.inf]])
    with pytest.raises(ValueError, match="expected features of one length, got 8 and 4"):
        frechet_distance(Gaussian.of_features(features(9, 9, 8)), Gaussian.of_features(features(9, 9, 4)))
