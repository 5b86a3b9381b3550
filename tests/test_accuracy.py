"""The accuracy table: seeds apart from recipes, and the choice by held-out sentences."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from benchmarks.accuracy import TABLE, Record, averages, changes, choose, read_records, seeds
from edgebert.config import load_config

RUN = Record(
    name="a",
    config="tiny",
    task="sst2",
    metric="accuracy",
    seed=0,
    stages={"w32a32": 0.84, "w1a1": 0.80},
    float_w1a1=0.8,
    chosen_by="held-out",
    parameters="",
    seconds=1,
    megabytes=0.7,
    held_out=0.83,
)
OTHER_SEED = replace(RUN, name="b", seed=1, stages={"w32a32": 0.86, "w1a1": 0.81}, held_out=0.82)


def test_runs_that_differ_by_the_seed_alone_are_put_together() -> None:
    other_recipe = replace(RUN, name="c", seed=2, parameters="train.batch_size=8")
    other_task = replace(RUN, name="d", seed=2, task="cola")
    text = seeds([RUN, other_recipe, OTHER_SEED, other_task])
    assert text.count("- ") == 1
    assert (
        "- tiny, sst2: integers 80.5, from 80.0 to 81.0, standard deviation 0.7; gap 4.5 (a, b)"
    ) in text


def test_one_seed_has_no_spread() -> None:
    assert seeds([RUN, replace(RUN, name="again")]) == ""


def test_held_out_sentences_choose_and_dev_does_not() -> None:
    assert choose([OTHER_SEED, RUN]) is RUN
    assert "- tiny: integers 80.0, gap 4.0 points (a)" in averages([RUN, OTHER_SEED])
    unknown = replace(RUN, held_out=None, stages={"w32a32": 0.9, "w1a1": 0.89})
    assert choose([unknown, RUN]) is RUN


def test_a_held_out_score_of_seen_sentences_gives_way_to_one_of_unseen_ones() -> None:
    seen = replace(RUN, name="c", parameters="distill.text=own.txt", held_out=0.9)
    seen = replace(seen, held_out_seen="seen")
    assert choose([RUN, seen]) is seen  # nothing else with text
    unseen = replace(OTHER_SEED, parameters="distill.text=imdb.txt")
    assert choose([unseen, seen]) is unseen
    assert choose([RUN, unseen, seen]) is RUN
    assert choose([replace(unseen, held_out=None), seen]) is seen
    before = replace(seen, held_out=0.6, held_out_seen="seen before")
    assert choose([seen, before]) is before
    assert choose([RUN, seen, before]) is RUN  # of whatever text, unseen, and better
    assert choose([seen, before, unseen]) is unseen


def test_a_run_tells_what_it_sets_beside_its_recipe() -> None:
    config = load_config(
        "mini-sst2", ["arithmetic.fraction_bits=11", "train.lr=1e-3", "train.seed=4"]
    )
    run: Any = SimpleNamespace(config=config, info=SimpleNamespace(init="mini"))
    assert changes(run, "mini-sst2") == [
        "arithmetic.fraction_bits=11",
        "train.lr={default: 0.001}",
    ]


def test_every_run_is_in_the_published_table() -> None:
    text = TABLE.read_text(encoding="utf-8")
    records = read_records()
    assert len(records) > 20
    assert all(f"| {record.name} | {record.config} |" in text for record in records)
    assert text.endswith(averages(records) + seeds(records))
