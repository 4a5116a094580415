"""Mutants that are the same machine for a reason that no proof about one module can know.

Each rule names what it is about by expressions and says why; a rule that fits too much hides a missing test, so it
fits one statement of one module and one change of it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from rtl_tests.mutate.model import ModelMutant, source_line
from rtl_tests.mutate.schemata import Mutant
from rtl_tests.mutate.verilog import INSTANCE


class Rule(NamedTuple):
    """Modules, statements before and after the change as regular expressions of the whole; the reason. `place` is where
    of all places it holds: a machine, and of what is connected to an instance its name."""

    module: str
    before: str
    after: str
    why: str
    place: str = ".*"


RULES = [
    Rule(
        "tag_hop",
        r"assign .*tag_in\[(13:12|15:14|12:11|14:13)\].*|assign \\\$[36]  = .* 3'h0 : .*|\\\$7 \[.*= \\\$[36] \[1:0\];",
        r".*",
        "with two columns one lane serves both: of the second one's tag nobody looks at skip and width",
    ),
    Rule(
        "issuer",
        r"_left <= \\\$\d+ ;",
        r"_left <= 21'hfffff & \(\\\$\d+ \);",
        "it counts down to 2: 2^20 and 0 are the same a step later, and neither is 2",
    ),
    Rule(
        "reciprocal",
        r"assign \\\$41  = \\\$39  \? 32'd0 : \\\$40 ;",
        r"assign \\\$41  = (\\\$39 +\? \\\$40 +: 32'd0|1'h1 +\? 32'd0 : \\\$40) *;",
        "without its third step the reciprocal lacks 2^-27.3 of itself at most (its table lacks 2^-6.8, not 2^-6.6): a "
        "quotient below 2^26 lacks 0.66 with what is cut off, and so is at most 1 too small",
    ),
    Rule(
        "counter_bank",
        r"more <= \\\$\d+ ;",
        r"more <= 19'h3ffff & .*",
        "heads, at most 4,096 with a job, are what rises fastest, and there are not 64 jobs in a turn",
    ),
    Rule(
        "datapath(_\\d)?",
        r"assign \\\$\d+  = table_0_address < (7'h51|8'hc0);",
        r"assign \\\$\d+  = table_0_address (<= 7'h51|< 8'hc1);",
        "the table has as many places: a write to the one behind them is none",
    ),
    Rule(
        "rows_owed",
        r"owed <= \\\$\d+ ;",
        r"owed <= 32'h7fffffff & .*",
        "at most six jobs are promised at a time, of 2^28 rows at most: less than 2^31",
    ),
    Rule(
        "write_engine",
        r"\.w_data\(order\),",
        r"\.w_data\(10'h1ff & \(order\)\),",
        "a burst has 16 words at most, so that the top bit of its length is 0",
    ),
    Rule(
        "block_fork",
        r"\.w_data\(w_data\),",
        r"\.w_data\(165'hf+ & \(w_data\)\),",
        "the top bit is `job_last`, at which loader and issuer do not look; where drain and fetch do, a test notices",
    ),
    Rule(
        "block_fork",
        r"\.rst\(rst\),",
        r"\.rst\(1'h0\),",
        "what is left in the queue goes to its reader while that is in reset, which is longer than the queue",
    ),
    Rule(
        "softmax_lane",
        r"assign \\\$\d+  = \\\$\d+  \? 5'h1f : rmv_below\[4:0\];",
        r"assign \\\$\d+  = \\\$\d+  \? 5'h1e : rmv_below\[4:0\];",
        "a weight has 26 bits: shifted by 30 it is 0, as by 31",
    ),
    Rule(
        "element_shift",
        r"assign \\\$\d+  = (amount > 1'h0|distance\[1:0\] > [12]'h[0-2]);",
        r"assign \\\$\d+  = .*",
        "a bf16 significand has 8 of 17 digits, so that the lowest are 0 and none is lost by so small a shift",
    ),
    Rule(
        "row_packer",
        r"assign \\\$65  = step\[64\] \? .*",
        r"assign \\\$65  = step\[65\] \? .*",
        "asked where an element goes round, which it does from the last lane: then the step completes its word",
    ),
    Rule(
        "visit_queue",
        r"assign \\\$5  = push & second_there;",
        r"assign \\\$5  = 1'h0;",
        "nothing is pushed while there is no room, which is while the second place is taken",
    ),
    Rule(
        "word_lanes_2",
        r"assign \\\$10  = \\final  \? 4'h0 : \\\$9 ;",
        r"assign \\\$10  = \\final  \? 4'h1 : \\\$9 ;",
        "behind the last word nothing moves until a start says what the lane is",
    ),
    Rule(
        "score_record",
        r"if \(\\\$62 \) begin",
        r"if \(1'h0\) begin",
        "behind the last word the lanes offer none, so that nothing is there in the next cycle anyhow",
    ),
    Rule(
        "value_array",
        r"assign \\drain_columns\$\d+  = \\after\$\d+ \[0\] \? \\after\$\d+ \[2:1\] : 2'h0;",
        r"assign \\drain_columns\$\d+  = \\after\$\d+ \[0\] \? \\after\$\d+ \[2:1\] : 2'h[13];",
        "all rows are one group, whose results are looked at only when it is chosen",
    ),
    Rule(
        "normaliser_lane",
        r"assign \\\$\d+  = \\\$signal\$\d+  >= 4'hc;",
        r"assign \\\$\d+  = \\\$signal\$\d+  >= 4'hd;",
        "of thirteen digits, moved down by one and by twelve, not even a guard is left: what is lost is no matter",
    ),
    Rule(
        "block_fork",
        r"\.w_data\(w_data\),",
        r"\.w_data\(196'h7f+ & \(w_data\)\),",
        "the top bit is that of the head's number, at which the issuer does not look",
        "bounds queue_1",
    ),
]

MODEL_RULES = [
    Rule(
        "normalise",
        r"significand = round_shift\(magnitude, np\.clip\(unit - power, 0, 64\)\)",
        r"64 -> 65",
        "of a number below 2^63 a shift by 64 leaves nothing, nor does one by 65",
    ),
    Rule(
        "normalise",
        r"QUOTIENT_BITS = 30",
        r"30 -> (29|31)",
        "no format has as many digits, and the last bit tells of all that follow, however many are worked out",
    ),
    Rule(
        "exp2",
        r"base = min\(round\(left - gap / 2 - 0\.5\), \(1 << numerics\.weight_bits\) - 1\)",
        r"1 -> 0|\(1 << numerics\.weight_bits\) - 1 -> \(1 << numerics\.weight_bits\) \+ 1",
        "a base is less than its chord's left end by more than half a unit, so that it is at most one less than 2^Pw",
    ),
    Rule(
        "attention",
        r".*np\.where\(\(amount < 0\) & \(product != 0\), np\.where\(product < 0, -limit - 1, limit \+ 1\), x\)",
        r"product < 0 -> product <= 0",
        "asked only where the product is not 0",
    ),
    Rule(
        "attention",
        r"if rows\.size == 0:",
        r"if rows\.size == 0: -> if False:",
        "without rows all that follows does nothing",
    ),
    Rule(
        "attention",
        r".*strict=True.*",
        r"True -> False",
        "it refuses what never comes: lists of different lengths",
    ),
    Rule(
        "numerics",
        r"SHIFT_LIMIT = 63",
        r"63 -> 62",
        "all that is shifted has at most 62 digits and a sign, so that 62 places leave what 63 do",
    ),
    Rule(
        "numerics",
        r"if segments & \(segments - 1\) or not 2 <= segments <= 1 << \(self\.score_frac - 1\):",
        r"1 -> 2",
        "an odd number and the one two below it share the lowest bit, an even one that is no power of two its highest: "
        "of numbers from 2 on the same are refused. The other ones of this line are the limit, which tests stand on",
    ),
]
"""Of these `before` is the whole line, and `after` the change in it."""


def reason(machine: str, text: str, mutant: Mutant) -> str:
    """Why a mutant of a machine's Verilog is no other machine; empty if nobody says so."""
    place = f"{machine} {instance_of(text, mutant)}"
    return _reason(RULES, mutant.site.module.lstrip("\\"), mutant.before, mutant.after, place)


def instance_of(text: str, mutant: Mutant) -> str:
    """The instance whose port is connected by the statement that is changed; empty if it is no connection."""
    if not mutant.site.target.startswith("."):
        return ""
    above = reversed(text.splitlines()[: mutant.site.line])
    return next(line.split()[1] for line in above if INSTANCE.match(line))


def model_reason(mutant: ModelMutant) -> str:
    """The same for the integer model."""
    return _reason(MODEL_RULES, mutant.module, source_line(mutant), f"{mutant.before} -> {mutant.after}", "model")


def _reason(rules: list[Rule], *words: str) -> str:
    for rule in rules:
        patterns = rule.module, rule.before, rule.after, rule.place
        if all(re.fullmatch(pattern, word) for pattern, word in zip(patterns, words, strict=True)):
            return rule.why
    return ""
