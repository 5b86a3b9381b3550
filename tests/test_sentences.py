"""Where sentences end, and which are the same."""

from edgebert.sentences import comparable, split_sentences


def test_a_text_splits_where_sentences_end() -> None:
    text = 'One of the best.<br /><br />It isn\'t long ("90 min."). "Great!" she said.'
    text += "  No... Yes?! A"
    assert split_sentences(text) == [
        "One of the best.",
        'It isn\'t long ("90 min.").',
        '"Great!" she said.',
        "No...",
        "Yes?!",
        "A",
    ]


def test_sentences_compare_by_their_letters_and_digits() -> None:
    assert comparable("It 's  a 5-star Film !") == comparable("it's a 5 star film")
    assert comparable("a film") != comparable("a films")
