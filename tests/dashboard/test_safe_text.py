from hypothesis import given
from hypothesis import strategies as st

from ntk_explorer.dashboard.safe_text import safe_text

HOSTILE = "<img src=x onerror=\"window.hacked='yes'\">"


def test_markup_becomes_text():
    assert safe_text(HOSTILE) == "&lt;img src=x onerror=&quot;window.hacked=&#x27;yes&#x27;&quot;&gt;"


def test_control_characters_and_length():
    assert safe_text("a\x00b\u202ec") == "a b c"
    assert safe_text("x" * 20, longest=5) == "xxxx…"


@given(st.text())
def test_nothing_that_opens_a_tag_or_an_attribute_survives(text):
    assert not set(safe_text(text)) & set("<>\"'")
