import matplotlib.image
import pytest

from bostruct.bench.uncertainty import plots
from bostruct.bench.uncertainty.comparison import compare
from bostruct.errors import LogError
from tests.bench.uncertainty.fakes import Fake, dimers


@pytest.fixture(scope="module")
def found():
    methods = {"right": Fake(), "shy": Fake(forces=False)}
    hot = {"hot": dimers(40, 1, 2.0)}
    return compare(dimers(200), methods, n_train=20, n_calibrate=60, shifted=hot)


def test_a_page_is_as_wide_as_two_columns(found, tmp_path):
    plots.draw_page(found.predictions, found.rows, "energy", tmp_path / "e.png")
    plots.draw_page(found.predictions, found.rows, "forces", tmp_path / "f.png")
    energy, forces = (matplotlib.image.imread(tmp_path / name) for name in ("e.png", "f.png"))
    assert energy.shape[1] == forces.shape[1] == pytest.approx(250 * plots.PAGE_WIDTH)
    assert energy.shape[0] > forces.shape[0]  # with the method that has no forces
    plots.draw_page(found.predictions, found.rows, "energy", tmp_path / "again.png")
    assert (tmp_path / "e.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    colours = {tuple(pixel) for pixel in (255 * energy[::3, ::3, :3]).reshape(-1, 3)}
    assert len(colours) > 10


def test_several_splits_fit_on_the_same_page(tmp_path):
    many = compare(dimers(100), {"right": Fake()}, n_train=20, n_calibrate=30, n_splits=2)
    first = many.split_runs[0].rows
    plots.draw_page(many.predictions, many.rows, "energy", tmp_path / "many.png")
    plots.draw_page(many.predictions, first, "energy", tmp_path / "one.png")
    both, one = (matplotlib.image.imread(tmp_path / name) for name in ("many.png", "one.png"))
    assert both.shape[1] == one.shape[1]
    assert both.shape[0] == pytest.approx(one.shape[0], abs=2)
    assert (tmp_path / "many.png").read_bytes() != (tmp_path / "one.png").read_bytes()


def test_a_folder_that_is_not_there(found, tmp_path):
    with pytest.raises(LogError, match="could not write"):
        plots.draw_page(found.predictions, found.rows, "forces", tmp_path / "no" / "f.png")


def test_sets_have_colours_of_their_own():
    places = ["test", "hot", "large"]
    assert len({plots.dataset_color(places, place) for place in places}) == 3
