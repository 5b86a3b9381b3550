# Training, export, verification and simulation: no vendor tool.
#
#   docker build -f docker/software.Dockerfile -t edgebert .
#   docker run --rm -it -v "$PWD/runs:/home/edgebert/edgebert/runs" edgebert make demo
#
# The base is an argument, so that a mirrored or locally built Debian can take its place. It needs
# Python 3.11, which Debian bookworm has.
ARG BASE=debian:bookworm-slim
FROM ${BASE}

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# g++, make and perl: Verilator writes C++ and compiles it.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates g++ make perl python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 1000 edgebert \
    && install -d -o edgebert -g edgebert /home/edgebert/edgebert
USER edgebert
WORKDIR /home/edgebert/edgebert
ENV PIP_NO_CACHE_DIR=1

COPY --chown=edgebert:edgebert . .
RUN make setup

CMD ["/bin/bash"]
