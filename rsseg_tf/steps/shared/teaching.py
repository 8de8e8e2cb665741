"""A trained model that another learns from: found, checked to fit the data, and its classes numbered as theirs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rsseg_tf.config import Config, DistillConfig, dump_yaml
from rsseg_tf.datasets import Dataset
from rsseg_tf.datasets.files.ground import are_far_apart, shown
from rsseg_tf.datasets.palette import Palette
from rsseg_tf.datasets.relabeled import numbers_of
from rsseg_tf.errors import ModelError
from rsseg_tf.models.weights.pretrained import load_segmenter
from rsseg_tf.progress import warn
from rsseg_tf.runs import file_hash
from rsseg_tf.steps.opening import find_teacher
from rsseg_tf.steps.shared.keras_predictor import check_model
from rsseg_tf.steps.shared.model_classes import classes_of, learned_pixel_m, pixel_m_of
from rsseg_tf.training.step import Teacher
from rsseg_tf.training.strategy import Replicas, watching


@dataclass(frozen=True)
class OwnTeacher:
    """The teacher that the settings of a training name; all that is asked of it holds where they name none.

    Attributes:
        settings: such as `config.fit.distill`.
        section: such as `fit.distill`, for messages.
        path: of its file, None where there is none.
        sha256: of its file.
    """

    settings: DistillConfig
    section: str
    path: Path | None = None
    sha256: str = ""

    @classmethod
    def of(cls, settings: DistillConfig, *, section: str, out: Path) -> OwnTeacher:
        """Return the teacher of a training that writes to the folder `out`.

        Raises:
            RssegError: as `find_teacher`.
        """
        path = find_teacher(settings, section=section, out=out)
        return cls(settings, section, path, file_hash(path)) if path else cls(settings, section)

    @property
    def inputs(self) -> dict[str, str]:
        """Name → hash of what a training reads of it."""
        return {f"teacher:{self.path}": self.sha256} if self.path else {}

    def record_of(self, config: Config) -> str:
        """Return the settings as a run folder keeps them, with what the teacher is."""
        return (f"# Of the teacher with SHA-256 {self.sha256}\n" if self.path else "") + dump_yaml(config)

    def warn_of_pixels(self, config: Config, dataset: Dataset) -> None:
        """Warn on stderr where the teacher learned from pixels of another size on the ground than those of the data."""
        if self.path is None or not (learned := pixel_m_of(self.path)) or not (own := learned_pixel_m(config, dataset)):
            return
        if are_far_apart(learned, own):
            sizes = f"pixels of {shown(learned)}, those of the data are {shown(own)}"
            warn(
                f"the teacher `{self.path}` learned from {sizes}",
                hint=f"it sees things at another size than it knows: name another in {self.section}.teacher",
            )

    def opened(self, config: Config, palette: Palette, replicas: Replicas) -> Teacher | None:
        """Return what a training takes, None where there is none.

        Args:
            config: of the run, whose input size and bands the teacher must have.
            palette: the classes of the data.
            replicas: must all have the same file.

        Raises:
            RssegError: if it is no Keras model, or of other classes, bands or input size.
        """
        if self.path is None:
            return None
        with watching(replicas, lambda: "the teacher"):
            replicas.check_same(f"`{self.path}`", self.sha256)
        own = classes_of(self.path)
        try:
            model = load_segmenter(self.path)
            classes = numbers_of(own, palette) if own else ()
            check_model(model, palette, size=config.data.input_size, bands=config.data.num_bands)
        except ModelError as error:
            raise ModelError(
                f"the teacher `{self.path}` does not fit: {error.message}",
                hint="it must have learned from the same data.input_size, data.bands and classes: name another in "
                f"{self.section}.teacher",
            ) from error
        return Teacher(model, self.settings, classes)
