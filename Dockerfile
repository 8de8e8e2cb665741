# Two images: a board that predicts (no TensorFlow), and a workstation that trains, prunes and exports.
#
#   docker build --target board -t rsseg-tf:board .                # also for arm64: docker buildx build --platform linux/arm64 …
#   docker build --target workstation -t rsseg-tf .
#   docker run --rm -v "$PWD:/work" rsseg-tf:board predict survey.tflite photos/ -o maps
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS base
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
COPY setup.cfg setup.py pyproject.toml README.md LICENSE constraints.txt requirements.lock ./
COPY rsseg_tf rsseg_tf

FROM base AS board
RUN pip install --constraint constraints.txt '.[geo]' && rm -rf /src
RUN useradd --create-home pilot
USER pilot
WORKDIR /work
ENTRYPOINT ["rsseg-tf"]
CMD ["--help"]

# The release set, by hash: Linux on x86-64.
FROM base AS workstation
RUN pip install --require-hashes -r requirements.lock && pip install --no-deps . && rm -rf /src
RUN useradd --create-home pilot
USER pilot
WORKDIR /work
ENTRYPOINT ["rsseg-tf"]
CMD ["--help"]
