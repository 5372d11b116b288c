"""Pictures are looked at by people; here is what can be said of them exactly: which image stands where."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from scratch_ae import UserError, checkpoint, figures, garden
from scratch_ae.data import fingerprint, image_files, split
from scratch_ae.experiments import Experiment
from scratch_ae.figures import GAP, MARGIN, TILE
from scratch_ae.losses import psnr
from scratch_ae.model import AutoEncoder

PLANE = AutoEncoder(Experiment("plane", (), 16, (4, 8), latent=2, pairs=5))


def tile(picture, x, y, side):
    return np.asarray(picture)[y : y + side, x : x + side].mean((0, 1)) / 255


def flat(value):
    return np.full((8, 8, 3), value, np.float32)


def test_a_sheet_puts_its_images_in_rows_with_equal_gaps():
    picture = figures.sheet([flat(k / 5) for k in range(5)], 3, "t", tile=40)
    x = (picture.width - 3 * 40 - 2 * GAP) // 2
    y = MARGIN + 36
    for row, values in enumerate([[0, 0.2, 0.4], [0.6, 0.8, 1.0]]):  # white, where there is no image
        for column, value in enumerate(values):
            place = x + column * (40 + GAP), y + row * (40 + GAP)
            assert np.allclose(tile(picture, *place, 40), value, atol=0.01), (row, column)
            assert np.allclose(tile(picture, place[0] - 3, place[1], 2), 1), "the gap is white"


def test_a_title_is_never_cut_off():
    picture = np.asarray(figures.sheet([flat(0.5)], 1, "a title that is a good deal wider than one image" * 2))
    dark = np.argwhere(picture[: MARGIN + 30].min(2) < 128)
    assert dark[:, 1].min() >= 10
    assert dark[:, 1].max() <= picture.shape[1] - 10


def test_grey_images_and_small_ones_are_enlarged():
    picture = figures.tile_of(np.full((4, 4, 1), 0.5), 64)
    assert (picture.mode, picture.size) == ("RGB", (64, 64))
    assert np.all(np.asarray(picture) == 128)


@pytest.mark.parametrize(("count", "columns", "rows"), [(8, 4, 4), (5, 4, 3), (1, 2, 1), (32, 8, 8)])
def test_pairs_show_true_beside_predicted(count, columns, rows):
    images = np.random.default_rng(0).random((count, 16, 16, 3), dtype=np.float32)
    picture = figures.pairs(PLANE, images, "pairs")
    top, step = MARGIN + 36, TILE + 20 + 3 * GAP
    assert picture.height == top + rows * step + MARGIN
    predicted = PLANE.reconstruct(images)
    width = columns * TILE + (columns - 1) * GAP + (columns // 2 - 1) * 3 * GAP
    left = (picture.width - width) // 2
    for expected, offset in ((images[0], 0), (predicted[0], TILE + GAP)):
        assert np.allclose(tile(picture, left + offset, top, TILE), expected.mean((0, 1)), atol=0.02)


def test_shown_takes_the_species_in_turn_in_hash_order(tmp_path):
    garden.plant(tmp_path, ["rose", "iris"], 6, size=16)
    files = image_files([tmp_path / "rose", tmp_path / "iris"])
    images, used = figures.shown(PLANE, files)
    assert images.shape == (5, 16, 16, 3)
    assert 0 <= images.min() < images.max() <= 1
    assert [f.parent.name for f in used] == ["iris", "rose", "iris", "rose", "iris"]
    assert [f for f in used if f.parent.name == "rose"] == [f for f in files if f.parent.name == "rose"][:2]


@pytest.mark.parametrize(
    ("a", "b", "right", "down"),
    [
        ((-3, -5), (4, 2), (4, -5), (-3, 2)),
        ((1, -3), (1, 5), (5, 1), (-3, 1)),
        ((4, -6), (-3, 2), (4.5, 1.5), (-3.5, -5.5)),
    ],
)
def test_morph_is_a_square_from_the_first_flower_to_the_third(a, b, right, down):
    """Its corners, worked out on paper: along the axes, standing on a corner, and askew."""
    a, b, right, down = (10 * np.array(code, np.float32) for code in (a, b, right, down))
    picture = figures.morph(PLANE, a, b)
    left, top, step = (picture.width - 20 * 48 - 19 * GAP) // 2, MARGIN + 36, 48 + GAP
    for (column, row), code in {(0, 0): a, (19, 19): b, (19, 0): right, (0, 19): down}.items():
        expected = PLANE.decode(code[None]).mean((0, 1, 2))
        assert np.allclose(tile(picture, left + column * step, top + row * step, 48), expected, atol=0.01)


def test_alphas_go_from_the_first_to_the_second():
    a, b = np.array([-30, 20], np.float32), np.array([40, -50], np.float32)
    picture = figures.alphas(PLANE, a, b)
    left, top = (picture.width - 3 * TILE - 2 * GAP) // 2, MARGIN + 36
    for k, alpha in ((0, 0.1), (8, 0.9)):
        expected = PLANE.decode(((1 - alpha) * a + alpha * b)[None].astype(np.float32)).mean((0, 1, 2))
        place = left + k % 3 * (TILE + GAP), top + k // 3 * (TILE + 20 + GAP)
        assert np.allclose(tile(picture, *place, TILE), expected, atol=0.02)


def test_each_sheet_shows_what_its_title_says(tmp_path, monkeypatch):
    """rose averages the last two shown, sunflower spans from the first to the third, iris comes before calendula."""
    garden.plant(tmp_path / "data", ["rose", "sunflower", "iris", "calendula"], 12, size=16)
    calls = {}
    for name in ("blend", "morph", "alphas"):
        right = getattr(figures, name)
        monkeypatch.setattr(figures, name, lambda *a, right=right, name=name: calls.update({name: a}) or right(*a))
    for name in ("rose", "sunflower", "iris_calendula"):
        species = tuple(name.split("_"))
        model = AutoEncoder(Experiment(name, species, 16, (4, 8), latent=2, pairs=5))
        out = tmp_path / name
        out.mkdir()
        training, held_out = split(image_files([tmp_path / "data" / s for s in species]))
        header = {"experiment": asdict(model.experiment), "data": str(tmp_path / "data")}
        header["files"] = fingerprint(training + held_out)
        checkpoint.write(out / "checkpoint.npz", model.parameters(), header)
        (out / "log.jsonl").write_text(json.dumps({"step": 1, "loss": 1.0}))
        drawn = figures.draw(out)
        assert all(file.stem in figures.PICTURES for file in drawn)
        images, files = figures.shown(model, training)
        codes = model.encode(images)
        if name == "rose":
            assert np.array_equal(calls["blend"][1], images[-2:])
            assert np.array_equal(calls["blend"][2], codes[-2:])
        elif name == "sunflower":
            assert np.array_equal(calls["morph"][1:], [codes[0], codes[2]])
        else:
            iris, calendula = ([f.parent.name for f in files].index(s) for s in species)
            assert np.array_equal(calls["blend"][1], images[[iris, calendula]])
            assert np.array_equal(calls["alphas"][1:], codes[[iris, calendula]])
    for file in image_files([tmp_path / "data" / "rose"]):
        file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises(UserError, match=r"none of the pictures in .*data can be read any more"):
        figures.draw(tmp_path / "rose")
    garden.plant(tmp_path / "data", ["rose"], 13, size=16)
    with pytest.raises(UserError, match=r"not those that the run in .*rose began with; name their folder"):
        figures.draw(tmp_path / "rose")


def test_the_middle_of_a_blend_is_the_average_code():
    images = np.random.default_rng(0).random((2, 16, 16, 3), dtype=np.float32)
    codes = np.array([[-30, 20], [40, -50]], np.float32)
    picture = figures.blend(PLANE, images, codes, "t")
    left = (picture.width - 5 * TILE - 4 * GAP) // 2
    expected = [images[0], *PLANE.decode(np.stack([codes[0], codes.mean(0), codes[1]])), images[1]]
    for k, image in enumerate(expected):
        assert np.allclose(tile(picture, left + k * (TILE + GAP), MARGIN + 36, TILE), image.mean((0, 1)), atol=0.02), k


def test_a_network_without_a_run_has_no_pictures(tmp_path):
    PLANE.save(tmp_path / "checkpoint.npz")
    with pytest.raises(UserError, match="is not a run's checkpoint"):
        figures.draw(tmp_path)


def test_all_codes_are_those_of_every_image(tmp_path):
    garden.plant(tmp_path, ["rose"], 7, size=16)
    files = image_files([tmp_path / "rose"])
    codes = figures.all_codes(PLANE, files)
    assert codes.shape == (7, 2)
    one_by_one = [PLANE.encode(figures.load_images([f], 16, 3, 1, print)[0].astype(np.float32) / 255)[0] for f in files]
    assert np.allclose(np.sort(codes, 0), np.sort(one_by_one, 0), atol=1e-5)
    assert figures.all_codes(PLANE, []).shape == (0, 2)


def test_curves_need_steps_but_no_evaluation(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text("")
    with pytest.raises(UserError, match="holds no steps"):
        figures.curves(log, "rose")
    log.write_text('{"step": 1, "lo')
    with pytest.raises(UserError, match="is damaged"):
        figures.curves(log, "rose")
    log.write_text("\n".join(json.dumps({"step": k, "loss": 1 / k}) for k in range(1, 500)))
    assert figures.curves(log, "rose").size == (900, 360)


def test_the_command_wants_one_run(tmp_path):
    for arguments in ([], ["a", "b", "c"], ["--help"]):
        with pytest.raises(UserError, match="name the folder of one run"):
            figures.main(arguments)
    with pytest.raises(UserError, match="there is no"):
        figures.main([str(tmp_path)])


def test_curves_show_means_of_the_loss_and_every_evaluation(tmp_path, monkeypatch):
    lines = [{"step": k, "loss": 1 / k} for k in range(1, 301)]
    lines[200:200] = [{"step": 200, "training": {"psnr": 9}, "held_out": {"psnr": 8}}]
    lines += [{"step": 300, "training": {"psnr": 12}, "held_out": {"psnr": 10}}]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    monkeypatch.setattr(figures, "chart", lambda figure: figure)
    left, right = figures.curves(tmp_path / "log.jsonl", "rose").axes
    assert left.lines[0].get_xdata().tolist() == list(range(1, 301, 3))
    assert left.lines[0].get_ydata()[1] == pytest.approx(np.mean([1 / 4, 1 / 5, 1 / 6]))
    assert [line.get_xydata().tolist() for line in right.lines] == [[[200, 9], [300, 12]], [[200, 8], [300, 10]]]
    assert [line.get_label()[-7:] for line in right.lines] == ["12.0 dB", "10.0 dB"]


def test_histograms_are_of_each_number_and_of_both_parts(monkeypatch):
    calls = []
    monkeypatch.setattr(figures.Axes, "hist", lambda _, data, *a, label, **b: calls.append((label, data.tolist())))
    monkeypatch.setattr(figures, "chart", lambda figure: figure)
    parts = {"training": np.arange(8.0).reshape(4, 2), "held out": -np.arange(4.0).reshape(2, 2)}
    figures.histograms(*parts.values())
    assert calls == [(name, codes[:, k].tolist()) for k in (0, 1) for name, codes in parts.items()]


def drawn(folder, name, species, count, latent=2, broken=()):
    """What is drawn of a run on the garden, and its network and files."""
    garden.plant(folder / "data", species, count, size=16)
    model = AutoEncoder(Experiment(name, tuple(species), 16, (4, 8), latent=latent, pairs=5))
    parts = split(image_files([folder / "data" / each for each in species]))
    for file in (file for each in broken for file in (folder / "data" / each).iterdir()):
        file.write_bytes(b"no picture")
    (folder / "log.jsonl").write_text(json.dumps({"step": 1, "loss": 1.0}))
    header = {"experiment": asdict(model.experiment), "data": "."}
    checkpoint.write(folder / "checkpoint.npz", model.parameters(), header)
    return {file.stem for file in figures.draw(folder, parts=parts)}, model, *parts


@pytest.mark.parametrize(
    ("name", "species", "count", "latent", "broken"),
    [
        ("sunflower", ["sunflower"], 3, 2, ()),  # two to learn, and the plane wants three
        ("sunflower", ["sunflower"], 6, 3, ()),  # no plane
        ("iris_calendula", ["iris", "calendula"], 6, 2, ("calendula",)),
    ],
)
def test_what_cannot_be_shown_is_left_out(tmp_path, name, species, count, latent, broken):
    assert drawn(tmp_path, name, species, count, latent, broken)[0] == {"pairs_training", "pairs_held_out", "curves"}


def test_pairs_and_histograms_are_of_their_part(tmp_path, monkeypatch):
    calls = []
    for name in ("pairs", "histograms"):
        right = getattr(figures, name)
        monkeypatch.setattr(figures, name, lambda *a, right=right: calls.append(a) or right(*a))
    _, model, *parts = drawn(tmp_path, "flowers", ["rose"], 12)
    assert [call[1].tolist() for call in calls[:2]] == [figures.shown(model, part)[0].tolist() for part in parts]
    assert [len(codes) for codes in calls[2]] == [len(part) for part in parts]


def test_labels_are_those_of_the_images_below(monkeypatch):
    images, seen = np.random.default_rng(0).random((2, 16, 16, 3), np.float32), []
    monkeypatch.setattr(figures, "sheet", lambda tiles, columns, title, labels, **_: seen.append(labels))
    figures.pairs(PLANE, images, "t")
    figures.alphas(PLANE, *PLANE.encode(images))
    quality = psnr(PLANE.reconstruct(images), images)
    assert seen[0] == ["true", f"{quality[0]:.1f} dB", "true", f"{quality[1]:.1f} dB"]
    assert (seen[1][0], seen[1][-1]) == ("alpha 0.1", "alpha 0.9")
