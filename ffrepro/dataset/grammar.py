"""Sentences of a small fixed grammar: a stand-in for text that is not on this machine, free of copyright."""

import random

# The words and their order are fixed: the hash of the stand-in depends on them.
_NOUNS = (
    "baker bishop brother cobbler cousin daughter doctor driver farmer fiddler gardener guard hunter judge knight "
    "lawyer mason miller nurse painter pilot porter prince queen sailor servant sister soldier tailor teacher "
    "uncle widow bridge candle carpet castle chimney corner cottage cupboard garden hammer harbour kettle ladder "
    "lantern meadow mirror needle orchard parcel pillow river saddle staircase tower village wagon window"
)
_ADJECTIVES = (
    "bitter bright broad careful clumsy curious distant dusty empty faithful famous gentle golden grateful hollow "
    "humble idle jealous lonely merry narrow nervous noisy patient pleasant quiet ragged silver sleepy solemn "
    "stubborn sudden tender thirsty weary wooden"
)
_VERBS = (
    "admired borrowed bought broke built carried chose counted cursed described destroyed drew envied followed "
    "forgot guarded hated helped hid knew learned left lifted loved measured mended missed needed noticed opened "
    "owned painted praised pulled pushed remembered saved sold stole visited wanted watched"
)
_CONJUNCTIONS = (", and", "; but", ", for", " when", " before", " until", "; then", " although")


def made_up_text(min_length: int) -> str:
    """At least `min_length` characters in whole sentences; every call draws the same sentences."""
    draws = random.Random(0)
    sentences: list[str] = []
    length = -1  # no space follows the last sentence
    while length < min_length:
        sentence = _clause(draws)
        while draws.random() < 0.4:
            sentence += f"{draws.choice(_CONJUNCTIONS)} {_clause(draws)}"
        sentences.append(f"{sentence}.")
        length += len(sentences[-1]) + 1
    return " ".join(sentences)


def _clause(draws: random.Random) -> str:
    subject, direct_object = (_noun_phrase(draws) for _ in range(2))
    return f"{subject} {draws.choice(_VERBS.split())} {direct_object}"


def _noun_phrase(draws: random.Random) -> str:
    adjective = f"{draws.choice(_ADJECTIVES.split())} " if draws.random() < 0.6 else ""
    return f"{draws.choice(('the', 'a', 'his', 'her', 'no', 'every'))} {adjective}{draws.choice(_NOUNS.split())}"
