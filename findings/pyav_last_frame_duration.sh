#!/usr/bin/env bash
# The last picture of a video of varying rate lasts one tick, though its frame says how long it is shown.
#
# A drone's video, or one picture every few seconds, has frames of unequal length. PyAV lets a frame carry `pts` and
# `duration`, and takes both; the encoders keep the times and drop the durations, so that the file ends one tick of the
# time base after the last frame began: four pictures shown for 1, 2, 3 and 4 s make a file of 6 s. A duration that is set on
# the packets, after the encoder, is kept.
#
# Seen with av 18.1.0 on 2026-11-29, Python 3.11, x86-64 (wheels carry FFmpeg):
#   mpeg4 in mp4: frames say 10 s, the file says 6.001 s; with durations on the packets 10.0 s
#   libvpx-vp9 in webm: frames say 10 s, the file says 6.001 s; with durations on the packets 10.0 s
# Fails if that changes.
set -euo pipefail
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/pip" install --quiet --disable-pip-version-check "av==18.1.0" "numpy==2.2.6" 2>/dev/null
cat > "$here/durations.py" <<'PY'
import sys
from fractions import Fraction

import av
import numpy as np

TICK = Fraction(1, 1000)
SHOWN = {0: 1000, 1000: 2000, 3000: 3000, 6000: 4000}  # milliseconds: when, for how long


def seconds(path, codec, *, on_packets):
    with av.open(path, "w") as out:
        stream = out.add_stream(codec, rate=Fraction(1000))
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = TICK

        def write(frame):
            for packet in stream.encode(frame):
                if on_packets:
                    began = round(packet.pts * packet.time_base / TICK)
                    packet.duration = int(SHOWN[began] * TICK / packet.time_base)
                out.mux(packet)

        for number, (began, length) in enumerate(SHOWN.items()):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 50 * number, np.uint8), format="rgb24")
            frame.pts, frame.duration, frame.time_base = began, length, TICK
            write(frame)
        write(None)
    with av.open(path) as video:
        times = [round(float(frame.pts * frame.time_base), 3) for frame in video.decode(video=0)]
        assert times == [0, 1, 3, 6], times
        return video.duration / av.time_base


held = []
for codec, kind in (("mpeg4", "mp4"), ("libvpx-vp9", "webm")):
    frames, packets = (seconds(f"{sys.argv[1]}/{codec}.{kind}", codec, on_packets=each) for each in (False, True))
    print(f"{codec} in {kind}: frames say 10 s, the file says {frames} s; with durations on the packets {packets} s")
    held.append(abs(frames - 6.001) < 0.01 and abs(packets - 10) < 0.01)
sys.exit(0 if all(held) else 1)
PY
"$here/venv/bin/python" "$here/durations.py" "$here"
