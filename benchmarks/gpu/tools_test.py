"""Of what needs no card: python3 -m unittest discover -s benchmarks/gpu -p '*_test.py'"""
import contextlib
import io
import json
import os
import tempfile
import unittest

import numpy

import models
import qwen_models
import reference
import tables


class Models(unittest.TestCase):
    def test_sizes_are_those_of_the_published_models(self):
        published = {"0.5B": 494032768, "1.5B": 1543714304, "3B": 3085938688, "7B": 7615616512, "14B": 14770033664, "32B": 32763876352,
                     "72B": 72706203648}
        self.assertEqual(published, {size: qwen_models.values(size) for size in published})

    def test_a_decode_step_reads_an_embedding_only_where_it_is_the_head(self):
        self.assertEqual(988e6, models.read_bytes("0.5B", 988e6))
        read = models.read_bytes("7B", 2 * qwen_models.values("7B", matrices_only=True))
        self.assertAlmostEqual(14.1e9, read, delta=0.05e9)

    def test_operations_of_a_prefill_are_those_of_the_limits(self):
        self.assertAlmostEqual(13.05e9 + 0.41e9, tables.prefill_flops("7B", 2048) / 2048, delta=0.03e9)


class Comparisons(unittest.TestCase):
    def setUp(self):
        random = numpy.random.default_rng(1)
        self.expected = random.normal(0, 3, (20, 1000)).astype(numpy.float32)
        self.noise = random.normal(0, 1, (20, 1000)).astype(numpy.float32)

    def test_rounding_passes(self):
        self.assertIsNone(reference.compare(self.expected + 0.003 * self.noise, self.expected, 2e-3))

    def test_a_shift_of_a_whole_row_changes_nothing(self):
        self.assertLess(reference.relative(self.expected + 5, self.expected), 1e-6)

    def test_what_is_wrong_is_found(self):
        wrong = self.expected.copy()
        wrong[7] = 0
        self.assertIn("deviation", reference.compare(wrong, self.expected, 2e-3))
        wrong = self.expected.copy()
        wrong[3, 5] = numpy.nan
        self.assertIn("deviation", reference.compare(wrong, self.expected, 2e-3))
        wrong = self.expected.copy()
        wrong[3, wrong[3].argmin()] = wrong[3].max() + 0.01
        self.assertIn("after token 3", reference.compare(wrong, self.expected, 0.1))
        self.assertIn("expected", reference.compare(self.expected[:5], self.expected, 0.1))

    def test_tokens_may_differ_only_at_a_tie(self):
        self.assertEqual((3, None), reference.compare_tokens([1, 2, 3], [1, 2, 3], [1, 1, 1], 0.01))
        self.assertEqual((1, None), reference.compare_tokens([1, 9, 9], [1, 2, 3], [1, 0.05, 1], 0.01))
        self.assertIn("token 1", reference.compare_tokens([1, 9, 9], [1, 2, 3], [1, 0.5, 1], 0.01)[1])
        self.assertIsNotNone(reference.compare_tokens([1], [1, 2], [1, 1], 0.01)[1])


class Tables(unittest.TestCase):
    def test_end_to_end(self):
        run = {"size": "7B", "type": "BF16", "work": "w", "slice": 512, "sequences": 1, "prompt_tokens": 2048,
               "decode_tokens_per_second": 180.0, "prefill_tokens_per_second": 30000.0, "read_bytes": 14.14e9,
               "weight_bytes": 15.2e9, "load_seconds": 1.52}
        with tempfile.TemporaryDirectory() as directory:
            runs, peers = (os.path.join(directory, name) for name in ("runs", "peers"))
            with open(runs, "w") as file:
                file.write(json.dumps(run) + "\n" + json.dumps({"size": "14B", "type": "Q8_0", "work": "w", "failed": "no memory"}) + "\n")
            with open(peers, "w") as file:
                file.write("model,operation,type,tokens,context,us\n"
                           "7B,transformers decode,BF16,1,0,25000\n7B,transformers prefill,BF16,2048,0,204800\n")
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                tables.models(runs, 3000.0, peers)
        text = out.getvalue()
        for expected in ("180.0 tokens/s,  84.8 % of 3000 GB/s,   4.5 x transformers",
                         "403.9 TFLOP/s,  51.1 % of 790,   3.0 x transformers",
                         "10.0 GB/s", "FAILED: no memory"):
            self.assertIn(expected, text)


if __name__ == "__main__":
    unittest.main()
