"""What a run trains on and is tested with, from a file."""

from tinytensor.train.config import DataConfig
from tinytensor.train.samples import load_samples


def test_a_number_of_the_row_is_no_feature_of_a_shuffled_table(tmp_path):
    """As the column Id of many a table on the web, whose rows are sorted by class."""
    path = tmp_path / "numbered.csv"
    path.write_text("Id,x,kind\n" + "".join(f"{i + 1},{i % 7},{'a' if i < 30 else 'b'}\n" for i in range(60)))
    samples = load_samples(DataConfig(csv=str(path), target="kind"), seed=1, holdout=5)
    assert samples.encoding is not None and samples.encoding.dropped == {"Id": "counts the rows"}
    assert samples.train_x.shape == (48, 1) and samples.test_x.shape == (12, 1)
