"""Folders of images: classes by folder, grey or colour, one size or resized; what does not fit is named by its file."""

import sys

import numpy as np
import pytest
from PIL import Image

from ntk_explorer.datasets import DataConfig, load_dataset, load_split
from ntk_explorer.errors import InvalidInput

RNG = np.random.default_rng(0)
CLASSES = ("ant", "bee", "cat")


def picture(shape=(6, 5, 3)):
    return RNG.integers(0, 256, size=shape).astype(np.uint8)


def fill(root, count=4, names=CLASSES, shape=(6, 5, 3)):
    """``count`` pictures per class as PNG, which keeps every pixel; returns them by class."""
    made = {name: [picture(shape) for _ in range(count)] for name in names}
    for name, pixels in made.items():
        (root / name).mkdir(parents=True)
        for k, values in enumerate(pixels):
            Image.fromarray(values).save(root / name / f"{k}.png")
    return made


def agree(read, made):
    in_order = np.array([values for name in sorted(made) for values in made[name]]).reshape(-1, *read.inputs)
    np.testing.assert_array_equal(read.images, in_order[read.ids])
    np.testing.assert_array_equal(read.y, np.repeat(np.arange(len(made)), len(made["ant"]))[read.ids])


@pytest.mark.parametrize("shape", [(6, 5, 3), (6, 5)])
def test_every_pixel_and_class_is_read(tmp_path, shape):
    made = fill(tmp_path, shape=shape)
    read = load_dataset("folder", n=12, path=str(tmp_path))
    assert read.class_names == CLASSES
    assert read.inputs == (6, 5, 1 if len(shape) == 2 else 3)
    agree(read, made)
    np.testing.assert_allclose(read.x.mean(axis=(0, 1, 2)), 0, atol=1e-12)


def test_the_folder_of_the_data_folder_needs_no_path(tmp_path, monkeypatch):
    monkeypatch.setenv("NTK_EXPLORER_DATA", str(tmp_path))
    made = fill(tmp_path / "folder")
    agree(load_dataset("folder", n=12), made)


def test_train_and_test_are_a_published_split(tmp_path):
    made = {part: fill(tmp_path / part, count) for part, count in {"train": 5, "test": 3}.items()}
    read, held = load_split(DataConfig(name="folder", n=15, path=str(tmp_path)), 9)
    agree(read, made["train"])
    agree(held, made["test"])
    assert held.class_names == CLASSES


def test_without_a_test_folder_the_split_is_within(tmp_path):
    fill(tmp_path, 6)
    read, held = load_split(DataConfig(name="folder", n=9, path=str(tmp_path)), 6)
    assert not set(read.ids) & set(held.ids)


def test_a_shape_resizes(tmp_path):
    fill(tmp_path / "a", 2)
    Image.fromarray(picture((9, 7, 3))).save(tmp_path / "a" / "ant" / "large.jpg")
    assert load_dataset("folder", n=6, path=str(tmp_path / "a"), shape=(4, 8, 3)).x.shape == (6, 4, 8, 3)
    assert load_dataset("folder", n=6, path=str(tmp_path / "a"), shape=(4, 8, 1)).x.shape == (6, 4, 8, 1)


def test_one_colour_image_makes_all_colour_and_palettes_are_colours(tmp_path):
    fill(tmp_path, 2, shape=(6, 5))
    values = RNG.integers(0, 2, size=(6, 5, 3)).astype(np.uint8) * 255
    Image.fromarray(values).quantize(8).save(tmp_path / "bee" / "palette.png")
    Image.new("RGBA", (5, 6), (10, 20, 30, 0)).save(tmp_path / "cat" / "through.png")
    read = load_dataset("folder", n=8, path=str(tmp_path))
    assert read.inputs == (6, 5, 3)
    # Rows: ant 0, 1; bee 0, 1, palette; cat 0, 1, through.
    place = np.argsort(read.ids)
    np.testing.assert_array_equal(read.images[place[4]], values)
    np.testing.assert_array_equal(read.images[place[7]], np.broadcast_to([10, 20, 30], (6, 5, 3)))


def test_hidden_folders_and_other_files_are_passed_over(tmp_path):
    fill(tmp_path, 2)
    (tmp_path / ".cache").mkdir()
    (tmp_path / "ant" / "notes.txt").write_text("not an image")
    (tmp_path / "readme.md").write_text("")
    assert len(load_dataset("folder", n=6, path=str(tmp_path)).x) == 6


def test_no_folder_no_classes_no_images(tmp_path, monkeypatch):
    monkeypatch.setenv("NTK_EXPLORER_DATA", str(tmp_path / "data"))
    with pytest.raises(InvalidInput, match=r"No folder of images at .*data/folder\. Put the images of each class"):
        load_dataset("folder")
    with pytest.raises(InvalidInput, match=r"No folder of images at nowhere.*relative"):
        load_dataset("folder", path="nowhere")
    with pytest.raises(InvalidInput, match="holds no folders instead of 2 to 1000"):
        load_dataset("folder", path=str(tmp_path))
    (tmp_path / "ant").mkdir()
    with pytest.raises(InvalidInput, match="holds 1 folder instead of 2"):
        load_dataset("folder", path=str(tmp_path))
    (tmp_path / "bee").mkdir()
    with pytest.raises(InvalidInput, match="ant holds no image"):
        load_dataset("folder", path=str(tmp_path))


def test_images_that_differ_in_size_are_named(tmp_path):
    fill(tmp_path, 2)
    Image.fromarray(picture((9, 7, 3))).save(tmp_path / "bee" / "9.png")
    with pytest.raises(InvalidInput, match=r"bee/9.png has 7×9 pixels, but .*ant/0.png has 5×6\. .*shape=\(6, 5, 3\)"):
        load_dataset("folder", path=str(tmp_path))


def test_shapes_that_no_image_has(tmp_path):
    fill(tmp_path)
    for shape in [(8,), (8, 8), (8, 8, 2)]:
        with pytest.raises(InvalidInput, match="height, width and 1 or 3 channels, got shape="):
            load_dataset("folder", path=str(tmp_path), shape=shape)
    with pytest.raises(InvalidInput, match=r"12 images of shape \(9000, 9000, 3\) are 2.9 GB"):
        load_dataset("folder", n=12, path=str(tmp_path), shape=(9000, 9000, 3))


def test_without_pillow_it_is_asked_for(tmp_path, monkeypatch):
    fill(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(InvalidInput, match=r"Pillow, which is not installed. Run: pip install pillow"):
        load_dataset("folder", n=12, path=str(tmp_path))


def test_a_class_of_the_test_alone_is_refused(tmp_path):
    fill(tmp_path / "train")
    fill(tmp_path / "test", names=(*CLASSES, "dog"))
    with pytest.raises(InvalidInput, match="test has a folder 'dog', which no class of training has"):
        load_split(DataConfig(name="folder", n=12, path=str(tmp_path)), 3)


def test_images_that_cannot_be_read_are_named(tmp_path):
    fill(tmp_path, 3)
    place = tmp_path / "cat" / "1.png"
    content = place.read_bytes()
    place.write_bytes(b"text")
    with pytest.raises(InvalidInput, match=r"cat/1.png is no image in any of PNG"):
        load_dataset("folder", path=str(tmp_path))
    place.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(InvalidInput, match=r"cat/1.png is damaged \("):
        load_dataset("folder", path=str(tmp_path))
    Image.fromarray(RNG.integers(0, 60000, size=(6, 5)).astype(np.uint16)).save(place)
    with pytest.raises(InvalidInput, match=r"cat/1.png has pixels of the type 'I;16'.*8 bits per channel"):
        load_dataset("folder", path=str(tmp_path))
