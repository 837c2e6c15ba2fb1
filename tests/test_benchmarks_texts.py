"""How labelled texts are divided, under every protocol."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from benchmarks import texts_data

N = 80


@pytest.fixture
def place(tmp_path: Path) -> texts_data.Place:
    frame = pd.DataFrame({"text": [f"text {at}" for at in range(2 * N)], "label": ["ham", "spam"] * N})
    frame.to_parquet(tmp_path / "sms.parquet")
    return texts_data.names_in(tmp_path)["sms"]


def is_spam(text: str) -> bool:
    return int(text.split()[1]) % 2 == 1


def test_one_class_trains_on_normal_texts_and_tests_on_both(place: texts_data.Place) -> None:
    split = texts_data.read(place, 0)
    assert not any(map(is_spam, split.train))
    assert [is_spam(text) for text in split.test] == split.label.astype(bool).tolist()
    assert (len(split.train), len(split.test), split.label.sum()) == (N // 2, N // 2 + N, N)
    assert not set(split.train) & set(split.test)
    assert split.anomalies == split.later == []


def test_mixed_anomalies_train_and_are_not_tested(place: texts_data.Place) -> None:
    split = texts_data.read(place, 0, protocol="mixed-20")
    mixed = [text for text in split.train if is_spam(text)]
    assert len(mixed) == N // 2 // 4
    assert not set(split.train) & set(split.test)
    assert sorted(text for text in split.train if not is_spam(text)) == sorted(texts_data.read(place, 0).train)
    assert split.label.sum() == N - len(mixed)


def test_labelled_anomalies_are_told_and_not_tested(place: texts_data.Place) -> None:
    split = texts_data.read(place, 0, protocol="labelled-5")
    assert len(split.anomalies) == 5
    assert all(map(is_spam, split.anomalies))
    assert not set(split.anomalies) & set(split.test)
    assert split.train == texts_data.read(place, 0).train


def test_half_of_the_training_texts_come_later(place: texts_data.Place) -> None:
    whole, split = texts_data.read(place, 0), texts_data.read(place, 0, protocol="update")
    assert [*split.train, *split.later] == whole.train
    assert (split.test, split.label.tolist()) == (whole.test, whole.label.tolist())


def test_where_there_are_enough_the_same_texts_are_tested_under_every_protocol(place: texts_data.Place) -> None:
    tested = [
        set(texts_data.read(place, 0, 20, protocol).test)
        for protocol in ("one-class", "mixed-5", "labelled-5", "update")
    ]
    assert all(found == tested[0] for found in tested)
    assert len(tested[0]) == 40


@pytest.mark.parametrize("protocol", ["mixed", "mixed-0", "mixed-x", "labelled-", "grouped"])
def test_another_protocol_is_refused(protocol: str) -> None:
    with pytest.raises(ValueError, match="there is no protocol"):
        texts_data.drawn_anomalies(protocol, 100)
