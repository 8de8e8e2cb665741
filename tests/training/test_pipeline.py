import numpy as np
import pytest

from rsseg_tf.config import AugmentConfig
from rsseg_tf.errors import DataError
from rsseg_tf.training.pipeline import BatchSchedule, TrainingSource


def source(*, sizes=((32, 32), (64, 64)), crop=True, seed=0, cache=True) -> TrainingSource:
    rng = np.random.default_rng(9)
    pairs = [
        (rng.integers(0, 256, (*size, 3), dtype=np.uint8), np.full(size, index, np.uint8))
        for index, size in enumerate(sizes)
    ]
    return TrainingSource(
        read=pairs.__getitem__,
        count=len(pairs),
        size=(32, 32),
        crop=crop,
        augment=AugmentConfig(color=0.2, scale=(0.8, 1.2)),
        seed=seed,
        cache=cache,
    )


def collected(schedule: BatchSchedule, epoch: int, start: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(images.numpy(), masks.numpy()) for images, masks in schedule.batches(epoch, start=start)]


def test_the_same_epoch_gives_the_same_batches():
    first, second = (collected(BatchSchedule.of(source(), batch_size=2, steps=3), 4) for _ in range(2))

    for (image, mask), (other_image, other_mask) in zip(first, second, strict=True):
        np.testing.assert_array_equal(image, other_image)
        np.testing.assert_array_equal(mask, other_mask)


def test_starting_late_gives_the_rest_of_the_epoch():
    schedule = BatchSchedule.of(source(), batch_size=2, steps=4)
    whole, rest = collected(schedule, 1), collected(schedule, 1, start=3)

    assert len(rest) == 1
    np.testing.assert_array_equal(rest[0][0], whole[3][0])


def test_the_parts_of_several_workers_are_the_batches():
    schedule = BatchSchedule.of(source(), batch_size=6, steps=3)
    whole = collected(schedule, 1, start=1)

    parts = [[image.numpy() for image, _ in schedule.batches(1, start=1, share=(part, 3))] for part in range(3)]

    assert [len(part) for part in parts] == [2, 2, 2]
    for step, (image, _) in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([part[step] for part in parts]), image)


@pytest.mark.parametrize("change", ["epoch", "seed"])
def test_another_epoch_or_seed_gives_other_batches(change):
    base = collected(BatchSchedule.of(source(), batch_size=2, steps=1), 0)[0][0]
    other = BatchSchedule.of(source(seed=1 if change == "seed" else 0), batch_size=2, steps=1)

    assert (collected(other, 1 if change == "epoch" else 0)[0][0] != base).any()


def test_crops_are_drawn_by_area_and_resized_images_once():
    assert source().windows_per_pair().tolist() == [1, 4]
    assert source(crop=False).windows_per_pair().tolist() == [1, 1]
    assert np.bincount(BatchSchedule.of(source(), batch_size=5).order(0)).tolist() == [1, 4]


def test_resizing_gives_the_networks_size():
    image, mask = source(crop=False, sizes=((64, 50), (16, 20))).pair(1)

    assert (image.shape, mask.shape) == ((32, 32, 3), (32, 32))


def test_batches_are_full_even_where_data_is_short():
    batches = BatchSchedule.of(source(sizes=((32, 32),)), batch_size=4).first_batches(0, 2)

    assert [image.shape for image, _ in batches] == [(4, 32, 32, 3)] * 2


def test_class_counts_cover_all_masks():
    assert source().class_counts(3).tolist() == [32 * 32, 64 * 64, 0]


@pytest.mark.parametrize(("cache", "reads"), [(True, 1), (False, 3)])
def test_the_cache_reads_each_pair_once(cache, reads):
    calls = []

    def read(index: int) -> tuple[np.ndarray, np.ndarray]:
        calls.append(index)
        return np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32), np.uint8)

    one = TrainingSource(read, 1, (32, 32), crop=True, augment=AugmentConfig(), seed=0, cache=cache)
    for _ in range(3):
        one.pair(0)

    assert len(calls) == reads


def test_a_pair_that_cannot_be_read_is_told_as_it_was():
    def read(_index: int) -> tuple[np.ndarray, np.ndarray]:
        raise DataError("`tile 7.png` is damaged")

    broken = TrainingSource(read, 3, (32, 32), crop=False, augment=AugmentConfig(), seed=0)

    with pytest.raises(DataError, match=r"tile 7\.png"):
        list(BatchSchedule.of(broken, batch_size=2).batches(0))
    with pytest.raises(DataError, match=r"tile 7\.png"):
        broken.preload()


def rare(share: float) -> TrainingSource:
    """Four images of class 0 with one small spot of class 1 in the last."""
    masks = [np.zeros((64, 96), np.uint8) for _ in range(4)]
    masks[3][50:54, 80:84] = 1
    pairs = [(np.zeros((64, 96, 3), np.uint8), mask) for mask in masks]
    plain = AugmentConfig(flip_horizontal=False, translate_px=0)
    whole = TrainingSource(pairs.__getitem__, 4, (16, 16), crop=True, augment=plain, seed=0)
    return whole.drawn_by_class(share, num_classes=3)


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 6), (0.5, 15, 40), (1.0, 40, 65)])
def test_a_rare_class_is_in_as_many_windows_as_asked_for(share, least, most):
    windows = [rare(share).window(position % 4, epoch=0, position=position)[1] for position in range(100)]

    assert least <= sum((labels == 1).any() for labels in windows) <= most


def test_drawing_by_class_is_decided_by_epoch_and_position():
    first, second = (rare(0.5).window(0, epoch=2, position=7)[1] for _ in range(2))

    np.testing.assert_array_equal(first, second)


def test_drawing_by_class_from_masks_without_labels_is_drawing_by_area():
    nothing = np.full((32, 32), 255, np.uint8)
    whole = TrainingSource(
        lambda _index: (np.zeros((32, 32, 3), np.uint8), nothing), 1, (16, 16), True, AugmentConfig(), seed=0
    )

    assert (whole.drawn_by_class(1.0, num_classes=2).window(0, epoch=0, position=0)[1] == 255).all()


@pytest.mark.parametrize("steps", [1, 4])
def test_batches_from_a_step_on_are_those_that_follow_it(steps):
    schedule = BatchSchedule.of(source(sizes=((32, 32),)), batch_size=4, steps=steps)
    whole, rest = list(schedule.first_batches(0, 3)), schedule.first_batches(0, 2, start=1)
    for expected, found in zip(whole[1:], rest, strict=True):
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_array_equal(one, other)
