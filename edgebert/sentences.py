"""What a sentence is: where a running text is parted, and when two are the same."""

import re

_TAG = re.compile(r"<[^<>]*>")
# A sentence ends at . ! or ? (with closing quotes or brackets), before a space and what begins one.
_END = re.compile(r"""(?<=[.!?])["')\]]*\s+(?=["'(\[]*[A-Z0-9])""")


def split_sentences(text: str) -> list[str]:
    """Sentences of a running text, without markup, their white space made single."""
    parts = _END.split(_TAG.sub(" ", text))
    return [sentence for part in parts if (sentence := " ".join(part.split()))]


def comparable(sentence: str) -> str:
    """What of a sentence stays the same however it is tokenized: lower-case letters and digits."""
    return re.sub(r"[\W_]+", "", sentence.lower())
