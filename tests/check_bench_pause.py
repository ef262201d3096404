"""Tests of the arithmetic of tools/bench_pause.py against windows tried one by one."""

import pathlib
import random
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))
from bench_pause import gap_counts, least_utilisation, utilisation_curve


def tried_one_by_one(gaps, window, total):
    """Whole microseconds only."""
    lost = [0] * total
    for start, length in gaps:
        for i in range(start, start + length):
            lost[i] = 1
    return 1 - max(sum(lost[i:i + window]) for i in range(total - window + 1)) / window


class Utilisation(unittest.TestCase):
    def test_a_thread_without_gaps_has_all_of_every_window(self):
        self.assertEqual(least_utilisation([], 10, 100), 1)
        self.assertTrue(all(u == 1 for _, u in utilisation_curve({}, 1000)))

    def test_a_window_shorter_than_a_gap_has_nothing(self):
        self.assertEqual(least_utilisation([(50, 20)], 10, 100), 0)

    def test_two_gaps_count_together_when_a_window_holds_both(self):
        gaps = [(10, 5), (30, 5)]
        self.assertAlmostEqual(least_utilisation(gaps, 25, 100), 1 - 10 / 25)
        self.assertAlmostEqual(least_utilisation(gaps, 20, 100), 1 - 5 / 20)

    def test_it_is_the_worst_of_all_windows(self):
        dice = random.Random(1)
        for _ in range(50):
            gaps, at = [], 0
            while at < 150:
                at += dice.randint(1, 30)
                gaps.append((at, dice.randint(1, 15)))
                at += gaps[-1][1]
            for window in (1, 7, 40, 199):
                self.assertAlmostEqual(least_utilisation(gaps, window, 200), tried_one_by_one(gaps, window, 200))

    def test_the_worst_thread_counts(self):
        curve = dict(utilisation_curve({"0": [], "1": [(100, 1000)]}, 1e6))
        self.assertEqual(min(curve.values()), 0)
        self.assertAlmostEqual(curve[1e6], 0.999)

    def test_gaps_are_counted_in_four_buckets_a_doubling(self):
        self.assertEqual(sum(n for _, n in gap_counts({"0": [(0, 20), (50, 40), (100, 41)]})), 3)
        self.assertEqual(len(gap_counts({"0": [(0, 20), (50, 40), (100, 41)]})), 2)


if __name__ == "__main__":
    unittest.main()
