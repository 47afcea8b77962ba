import unittest

import rules


class Rules(unittest.TestCase):
    def test_only_writers_write(self):
        self.assertIsNone(rules.refusal(False, False, "writers"))
        self.assertIsNone(rules.refusal(True, True, "writers"))
        self.assertEqual(rules.refusal(True, False, "writers"), "only writers may write here; ask for the group")

    def test_wrong_settings_are_named(self):
        self.assertEqual(rules.problems({"group": "dba"}), [])
        self.assertEqual([pointer for pointer, _ in rules.problems({"group": "", "a": 1})], ["/a", "/group"])


if __name__ == "__main__":
    unittest.main()
