"""A network exported by frugalmtl, run on photographs with onnxruntime, NumPy and Pillow alone.

    python run_model.py photo.jpg another.jpg --out predictions

Beside this file lie the network (``NAME.onnx``) and ``model.json``, which says what the network takes and gives. The
file may be copied, changed and taken into programs of your own; it needs nothing else. Per photograph and task:
an overlay with a key, and the decoded map: class indices (PNG), millimetres (16-bit PNG, 0: none) or an array (.npy).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from itertools import count, pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

Photo = NDArray[np.uint8]
Values = NDArray[Any]
Record = dict[str, Any]

OVERLAY = 0.55
"""Share of the prediction's colour in an overlay of classes."""
OVERLAY_ENDING = ".png"
TIE = 1e-4
"""A class must be ahead of an earlier one by so much, so that rounding decides nothing."""
SAVED = ("overlay", "ids", "depth_mm", "npy", "json")


# ---- the way in ------------------------------------------------------------------------------------------------------


def read_photo(path: str | Path, exif: str = "apply") -> Photo:
    """RGB pixels ``[H, W, 3]`` of a file; 16-bit pixels keep their high byte."""
    with Image.open(path) as picture:
        upright = ImageOps.exif_transpose(picture) if exif == "apply" else picture
        if upright.mode.startswith("I"):
            grey = (np.array(upright) >> 8).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        return np.array(upright.convert("RGB"))


def windows(height: int, width: int, size: tuple[int, int], fit: str) -> list[tuple[slice, slice, slice, slice]]:
    """The parts of a photograph that the network sees one after the other: rows and columns, and those that count.

    ``resize``: the whole photograph, stretched. ``pad``: pixels keep their size; as many windows of the network's size
    as cover the photograph, evenly spread, each counting as far as the middle of its overlaps.
    """
    if fit == "resize":
        rows, columns = [(slice(0, height),) * 2], [(slice(0, width),) * 2]
    else:
        rows, columns = _spread(height, size[0]), _spread(width, size[1])
    return [(seen_y, seen_x, kept_y, kept_x) for (seen_y, kept_y), (seen_x, kept_x) in product(rows, columns)]


def _spread(length: int, window: int) -> list[tuple[slice, slice]]:
    number = math.ceil(length / window)
    if number == 1:
        return [(slice(0, length), slice(0, length))]
    starts = [round(place * (length - window) / (number - 1)) for place in range(number)]
    edges = [0, *((first + window + second) // 2 for first, second in pairwise(starts)), length]
    return [(slice(start, start + window), slice(*edge)) for start, edge in zip(starts, pairwise(edges), strict=True)]


def network_input(photo: Photo, takes: Record) -> Values:
    """A photograph, or a window of it, for the network: ``[1, H, W, 3]`` bytes or ``[1, 3, H, W]`` normalised."""
    height, width = takes["size"]
    pixels = photo.transpose(2, 0, 1).astype(np.float32)
    if takes["fit"] == "resize":
        pixels = resized(pixels, (height, width))
    else:
        fill = 255 * np.array(takes["fill"], np.float32)
        canvas = np.broadcast_to(fill[:, None, None], (3, height, width)).copy()
        rows, columns = _centred(photo.shape[0], height), _centred(photo.shape[1], width)
        canvas[:, rows, columns] = pixels
        pixels = canvas
    if takes["dtype"] == "uint8":
        return pixels.round().clip(0, 255).astype(np.uint8).transpose(1, 2, 0)[None]
    mean, std = (np.array(takes[key], np.float32)[:, None, None] for key in ("mean", "std"))
    normalised: Values = ((pixels / 255 - mean) / std)[None].astype(np.float32)
    return normalised


def _centred(inner: int, outer: int) -> slice:
    start = (outer - inner) // 2
    return slice(start, start + inner)


# ---- the way out -----------------------------------------------------------------------------------------------------


def decode(raw: Values, steps: list[Record]) -> Values:
    """A raw prediction ``[1, C, ...]`` -> the decoded one, step by step as ``model.json`` says."""
    for step in steps:
        raw = _decoding_step(raw, **step)
    return raw


def _decoding_step(values: Values, step: str, low: float = -math.inf, high: float = math.inf) -> Values:
    result: Values
    if step == "argmax":
        result = values.argmax(axis=1)
    elif step == "sigmoid":
        result = 0.5 * (1 + np.tanh(values / 2))
    elif step == "exp":
        result = np.exp(values)
    elif step == "softplus":
        result = np.logaddexp(0, values)
    elif step == "clip":
        result = values.clip(low, high)
    elif step == "unit_vectors":
        result = values / np.maximum(np.sqrt((values * values).sum(axis=1, keepdims=True)), 1e-12)
    else:
        raise ValueError(f"model.json names a step of decoding that this script does not know: {step}")
    return result


def resized(maps: Values, size: tuple[int, int]) -> Values:
    """Maps ``[C, h, w]`` -> ``[C, H, W]``, bilinear; an area that shrinks is averaged."""
    if maps.shape[1:] == tuple(size):
        return maps
    pictures = (Image.fromarray(np.ascontiguousarray(one, np.float32)) for one in maps)
    return np.stack([np.asarray(one.resize(size[::-1], Image.Resampling.BILINEAR)) for one in pictures])


def back_to_photo(decoded: Values, values: str, size: tuple[int, int], fit: str) -> Values:
    """A decoded map of the network's size -> that of the photograph or window it was predicted for.

    Of classes, each one's area is resized, and the largest share wins, so that outlines stay smooth.
    """
    if fit == "pad":
        return decoded[..., _centred(size[0], decoded.shape[-2]), _centred(size[1], decoded.shape[-1])]
    if values == "class index":
        return decoded if decoded.shape == tuple(size) else _resized_classes(decoded, size)
    maps = resized(decoded, size)
    if values == "unit vector":
        maps = maps / np.maximum(np.sqrt((maps * maps).sum(axis=0, keepdims=True)), 1e-12)
    return maps.astype(np.float32)


def _resized_classes(indices: Values, size: tuple[int, int]) -> Values:
    best, winner = np.full(size, -1, np.float32), np.zeros(size, indices.dtype)
    for index in np.unique(indices):
        share = resized((indices == index)[None], size)[0]
        ahead = share > best + TIE
        best[ahead], winner[ahead] = share[ahead], index
    return winner


def joined(parts: list[dict[str, Values]], places: list[tuple[slice, slice, slice, slice]], outputs: Record) -> Record:
    """Predictions of windows -> those of the photograph; of tasks without a map those of the middle window."""
    whole = dict(parts[(len(parts) - 1) // 2])
    if len(parts) == 1:
        return whole
    height, width = places[-1][2].stop, places[-1][3].stop
    for task in (name for name in whole if outputs[name]["map"]):
        first = parts[0][task]
        whole[task] = np.empty((*first.shape[:-2], height, width), first.dtype)
        for part, (seen_y, seen_x, kept_y, kept_x) in zip(parts, places, strict=True):
            rows = slice(kept_y.start - seen_y.start, kept_y.stop - seen_y.start)
            columns = slice(kept_x.start - seen_x.start, kept_x.stop - seen_x.start)
            whole[task][..., kept_y, kept_x] = part[task][..., rows, columns]
    return whole


def predict(session: Any, photo: Photo, model: Record) -> dict[str, Values]:
    """Decoded predictions of one photograph, maps at its size: ``[H, W]`` classes, ``[C, H, W]``, or without a map."""
    takes = model["input"]
    places = windows(photo.shape[0], photo.shape[1], takes["size"], takes["fit"])
    parts = []
    for seen_y, seen_x, *_ in places:
        window = photo[seen_y, seen_x]
        batch = np.repeat(network_input(window, takes), takes["batch"] or 1, axis=0)
        outputs = session.run(list(model["outputs"]), {takes["name"]: batch})
        part = {}
        for raw, (task, output) in zip(outputs, model["outputs"].items(), strict=True):
            decoded = decode(raw[:1], [] if model["decoded"] else output["decode"])[0]
            size = window.shape[:2]
            part[task] = back_to_photo(decoded, output["values"], size, takes["fit"]) if output["map"] else decoded
        parts.append(part)
    return joined(parts, places, model["outputs"])


# ---- pictures --------------------------------------------------------------------------------------------------------


def inverse_limits(metres: Values) -> tuple[float, float]:
    """Limits of 1/metres in a picture: its 2nd and 98th percentile."""
    low, high = np.quantile(1 / np.maximum(metres, 1e-3), [0.02, 0.98])
    return float(low), float(high)


def draw(values: Values, output: Record) -> Photo:
    """A decoded map as a picture ``[H, W, 3]``."""
    kind = output["values"]
    if kind == "class index":
        named: Photo = _rgb("".join(one["colour"] for one in output["classes"]))[values]
        return named
    if kind == "metres":
        low, high = inverse_limits(values[0])
        level = ((1 / np.maximum(values[0], 1e-3) - low) / max(high - low, 1e-6)).clip(0, 1)
        colours = _rgb(output["colours"])
        scaled: Photo = colours[(level * len(colours)).astype(int).clip(0, len(colours) - 1)]
        return scaled
    shades = values.clip(0, 1) if kind == "probability" else (values / 2 + 0.5).clip(0, 1)
    picture: Photo = (255 * shades).astype(np.uint8).transpose(1, 2, 0)
    return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture


def _rgb(codes: str) -> Photo:
    """Colours ``[N, 3]`` of a text of ``rrggbb``."""
    return np.frombuffer(bytes.fromhex(codes.replace("#", "")), np.uint8).reshape(-1, 3)


def overlay(photo: Photo, values: Values, output: Record) -> Photo:
    """A drawn map over its photograph (classes blended, others as they are), above the key of its colours."""
    picture = draw(values, output)
    if output["values"] == "class index":
        picture = (photo * (1 - OVERLAY) + picture * OVERLAY).astype(np.uint8)
    key = _key(values, output, max(240, picture.shape[1]))
    beside = np.full((picture.shape[0], key.shape[1] - picture.shape[1], 3), 255, np.uint8)
    return np.concatenate([np.concatenate([picture, beside], axis=1), key])


def _key(values: Values, output: Record, width: int) -> Photo:
    """The names of the classes in the picture, a bar in metres, or how the picture is read."""
    letter = min(36, max(11, width // 45))
    font, margin = ImageFont.load_default(letter), letter // 2
    names = [(one["name"], one["colour"]) for one in output.get("classes", [])]
    present = [names[index] for index in np.unique(values)] if output["values"] == "class index" else []
    words = present or [(word, "") for word in output["reads"].split()]
    x, y, places = margin, margin, []
    for name, colour in words if output["values"] != "metres" else []:
        step = round(font.getlength(name)) + (2 * letter if colour else letter // 3)
        if x + step > width - margin and x > margin:
            x, y = margin, y + 3 * letter // 2
        places.append((x, y, name, colour))
        x += step + (letter if colour else 0)
    bar = output["values"] == "metres"
    strip = Image.new("RGB", (width, y + letter * (2 + bar) + margin // 2), "white")
    pen = ImageDraw.Draw(strip)
    for x, y, name, colour in places:
        if colour:
            pen.rectangle((x, y, x + letter, y + letter), fill=colour, outline="#808080")
        pen.text((x + 3 * letter // 2 * bool(colour), y), name, font=font, fill="#202020")
    if bar:
        _metre_bar(pen, inverse_limits(values[0]), output["colours"], font, (margin, width - margin, letter))
    return np.asarray(strip)


def _metre_bar(pen: Any, limits: tuple[float, float], codes: str, font: Any, place: tuple[int, int, int]) -> None:
    """Far at the left, near at the right, as dark and bright in the picture; even steps of 1/metres."""
    left, right, letter = place
    (low, high), colours = limits, _rgb(codes)
    for x in range(left, right):
        colour = colours[(x - left) * len(colours) // (right - left)]
        pen.line((x, letter // 2, x, 5 * letter // 4), fill=tuple(map(int, colour)))
    ticks = 5 if right - left > 30 * letter else 3
    for tick in range(ticks):
        share = tick / (ticks - 1)
        words = f"{1 / max(low + share * (high - low), 1e-6):.3g} m"
        anchor = "la" if tick == 0 else "ra" if tick == ticks - 1 else "ma"
        pen.text((left + share * (right - left), 3 * letter // 2), words, font=font, fill="#202020", anchor=anchor)


# ---- files -----------------------------------------------------------------------------------------------------------


def summary(values: Values, output: Record) -> Record:
    """What ``json`` holds of a prediction: shares of classes, or least, median and greatest values."""
    names = [one["name"] for one in output.get("classes", [])]
    if output["values"] == "class index" and not output["map"]:
        return {"class": names[int(values)]}
    if output["values"] == "class index":
        shares = np.bincount(values.ravel(), minlength=len(names)) / values.size
        return {"shares": {name: round(float(share), 6) for name, share in zip(names, shares, strict=True)}}
    if not output["map"]:
        return {"probabilities": {name: round(float(value), 6) for name, value in zip(names, values, strict=True)}}
    if output["values"] == "unit vector":
        return {"mean": [round(float(one), 6) for one in values.mean(axis=(1, 2))]}
    facts = {"min": values.min(), "median": np.median(values), "max": values.max(), "mean": values.mean()}
    return {"unit": output["values"], **{key: round(float(value), 6) for key, value in facts.items()}}


def products(photo: Photo, values: Values, output: Record, saved: tuple[str, ...]) -> dict[str, Values]:
    """Arrays to save, by the end of their file's name: pictures for ``.png``, values for ``.npy``."""
    arrays: dict[str, Values] = {}
    if "overlay" in saved and output["map"]:
        arrays[OVERLAY_ENDING] = overlay(photo, values, output)
    if "ids" in saved and output["map"] and output["values"] == "class index":
        arrays["-ids.png"] = values.astype(np.uint8 if len(output["classes"]) <= 256 else np.uint16)
    if "depth_mm" in saved and output["values"] == "metres":
        millimetres = np.round(1000 * values[0].astype(np.float64))
        arrays["-mm.png"] = np.where(millimetres < 65536, millimetres, 0).astype(np.uint16)
    if "npy" in saved:
        arrays[".npy"] = values
    return arrays


def write(path: Path, content: Values | str) -> None:
    """An array or a text as a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            if isinstance(content, str):
                file.write(content.encode())
            elif path.suffix == ".npy":
                np.save(file, content, allow_pickle=False)
            else:
                Image.fromarray(content).save(file, format="PNG")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _model(path: Path | None) -> tuple[Path, Record]:
    """The network that is meant, and what ``model.json`` beside it says of it."""
    folder = Path(__file__).resolve().parent if path is None else path.parent
    table = folder / "model.json"
    if not table.is_file():
        sys.exit(f"{table} is not there: copy it together with the network")
    models = json.loads(table.read_text(encoding="utf-8"))
    names = [name for name in models if name.endswith(".onnx")] if path is None else [path.name]
    if len(names) != 1 or names[0] not in models:
        sys.exit(f"{table} describes {', '.join(models)}: say by --model which .onnx file is meant")
    return folder / names[0], models[names[0]]


def main() -> None:
    """Run the network on the photographs of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--model", type=Path, help="the .onnx file (default: the one of model.json beside this script)")
    parser.add_argument("--out", type=Path, default=Path("predictions"), help="folder (default: predictions)")
    parser.add_argument("--save", default="overlay,ids,depth_mm,json", help=f"some of {','.join(SAVED)}")
    arguments = parser.parse_args()
    saved = tuple(arguments.save.split(","))
    if unknown := set(saved) - set(SAVED):
        sys.exit(f"--save takes {', '.join(SAVED)}, but got {', '.join(sorted(unknown))}")
    path, model = _model(arguments.model)
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    used: set[str] = set()
    for source in arguments.photos:
        try:
            photo = read_photo(source, model["input"]["exif"])
        except OSError as error:
            sys.exit(f"{source} cannot be read: {error}")
        names = (f"{source.stem}-{number}" if number > 1 else source.stem for number in count(1))
        name = next(name for name in names if name not in used)
        used.add(name)
        predictions = predict(session, photo, model)
        facts = {task: summary(values, model["outputs"][task]) for task, values in predictions.items()}
        for task, values in predictions.items():
            for ending, array in products(photo, values, model["outputs"][task], saved).items():
                write(arguments.out / f"{name}-{task}{ending}", array)
        if "json" in saved:
            write(arguments.out / f"{name}.json", json.dumps(facts, indent=1) + "\n")
        print(f"{source}: {json.dumps(facts)}")


if __name__ == "__main__":
    main()
