"""Masks of log lines: what is a parameter, and where it stood."""

from __future__ import annotations

from itertools import pairwise

import pytest

from unalike.errors import InvalidParameter
from unalike.modalities.loglines import LOG, masks_of

LINES = [
    ("2024-01-02T03:04:05.123Z ERROR user=17 took 12.5ms", "<time> ERROR user=<num> took <num>ms"),
    ("Jun 14 15:16:01 combo sshd[19939]: check pass", "<time> combo sshd[<num>]: check pass"),
    ('[10/Oct/2000:13:55:36 +0700] "GET /a/b.gif" 200', '[<time>] "GET <path>" <num>'),
    ("10:15:32,123 from 10.0.0.1:8080 to fe80::1", "<time> from <ip> to <ip>"),
    ("0xdeadBEEF deadbeef01 facade std::a 3.10", "<hex> <hex> facade std::a <num>"),
    ("id 550e8400-e29b-41d4-a716-446655440000 mac 00:1b:44:11:3a:b7", "id <uuid> mac <mac>"),
    ("bob.x@mail.org read https://a.b/c?d=1 in C:\\Temp\\x.txt", "<email> read <url> in <path>"),
    ("价格是300元，blk_-3886 -1.2e-5 a-1", "价格是<num>元，blk_<num> <num> a-<num>"),
    ("and/or nothing here", "and/or nothing here"),
]


@pytest.mark.parametrize(("line", "template"), LINES)
def test_parameters_become_their_kind(line, template):
    masks = masks_of("log")
    assert masks.masked(line) == template
    assert masks.masked(template) == template


@pytest.mark.parametrize(("line", "template"), LINES)
def test_spans_of_a_template_lie_where_its_characters_came_from(line, template):
    masks = masks_of("log")
    found = masks.given(line, [(at, at + 1) for at in range(len(template))])
    assert found[0][0] == 0
    assert found[-1][1] == len(line)
    assert all(after[0] in (before[0], before[1]) for before, after in pairwise(found))
    kept = [(line[start:end], own) for (start, end), own in zip(found, template, strict=True) if end - start == 1]
    assert all(theirs == own for theirs, own in kept if theirs != "1" and own not in "<>num")


def test_own_rules_go_in_their_order():
    masks = masks_of({"ticket": "[A-Z]{2,}-[0-9]+", "n": "[0-9]+"})
    assert masks.masked("AB-12 is 3") == "<ticket> is <n>"
    assert masks.given("AB-12 is 3", [(0, 8), (9, 11), (12, 15)]) == [(0, 5), (6, 8), (9, 10)]


@pytest.mark.parametrize("mask", ["logs", {}, {"a": "("}, {"a": "x*"}, {"a": 1}, {"a": r"(b)\1"}, {"a": "(?P<b>c)"}, 3])
def test_rules_that_cannot_be_used_are_refused(mask):
    with pytest.raises(InvalidParameter, match="`mask`"):
        masks_of(mask)


def test_rules_are_fast_on_long_lines():
    line = "a" * 20_000 + ":" * 2_000 + "1-" * 5_000 + "/" * 5_000
    assert masks_of("log").masked(line)
    assert set(LOG) == {"url", "email", "uuid", "time", "mac", "ip", "path", "hex", "num"}
