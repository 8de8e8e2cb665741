"""Photos as drones write them."""

from __future__ import annotations

from pathlib import Path

from PIL import ExifTags, Image

from tests.tflite.networks import frame

_TAGS = {each.name: each.value for each in ExifTags.Base} | {"PixelXDimension": 40962, "PixelYDimension": 40963}
NADIR = {"RelativeAltitude": "+100.00", "GimbalPitchDegree": "-90.00"}
PHANTOM = {"FocalLengthIn35mmFilm": 24, "FocalLength": 8.8}
PLANE = {"FocalLength": 8.8, "FocalPlaneXResolution": 54 / 1.32, "FocalPlaneResolutionUnit": 3, "PixelXDimension": 54}


def photo(path: Path, exif: dict[str, float], said: dict[str, str], *, as_elements: bool = False) -> Path:
    """A JPEG of 36 × 54 pixels, as a sensor of 13.2 × 8.8 mm behind a lens of 8.8 mm would take it."""
    tags = Image.Exif()
    tags.get_ifd(ExifTags.IFD.Exif).update({_TAGS[name]: value for name, value in exif.items()})
    values = "".join(
        f"<drone-dji:{name}>{value}</drone-dji:{name}>" if as_elements else f' drone-dji:{name}="{value}"'
        for name, value in said.items()
    )
    opened = f">{values}</rdf:Description>" if as_elements else f"{values}/>"
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:drone-dji="http://www.dji.com/drone-dji/1.0/"{opened}</rdf:RDF></x:xmpmeta>'
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(frame(0, 36, 54)).save(path, exif=tags, xmp=packet.encode() if said else b"")
    return path
